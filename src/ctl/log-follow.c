#include "ctl/log-follow.h"

#include "util/fd.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

bool log_follow_is_stopped(void)
{
    return stopped;
}

/* Without SA_RESTART, so that a write that waits for a reader ends, too. */
static void handle(int signal)
{
    struct sigaction old;
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    if (sigaction(signal, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(signal, &action, NULL);
}

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
        .writer = writer,
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
        sigprocmask(SIG_BLOCK, NULL, &follow->waiting_mask);
        handle(SIGINT);
        handle(SIGTERM);
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

/* How long it is from now to then; a time that has come is none. */
static struct timespec time_left(struct timespec then)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    then.tv_sec -= now.tv_sec;
    then.tv_nsec -= now.tv_nsec;
    if (then.tv_nsec < 0) {
        then.tv_sec--;
        then.tv_nsec += 1000000000;
    }
    return then.tv_sec < 0 ? (struct timespec){0, 0} : then;
}

bool log_follow_wait(LogFollow *follow, const struct timespec *until)
{
    /* Standard output is there for its errors: whoever read it may leave while nothing comes. */
    struct pollfd fds[] = {
        {.fd = follow->inotify, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
        {.fd = follow->writer, .events = POLLIN}, /* poll(2) passes over -1 */
    };
    struct timespec left;
    sigset_t stops;
    int n;

    if (follow->over)
        return false;
    /* A signal between the look at the flag and the wait must not be missed. */
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    if (until != NULL)
        left = time_left(*until);
    n = stopped
            ? -1
            : ppoll(fds, G_N_ELEMENTS(fds), until == NULL ? NULL : &left, &follow->waiting_mask);
    sigprocmask(SIG_SETMASK, &follow->waiting_mask, NULL);
    if (n > 0 && fds[0].revents != 0) {
        log_follow_take(follow);
        return true;
    }
    if (n == 0 || (n > 0 && fds[2].revents != 0)) {
        /* What was written in that time is read once more. */
        follow->over = true;
        return true;
    }
    return n < 0 && errno == EINTR && !stopped;
}

void log_follow_deinit(LogFollow *follow)
{
    fd_close(&follow->inotify);
    g_free(follow->directory);
}
