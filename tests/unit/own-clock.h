#pragma once

#include <stdint.h>
#include <time.h>

/*
 * A clock that the test owns: it stands still but for own_clock_pass(). To be linked with
 * -Wl,--wrap=clock_gettime. Check may be linked with it, too, and takes no test that lasts for more
 * than an hour.
 */
static int64_t own_boottime = INT64_C(1000000000);       /* microseconds */
static int64_t own_asleep = 0;                           /* of these, those in a suspend */
static int64_t own_realtime = INT64_C(1790000000000000); /* microseconds since 1970 */

int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    int64_t time = id == CLOCK_REALTIME   ? own_realtime
                   : id == CLOCK_BOOTTIME ? own_boottime
                                          : own_boottime - own_asleep;

    *now = (struct timespec){time / 1000000, time % 1000000 * 1000};
    return 0;
}

static inline void own_clock_pass(int64_t microseconds)
{
    own_boottime += microseconds;
    own_realtime += microseconds;
}

/* The machine sleeps: only the clock of its running time stands still. */
static inline void own_clock_suspend(int64_t microseconds)
{
    own_clock_pass(microseconds);
    own_asleep += microseconds;
}
