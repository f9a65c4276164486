#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * The k8s-file record: `TIME STREAM TAG CONTENT\n`, for example
 * `2026-08-21T09:05:07.000123456+02:00 stdout F some text\n` (Kubernetes CRI log format as conmon
 * writes it: local time, always nine digits and a numeric offset).
 */
enum {
    RECORD_TIME_LENGTH = 35,
    RECORD_STREAM_AT = RECORD_TIME_LENGTH + 1,
    RECORD_TAG_AT = RECORD_STREAM_AT + 7,
    RECORD_LAST_DIGIT_AT = 28,
    RECORD_HEADER_LENGTH = RECORD_TAG_AT + 2,
};

/* The part of a time stamp that changes at most once a second, kept between calls. */
typedef struct RecordClock {
    time_t second;
    char text[RECORD_TIME_LENGTH + 1];
} RecordClock;

#define RECORD_CLOCK_NULL    \
    {                        \
        .second = (time_t)-1 \
    }

/*
 * The time stamp of a record that is made `now`, behind one with the stamp `last` (0 = there is
 * none), both in nanoseconds of CLOCK_REALTIME: later than that, for readers take two equal records
 * with one stamp for the same (Loki drops the second). A clock that was set back by more than a
 * second is followed; by less, stamps go on by a nanosecond each until the clock has come up with
 * them.
 */
int64_t record_stamp(int64_t last, int64_t now);

/* Writes the 45 bytes of a header with tag P for the given time and stream (0 stdout, 1 stderr). */
void record_header(RecordClock *clock, struct timespec now, int stream, char *header);

/* Sets the last three digits of a record's time, the nanoseconds below a microsecond. In the
 * record, and not in the header before it is copied: a processor waits where it copies what has
 * just been written byte by byte. */
static inline void record_set_nanoseconds(uint8_t *record, unsigned nanoseconds)
{
    uint8_t *last = record + RECORD_LAST_DIGIT_AT;

    last[-2] = (uint8_t)('0' + nanoseconds / 100);
    last[-1] = (uint8_t)('0' + nanoseconds / 10 % 10);
    last[0] = (uint8_t)('0' + nanoseconds % 10);
}

/*
 * Appends a record to `to`, which must have room for RECORD_HEADER_LENGTH + length + 1 bytes.
 * tag: 'P' or 'F'. Returns the number of bytes.
 */
size_t record_write(uint8_t *to, const char *header, char tag, const uint8_t *content,
                    size_t length);
