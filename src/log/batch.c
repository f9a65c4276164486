#include "log/batch.h"

#include "log/record.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t batch_file_size(const BatchFile *file)
{
    struct stat st;

    if (file->regular && fstat(file->fd, &st) == 0)
        return (uint64_t)st.st_size;
    return 0;
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
} BatchRecord;

static BatchRecord batch_record(const uint8_t *batch, uint64_t length, uint64_t at)
{
    BatchRecord record = {
        .end = record_end(batch, length, at),
        .stream =
            batch[at + RECORD_STREAM_AT + 3] == 'e' /* stdErr */ ? STREAM_STDERR : STREAM_STDOUT,
        .partial = batch[at + RECORD_TAG_AT] == 'P',
    };

    /* A full record's newline is the container's, a partial one's is ours. */
    record.content = record.end - at - RECORD_HEADER_LENGTH - record.partial;
    return record;
}

static void count_lost(LogCursors *next, StreamId stream, uint64_t content, bool partial)
{
    LogCounters *counters = &next->counters[stream];

    counters->bytes -= content;
    counters->records--;
    counters->partials -= partial;
    counters->lost_bytes += content;
    counters->lost_records++;
}

/*
 * Gives up what a failed write left of the batch: the record that is in the file in part keeps its
 * rest, to be completed before anything else; the others are counted as lost.
 */
static void batch_lose(BatchFile *file, uint64_t done)
{
    const LogCursors *live = state_cursors(file->state);
    const uint8_t *batch = file->state->output + live->batch_offset;
    uint64_t length = live->batch_length;
    LogCursors *next = state_cursors_next(file->state);
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
        BatchRecord record = batch_record(batch, length, kept);

        if (record.end > done) {
            next->torn_length = done - kept;
            next->torn_content = record.content;
            next->torn_stream = record.stream;
            next->torn_partial = record.partial;
        }
        kept = record.end;
    }
    for (uint64_t at = kept; at < length;) {
        BatchRecord record = batch_record(batch, length, at);

        count_lost(next, record.stream, record.content, record.partial);
        next->total -= record.end - at;
        at = record.end;
    }
    next->batch_offset = live->batch_offset + done;
    next->batch_length = kept - done;
    next->rest_length = kept - done;
    next->log_before = live->log_before + done;
    state_cursors_commit(file->state);
}

/* Cuts a torn record off the file, unless somebody else has changed the file's size meanwhile. */
static void cut_back(BatchFile *file)
{
    const LogCursors *live = state_cursors(file->state);

    if (file->regular && batch_file_size(file) == live->torn_end &&
        ftruncate(file->fd, (off_t)live->cut_to) < 0)
        return; /* a torn record is left: nothing more can be done about it */
    state_cursors_next(file->state)->cutting = 0;
    state_cursors_commit(file->state);
}

/* Gives up on completing a torn record: it is lost like the others, and cut off the file. */
static void rest_lose(BatchFile *file)
{
    LogCursors *next = state_cursors_next(file->state);

    count_lost(next, (StreamId)next->torn_stream, next->torn_content, next->torn_partial != 0);
    next->total -= next->torn_length + next->rest_length;
    next->cut_to = next->torn_end - next->torn_length;
    next->cutting = 1;
    next->batch_length = 0;
    next->rest_length = 0;
    state_cursors_commit(file->state);
    cut_back(file);
}

static int write_from(BatchFile *file, uint64_t done)
{
    const LogCursors *live = state_cursors(file->state);
    const uint8_t *batch = file->state->output + live->batch_offset;
    LogPage *page = &file->state->page->log;
    LogCursors *next;

    /* A disk that hangs blocks us: who looks on can see it, and since when. */
    state_show_blocked(file->state, clock_boottime_us());
    while (done < live->batch_length) {
        ssize_t n = write(file->fd, batch + done, live->batch_length - done);

        if (n < 0) {
            int number = errno;

            if (number == EINTR)
                continue;
            state_show_blocked(file->state, 0);
            page->write_errors++;
            page->last_error = number;
            batch_lose(file, done);
            return -number;
        }
        done += (uint64_t)n;
        FAULT_POINT();
    }
    state_show_blocked(file->state, 0);

    next = state_cursors_next(file->state);
    next->batch_length = 0;
    next->rest_length = 0;
    state_cursors_commit(file->state);
    return 0;
}

int batch_write(BatchFile *file)
{
    return write_from(file, 0);
}

int batch_resume(BatchFile *file)
{
    const LogCursors *live = state_cursors(file->state);

    if (live->cutting)
        cut_back(file);
    if (live->batch_length == 0)
        return 0;
    return write_from(file, file->regular ? batch_progress(file, live) : 0);
}

void batch_finish(BatchFile *file)
{
    if (state_cursors(file->state)->rest_length > 0 && batch_write(file) < 0)
        rest_lose(file);
}
