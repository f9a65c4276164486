#include "log/k8s-file.h"

#include "state/fds.h"
#include "state/input.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MODE = 0640 };

_Static_assert(RECORD_HEADER_LENGTH + 1 <= STATE_RECORD_OVERHEAD, "a batch has too little room");

int k8s_file_open(const char *path)
{
    int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, LOG_MODE);

    return fd < 0 ? -errno : fd;
}

static uint64_t size_now(const K8sFile *file)
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
static uint64_t batch_progress(const K8sFile *file, const LogCursors *cursors)
{
    const uint8_t *batch = file->state->output + cursors->batch_offset;
    uint64_t size = size_now(file);
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
static void batch_lose(K8sFile *file, uint64_t done)
{
    const LogCursors *live = state_cursors(file->state);
    const uint8_t *batch = file->state->output + live->batch_offset;
    uint64_t length = live->batch_length;
    LogCursors *next = state_cursors_next(file->state);
    uint64_t kept = live->rest_length; /* up to here it is in the file, or waits */

    if (done < kept)
        next->torn_length += done; /* still the record that was torn before */
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
static void cut_back(K8sFile *file)
{
    const LogCursors *live = state_cursors(file->state);

    if (file->regular && size_now(file) == live->log_before &&
        ftruncate(file->fd, (off_t)live->cut_to) < 0)
        return; /* a torn record is left: nothing more can be done about it */
    state_cursors_next(file->state)->cutting = 0;
    state_cursors_commit(file->state);
}

/* Gives up on completing a torn record: it is lost like the others, and cut off the file. */
static void rest_lose(K8sFile *file)
{
    LogCursors *next = state_cursors_next(file->state);

    count_lost(next, (StreamId)next->torn_stream, next->torn_content, next->torn_partial != 0);
    next->total -= next->torn_length + next->rest_length;
    next->cut_to = next->log_before - next->torn_length;
    next->cutting = 1;
    next->batch_length = 0;
    next->rest_length = 0;
    state_cursors_commit(file->state);
    cut_back(file);
}

/* Writes the live batch from byte `done` on. Returns 0 or -errno with the loss counted. */
static int batch_write(K8sFile *file, uint64_t done)
{
    const LogCursors *live = state_cursors(file->state);
    const uint8_t *batch = file->state->output + live->batch_offset;
    LogCursors *next;

    while (done < live->batch_length) {
        ssize_t n = write(file->fd, batch + done, live->batch_length - done);

        if (n < 0) {
            int number = errno;

            if (number == EINTR)
                continue;
            batch_lose(file, done);
            return -number;
        }
        done += (uint64_t)n;
    }

    next = state_cursors_next(file->state);
    next->batch_length = 0;
    next->rest_length = 0;
    state_cursors_commit(file->state);
    return 0;
}

/*
 * Begins a batch in `next`. It goes to the output buffer's first half, unless the rest of a torn
 * record waits there: that must stay intact until the commit, so the new batch, which begins with
 * a copy of it, takes the other half.
 */
static uint8_t *batch_begin(K8sFile *file, LogCursors *next)
{
    uint8_t *output = file->state->output;
    const uint8_t *rest = output + next->batch_offset;
    bool in_first = next->batch_offset < STATE_BATCH_AREA;

    next->batch_offset = next->rest_length > 0 && in_first ? STATE_BATCH_AREA : 0;
    next->log_before = size_now(file);
    memcpy(output + next->batch_offset, rest, next->rest_length);
    return output + next->batch_offset;
}

typedef enum Built {
    BUILT_ALL,      /* the stream has no further record now */
    BUILT_FULL,     /* the batch is full */
    BUILT_TOO_LONG, /* the next record would make the file longer than its limit */
} Built;

/*
 * Builds a batch from the stream and the cursors behind it. With `unlimited`, the file's size limit
 * does not count (it could not be replaced just now).
 */
static Built batch_build(K8sFile *file, LogCursors *next, StreamId stream, SplitMode mode,
                         bool unlimited)
{
    State *state = file->state;
    LogCounters *counters = &next->counters[stream];
    uint64_t end = state->page->streams[stream].end;
    uint64_t scanned = file->scanned[stream];
    char header[RECORD_HEADER_LENGTH];
    struct timespec now;
    uint8_t *batch = batch_begin(file, next);

    clock_gettime(CLOCK_REALTIME, &now);
    record_header(&file->clock, now, (int)stream, header);

    for (;;) {
        uint64_t start = next->start[stream];
        const uint8_t *bytes = input_at(state, stream, start);
        Split split = splitter_next(bytes, end - start, scanned > start ? scanned - start : 0,
                                    file->limits.line_max, mode);
        bool full = split.tag == SPLIT_FULL;
        uint64_t record = RECORD_HEADER_LENGTH + split.length + 1;
        uint64_t content = split.length + full;

        if (split.tag == SPLIT_MORE) {
            file->scanned[stream] = end;
            return BUILT_ALL;
        }
        if (next->batch_length > next->rest_length &&
            next->batch_length - next->rest_length + record > STATE_BATCH_SIZE)
            return BUILT_FULL; /* never without a record in it, so every batch is progress */
        if (file->limits.global_size_max > 0 &&
            next->total + record > (uint64_t)file->limits.global_size_max)
            next->capped = 1; /* and stays: a later, shorter record would hide the gap */
        if (next->capped) {
            counters->capped_bytes += content;
        } else {
            uint64_t length = next->log_before + next->batch_length;

            if (file->regular && file->limits.size_max > 0 && !unlimited && length > 0 &&
                length + record > (uint64_t)file->limits.size_max)
                return BUILT_TOO_LONG;
            record_write(batch + next->batch_length, header, full ? 'F' : 'P', bytes, split.length);
            next->batch_length += record;
            next->total += record;
            counters->bytes += content;
            counters->records++;
            counters->partials += !full;
        }
        next->start[stream] = start + content;
    }
}

/* Notes when an unfinished line must show: a while after its first byte came. */
static void set_flush(K8sFile *file, StreamId stream, bool progress)
{
    Page *page = file->state->page;
    int64_t *at = &page->flush_at[stream];

    if (state_cursors(file->state)->start[stream] == page->streams[stream].end)
        *at = 0;
    else if (file->limits.partial_flush > 0 && (progress || *at == 0))
        *at = clock_boottime_us() + (int64_t)file->limits.partial_flush * 1000;
}

int k8s_file_pump(K8sFile *file, StreamId stream, SplitMode mode)
{
    bool progress = false;
    bool unlimited = false;
    Built built;
    int r = 0;

    if (mode == SPLIT_WAIT && file->limits.partial_flush == 0)
        mode = SPLIT_FLUSH;
    do {
        LogCursors *next = state_cursors_next(file->state);
        uint64_t before = next->start[stream];
        uint64_t waiting = next->batch_length;

        built = batch_build(file, next, stream, mode, unlimited);
        if (next->start[stream] != before || waiting > 0) {
            int failed;

            progress = progress || next->start[stream] != before;
            state_touch(file->state, next->batch_length);
            state_cursors_commit(file->state);
            failed = batch_write(file, 0);
            r = failed < 0 ? failed : r == 0 ? 1 : r;
        }
        /* The promise is the log; its limit comes second, and is tried again next time. */
        if (built == BUILT_TOO_LONG)
            unlimited = k8s_file_reopen(file, &file->reopen_error) < 0;
    } while (built != BUILT_ALL);

    if (mode == SPLIT_FLUSH)
        file->state->page->flush_at[stream] = 0;
    else
        set_flush(file, stream, progress);
    return r;
}

/* Makes a new, empty file at the path and goes on there, under the same descriptor number. */
static int replace(K8sFile *file, Error *error)
{
    char temporary[PATH_MAX];
    CLEANUP_FD int fd = -1;

    if (!file->regular)
        return error_set(error, 0, "Cannot replace the log %s: it is not a regular file",
                         file->path);
    if (snprintf(temporary, sizeof(temporary), "%s.tmp", file->path) >= (int)sizeof(temporary))
        return error_set(error, ENAMETOOLONG, "Cannot reopen the log file %s", file->path);
    /* The name is known beforehand: whatever lies there is removed, not followed or written to. */
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, LOG_MODE);
    if (fd < 0)
        return error_set(error, errno, "Cannot reopen the log: failed to create %s", temporary);
    if (rename(temporary, file->path) < 0) {
        int number = errno;

        unlink(temporary);
        return error_set(error, number, "Cannot reopen the log: failed to rename %s to %s",
                         temporary, file->path);
    }
    /* The same number stays the log's: there is no moment without one. */
    if (dup3(fd, file->fd, O_CLOEXEC) < 0)
        return error_set(error, errno, "Cannot reopen the log file %s", file->path);
    fds_refresh(file->state, file->fd);
    return 0;
}

void k8s_file_finish(K8sFile *file)
{
    if (state_cursors(file->state)->rest_length > 0 && batch_write(file, 0) < 0)
        rest_lose(file);
}

int k8s_file_reopen(K8sFile *file, Error *error)
{
    LogPage *page = &file->state->page->log;
    int r;

    k8s_file_finish(file); /* the rest of a torn record belongs to the old file */
    *error = (Error)ERROR_NULL;
    state_commit_u64(&page->reopening, 1);
    r = replace(file, error);
    state_commit_u64(&page->reopening, 0);
    return r;
}

void k8s_file_init(K8sFile *file, State *state, int fd, const char *path, K8sLimits limits)
{
    const LogCursors *live = state_cursors(state);
    struct stat st = {0};
    Error error;

    *file = (K8sFile)K8S_FILE_NULL;
    file->state = state;
    file->path = path;
    file->fd = fd;
    file->limits = limits;
    file->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    fds_add(state, FD_LOG, fd);
    if (live->cutting)
        cut_back(file);
    if (live->batch_length > 0)
        batch_write(file, file->regular ? batch_progress(file, live) : 0);
    if (state->page->log.reopening)
        k8s_file_reopen(file, &error);
    if (live->total == 0) {
        /* What an earlier container has left in the file counts for the global limit. */
        state_cursors_next(state)->total = size_now(file);
        state_cursors_commit(state);
    }
}

void k8s_file_deinit(K8sFile *file)
{
    if (file->fd >= 0)
        fds_remove(file->state, file->fd);
    fd_close(&file->fd);
}
