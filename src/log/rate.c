#include "log/rate.h"

enum {
    SECOND = 1000000,
    LEAST_ROOM = 10, /* so small a part of a second's bytes: who sleeps wakes up late, and what has
                        become due meanwhile must have room, or the rate could not be kept */
    LEAST_TIME = 1000, /* microseconds between two gains: each is rounded in the container's favour,
                          by less than one */
};

static int64_t room_of(RateLimit limit)
{
    int64_t least = limit.bytes / LEAST_ROOM;

    return limit.burst > least ? limit.burst : least;
}

RateBucket rate_full(RateLimit limit, int64_t now)
{
    return (RateBucket){room_of(limit), now};
}

void rate_refill(RateLimit limit, RateBucket *bucket, int64_t now)
{
    int64_t room = room_of(limit) - bucket->tokens;
    int64_t elapsed = now - bucket->at;
    int64_t gained;

    if (room <= 0 || elapsed > room * SECOND / limit.bytes) {
        /* Nothing is saved up beyond the burst, also if that was made smaller. */
        *bucket = rate_full(limit, now);
        return;
    }
    if (elapsed < LEAST_TIME)
        return;
    gained = elapsed * limit.bytes / SECOND;
    bucket->tokens += gained;
    /* Only the time that has given whole tokens: else a caller that often asks would get none. */
    bucket->at += gained * SECOND / limit.bytes;
}

int64_t rate_wait(RateLimit limit, const RateBucket *bucket, int64_t tokens)
{
    int64_t room = room_of(limit);
    int64_t most = tokens < room ? tokens : room;
    int64_t missing = most - bucket->tokens;

    return missing <= 0 ? 0 : (missing * SECOND + limit.bytes - 1) / limit.bytes;
}
