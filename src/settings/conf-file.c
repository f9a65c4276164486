#include "settings/conf-file.h"

#include "settings/tunable.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whoever is unknown in a user namespace looks like this user and group, root of the node too. */
enum { OVERFLOW_ID = 65534 };

/* user_namespaces(7): only in the first namespace every ID is itself. */
static bool is_first_namespace(void)
{
    CLEANUP_FD int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t length = fd_read_all(fd, text, sizeof(text) - 1);
    unsigned inside, outside, count;

    if (length <= 0)
        return true; /* without /proc, or on a kernel without namespaces */
    text[length] = '\0';
    return sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
           outside == 0 && count == UINT32_MAX;
}

char *conf_user_file(void)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (geteuid() == 0 && is_first_namespace())
        return NULL;
    if (config != NULL && config[0] == '/')
        return g_strconcat(config, "/conward/conward.conf", NULL);
    if (home != NULL && home[0] == '/')
        return g_strconcat(home, "/.config/conward/conward.conf", NULL);
    return NULL;
}

bool conf_is_safe(const struct stat *st, bool is_users, Error *error)
{
    bool is_owner = st->st_uid == 0 || (is_users && st->st_uid == geteuid());
    bool is_group = st->st_gid == 0 || (is_users && st->st_gid == getegid());
    bool is_unknown = st->st_uid == OVERFLOW_ID || st->st_gid == OVERFLOW_ID;

    if (is_unknown && !is_first_namespace()) {
        is_owner |= st->st_uid == OVERFLOW_ID;
        is_group |= st->st_gid == OVERFLOW_ID;
    }
    if (!is_owner)
        error_set(error, 0, "it belongs to user %u, who could change it for others; chown it to %s",
                  st->st_uid, is_users ? "yourself" : "root");
    else if (st->st_mode & S_IWOTH || (st->st_mode & S_IWGRP && !is_group))
        error_set(error, 0, "with mode %04o, others may write it; chmod it to 0644",
                  st->st_mode & 07777);
    else
        return true;
    return false;
}

/*
 * Says why a file could not be opened, if there is one. HOME may be somebody else's, as for who has
 * become another user: what cannot even be seen there is not the user's own.
 */
static void say_unopened(const char *path, bool is_users, int number, Error *error)
{
    struct stat st;
    bool is_there = lstat(path, &st) == 0;

    if (number == ENOENT || number == ENOTDIR) {
        if (is_there)
            error_set(
                error, 0,
                "it is a symbolic link to a file that does not exist; correct or remove the link");
    } else if (is_there || !is_users) {
        error_set(error, 0, "it cannot be opened: %s; let it be read by everybody, or remove it",
                  strerror(number));
    }
}

char *conf_read_fd(int fd, size_t *length, Error *error)
{
    g_autofree char *text = NULL;
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0) {
        error_set(error, errno, "its attributes cannot be read");
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(error, 0, "it is not a regular file; remove it, or put a text file there");
        return NULL;
    }
    if (st.st_size > CONF_FILE_MAX) {
        error_set(error, 0, "it has %lld bytes, and may have %d; make it shorter",
                  (long long)st.st_size, CONF_FILE_MAX);
        return NULL;
    }
    text = g_malloc((size_t)st.st_size + 1);
    n = fd_read_all(fd, text, (size_t)st.st_size);
    if (n < 0) {
        error_set(error, (int)-n, "it cannot be read");
        return NULL;
    }
    text[n] = '\0';
    *length = (size_t)n;
    return g_steal_pointer(&text);
}

char *conf_read(const char *path, bool is_users, size_t *length, Error *error)
{
    CLEANUP_FD int fd = open(path, CONF_OPEN_FLAGS | O_CLOEXEC);
    struct stat st;

    *error = (Error)ERROR_NULL;
    if (fd < 0 || fstat(fd, &st) < 0) {
        say_unopened(path, is_users, errno, error);
        return NULL;
    }
    if (S_ISREG(st.st_mode) && !conf_is_safe(&st, is_users, error))
        return NULL;
    return conf_read_fd(fd, length, error);
}

static GKeyFile *load(const char *text, size_t length)
{
    g_autoptr(GKeyFile) file = g_key_file_new();

    if (length > 0 && !g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, NULL))
        return NULL;
    return g_steal_pointer(&file);
}

/* The bytes of the first `lines` lines. */
static size_t length_of(const char *text, size_t length, unsigned lines)
{
    size_t at = 0;

    for (; lines > 0 && at < length; lines--) {
        const char *newline = memchr(text + at, '\n', length - at);

        at = newline != NULL ? (size_t)(newline - text) + 1 : length;
    }
    return at;
}

/* GKeyFile does not tell the line, but the lines before it are right without it. */
static unsigned bad_line(const char *text, size_t length)
{
    unsigned right = 0; /* so many lines are right, */
    unsigned wrong = 1; /* and so many are not */

    for (size_t i = 0; i < length; i++)
        wrong += text[i] == '\n';
    while (wrong - right > 1) {
        unsigned middle = right + (wrong - right) / 2;
        g_autoptr(GKeyFile) file = load(text, length_of(text, length, middle));

        if (file != NULL)
            right = middle;
        else
            wrong = middle;
    }
    return wrong;
}

GKeyFile *conf_parse(const char *text, size_t length, unsigned *line, Error *error)
{
    GKeyFile *file;

    *line = 0;
    if (memchr(text, '\0', length) != NULL) {
        error_set(error, 0,
                  "it contains NUL bytes, so it is not a text file; put a text file there");
        return NULL;
    }
    file = load(text, length);
    if (file != NULL)
        return file;
    *line = bad_line(text, length);
    error_set(error, 0,
              "line %u is neither a [section], nor KEY = VALUE in one, nor a comment; correct it, "
              "and begin the file with [" CONF_SECTION "]",
              *line);
    return NULL;
}

static void walk_key(GKeyFile *file, const char *key, bool seen[TUNABLES_MAX],
                     const ConfVisitor *visitor)
{
    g_autofree char *text = g_key_file_get_value(file, CONF_SECTION, key, NULL);
    int number = tunable_find(key);
    Error error = ERROR_NULL;

    /* A key that is there twice comes twice, each time with its last value. */
    if (number >= 0 && seen[number])
        return;
    if (number >= 0)
        seen[number] = true;
    if (number < 0)
        visitor->problem(key, "is unknown; conward.conf(5) has the list of settings",
                         visitor->owner);
    else if (text != NULL &&
             !visitor->setting((size_t)number, g_strstrip(text), &error, visitor->owner))
        visitor->problem(key, error.text, visitor->owner);
}

void conf_walk(GKeyFile *file, const ConfVisitor *visitor)
{
    g_auto(GStrv) sections = g_key_file_get_groups(file, NULL);
    bool seen[TUNABLES_MAX] = {false};
    g_auto(GStrv) keys = g_key_file_get_keys(file, CONF_SECTION, NULL, NULL);

    for (char **section = sections; *section != NULL; section++) {
        g_autofree char *shown = g_strdup_printf("[%s]", *section);

        if (strcmp(*section, CONF_SECTION) != 0)
            visitor->problem(shown,
                             "is an unknown section; put the settings into [" CONF_SECTION "]",
                             visitor->owner);
    }
    for (char **key = keys; key != NULL && *key != NULL; key++)
        walk_key(file, *key, seen, visitor);
}
