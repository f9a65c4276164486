#include "util/amount.h"

#include <inttypes.h>
#include <stdio.h>

const char *amount_text(uint64_t bytes, char *buffer)
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double amount = (double)bytes;
    unsigned unit = 0;

    while (amount >= 1023.95 && unit + 1 < sizeof(UNITS) / sizeof(UNITS[0])) {
        amount /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(buffer, AMOUNT_TEXT, "%" PRIu64 " B", bytes);
    else
        snprintf(buffer, AMOUNT_TEXT, amount < 9.95 ? "%.1f %s" : "%.0f %s", amount, UNITS[unit]);
    return buffer;
}
