#pragma once

#include "ctl/log-wait.h"
#include "util/error.h"

/*
 * Waits for a log to change: for bytes in its file, and for another file of its name. Nothing is
 * polled.
 */
typedef struct LogFollow {
    const char *path;
    char *directory;
    int inotify;
    int watch; /* of the directory */
    bool over; /* nothing more can come */
    LogWait wait;
} LogFollow;

/* `path` and `writer` (a pidfd, or -1) are borrowed. Returns 0, or -1 after filling `error`, with
 * nothing to deinit. */
int log_follow_init(LogFollow *follow, const char *path, int writer, Error *error);

/* Has the open file `fd` watched, and that which is now at the path, as those before them. */
void log_follow_watch(LogFollow *follow, int fd);

typedef enum LogChange {
    LOG_CHANGE_NONE,
    LOG_CHANGE_FILE,
    LOG_CHANGE_NAMES, /* a file of the directory was made or renamed */
} LogChange;

/* Takes what changes there were, without waiting, and tells of the greatest. */
LogChange log_follow_take(LogFollow *follow);

/*
 * Waits for a change that was not taken yet, up to `until` if that is not NULL. Returns false when
 * the end has come: a signal, that time, nobody who reads standard output, nobody who writes any
 * more, or the log's directory has gone.
 */
bool log_follow_wait(LogFollow *follow, const struct timespec *until);

void log_follow_deinit(LogFollow *follow);
