#include "log/k8s-file.h"

#include "log/builder.h"
#include "log/loss.h"
#include "log/rotation.h"
#include "log/seam.h"
#include "log/turn.h"
#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Microseconds between attempts to write, from the first to all later ones. */
    RETRY_FIRST = 100000,
    RETRY_MOST = 10000000,
};

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
    bool has_loss = false;

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        const LossPage *loss = &live->loss[i];
        bool tells = loss->records > 0 && file->limits.says_losses;

        has_loss =
            has_loss || (!loss->damaged && (tells || loss_owes_newline(loss, live->open[i])));
    }
    return live->batch_length > 0 || has_loss;
}

/* When to try again, after a pump with that result: with a pause that grows until something has
 * been written. */
static void set_retry(K8sFile *file, int result, bool moved)
{
    int64_t *at = &file->to.state->page->log.retry_at;

    if (moved)
        file->retry_pause = 0;
    if (!has_arrears(file)) {
        if (*at != 0)
            state_commit(at, 0);
    } else if (result != 0 || *at == 0) {
        file->retry_pause = MIN(MAX(2 * file->retry_pause, RETRY_FIRST), RETRY_MOST);
        state_commit(at, clock_boottime_us() + file->retry_pause);
    }
}

/* Whether the streams wait for a file that cannot be written. */
static bool waits_for_room(const K8sFile *file)
{
    return file->to.keeps && state_cursors(file->to.state)->batch_length > 0;
}

bool k8s_file_waits(const K8sFile *file)
{
    return waits_for_room(file) || file->to.state->page->log.rate_until != 0;
}

bool k8s_file_is_limited(const K8sFile *file)
{
    const State *state = file->to.state;

    return state->page->log.rate_until != 0 || state_cursors(state)->rate_drops;
}

/* Goes on with what has waited, if it is time. Returns as k8s_file_pump(). */
static int go_on(K8sFile *file)
{
    LogPage *log = &file->to.state->page->log;
    const LogCursors *live;

    batch_look(&file->to);
    live = state_cursors(file->to.state);
    if (file->to.keeps && live->batch_length > 0)
        return log->retry_at > clock_boottime_us() ? 0 : batch_write_again(&file->to);
    /* The rest of a torn record begins the next batch; there is more only if it was to be kept. */
    return live->batch_length > live->rest_length ? batch_write_again(&file->to) : 0;
}

/* One batch, from the stream to the file. Returns as k8s_file_pump(). */
static int pump_batch(Builder *builder, Built *built)
{
    K8sFile *file = builder->file;
    State *state = file->to.state;
    int r = 0;

    *built = builder_build(builder);
    if (builder_has_news(builder)) {
        state_touch(state, builder->next->batch_length);
        state_cursors_commit(state);
        /* Of what belongs to a damaged line, nothing is to be written. */
        r = state_cursors(state)->batch_length > 0 ? batch_write(&file->to) : 0;
    }
    if (*built == BUILT_TOO_FAST)
        state_commit(&state->page->log.rate_until, clock_boottime_us() + builder_pause(builder));
    return r;
}

/* Puts a new file at the path. The rest of a torn record belongs to the old one. */
static int rotate(K8sFile *file)
{
    int64_t *retry_at = &file->to.state->page->log.retry_at;
    int r;

    batch_leave(&file->to);
    r = rotation_run(&file->rotation, file->to.fd);
    if (r < 0)
        return r;
    /* Nothing is in the new one, and it has not failed yet. */
    file->to.unchecked = false;
    file->retry_pause = 0;
    if (*retry_at != 0)
        state_commit(retry_at, 0);
    return 0;
}

/* Of two results, as k8s_file_pump() has them, the later one, unless that says nothing. */
static int later(int r, int next)
{
    return next != 0 ? next : r;
}

/* The same as k8s_file_pump() for one stream. */
static int pump_stream(K8sFile *file, StreamId stream, SplitMode mode)
{
    State *state = file->to.state;
    uint64_t before = state_cursors(state)->start[stream];
    uint64_t written = file->to.written;
    Built built = BUILT_ALL;
    Builder builder;
    int r = go_on(file);

    if (mode == SPLIT_WAIT && file->limits.partial_flush == 0)
        mode = SPLIT_FLUSH;
    builder_init(&builder, file, stream, mode);
    while (!k8s_file_waits(file)) {
        int one = pump_batch(&builder, &built);

        r = later(r, one);
        /* The promise is the log; its limit comes second, and is tried again later. */
        if (built == BUILT_TOO_LONG || seam_is_wanted(file)) {
            builder.unlimited = !rotation_is_due(&file->rotation) || rotate(file) < 0;
            /* A torn record that the old file could not complete comes first, as a whole. If the
             * new one cannot take it either, a further one would not. */
            one = go_on(file);
            builder.unlimited = builder.unlimited || one < 0;
            r = later(r, one);
        }
        if (built == BUILT_ALL || built == BUILT_TURN)
            break;
    }
    set_retry(file, r, file->to.written != written);

    /* What waits for room has no deadline of its own. */
    if (waits_for_room(file))
        turn_forget(file);
    if (mode == SPLIT_FLUSH || k8s_file_waits(file))
        state_commit(&state->page->flush_at[stream], 0);
    else
        set_flush(file, stream, state_cursors(state)->start[stream] != before);
    return r;
}

/* The same, or it waits for its turn. */
static int pump_in_turn(K8sFile *file, StreamId stream, SplitMode mode)
{
    int64_t *flush_at = &file->to.state->page->flush_at[stream];

    if (!turn_must_wait(file, stream))
        return pump_stream(file, stream, mode);
    if (*flush_at != 0)
        state_commit(flush_at, 0);
    if (!waits_for_room(file))
        turn_wait(file, stream);
    return 0;
}

/* The same as the last pump of that stream. */
static int pump_again(K8sFile *file, StreamId stream)
{
    return pump_in_turn(file, stream, file->ended[stream] ? SPLIT_END : SPLIT_WAIT);
}

int k8s_file_pump(K8sFile *file, StreamId stream, SplitMode mode)
{
    StreamId other = stream == STREAM_STDOUT ? STREAM_STDERR : STREAM_STDOUT;
    bool waited = waits_for_room(file);
    int r = pump_in_turn(file, stream, mode);

    file->ended[stream] = mode == SPLIT_END;
    if (mode == SPLIT_END && seam_is_wanted(file))
        r = later(r, pump_in_turn(file, stream, mode)); /* the end of its open line is a seam */
    /* The other stream may have been told to wait for its turn, but not until when. */
    if (waited && !waits_for_room(file))
        r = later(r, pump_again(file, other));
    /* At the end of a long line the stream that has waited for it is next, and then this one. */
    while (turn_is_due(file, state_cursors(file->to.state))) {
        turn_forget(file);
        r = later(r, pump_again(file, other));
        r = later(r, pump_in_turn(file, stream, mode));
    }
    return r;
}

bool k8s_file_holds(const K8sFile *file, StreamId stream)
{
    return turn_is_full(file, stream);
}

void k8s_file_end_turn(K8sFile *file)
{
    turn_end(file);
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
    int64_t *until = &file->to.state->page->log.rate_until;

    file->hurries = true;
    if (*until != 0)
        state_commit(until, 0);
}

void k8s_file_give_up(K8sFile *file)
{
    file->to.keeps = false;
    k8s_file_hurry(file);
}

void k8s_file_finish(K8sFile *file)
{
    batch_finish(&file->to);
}

static int reopen(K8sFile *file, uint64_t request)
{
    if (!file->to.regular)
        return error_set(&file->rotation.error, 0,
                         "Cannot replace the log %s: it is not a regular file", file->path);
    seam_ask(file, request);
    return seam_is_reached(file) ? rotate(file) : 0;
}

int k8s_file_reopen(K8sFile *file)
{
    return reopen(file, state_cursors(file->to.state)->rotation_request);
}

int k8s_file_reopen_once(K8sFile *file, uint64_t request)
{
    bool is_taken = state_cursors(file->to.state)->rotation_request == request;

    return is_taken ? 0 : reopen(file, request);
}

int64_t k8s_file_reopen_at(const K8sFile *file)
{
    const LogCursors *live = file->to.fd >= 0 ? state_cursors(file->to.state) : NULL;

    if (live == NULL || !live->rotation_asked)
        return 0;
    return MAX(file->rotation.retry_at, live->rotation_at);
}

bool k8s_file_awaits_seam(const K8sFile *file)
{
    return k8s_file_reopen_at(file) != 0 && file->rotation.retry_at == 0;
}

/* What it is, as noted when it was opened: after a crash, it may not be possible to look again. */
static bool is_regular(const State *state, int fd)
{
    LogPage *page = &state->page->log;
    struct stat st;

    if (page->kind == LOG_UNSEEN && fstat(fd, &st) == 0)
        page->kind = S_ISREG(st.st_mode) ? LOG_REGULAR : LOG_OTHER;
    return page->kind == LOG_REGULAR;
}

void k8s_file_init(K8sFile *file, State *state, int fd, const char *path, K8sLimits limits)
{
    *file = (K8sFile)K8S_FILE_NULL;
    file->to = (BatchFile){.state = state, .fd = fd};
    file->path = path;
    k8s_file_limit(file, limits);
    file->to.regular = is_regular(state, fd);
    fds_add(state, FD_LOG, fd);
    rotation_init(&file->rotation, state, path, limits.backups, limits.allowed);
    batch_resume(&file->to);
    if (rotation_has_begun(state) || seam_is_wanted(file))
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
