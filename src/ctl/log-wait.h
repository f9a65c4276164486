#pragma once

#include <signal.h>
#include <stdbool.h>
#include <time.h>

/*
 * Waits for more of a log. SIGINT and SIGTERM, unless ignored, then end a wait, and interrupt a
 * write, instead of ending the process; a second one ends it.
 */
typedef struct LogWait {
    int writer; /* borrowed: a descriptor that becomes readable when nobody writes any more, or -1
                 */
    sigset_t waiting_mask;
} LogWait;

typedef enum LogWaitEnd {
    LOG_WAIT_CHANGE,      /* there may be something new */
    LOG_WAIT_TIME,        /* the time is over */
    LOG_WAIT_WRITER_GONE, /* nobody writes any more */
    LOG_WAIT_STOP,        /* a signal has asked for the end, or nobody reads standard output */
} LogWaitEnd;

void log_wait_init(LogWait *wait, int writer);

/* Waits until the descriptor `changes` is readable or something else has come, for the time `left`
 * if that is not NULL. */
LogWaitEnd log_wait(const LogWait *wait, int changes, const struct timespec *left);

/* How long it is from now to then, as the wall clock has it; a time that has come is none. */
struct timespec log_wait_left(struct timespec then);

/* Whether a signal has asked for the end. */
bool log_wait_is_stopped(void);
