#pragma once

#include <stdint.h>

/* The whole part of a number, or the nearest one that there is of this type: C says nothing of a
 * number that does not fit. */
static inline uint64_t whole(double number)
{
    if (!(number > 0))
        return 0;
    return number < 0x1p64 ? (uint64_t)number : UINT64_MAX;
}
