#pragma once

#include "util/error.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>

/*
 * Waits for a log to change: for bytes in its file, and for another file of its name. Nothing is
 * polled. SIGINT and SIGTERM, unless ignored, then end a wait, and interrupt a write, instead of
 * ending the process; a second one ends it.
 */
typedef struct LogFollow {
    const char *path;
    int inotify;
    int directory; /* its watch */
    bool over;     /* nothing more can come */
    sigset_t waiting_mask;
} LogFollow;

/* `path` is borrowed. Returns 0, or -1 or -errno after filling `error`. */
int log_follow_init(LogFollow *follow, const char *path, Error *error);

/* Has the open file `fd` watched, and that which is now at the path, as those before them. */
void log_follow_watch(LogFollow *follow, int fd);

/*
 * Waits for a change since the last wait, up to `until` if that is not NULL. Returns false when the
 * end has come: a signal, that time, nobody who reads standard output, or the log's directory has
 * gone.
 */
bool log_follow_wait(LogFollow *follow, const struct timespec *until);

/* Whether a signal has asked for the end. */
bool log_follow_is_stopped(void);

void log_follow_deinit(LogFollow *follow);
