#include "log/line-count.h"

#include <sys/param.h>

void line_count(LogCounters *counters, uint64_t length, bool full, uint32_t limit, int64_t now)
{
    uint64_t before = counters->line;

    counters->line += length;
    counters->longest = MAX(counters->longest, counters->line);
    counters->long_lines += before <= limit && counters->line > limit;
    if (full) {
        counters->line = 0;
        counters->line_since = 0;
    } else if (before == 0) {
        counters->line_since = now / 1000;
    }
}
