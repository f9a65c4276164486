#include "process/listen-pid.h"

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char variable[] = "LISTEN_PID=";

enum { PID_SIZE = 3 * sizeof(pid_t) }; /* its digits and a NUL byte */

/* Returns 0 if the text is not the number of a process. */
static pid_t parse(const char *text)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number <= 0 || number > INT_MAX)
        return 0;
    return (pid_t)number;
}

static void copy_environment(ListenPid *listen)
{
    size_t count = g_strv_length(environ);

    listen->word = g_malloc0(strlen(variable) + PID_SIZE);
    memcpy(listen->word, variable, strlen(variable));
    listen->pid_text = listen->word + strlen(variable);
    listen->environment = g_new0(char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        bool is_it = strncmp(environ[i], variable, strlen(variable)) == 0;

        listen->environment[i] = is_it ? listen->word : environ[i];
    }
}

int listen_pid_init(ListenPid *listen, bool replace, Error *error)
{
    const char *value = getenv("LISTEN_PID");
    pid_t pid;

    *listen = (ListenPid){.environment = environ};
    if (value == NULL)
        return 0;
    pid = parse(value);
    if (pid == 0)
        return error_set(error, 0, "Invalid LISTEN_PID %s", value);
    if (replace || pid == getpid())
        copy_environment(listen);
    return 0;
}

void listen_pid_deinit(ListenPid *listen)
{
    if (listen->word != NULL)
        g_free(listen->environment);
    g_free(listen->word);
    *listen = (ListenPid)LISTEN_PID_NULL;
}
