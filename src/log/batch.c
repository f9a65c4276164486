#include "log/batch.h"

#include "log/loss.h"
#include "log/record.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns 0 or -errno: of a file whose file system has died, the size cannot be known. */
static int look(const BatchFile *file, uint64_t *size)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

uint64_t batch_file_size(const BatchFile *file)
{
    uint64_t size = 0;

    if (file->regular)
        look(file, &size);
    return size;
}

/*
 * How much of the live batch is in the file already: the bytes behind log_before, if they are the
 * batch's. If they are not, somebody else changed the file, and writing all of it again is the
 * side on which nothing is lost.
 */
static uint64_t batch_progress(const BatchFile *file, const LogCursors *cursors)
{
    const uint8_t *batch = file->state->output + cursors->batch_offset;
    uint64_t size = batch_file_size(file);
    uint64_t progress;
    uint8_t bytes[4096];
    char name[32];
    CLEANUP_FD int fd = -1;

    if (size <= cursors->log_before)
        return 0;
    progress = size - cursors->log_before;
    if (progress > cursors->batch_length)
        progress = cursors->batch_length;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", file->fd);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    for (uint64_t done = 0; done < progress;) {
        size_t want = progress - done < sizeof(bytes) ? (size_t)(progress - done) : sizeof(bytes);
        ssize_t n = pread(fd, bytes, want, (off_t)(cursors->log_before + done));

        if (n <= 0 || memcmp(bytes, batch + done, (size_t)n) != 0)
            return 0;
        done += (uint64_t)n;
    }
    return progress;
}

/* A size that no file has. */
#define NEVER_CUT UINT64_MAX

/* The end of the record that byte `at` of the batch belongs to. Content holds no newline. */
static uint64_t record_end(const uint8_t *batch, uint64_t length, uint64_t at)
{
    const uint8_t *newline = memchr(batch + at, '\n', length - at);

    return newline == NULL ? length : (uint64_t)(newline - batch) + 1;
}

/* What a batch says of one of its records. */
typedef struct BatchRecord {
    uint64_t end;
    uint64_t content;
    StreamId stream;
    bool partial;
    bool is_own;          /* it is not the container's */
    const LossPage *said; /* the loss that it tells then */
} BatchRecord;

static BatchRecord batch_record(const BatchFile *file, uint64_t at)
{
    const LogCursors *live = state_cursors(file->state);
    const uint8_t *batch = file->state->output + live->batch_offset;
    bool was_torn = live->begins_own && at == 0;
    BatchRecord record = {
        .end = record_end(batch, live->batch_length, at),
        .stream =
            batch[at + RECORD_STREAM_AT + 3] == 'e' /* stdErr */ ? STREAM_STDERR : STREAM_STDOUT,
        .partial = batch[at + RECORD_TAG_AT] == 'P',
        .is_own = was_torn || (live->own_length > 0 && at == live->own_at),
        .said = was_torn ? &live->torn_said : &live->said,
    };

    /* A full record's newline is the container's, a partial one's is ours. */
    if (!record.is_own)
        record.content = record.end - at - RECORD_HEADER_LENGTH - record.partial;
    return record;
}

/* The record is lost, and in the log the stream's last one is then a P if `open`. */
static void count_lost(LogCursors *next, const BatchRecord *record, bool open, int reason,
                       int64_t now)
{
    LogCounters *counters = &next->counters[record->stream];
    LossPage *loss = &next->loss[record->stream];
    uint64_t lost =
        loss_take(loss, &next->open[record->stream], record->content, !record->partial, open);

    counters->bytes -= record->content;
    counters->records--;
    counters->partials -= record->partial;
    counters->lost_bytes += lost;
    counters->lost_records += lost > 0;
    /* Of later records, the loss may be counted already: only the open line can be damaged. */
    loss_add(loss, lost, counters->line > 0, reason, now);
}

/* The same for a record that is not the container's: it had only ended a line, and what it tells is
 * to be told again. */
static void take_back(LogCursors *next, const BatchRecord *record, bool open)
{
    LossPage *loss = &next->loss[record->stream];
    uint64_t lost = loss_take(loss, &next->open[record->stream], 0, false, open);

    next->counters[record->stream].lost_bytes += lost;
    loss->bytes += lost;
    loss_merge(loss, record->said);
}

/* A record of ours is not in the batch any more. */
static void forget_own(LogCursors *next, uint64_t at)
{
    if (at == 0 && next->begins_own)
        next->begins_own = 0;
    else
        next->own_length = 0;
}

/* Counts the records of the live batch from `at` on as lost. */
static void lose_records(const BatchFile *file, LogCursors *next, uint64_t at, int reason)
{
    int64_t now = clock_realtime_ns();

    while (at < state_cursors(file->state)->batch_length) {
        BatchRecord record = batch_record(file, at);

        if (record.is_own) {
            take_back(next, &record, next->open_before[record.stream] != 0);
            forget_own(next, at);
        } else {
            count_lost(next, &record, next->open_before[record.stream] != 0, reason, now);
        }
        next->total -= record.end - at;
        at = record.end;
    }
    next->time = next->time_before;
}

/*
 * Of the live batch, `done` bytes are in the file. The record that is there in part keeps its rest,
 * to be completed before anything else; the others stay, or are counted as lost.
 */
static void batch_stop(BatchFile *file, uint64_t done, bool keeps, int reason)
{
    const LogCursors *live = state_cursors(file->state);
    LogCursors *next = state_cursors_next(file->state);
    const uint8_t *batch = file->state->output + live->batch_offset;
    uint64_t kept = live->rest_length; /* up to here it is in the file, or waits */

    if (done > 0 && done < kept) {
        /* Still the record that was torn before; but it cannot be cut off any more if somebody else
         * has written between its two pieces. */
        next->torn_length += done;
        next->torn_end = live->log_before == live->torn_end ? live->log_before + done : NEVER_CUT;
    } else if (done > 0) {
        next->torn_end = live->log_before + done;
    }
    while (kept < done) {
        BatchRecord record = batch_record(file, kept);

        if (record.is_own)
            forget_own(next, kept);
        if (record.end > done) {
            next->torn_length = done - kept;
            next->torn_content = record.content;
            next->torn_stream = record.stream;
            next->torn_partial = record.partial;
            next->torn_is_own = record.is_own;
            next->torn_said = *record.said;
            next->torn_open = next->open_before[record.stream];
            next->torn_time = next->time_before;
        }
        next->open_before[record.stream] = record.partial;
        memcpy(next->time_before.text, batch + kept, RECORD_TIME_LENGTH);
        kept = record.end;
    }
    if (!keeps)
        lose_records(file, next, kept, reason);
    next->batch_length = (keeps ? live->batch_length : kept) - done;
    next->batch_offset = live->batch_offset + done;
    next->own_at = live->own_at - done; /* if it is still there */
    next->rest_length = kept - done;
    next->log_before = live->log_before + done;
    state_cursors_commit(file->state);
}

/* Cuts a torn record off the file, unless somebody else has changed the file's size meanwhile. */
static void cut_back(BatchFile *file)
{
    const LogCursors *live = state_cursors(file->state);

    if (file->regular && batch_file_size(file) == live->torn_end &&
        ftruncate(file->fd, (off_t)live->cut_to) < 0) {
        /* A torn record is left: nothing more can be done about it. */
    }
    state_cursors_next(file->state)->cutting = 0;
    state_cursors_commit(file->state);
}

/* A torn record is to be written as a whole: its beginning joins its rest in the live batch. */
static void rest_join(LogCursors *next)
{
    next->batch_offset -= next->torn_length;
    next->batch_length += next->torn_length;
    next->own_at += next->torn_length;
    next->begins_own = next->torn_is_own;
    next->open_before[next->torn_stream] = next->torn_open;
    next->time_before = next->torn_time;
    next->rest_length = 0;
}

void batch_look(const BatchFile *file)
{
    const LogCursors *live = state_cursors(file->state);
    LogCursors *next;
    uint64_t size;

    if (!file->regular || live->rest_length == 0 || live->torn_end == NEVER_CUT)
        return;
    if (look(file, &size) < 0 || size >= live->torn_end)
        return;
    next = state_cursors_next(file->state);
    rest_join(next);
    next->log_before = size;
    state_cursors_commit(file->state);
}

/* Gives up on completing a torn record in this file. */
static void rest_leave(BatchFile *file, bool keeps)
{
    LogCursors *next = state_cursors_next(file->state);
    const BatchRecord torn = {
        .content = next->torn_content,
        .stream = (StreamId)next->torn_stream,
        .partial = next->torn_partial != 0,
        .said = &next->torn_said,
    };

    next->cut_to = next->torn_end - next->torn_length;
    next->cutting = 1;
    if (keeps) {
        rest_join(next);
    } else {
        if (next->torn_is_own)
            take_back(next, &torn, next->torn_open != 0);
        else
            count_lost(next, &torn, next->torn_open != 0, file->state->page->log.last_error,
                       clock_realtime_ns());
        next->total -= next->torn_length + next->rest_length;
        next->time = next->torn_time;
        next->batch_offset += next->rest_length;
        next->batch_length -= next->rest_length;
        next->rest_length = 0;
    }
    next->log_before = next->cut_to;
    state_cursors_commit(file->state);
    cut_back(file);
}

/* All of the live batch is in the file. */
static void batch_end(BatchFile *file)
{
    LogCursors *next = state_cursors_next(file->state);

    next->batch_length = 0;
    next->rest_length = 0;
    next->own_length = 0;
    next->begins_own = 0;
    state_cursors_commit(file->state);
}

/* Writes the live batch up to `length`. Returns 0, or -errno; *done tells how far it came. */
static int write_to(BatchFile *file, uint64_t length, uint64_t *done)
{
    const uint8_t *batch = file->state->output + state_cursors(file->state)->batch_offset;
    LogPage *page = &file->state->page->log;
    int r = 0;

    *done = 0;
    /* A disk that hangs blocks us: who looks on can see it, and since when. */
    state_show_blocked(file->state, clock_boottime_us());
    while (*done < length && r == 0) {
        ssize_t n = write(file->fd, batch + *done, length - *done);

        if (n > 0)
            *done += (uint64_t)n;
        else if (n == 0)
            r = -EIO; /* no progress: some devices and file systems do not say why */
        else if (errno != EINTR)
            r = -errno;
        FAULT_POINT();
    }
    state_show_blocked(file->state, 0);
    file->written += *done;
    if (r < 0) {
        page->write_errors++;
        page->last_error = -r;
    }
    return r;
}

int batch_write(BatchFile *file)
{
    uint64_t done;
    int r = write_to(file, state_cursors(file->state)->batch_length, &done);

    if (r < 0) {
        batch_stop(file, done, file->keeps, -r);
        return r;
    }
    batch_end(file);
    return 1;
}

/* The file may be another one by now, or somebody else may have written to it, or truncated it. */
static void begin_again(BatchFile *file)
{
    batch_look(file);
    state_cursors_next(file->state)->log_before = batch_file_size(file);
    state_cursors_commit(file->state);
}

/* A failure to look at the file counts as one to write it. Returns it. */
static int count_failure(BatchFile *file, int r)
{
    LogPage *page = &file->state->page->log;

    page->write_errors++;
    page->last_error = -r;
    batch_stop(file, 0, file->keeps, -r);
    return r;
}

int batch_write_again(BatchFile *file)
{
    uint64_t size;
    int r = file->unchecked ? look(file, &size) : 0;

    if (r < 0)
        return count_failure(file, r);
    if (file->unchecked)
        batch_resume(file);
    if (state_cursors(file->state)->batch_length == 0)
        return 1;
    begin_again(file);
    return batch_write(file);
}

void batch_resume(BatchFile *file)
{
    uint64_t length = state_cursors(file->state)->batch_length;
    uint64_t done = 0;
    uint64_t size;

    file->unchecked = file->regular && length > 0 && look(file, &size) < 0;
    if (file->unchecked)
        return;
    if (state_cursors(file->state)->cutting)
        cut_back(file);
    if (length > 0 && file->regular)
        done = batch_progress(file, state_cursors(file->state));
    if (done > 0 && done == length)
        batch_end(file);
    else if (done > 0)
        batch_stop(file, done, true, 0);
}

/* The newlines that are owed are lost. */
static void lose_newlines(BatchFile *file)
{
    LogCursors *next = state_cursors_next(file->state);
    int64_t now = clock_realtime_ns();

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (loss_owes_newline(&next->loss[i], next->open[i]))
            loss_take_newline(&next->loss[i], &next->counters[i], now);
    }
    state_cursors_commit(file->state);
}

void batch_finish(BatchFile *file)
{
    file->keeps = false;
    if (state_cursors(file->state)->batch_length > 0 && batch_write_again(file) < 0 &&
        state_cursors(file->state)->rest_length > 0)
        rest_leave(file, false);
    lose_newlines(file);
}

void batch_leave(BatchFile *file)
{
    uint64_t done;

    if (state_cursors(file->state)->rest_length > 0)
        begin_again(file);
    if (state_cursors(file->state)->rest_length == 0)
        return;
    write_to(file, state_cursors(file->state)->rest_length, &done);
    if (done > 0)
        batch_stop(file, done, true, 0);
    if (state_cursors(file->state)->rest_length > 0)
        rest_leave(file, true);
}
