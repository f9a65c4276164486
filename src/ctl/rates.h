#pragma once

#include "ctl/monitors.h"

/* What a monitor and its container have done between two looks, per second. */
typedef struct Rates {
    const Snapshot *monitor; /* as the later look saw it */
    double written;          /* bytes that the container wrote */
    double logged;           /* of its bytes, those that came into the log */
    double records;          /* that came into the log */
    double held;             /* of the stream that was held longer: the part of the time */
    double cpu;              /* the part of one processor that the monitor took */
} Rates;

/* How much a count has grown; one that has become less, 0. */
uint64_t rates_growth(uint64_t before, uint64_t now);

/*
 * Compares two looks at the same monitor. Without an earlier one (NULL), and if that was of another
 * process, it is the average since the monitor began. What has become less counts as nothing.
 */
Rates rates_between(const Snapshot *before, const Snapshot *now);

/*
 * The same for all monitors that `now` has, in its order; `before` is an earlier look, and those
 * that it alone has are gone. Monitors are known by the paths of their pages. Returns an array of
 * Rates that refer to `now`, to be freed with g_array_unref().
 */
GArray *rates_of_all(const Monitors *before, const Monitors *now);
