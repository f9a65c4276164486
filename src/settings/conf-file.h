#pragma once

#include "util/error.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * conward.conf: the files that settings of a whole node come from, and what is in one of them. The
 * later of these overrides the earlier; those of the directory come in the order of their names.
 * CONWARD_VENDOR_DIRECTORY and CONWARD_SYSCONF_DIRECTORY are the build's, /usr/lib/conward and
 * /etc/conward.
 */
#define CONF_VENDOR_FILE CONWARD_VENDOR_DIRECTORY "/conward.conf"
#define CONF_FILE CONWARD_SYSCONF_DIRECTORY "/conward.conf"
#define CONF_DIRECTORY CONWARD_SYSCONF_DIRECTORY "/conward.conf.d"
#define CONF_PATTERN "*.conf"
#define CONF_SECTION "conward"

/* Without waiting for whoever writes into a fifo. */
#define CONF_OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

enum {
    CONF_FILE_MAX = 64 << 10, /* bytes */
    CONF_FILES_MAX = 100,     /* of the directory */
};

/*
 * The user's own file, which comes last, or NULL for root, whom no user's file may concern. Who is
 * root is told by the user namespace: in that of a rootless engine everybody is user 0. The caller
 * frees it.
 */
char *conf_user_file(void);

/*
 * Whether nobody else may write a file than whose it must be: root, or for the user's own file also
 * that user. Otherwise *error says who may, and what to do about it.
 */
bool conf_is_safe(const struct stat *st, bool is_users, Error *error);

/*
 * Reads a file whole. Never waits, whatever is there. Returns its text, which the caller frees,
 * with a NUL behind it; or NULL, with *error filled, as the end of a sentence that begins with the
 * file, unless there is none.
 */
char *conf_read(const char *path, bool is_users, size_t *length, Error *error);

/* The same for a descriptor that has been opened with CONF_OPEN_FLAGS, whoever may write it. */
char *conf_read_fd(int fd, size_t *length, Error *error);

/*
 * Understands a text. Returns what the caller frees, or NULL with *error filled as above, and *line
 * the line it is about, if it is about one.
 */
GKeyFile *conf_parse(const char *text, size_t length, unsigned *line, Error *error);

/* What conf_walk() finds. */
typedef struct ConfVisitor {
    /* A setting of the table and its value. Returns false with *error filled, as Tunable.set. */
    bool (*setting)(size_t number, const char *text, Error *error, void *owner);
    /* What is of no use: a key as it stands there, or a section in its brackets, which begins a
     * sentence that `why` ends, without a full stop. */
    void (*problem)(const char *key, const char *why, void *owner);
    void *owner;
} ConfVisitor;

/* Goes through all that a file says. */
void conf_walk(GKeyFile *file, const ConfVisitor *visitor);
