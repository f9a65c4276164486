#include "ctl/log-wait.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

bool log_wait_is_stopped(void)
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

void log_wait_init(LogWait *wait, int writer)
{
    wait->writer = writer;
    sigprocmask(SIG_BLOCK, NULL, &wait->waiting_mask);
    handle(SIGINT);
    handle(SIGTERM);
}

struct timespec log_wait_left(struct timespec then)
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

LogWaitEnd log_wait(const LogWait *wait, int changes, const struct timespec *left)
{
    /* Standard output is there for its errors: whoever read it may leave while nothing comes. */
    struct pollfd fds[] = {
        {.fd = changes, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
        {.fd = wait->writer, .events = POLLIN}, /* poll(2) passes over -1 */
    };
    sigset_t stops;
    int n;

    /* A signal between the look at the flag and the wait must not be missed. */
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    n = stopped ? -1 : ppoll(fds, sizeof(fds) / sizeof(fds[0]), left, &wait->waiting_mask);
    sigprocmask(SIG_SETMASK, &wait->waiting_mask, NULL);
    if (n == 0)
        return LOG_WAIT_TIME;
    if (n > 0 && fds[0].revents != 0)
        return LOG_WAIT_CHANGE;
    if (n > 0 && fds[2].revents != 0)
        return LOG_WAIT_WRITER_GONE;
    return n < 0 && errno == EINTR && !stopped ? LOG_WAIT_CHANGE : LOG_WAIT_STOP;
}
