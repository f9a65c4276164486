#pragma once

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
