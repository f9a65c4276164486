#pragma once

#include "log/record.h"
#include "state/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What of a stream has not come into the log, and the record that says so there:
 *
 *     [conward] lost 1234 bytes in 56 records on stdout, from TIME to TIME: No space left on device
 *
 * A line of which a part is lost is damaged: its rest is lost as well, for its two ends must not
 * look like one line. But its newline is not, if its beginning is in the log: that comes before the
 * record that tells of the loss, which would look like the line's end otherwise.
 */
enum {
    LOSS_TEXT_MOST = 320,
};

/* Whether the newline of the line that is open in the log (`open`, as the cursors have it) is among
 * what did not come into it. */
static inline bool loss_owes_newline(const LossPage *loss, uint64_t open)
{
    return open && loss->ends;
}

/*
 * Notes that a record of `content` bytes does not come into the log, in which the stream's last
 * record is then a P if `is_open`. Returns how many bytes that loses: one less if a newline is owed
 * from now on, and one more if one is not owed any more, modulo 2^64.
 */
uint64_t loss_take(LossPage *loss, uint64_t *open, uint64_t content, bool full, bool is_open);

/* The newline that is owed is lost as well. */
void loss_take_newline(LossPage *loss, LogCounters *counters, int64_t now);

/* Adds a record that has lost `content` bytes just now for that reason, as LossPage has it; one
 * that has lost none is none. */
void loss_add(LossPage *loss, uint64_t content, bool partial, int32_t reason, int64_t now);

/* Adds another loss, as a rule an earlier one: the record that told of it has been lost, too. */
void loss_merge(LossPage *loss, const LossPage *earlier);

/* Whether it must be said though its line goes on: what does not end would never be spoken of.
 * `now` is CLOCK_REALTIME, in nanoseconds. */
bool loss_is_late(const LossPage *loss, int64_t now);

/*
 * Writes the text of the record into a buffer of LOSS_TEXT_MOST bytes and returns its length.
 * `rate`: the limit in bytes a second, for LOSS_RATE; 0 if it has been lifted meanwhile.
 */
size_t loss_text(const LossPage *loss, StreamId stream, int64_t rate, RecordClock *clock,
                 char *text);
