#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A token bucket: how many bytes may be logged now if there may be so many a second on average.
 * Pure: the clock is the caller's, and so is the bucket, which has its place on the page.
 *
 * Tokens are counted in bytes. A record may be written while there is a token at all, and takes as
 * many as it has bytes: the bucket then holds less than nothing for a while, so that records longer
 * than a whole bucket pass too, and the average is kept.
 */
typedef struct RateLimit {
    int64_t bytes; /* a second; 0 = no limit */
    int64_t
        burst; /* what the bucket holds at most, in bytes; a tenth of a second's worth at least */
} RateLimit;

typedef struct RateBucket {
    int64_t tokens;
    int64_t at; /* when they were counted, microseconds of a clock that never goes back */
} RateBucket;

/* A bucket as full as it may be. */
RateBucket rate_full(RateLimit limit, int64_t now);

/* Adds what has become due until now. */
void rate_refill(RateLimit limit, RateBucket *bucket, int64_t now);

/* How many microseconds from bucket->at until there are `tokens`, or the bucket is full. */
int64_t rate_wait(RateLimit limit, const RateBucket *bucket, int64_t tokens);
