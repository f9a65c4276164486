#pragma once

#include "log-fixture.h"

#include "log/loss.h"
#include "util/clock.h"

#include <sys/param.h>

/* What a log's records are, and whether what is counted of them, of losses and of lines is that. */

/* Takes those of --log-close-last-line out: they have the time stamp of the record before. */
static inline GString *without_closings(const GString *log)
{
    GString *rest = g_string_new(NULL);
    const char *stamp = "";
    size_t at = 0;
    LogRecord record;

    for (size_t from = 0; next_record(log, &at, &record); from = at) {
        const char *begin = log->str + from;

        if (record.length > 0 || strncmp(begin, stamp, RECORD_TIME_LENGTH) != 0)
            g_string_append_len(rest, begin, (gssize)(at - from));
        stamp = begin;
    }
    ck_assert_uint_eq(at, log->len);
    return rest;
}

/* What the records of a stream are. */
typedef struct Seen {
    uint64_t bytes;
    uint64_t records;
    uint64_t partials;
    uint64_t told_bytes;
    uint64_t told_records;
    bool is_open;
    GString *open; /* of the open line */
} Seen;

static inline void see_record(Seen *seen, const LogRecord *record)
{
    static const char in[] = " bytes in ";
    uint64_t told = told_by(record);

    if (told == 0) {
        seen->records++;
        seen->partials += record->partial;
        seen->bytes += record->length + !record->partial;
    } else {
        seen->told_bytes += told;
        seen->told_records += g_ascii_strtoull(strstr(record->content, in) + strlen(in), NULL, 10);
    }
    seen->is_open = record->partial;
    g_string_append_len(seen->open, record->content, (gssize)record->length);
    if (!record->partial)
        g_string_truncate(seen->open, 0);
}

static inline Seen see(const GString *log, StreamId stream)
{
    Seen seen = {.open = g_string_new(NULL)};
    size_t at = 0;
    LogRecord record;

    while (next_record(log, &at, &record)) {
        if (record.stream == stream)
            see_record(&seen, &record);
    }
    return seen;
}

/* All that is known of a stream in a log. */
typedef struct Counted {
    const LogCounters *counters;
    const LossPage *loss;
    uint64_t open;
    uint64_t start;
    uint64_t line_max;
    const GString *wrote; /* by the container, at least up to `start` */
} Counted;

static inline uint64_t owed(const Counted *counted)
{
    return loss_owes_newline(counted->loss, counted->open);
}

/* Of the text that records hold or that is lost: its lines. */
static inline void check_lines(const Counted *counted)
{
    const LogCounters *counters = counted->counters;
    uint64_t longest = 0;
    uint64_t long_lines = 0;
    uint64_t line = 0;

    for (uint64_t i = 0; i < counted->start; i++) {
        line = counted->wrote->str[i] == '\n' ? 0 : line + 1;
        longest = MAX(longest, line);
        long_lines += line == counted->line_max + 1;
    }
    ck_assert_uint_eq(counters->line, line);
    ck_assert_int_eq(counters->line_since != 0, line > 0);
    ck_assert_uint_eq(counters->longest, longest);
    ck_assert_uint_eq(counters->long_lines, long_lines);
}

static inline void check_loss(const LossPage *loss)
{
    int64_t now = clock_realtime_ns();

    if (loss->records == 0) {
        ck_assert_uint_eq(loss->bytes, 0);
        return;
    }
    ck_assert_int_gt(loss->from, now - INT64_C(300000000000));
    ck_assert_int_le(loss->from, loss->to);
    ck_assert_int_le(loss->to, now);
}

/* Whether a part of the open line is lost, so that the rest must be as well. */
static inline bool is_damaged(const Counted *counted, const Seen *seen)
{
    uint64_t length = counted->counters->line;
    const char *line = counted->wrote->str + counted->start - length;
    bool is_there = seen->open->len == length && memcmp(seen->open->str, line, length) == 0;

    /* If a newline is owed, the line that is open in the log is another one. */
    return length > 0 && (owed(counted) > 0 || !is_there);
}

/* What is written is in the log, and what is not is lost or left out. */
static inline void check_written(const Counted *counted, const Seen *seen)
{
    const LogCounters *counters = counted->counters;

    ck_assert_uint_eq(counters->bytes, seen->bytes);
    ck_assert_uint_eq(counters->records, seen->records);
    ck_assert_uint_eq(counters->partials, seen->partials);
    ck_assert_uint_eq(counters->bytes + counters->lost_bytes + counters->capped_bytes +
                          owed(counted),
                      counted->start);
    check_lines(counted);
    check_loss(counted->loss);
}

/* What is lost is told, or to be told. */
static inline void check_lost(const Counted *counted, const Seen *seen)
{
    const LogCounters *counters = counted->counters;
    const LossPage *loss = counted->loss;

    ck_assert_uint_eq(counters->lost_bytes, seen->told_bytes + loss->bytes);
    ck_assert_uint_eq(counters->lost_records, seen->told_records + loss->records);
    ck_assert_int_eq(loss->damaged != 0, is_damaged(counted, seen));
}
