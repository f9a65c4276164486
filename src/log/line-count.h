#pragma once

#include "state/page.h"

#include <stdbool.h>
#include <stdint.h>

/* Counts what a record of `length` bytes says of the line that it belongs to, whose records may
 * have `limit` bytes. `full`: it is the line's end. `now`: CLOCK_REALTIME nanoseconds. */
void line_count(LogCounters *counters, uint64_t length, bool full, uint32_t limit, int64_t now);
