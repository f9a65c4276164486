#include "log/k8s-file.h"

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
};

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
 * a copy of it, takes the other half.
 */
static uint8_t *batch_begin(K8sFile *file, LogCursors *next)
{
    uint8_t *output = file->to.state->output;
    const uint8_t *rest = output + next->batch_offset;
    bool in_first = next->batch_offset < STATE_BATCH_AREA;

    next->batch_offset = next->rest_length > 0 && in_first ? STATE_BATCH_AREA : 0;
    next->log_before = batch_file_size(&file->to);
    memcpy(output + next->batch_offset, rest, next->rest_length);
    return output + next->batch_offset;
}

/* What a record says of the line that it belongs to. */
static void count_line(LogCounters *counters, uint64_t length, bool full, uint32_t limit,
                       struct timespec now)
{
    uint64_t before = counters->line;

    counters->line += length;
    counters->longest = MAX(counters->longest, counters->line);
    counters->long_lines += before <= limit && counters->line > limit;
    if (full) {
        counters->line = 0;
        counters->line_since = 0;
    } else if (before == 0) {
        counters->line_since = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    }
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
    State *state = file->to.state;
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

            if (file->to.regular && file->limits.size_max > 0 && !unlimited && length > 0 &&
                length + record > (uint64_t)file->limits.size_max)
                return BUILT_TOO_LONG;
            record_write(batch + next->batch_length, header, full ? 'F' : 'P', bytes, split.length);
            next->batch_length += record;
            next->total += record;
            counters->bytes += content;
            counters->records++;
            counters->partials += !full;
        }
        count_line(counters, split.length, full, file->limits.line_max, now);
        next->start[stream] = start + content;
    }
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

/*
 * The rest of a torn record belongs to the old file. One that cannot be completed now is worth a
 * later rotation, unless it is the file itself that can have no more bytes.
 */
static int finish_record(K8sFile *file)
{
    int r = state_cursors(file->to.state)->rest_length > 0 ? batch_write(&file->to) : 0;

    if (r < 0 && r != -EFBIG)
        return error_set(&file->rotation.error, -r,
                         "Cannot replace the log %s: its last record cannot be completed",
                         file->path);
    batch_finish(&file->to);
    return 0;
}

/* Puts a new file at the path. */
static int rotate(K8sFile *file)
{
    int r = finish_record(file);

    if (r == 0)
        return rotation_run(&file->rotation, file->to.fd);
    rotation_failed(&file->rotation);
    return r;
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
        LogCursors *next = state_cursors_next(file->to.state);
        uint64_t before = next->start[stream];
        uint64_t waiting = next->batch_length;

        built = batch_build(file, next, stream, mode, unlimited);
        if (next->start[stream] != before || waiting > 0) {
            int failed;

            progress = progress || next->start[stream] != before;
            state_touch(file->to.state, next->batch_length);
            state_cursors_commit(file->to.state);
            failed = batch_write(&file->to);
            r = failed < 0 ? failed : r == 0 ? 1 : r;
        }
        /* The promise is the log; its limit comes second, and is tried again later. */
        if (built == BUILT_TOO_LONG)
            unlimited = !rotation_is_due(&file->rotation) || rotate(file) < 0;
    } while (built != BUILT_ALL);

    if (mode == SPLIT_FLUSH)
        state_commit(&file->to.state->page->flush_at[stream], 0);
    else
        set_flush(file, stream, progress);
    return r;
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

int64_t k8s_file_retry_at(const K8sFile *file)
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
    file->limits = limits;
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
