#include "log/k8s-file.h"

#include "log/line-count.h"
#include "log/loss.h"
#include "log/rotation.h"
#include "state/fds.h"
#include "state/input.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_MODE = 0640,

    /* Microseconds between attempts to write, from the first to all later ones. */
    RETRY_FIRST = 100000,
    RETRY_MOST = 10000000,

    /* At a rate limit the container is woken so often a second, or so seldom begins to lose. */
    RATE_WAKEUPS = 20,
    RATE_LOSSES = 1,
};

/* A loss is said at the end of the damaged line, but never later than after so many nanoseconds. */
#define SAY_WITHIN INT64_C(10000000000)

_Static_assert(RECORD_HEADER_LENGTH + 1 <= STATE_RECORD_OVERHEAD, "a batch has too little room");

int k8s_file_open(const char *path)
{
    int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, LOG_MODE);

    return fd < 0 ? -errno : fd;
}

/*
 * Begins a batch in `next`. It goes to the output buffer's first half, unless the rest of a torn
 * record waits there: that must stay intact until the commit, so the new batch, which begins with
 * a copy of it, takes the other half. The record's beginning comes along: it may have to be written
 * again, to another file.
 */
static void batch_begin(K8sFile *file, LogCursors *next)
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
}

typedef enum Built {
    BUILT_ALL,      /* the stream has no further record now */
    BUILT_FULL,     /* the batch is full */
    BUILT_TOO_LONG, /* the next record would make the file longer than its limit */
    BUILT_TOO_FAST, /* the container has to wait for its rate limit */
} Built;

/* What a batch is built from. */
typedef struct Builder {
    K8sFile *file;
    LogCursors *next;
    StreamId stream;
    bool at_end;    /* of the stream */
    bool unlimited; /* the size limit does not count: the file could not be replaced just now */
    struct timespec now;
    char header[RECORD_HEADER_LENGTH];
} Builder;

static int64_t now_ns(const Builder *builder)
{
    return (int64_t)builder->now.tv_sec * 1000000000 + builder->now.tv_nsec;
}

/* Whether the batch has room for a further record; it always has for one of the container's, so
 * that every batch is progress. */
static bool fits(const LogCursors *next, uint64_t record)
{
    uint64_t others = next->batch_length - next->rest_length;

    return others == next->said_length || others + record <= STATE_BATCH_SIZE;
}

/* Whether the file would become longer than its limit. It may hold one record that is too long. */
static bool too_long(const Builder *builder, uint64_t record)
{
    const K8sFile *file = builder->file;
    uint64_t length = builder->next->log_before + builder->next->batch_length;

    return file->to.regular && file->limits.size_max > 0 && !builder->unlimited && length > 0 &&
           length + record > (uint64_t)file->limits.size_max;
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

static void append(Builder *builder, char tag, const uint8_t *content, size_t length)
{
    LogCursors *next = builder->next;
    uint8_t *batch = builder->file->to.state->output + next->batch_offset;
    uint64_t size = record_write(batch + next->batch_length, builder->header, tag, content, length);

    next->batch_length += size;
    next->total += size;
    next->rate_tokens -= (int64_t)size;
}

/*
 * The record that says what has been lost, at the place where that is missing, before anything
 * else, and in one batch with the record of `after` bytes that follows it, if one does. It is
 * always the first in its batch, where batch.c knows it from the container's own.
 */
static Built say_loss(Builder *builder, uint64_t after)
{
    LogCursors *next = builder->next;
    LossPage *loss = &next->loss[builder->stream];
    K8sFile *file = builder->file;
    int64_t most = file->limits.size_max;
    char text[LOSS_TEXT_MOST];
    size_t length = loss_text(loss, builder->stream, file->limits.rate.bytes, &file->clock, text);
    uint64_t record = RECORD_HEADER_LENGTH + length + 1;
    bool has_room = most == 0 || record + after <= (uint64_t)most;

    if (next->batch_length > next->rest_length)
        return BUILT_FULL;
    if (has_room && too_long(builder, record + after))
        return BUILT_TOO_LONG;
    if (has_room && !is_capped(builder, record)) {
        append(builder, 'F', (const uint8_t *)text, length);
        next->said_length = record;
        next->said = *loss;
    }
    *loss = (LossPage){.reason = loss->reason, .damaged = loss->damaged};
    return BUILT_ALL;
}

/*
 * Whether there is a loss to speak of now: when it and the line it has damaged are over, or at the
 * end. Of what does not end it is said now and then.
 */
static bool must_say_loss(const Builder *builder)
{
    const LossPage *loss = &builder->next->loss[builder->stream];
    int64_t age = now_ns(builder) - loss->from;
    bool is_over = !loss->damaged && !builder->next->rate_drops;

    return loss->records > 0 && builder->file->limits.says_losses &&
           (is_over || builder->at_end || age < 0 || age > SAY_WITHIN);
}

/* Microseconds on the clock of the bucket until output that waits may go on. */
static int64_t rate_pause(const K8sFile *file, const LogCursors *next)
{
    const RateBucket bucket = {next->rate_tokens, next->rate_at};
    int64_t wakeups = file->limits.rate_waits ? RATE_WAKEUPS : RATE_LOSSES;

    return rate_wait(file->limits.rate, &bucket, file->limits.rate.bytes / wakeups + 1);
}

static bool has_rate(const K8sFile *file)
{
    return file->limits.rate.bytes > 0;
}

static void rate_begin(const K8sFile *file, LogCursors *next)
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

    counters->lost_bytes += content;
    counters->lost_records++;
    if (reason == LOSS_RATE) {
        counters->limited_bytes += content;
        counters->limited_records++;
    }
    loss_add(loss, content, !full, reason, now_ns(builder));
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

    if (!fits(next, record))
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
    } else if (too_long(builder, record)) {
        return BUILT_TOO_LONG;
    } else {
        append(builder, full ? 'F' : 'P', bytes, split.length);
        counters->bytes += content;
        counters->records++;
        counters->partials += !full;
    }
    line_count(counters, split.length, full, file->limits.line_max, builder->now);
    next->start[builder->stream] += content;
    return BUILT_ALL;
}

/* Builds a batch from the stream and the cursors behind it. */
static Built batch_build(Builder *builder, SplitMode mode)
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
                                    file->limits.line_max, mode);

        if (must_say_loss(builder))
            built = say_loss(builder,
                             split.tag == SPLIT_MORE ? 0 : RECORD_HEADER_LENGTH + split.length + 1);
        else if (split.tag != SPLIT_MORE)
            built = add_record(builder, split, bytes);
        else
            break;
    }
    if (built == BUILT_ALL)
        file->scanned[stream] = end;
    return built;
}

/* Notes when an unfinished line must show: a while after its first byte came. */
static void set_flush(K8sFile *file, StreamId stream, bool progress)
{
    Page *page = file->to.state->page;
    int64_t *at = &page->flush_at[stream];

    if (state_cursors(file->to.state)->start[stream] == page->streams[stream].end)
        state_commit(at, 0);
    else if (file->limits.partial_flush > 0 && (progress || *at == 0))
        state_commit(at, clock_boottime_us() + (int64_t)file->limits.partial_flush * 1000);
}

/* Whether something waits to be written that no further output of the container will bring. */
static bool has_arrears(const K8sFile *file)
{
    const LogCursors *live = state_cursors(file->to.state);
    bool unsaid = false;

    for (int i = 0; i < STREAMS; i++)
        unsaid = unsaid || (live->loss[i].records > 0 && !live->loss[i].damaged);
    return live->batch_length > 0 || (unsaid && file->limits.says_losses);
}

/* When to try again, after a pump with that result: with a pause that grows until it goes well. */
static void set_retry(K8sFile *file, int result)
{
    int64_t *at = &file->to.state->page->log.retry_at;

    if (result > 0)
        file->retry_pause = 0;
    if (!has_arrears(file)) {
        if (*at != 0)
            state_commit(at, 0);
    } else if (result != 0 || *at == 0) {
        file->retry_pause = MIN(MAX(2 * file->retry_pause, RETRY_FIRST), RETRY_MOST);
        state_commit(at, clock_boottime_us() + file->retry_pause);
    }
}

bool k8s_file_waits(const K8sFile *file)
{
    const State *state = file->to.state;

    return (file->to.keeps && state_cursors(state)->batch_length > 0) ||
           state->page->log.rate_until != 0;
}

/* Goes on with what has waited, if it is time. Returns as k8s_file_pump(). */
static int go_on(K8sFile *file)
{
    LogPage *log = &file->to.state->page->log;
    const LogCursors *live = state_cursors(file->to.state);

    if (file->to.keeps && live->batch_length > 0)
        return log->retry_at > clock_boottime_us() ? 0 : batch_write_again(&file->to);
    /* The rest of a torn record begins the next batch; there is more only if it was to be kept. */
    return live->batch_length > live->rest_length ? batch_write_again(&file->to) : 0;
}

/* One batch, from the stream to the file. Returns as k8s_file_pump(). */
static int pump_batch(Builder *builder, SplitMode mode, Built *built)
{
    K8sFile *file = builder->file;
    State *state = file->to.state;
    uint64_t before = state_cursors(state)->start[builder->stream];
    LogCursors *next = state_cursors_next(state);
    int r = 0;

    builder->next = next;
    batch_begin(file, next);
    rate_begin(file, next);
    *built = batch_build(builder, mode);
    if (next->start[builder->stream] != before || next->batch_length > 0) {
        state_touch(state, next->batch_length);
        state_cursors_commit(state);
        r = batch_write(&file->to);
    }
    if (*built == BUILT_TOO_FAST)
        state_commit(&state->page->log.rate_until,
                     clock_boottime_us() + rate_pause(file, state_cursors(state)));
    return r;
}

/* Puts a new file at the path. The rest of a torn record belongs to the old one. */
static int rotate(K8sFile *file)
{
    batch_leave(&file->to);
    return rotation_run(&file->rotation, file->to.fd);
}

int k8s_file_pump(K8sFile *file, StreamId stream, SplitMode mode)
{
    State *state = file->to.state;
    uint64_t before = state_cursors(state)->start[stream];
    Builder builder = {.file = file, .stream = stream, .at_end = mode == SPLIT_END};
    Built built = BUILT_ALL;
    int r = go_on(file);

    if (mode == SPLIT_WAIT && file->limits.partial_flush == 0)
        mode = SPLIT_FLUSH;
    clock_gettime(CLOCK_REALTIME, &builder.now);
    record_header(&file->clock, builder.now, (int)stream, builder.header);
    while (!k8s_file_waits(file)) {
        int one = pump_batch(&builder, mode, &built);

        r = one < 0 ? one : MAX(r, one);
        if (built == BUILT_ALL)
            break;
        /* The promise is the log; its limit comes second, and is tried again later. */
        if (built == BUILT_TOO_LONG)
            builder.unlimited = !rotation_is_due(&file->rotation) || rotate(file) < 0;
    }
    set_retry(file, r);

    /* What waits has no deadline of its own. */
    if (mode == SPLIT_FLUSH || k8s_file_waits(file))
        state_commit(&state->page->flush_at[stream], 0);
    else
        set_flush(file, stream, state_cursors(state)->start[stream] != before);
    return r;
}

void k8s_file_limit(K8sFile *file, K8sLimits limits)
{
    State *state = file->to.state;

    if (limits.rate.bytes > 0 && file->limits.rate.bytes == 0 &&
        state_cursors(state)->rate_at == 0) {
        const RateBucket bucket = rate_full(limits.rate, clock_boottime_us());
        LogCursors *next = state_cursors_next(state);

        next->rate_tokens = bucket.tokens;
        next->rate_at = bucket.at;
        state_cursors_commit(state);
    }
    file->limits = limits;
    file->to.keeps = limits.waits;
    /* Whoever has waited for the old rate asks again. */
    if (state->page->log.rate_until != 0)
        state_commit(&state->page->log.rate_until, 0);
}

void k8s_file_hurry(K8sFile *file)
{
    file->limits.rate.bytes = 0;
    state_commit(&file->to.state->page->log.rate_until, 0);
}

void k8s_file_give_up(K8sFile *file)
{
    file->to.keeps = false;
}

void k8s_file_finish(K8sFile *file)
{
    batch_finish(&file->to);
}

int k8s_file_reopen(K8sFile *file)
{
    if (!file->to.regular)
        return error_set(&file->rotation.error, 0,
                         "Cannot replace the log %s: it is not a regular file", file->path);
    rotation_ask(&file->rotation);
    return rotate(file);
}

int64_t k8s_file_reopen_at(const K8sFile *file)
{
    bool asked = file->to.fd >= 0 && state_cursors(file->to.state)->rotation_asked;

    return asked ? file->rotation.retry_at : 0;
}

void k8s_file_init(K8sFile *file, State *state, int fd, const char *path, K8sLimits limits)
{
    struct stat st = {0};

    *file = (K8sFile)K8S_FILE_NULL;
    file->to = (BatchFile){.state = state, .fd = fd};
    file->path = path;
    k8s_file_limit(file, limits);
    file->to.regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    fds_add(state, FD_LOG, fd);
    rotation_init(&file->rotation, state, path, limits.backups, limits.allowed);
    batch_resume(&file->to);
    if (rotation_is_owed(state))
        rotate(file);
    if (state_cursors(state)->total == 0) {
        /* What an earlier container has left in the file counts for the global limit. */
        state_cursors_next(state)->total = batch_file_size(&file->to);
        state_cursors_commit(state);
    }
}

void k8s_file_deinit(K8sFile *file)
{
    if (file->to.fd >= 0)
        fds_remove(file->to.state, file->to.fd);
    fd_close(&file->to.fd);
}
