#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/*
 * Points in time as logs and people write them, without the C library's idea of a time zone: the
 * offset is part of the text.
 */

/*
 * Reads an RFC 3339 time of exactly `length` bytes, with any number of fractional digits (those
 * beyond nanoseconds are dropped) and `Z` or a numeric offset. Returns false if it is none.
 */
bool rfc3339_parse(const char *text, size_t length, struct timespec *time);

/*
 * Reads what people give as a point in time: an RFC 3339 time, or how long before `now` it was, as
 * in 90s, 10m, 2h, 1d or 1h30m. Returns false if it is neither.
 */
bool rfc3339_parse_argument(const char *text, struct timespec now, struct timespec *time);

/* Less than, equal to or greater than 0, as strcmp has it. */
int rfc3339_compare(struct timespec a, struct timespec b);
