#pragma once

#include <limits.h>
#include <stdint.h>
#include <time.h>

/*
 * Microseconds on CLOCK_BOOTTIME: the clock of every deadline, because deadlines must mean the
 * same after a suspend and to a program image that takes over.
 */
static inline int64_t clock_boottime_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Nanoseconds since 1970, for people. */
static inline int64_t clock_realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How long poll(2) has to sleep for a wait of so many microseconds: whole milliseconds, not less.
 */
static inline int clock_sleep_ms(int64_t wait)
{
    int64_t ms = wait <= 0 ? 0 : (wait + 999) / 1000;

    return ms < INT_MAX ? (int)ms : INT_MAX;
}
