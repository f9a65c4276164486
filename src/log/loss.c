#include "log/loss.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

/* A loss is said at the end of the damaged line, but never later than after so many nanoseconds. */
#define SAY_WITHIN INT64_C(10000000000)

uint64_t loss_take(LossPage *loss, uint64_t *open, uint64_t content, bool full, bool is_open)
{
    uint64_t owed = loss_owes_newline(loss, *open);

    *open = is_open;
    if (full)
        loss->ends = 1;
    return content + owed - loss_owes_newline(loss, *open);
}

void loss_add(LossPage *loss, uint64_t content, bool partial, int32_t reason, int64_t now)
{
    if (loss->records == 0) {
        loss->from = now;
        loss->reason = reason;
    }
    loss->to = MAX(now, loss->from); /* what is dropped has the time at which its pump has begun */
    loss->bytes += content;
    loss->records += content > 0;
    loss->damaged = partial;
}

void loss_take_newline(LossPage *loss, LogCounters *counters, int64_t now)
{
    bool alone = loss->records == 0; /* else the rest of its record is counted */

    counters->lost_bytes++;
    counters->lost_records += alone;
    if (alone)
        loss_add(loss, 1, loss->damaged, loss->reason, now);
    else
        loss->bytes++;
    loss->ends = 0;
}

void loss_merge(LossPage *loss, const LossPage *earlier)
{
    bool alone = loss->records == 0;

    if (earlier->records == 0)
        return;
    loss->bytes += earlier->bytes;
    loss->records += earlier->records;
    if (alone || earlier->from < loss->from) {
        loss->from = earlier->from;
        loss->reason = earlier->reason;
    }
    if (alone)
        loss->to = earlier->to;
}

bool loss_is_late(const LossPage *loss, int64_t now)
{
    int64_t age = now - loss->from;

    return age < 0 || age > SAY_WITHIN;
}

/* A time as records have it, in a buffer of RECORD_TIME_LENGTH + 1 bytes. */
static void time_text(RecordClock *clock, int64_t nanoseconds, char *text)
{
    const struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    char header[RECORD_HEADER_LENGTH];

    record_header(clock, time, STREAM_STDOUT, header);
    memcpy(text, header, RECORD_TIME_LENGTH);
    text[RECORD_TIME_LENGTH] = '\0';
}

size_t loss_text(const LossPage *loss, StreamId stream, int64_t rate, RecordClock *clock,
                 char *text)
{
    char from[RECORD_TIME_LENGTH + 1];
    char to[RECORD_TIME_LENGTH + 1];
    char why[128];
    int length;

    time_text(clock, loss->from, from);
    time_text(clock, loss->to, to);
    if (loss->reason == LOSS_RATE && rate == 0)
        snprintf(why, sizeof(why), "more than the rate limit that there was");
    else if (loss->reason == LOSS_RATE)
        snprintf(why, sizeof(why), "more than the limit of %" PRId64 " bytes per second", rate);
    else if (loss->reason == LOSS_STALLED)
        snprintf(why, sizeof(why), "the journal had stopped reading");
    else
        snprintf(why, sizeof(why), "%s", strerror(loss->reason));
    length =
        snprintf(text, LOSS_TEXT_MOST,
                 "[conward] lost %" PRIu64 " bytes in %" PRIu64 " records on %s, from %s to %s: %s",
                 loss->bytes, loss->records, stream_name(stream), from, to, why);
    return (size_t)MIN(length, LOSS_TEXT_MOST - 1);
}
