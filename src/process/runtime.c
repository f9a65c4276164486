#include "process/runtime.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add(GPtrArray *argv, const char *word)
{
    g_ptr_array_add(argv, (gpointer)word);
}

static void add_all(GPtrArray *argv, const char *const *words)
{
    for (; words != NULL && *words != NULL; words++)
        add(argv, *words);
}

static void add_option(GPtrArray *argv, const char *option, const char *value)
{
    add(argv, option);
    add(argv, value);
}

static void add_exec(GPtrArray *argv, const RuntimeCall *call)
{
    add(argv, "exec");
    add_option(argv, "--pid-file", call->pidfile);
    add_option(argv, "--process", call->process_spec);
    add(argv, "--detach");
}

static void add_create(GPtrArray *argv, const RuntimeCall *call)
{
    add(argv, call->command == RUNTIME_RESTORE ? "restore" : "create");
    add_option(argv, "--bundle", call->bundle);
    add_option(argv, "--pid-file", call->pidfile);
    if (call->no_pivot)
        add(argv, "--no-pivot");
    if (call->no_new_keyring)
        add(argv, "--no-new-keyring");
    if (call->command == RUNTIME_RESTORE) {
        add(argv, "--detach");
        add_option(argv, "--image-path", call->checkpoint);
        add_option(argv, "--work-path", call->bundle);
    }
}

char **runtime_argv(const RuntimeCall *call)
{
    GPtrArray *argv = g_ptr_array_new();
    bool exec = call->command == RUNTIME_EXEC;

    add(argv, call->runtime);
    if (call->systemd_cgroup && !exec)
        add(argv, "--systemd-cgroup");
    add_all(argv, call->arguments);
    (exec ? add_exec : add_create)(argv, call);
    add_all(argv, call->options);
    if (call->console_socket != NULL)
        add_option(argv, "--console-socket", call->console_socket);
    add(argv, call->cid);
    add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

/* A decimal number and white space; neither pid 1 nor we can be the container. */
static int parse_pid(const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);

    if (end == text || end[strspn(end, " \n")] != '\0')
        return 0;
    return pid > 1 && pid <= INT_MAX && pid != getpid() ? (int)pid : 0;
}

int runtime_read_pidfile(const char *path)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char text[32];
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    return parse_pid(text);
}
