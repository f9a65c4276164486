#include "ctl/log-follow.h"

#include "util/fd.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

/*
 * A directory with an open file in it does not say itself that it is removed: the one above does.
 * That may be one that we may not read.
 */
static bool watch_directory(LogFollow *follow)
{
    g_autofree char *above = g_path_get_dirname(follow->directory);

    inotify_add_watch(follow->inotify, above, IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR | IN_MASK_ADD);
    follow->watch = inotify_add_watch(follow->inotify, follow->directory,
                                      IN_CREATE | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD);
    return follow->watch >= 0;
}

int log_follow_init(LogFollow *follow, const char *path, int writer, Error *error)
{
    *follow = (LogFollow){
        .path = path,
        .directory = g_path_get_dirname(path),
        .inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
    };
    if (follow->inotify < 0) {
        error_set(error, errno,
                  "Cannot follow the log %s: no inotify instance (the limit is "
                  "fs.inotify.max_user_instances)",
                  path);
    } else if (!watch_directory(follow)) {
        error_set(error, errno,
                  "Cannot follow the log %s: its directory cannot be watched (the limit is "
                  "fs.inotify.max_user_watches)",
                  path);
    } else {
        log_wait_init(&follow->wait, writer);
        return 0;
    }
    log_follow_deinit(follow);
    return -1;
}

void log_follow_watch(LogFollow *follow, int fd)
{
    char link[32];

    /* The same file gives the same watch. A file that was rotated keeps its own, as its writer may
     * still have it open; the watch goes with the file. */
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    inotify_add_watch(follow->inotify, link, IN_MODIFY);
    inotify_add_watch(follow->inotify, follow->path, IN_MODIFY | IN_DONT_FOLLOW);
}

LogChange log_follow_take(LogFollow *follow)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } buffer;
    LogChange change = LOG_CHANGE_NONE;
    ssize_t n;

    while ((n = read(follow->inotify, buffer.bytes, sizeof(buffer.bytes))) > 0) {
        for (char *next = buffer.bytes; next < buffer.bytes + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)next;

            /* After an overflow, anything may have been. */
            if (event->wd == follow->watch || event->mask & IN_Q_OVERFLOW)
                change = LOG_CHANGE_NAMES;
            else if (change == LOG_CHANGE_NONE)
                change = LOG_CHANGE_FILE;
            next += sizeof(*event) + event->len;
        }
    }
    if (access(follow->directory, F_OK) < 0 && errno == ENOENT)
        follow->over = true;
    return change;
}

bool log_follow_wait(LogFollow *follow, const struct timespec *until)
{
    struct timespec left;

    if (follow->over)
        return false;
    if (until != NULL)
        left = log_wait_left(*until);
    switch (log_wait(&follow->wait, follow->inotify, until == NULL ? NULL : &left)) {
    case LOG_WAIT_CHANGE:
        log_follow_take(follow);
        return true;
    case LOG_WAIT_TIME:
    case LOG_WAIT_WRITER_GONE:
        /* What was written in that time is read once more. */
        follow->over = true;
        return true;
    case LOG_WAIT_STOP:
        break;
    }
    return false;
}

void log_follow_deinit(LogFollow *follow)
{
    fd_close(&follow->inotify);
    g_free(follow->directory);
}
