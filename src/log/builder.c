#include "log/builder.h"

#include "log/line-count.h"
#include "log/loss.h"
#include "log/seam.h"
#include "log/turn.h"
#include "state/input.h"
#include "util/clock.h"

#include <string.h>
#include <sys/param.h>

enum {
    /* At a rate limit the container is woken so often a second, or so seldom begins to lose. */
    RATE_WAKEUPS = 20,
    RATE_LOSSES = 1,

    /* A file ends early by such a part of its limit at most, for a line that may be too long. */
    USUAL_PART = 8,
};

_Static_assert(RECORD_HEADER_LENGTH + 1 <= STATE_RECORD_OVERHEAD, "a batch has too little room");
_Static_assert(RECORD_TIME_LENGTH <= sizeof(TimePage), "the page has too little room for a time");

/*
 * Begins a batch in `next`. It goes to the output buffer's first half, unless the rest of a torn
 * record waits there: that must stay intact until the commit, so the new batch, which begins with
 * a copy of it, takes the other half. The record's beginning comes along: it may have to be written
 * again, to another file.
 */
static void begin(const K8sFile *file, LogCursors *next)
{
    uint8_t *output = file->to.state->output;
    uint64_t before = next->rest_length > 0 ? next->torn_length : 0;
    const uint8_t *torn = output + next->batch_offset - before;
    bool in_first = next->batch_offset - before < STATE_BATCH_AREA;
    uint64_t area = next->rest_length > 0 && in_first ? STATE_BATCH_AREA : 0;

    memcpy(output + area, torn, before + next->rest_length);
    next->batch_offset = area + before;
    next->batch_length = next->rest_length;
    next->log_before = batch_file_size(&file->to);
    memcpy(next->open_before, next->open, sizeof(next->open));
    next->time_before = next->time;
}

/* Whether the batch has taken nothing of the stream yet. Then it always takes a record of the
 * container's, so that every batch is progress, whatever becomes of it. */
static bool is_fresh(const Builder *builder)
{
    const LogCursors *live = state_cursors(builder->file->to.state);

    return builder->next->start[builder->stream] == live->start[builder->stream];
}

/* Whether the batch has room for a further record. */
static bool fits(const Builder *builder, uint64_t record)
{
    const LogCursors *next = builder->next;
    uint64_t others = next->batch_length - next->rest_length;

    return others + record <= STATE_BATCH_SIZE || is_fresh(builder);
}

/* Whether the file would become longer than that with so much more. It may hold one record of the
 * container's that is too long, and what has to come before that one. */
static bool is_beyond(const Builder *builder, uint64_t more, uint64_t most)
{
    const LogCursors *next = builder->next;

    return builder->file->to.regular && !builder->unlimited &&
           next->log_before + next->batch_length + more > most &&
           !(next->log_before + next->rest_length == 0 && is_fresh(builder));
}

/* Whether the file would become longer than its limit. */
static bool too_long(const Builder *builder, uint64_t record)
{
    return seam_has_limit(builder->file, builder->next) &&
           is_beyond(builder, record, seam_size_max(builder->file, builder->next));
}

/* Whether all that is ever logged may grow by so much. Once it may not, nothing is logged any more:
 * a later, shorter record would hide the gap. */
static bool is_capped(const Builder *builder, uint64_t record)
{
    LogCursors *next = builder->next;
    int64_t most = builder->file->limits.global_size_max;

    if (most > 0 && next->total + record > (uint64_t)most)
        next->capped = 1;
    return next->capped != 0;
}

/* Good for all stamps of the same microsecond. */
static void write_header(Builder *builder)
{
    const struct timespec time = {builder->stamp / 1000000000, builder->stamp % 1000000000};

    builder->nanoseconds = (unsigned)(builder->stamp % 1000);
    record_header(&builder->file->clock, time, (int)builder->stream, builder->header);
}

/* Returns the record. */
static uint8_t *put(Builder *builder, const char *header, char tag, const uint8_t *content,
                    size_t length)
{
    LogCursors *next = builder->next;
    uint8_t *record = builder->file->to.state->output + next->batch_offset + next->batch_length;
    uint64_t size = record_write(record, header, tag, content, length);

    next->batch_length += size;
    next->total += size;
    next->rate_tokens -= (int64_t)size;
    next->open[builder->stream] = tag == 'P';
    next->loss[builder->stream].ends = 0; /* that was before */
    return record;
}

static void append(Builder *builder, char tag, const uint8_t *content, size_t length)
{
    LogCursors *next = builder->next;

    record_set_nanoseconds(put(builder, builder->header, tag, content, length),
                           builder->nanoseconds);
    memcpy(next->time.text, builder->header, RECORD_TIME_LENGTH);
    record_set_nanoseconds(next->time.text, builder->nanoseconds);
    next->stamp = builder->stamp++;
    if (++builder->nanoseconds == 1000)
        write_header(builder);
}

/* The newline that the line which is open in the log owes: what follows is not of that line. */
static Built add_newline(Builder *builder)
{
    LogCursors *next = builder->next;
    LogCounters *counters = &next->counters[builder->stream];
    uint64_t record = RECORD_HEADER_LENGTH + 1;

    if (!fits(builder, record))
        return BUILT_FULL;
    if (is_capped(builder, record)) {
        counters->capped_bytes++;
    } else if (too_long(builder, record)) {
        return BUILT_TOO_LONG;
    } else {
        append(builder, 'F', (const uint8_t *)"", 0);
        counters->bytes++;
        counters->records++;
    }
    next->loss[builder->stream].ends = 0;
    return BUILT_ALL;
}

/*
 * The record that says what has been lost, at the place where that is missing, before anything
 * else, and in one file with the record of `after` bytes that follows it, if one does. There is at
 * most one record in a batch that is not the container's: batch.c knows it by its place.
 */
static Built say_loss(Builder *builder, uint64_t after)
{
    LogCursors *next = builder->next;
    const LossPage *loss = &next->loss[builder->stream];
    K8sFile *file = builder->file;
    int64_t most = file->limits.size_max;
    char text[LOSS_TEXT_MOST];
    size_t length = loss_text(loss, builder->stream, file->limits.rate.bytes, &file->clock, text);
    uint64_t record = RECORD_HEADER_LENGTH + length + 1;
    bool has_room = most == 0 || record + after <= (uint64_t)most;

    if (next->own_length > 0 || !fits(builder, record))
        return BUILT_FULL;
    if (has_room && too_long(builder, record + after))
        return BUILT_TOO_LONG;
    if (has_room && !is_capped(builder, record)) {
        next->own_at = next->batch_length;
        next->own_length = record;
        next->said = *loss;
        append(builder, 'F', (const uint8_t *)text, length);
    }
    return BUILT_ALL;
}

static bool owes_newline(const Builder *builder)
{
    const LogCursors *next = builder->next;

    return loss_owes_newline(&next->loss[builder->stream], next->open[builder->stream]);
}

/* Whether there is anything to write of a loss. */
static bool has_loss(const Builder *builder)
{
    const LossPage *loss = &builder->next->loss[builder->stream];

    return owes_newline(builder) || (loss->records > 0 && builder->file->limits.says_losses);
}

/* Whether it is to be written now: when the loss and the line it has damaged are over, or at the
 * end. Of a loss that goes on it is written every few seconds. */
static bool must_settle_loss(const Builder *builder)
{
    const LossPage *loss = &builder->next->loss[builder->stream];

    if (loss->records == 0 && !loss->ends) /* as a rule */
        return false;
    return has_loss(builder) && ((!loss->damaged && !builder->next->rate_drops) ||
                                 builder->mode == SPLIT_END || loss_is_late(loss, builder->now));
}

/* Writes what there is to write of a loss, before the record of `after` bytes, if one follows. */
static Built settle_loss(Builder *builder, uint64_t after)
{
    LossPage *loss = &builder->next->loss[builder->stream];
    Built built = BUILT_ALL;

    if (owes_newline(builder))
        built = add_newline(builder);
    if (built != BUILT_ALL || !has_loss(builder))
        return built;
    built = say_loss(builder, after);
    if (built == BUILT_ALL)
        *loss = (LossPage){.reason = loss->reason, .damaged = loss->damaged};
    return built;
}

/* Whether the stream has ended in the middle of a line that the log is to end. */
static bool must_close_line(const Builder *builder)
{
    const LogCursors *next = builder->next;

    return builder->mode == SPLIT_END && builder->file->limits.closes_last_line &&
           next->open[builder->stream] && !next->capped;
}

/*
 * Ends the stream's last line, which has no newline, for readers that wait for one. Such a record
 * has the time stamp of the one before it in the log, and no other has: that is how it is told from
 * a newline of the container's.
 */
static Built close_line(Builder *builder)
{
    LogCursors *next = builder->next;
    uint64_t record = RECORD_HEADER_LENGTH + 1;
    char header[RECORD_HEADER_LENGTH];

    if (next->own_length > 0 || !fits(builder, record))
        return BUILT_FULL;
    if (is_capped(builder, record))
        return BUILT_ALL;
    if (too_long(builder, record))
        return BUILT_TOO_LONG;
    next->own_at = next->batch_length;
    next->own_length = record;
    next->said = (LossPage){.records = 0};
    memcpy(header, builder->header, sizeof(header));
    memcpy(header, next->time.text, RECORD_TIME_LENGTH);
    put(builder, header, 'F', (const uint8_t *)"", 0);
    return BUILT_ALL;
}

/* Microseconds on the clock of the bucket until output that waits may go on. */
static int64_t rate_pause(const K8sFile *file, const LogCursors *next)
{
    const RateBucket bucket = {next->rate_tokens, next->rate_at};
    int64_t wakeups = file->limits.rate_waits ? RATE_WAKEUPS : RATE_LOSSES;

    return rate_wait(file->limits.rate, &bucket, file->limits.rate.bytes / wakeups + 1);
}

/* Whether there is a limit that counts: one that makes the container wait ends with it. */
static bool has_rate(const K8sFile *file)
{
    return file->limits.rate.bytes > 0 && !(file->hurries && file->limits.rate_waits);
}

static void refill(const K8sFile *file, LogCursors *next)
{
    RateBucket bucket = {next->rate_tokens, next->rate_at};

    if (!has_rate(file)) {
        next->rate_drops = 0;
        return;
    }
    rate_refill(file->limits.rate, &bucket, clock_boottime_us());
    next->rate_tokens = bucket.tokens;
    next->rate_at = bucket.at;
    if (rate_pause(file, next) == 0)
        next->rate_drops = 0;
}

static bool is_too_fast(const Builder *builder)
{
    return has_rate(builder->file) && builder->next->rate_tokens <= 0;
}

/* The record is not logged: because of the rate limit, or because it ends a damaged line. */
static void drop(Builder *builder, uint64_t content, bool full)
{
    LogCursors *next = builder->next;
    LogCounters *counters = &next->counters[builder->stream];
    LossPage *loss = &next->loss[builder->stream];
    int32_t reason = loss->damaged ? loss->reason : LOSS_RATE;
    uint64_t *open = &next->open[builder->stream];
    uint64_t lost = loss_take(loss, open, content, full, *open != 0);

    counters->lost_bytes += lost;
    counters->lost_records += lost > 0;
    if (reason == LOSS_RATE) {
        counters->limited_bytes += lost;
        counters->limited_records += lost > 0;
    }
    loss_add(loss, lost, !full, reason, builder->now);
}

/* So much the stream's buffer holds behind what is in the batch. */
static uint64_t buffered(const Builder *builder)
{
    StreamId stream = builder->stream;

    return builder->file->to.state->page->streams[stream].end - builder->next->start[stream];
}

/* Whether a partial record is the beginning of a line that is cut because of its length. */
static bool begins_long_line(const Builder *builder)
{
    return builder->next->counters[builder->stream].line == 0 &&
           buffered(builder) > builder->file->limits.line_max;
}

/*
 * Whether a line begins that the file could not take as a whole, not even beyond its limit, and the
 * next file can: then that is where it begins. Of a line whose end is not there yet, it is taken
 * for as long as what is there, and as the longest line before it.
 */
static bool outgrows(const Builder *builder, const uint8_t *bytes)
{
    const K8sFile *file = builder->file;
    const LogCursors *next = builder->next;
    uint64_t limit = (uint64_t)file->limits.size_max;
    uint64_t most = limit + seam_overrun(file);
    uint64_t usual = MIN(next->counters[builder->stream].longest, limit / USUAL_PART);
    uint64_t size = buffered(builder);
    const uint8_t *end;
    uint64_t records;

    if (file->limits.size_max <= 0 || !seam_is_here(file, next))
        return false;
    end = memchr(bytes, '\n', size);
    size = end == NULL ? MAX(size, usual) : (uint64_t)(end - bytes);
    records = size + (size / file->limits.line_max + 1) * (RECORD_HEADER_LENGTH + 1);
    return records <= most && is_beyond(builder, records, most);
}

/* Adds one record to the batch, if it can be there. */
static Built add_record(Builder *builder, Split split, const uint8_t *bytes)
{
    K8sFile *file = builder->file;
    LogCursors *next = builder->next;
    LogCounters *counters = &next->counters[builder->stream];
    bool full = split.tag == SPLIT_FULL;
    uint64_t record = RECORD_HEADER_LENGTH + split.length + 1;
    uint64_t content = split.length + full;
    bool begins = split.tag == SPLIT_PARTIAL && begins_long_line(builder);

    if (!fits(builder, record))
        return BUILT_FULL;
    if (!next->capped && is_too_fast(builder)) {
        if (file->limits.rate_waits)
            return BUILT_TOO_FAST;
        next->rate_drops = 1;
    }
    if (!next->capped && (next->loss[builder->stream].damaged || next->rate_drops)) {
        drop(builder, content, full);
    } else if (is_capped(builder, record)) {
        counters->capped_bytes += content;
    } else if (too_long(builder, record) || (begins && outgrows(builder, bytes))) {
        return BUILT_TOO_LONG;
    } else {
        append(builder, full ? 'F' : 'P', bytes, split.length);
        counters->bytes += content;
        counters->records++;
        counters->partials += !full;
        if (begins)
            turn_take(next, builder->stream);
    }
    if (full)
        turn_give(next, builder->stream);
    line_count(counters, split.length, full, file->limits.line_max, builder->now);
    next->start[builder->stream] += content;
    return BUILT_ALL;
}

/* Adds all records of the stream that the batch can have. */
static Built add_records(Builder *builder)
{
    K8sFile *file = builder->file;
    LogCursors *next = builder->next;
    const State *state = file->to.state;
    StreamId stream = builder->stream;
    uint64_t end = state->page->streams[stream].end;
    Built built = BUILT_ALL;

    while (built == BUILT_ALL) {
        uint64_t start = next->start[stream];
        uint64_t scanned = file->scanned[stream];
        const uint8_t *bytes = input_at(state, stream, start);
        Split split = splitter_next(bytes, end - start, scanned > start ? scanned - start : 0,
                                    file->limits.line_max, builder->mode);

        if (turn_is_due(file, next))
            built = BUILT_TURN;
        else if (must_settle_loss(builder))
            built = settle_loss(
                builder, split.tag == SPLIT_MORE ? 0 : RECORD_HEADER_LENGTH + split.length + 1);
        else if (split.tag != SPLIT_MORE)
            built = add_record(builder, split, bytes);
        else if (must_close_line(builder))
            built = close_line(builder);
        else
            break;
    }
    if (built == BUILT_ALL)
        file->scanned[stream] = end;
    return built;
}

void builder_init(Builder *builder, K8sFile *file, StreamId stream, SplitMode mode)
{
    *builder = (Builder){
        .file = file,
        .stream = stream,
        .mode = mode,
        .now = clock_realtime_ns(),
    };
    builder->stamp = record_stamp(state_cursors(file->to.state)->stamp, builder->now);
    write_header(builder);
}

Built builder_build(Builder *builder)
{
    builder->next = state_cursors_next(builder->file->to.state);
    begin(builder->file, builder->next);
    refill(builder->file, builder->next);
    return add_records(builder);
}

bool builder_has_news(const Builder *builder)
{
    const LogCursors *live = state_cursors(builder->file->to.state);
    const LogCursors *next = builder->next;

    return next->start[builder->stream] != live->start[builder->stream] || next->batch_length > 0;
}

int64_t builder_pause(const Builder *builder)
{
    return rate_pause(builder->file, state_cursors(builder->file->to.state));
}
