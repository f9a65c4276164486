#include "monitor/monitor.h"

#include "log/none.h"
#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    TRIM_AFTER = 1000000, /* microseconds without a burst */
    CAPTURE_SIZE = 32768, /* what is kept of the runtime's own words */
};

/* How far the slowest reader of the raw output lags behind, in bytes. */
static uint64_t outlets_backlog(const Monitor *monitor, StreamId id)
{
    uint64_t clients = attach_backlog(&monitor->attach, id);
    uint64_t console = monitor->has_console ? outlet_backlog(&monitor->console.outlet, id) : 0;

    return MAX(clients, console);
}

static uint64_t keep_from(const Monitor *monitor, StreamId id)
{
    uint64_t outlets = monitor_page(monitor)->streams[id].end - outlets_backlog(monitor, id);

    return MIN(outlets, state_cursors(&monitor->state)->start[id]);
}

void monitor_trim(Monitor *monitor)
{
    state_trim(&monitor->state, (uint64_t[STREAMS]){keep_from(monitor, STREAM_STDOUT),
                                                    keep_from(monitor, STREAM_STDERR)});
}

/* Says once that the log is longer than its limit, and why. */
static void speak_of_size(Monitor *monitor)
{
    bool failing = monitor->log.reopen_error.text[0] != '\0';

    if (failing && !monitor->said_oversize)
        message(&monitor->config->messages, LEVEL_ERROR,
                "%s. The log goes on in the old file, beyond --log-size-max",
                monitor->log.reopen_error.text);
    monitor->said_oversize = failing;
}

/* Says once that a log fails and once what that cost, not at every record. */
static void speak_of_writes(Monitor *monitor, int result)
{
    const LogCounters *counters = state_cursors(&monitor->state)->counters;
    uint64_t lost = counters[STREAM_STDOUT].lost_bytes + counters[STREAM_STDERR].lost_bytes;
    uint64_t records = counters[STREAM_STDOUT].lost_records + counters[STREAM_STDERR].lost_records;

    if (result < 0 && monitor->said_failure == 0) {
        monitor->said_failure = -result;
        message(&monitor->config->messages, LEVEL_ERROR,
                "Failed to write the log %s: %s. The container goes on; until the log can be "
                "written, its output is lost and counted",
                monitor->log.path, strerror(-result));
    } else if (result > 0 && monitor->said_failure != 0) {
        monitor->said_failure = 0;
        message(&monitor->config->messages, LEVEL_WARNING,
                "The log %s can be written again; lost so far: %" PRIu64 " bytes in %" PRIu64
                " records",
                monitor->log.path, lost, records);
    }
}

/*
 * A stream whose slowest reader lags too far behind is not read, so that its writer waits. Always
 * for both: a client that is found dead while one stream is pumped may have held the other.
 */
static void hold_or_go_on(Monitor *monitor)
{
    if (monitor_page(monitor)->phase != PHASE_RUNNING)
        return;
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        stream_watch(&monitor->streams[i], outlets_backlog(monitor, i) < STATE_HOLD_SIZE);
}

void monitor_outlets_pump(Monitor *monitor)
{
    if (monitor->has_console)
        outlet_pump(&monitor->console.outlet);
    attach_pump(&monitor->attach);
}

void monitor_pump(Monitor *monitor, StreamId id, SplitMode mode)
{
    if (monitor_has_log(monitor)) {
        speak_of_writes(monitor, k8s_file_pump(&monitor->log, id, mode));
        speak_of_size(monitor);
    } else {
        log_none_pump(&monitor->state, id);
    }
    monitor_outlets_pump(monitor);
    hold_or_go_on(monitor);
    if (state_is_swollen(&monitor->state))
        monitor->trim_at = clock_boottime_us() + TRIM_AFTER;
}

/* Without a container, the pipes carry the runtime's words: only the last of them are kept. */
static void capture(Monitor *monitor, StreamId id)
{
    State *state = &monitor->state;
    uint64_t end = state->page->streams[id].end;

    attach_skip(&monitor->attach);
    if (end - state_cursors(state)->start[id] > 2 * CAPTURE_SIZE) {
        state_cursors_next(state)->start[id] = end - CAPTURE_SIZE;
        state_cursors_commit(state);
    }
}

static ssize_t take(Monitor *monitor, StreamId id)
{
    Page *page = monitor_page(monitor);
    ssize_t n;

    /* Who has connected before the first output is read gets all of it. */
    if (!page->first_output)
        attach_accept_waiting(&monitor->attach);
    n = stream_read(&monitor->streams[id], keep_from(monitor, id));
    if (page->phase == PHASE_STARTING || page->failed) {
        capture(monitor, id);
        return n;
    }
    if (n > 0 && !page->first_output)
        state_commit_u32(&page->first_output, 1);
    if (n > 0 || !stream_is_open(&monitor->streams[id]))
        monitor_pump(monitor, id, n > 0 ? SPLIT_WAIT : SPLIT_END);
    return n;
}

static void on_readable(Stream *stream, void *owner)
{
    take(owner, stream->id);
}

void monitor_take_pipes(Monitor *monitor, Pipes *pipes)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        stream_init(&monitor->streams[i], &monitor->state, i, fd_steal(&pipes->ours[i]),
                    on_readable, monitor);
        stream_watch(&monitor->streams[i], true);
    }
}

void monitor_streams_adopt(Monitor *monitor)
{
    static const FdRole roles[STREAMS] = {FD_STDOUT, FD_STDERR};

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        int fd = fds_find(&monitor->state, roles[i]);

        if (fd < 0)
            continue;
        stream_init(&monitor->streams[i], &monitor->state, i, fd, on_readable, monitor);
        stream_watch(&monitor->streams[i], true);
    }
}

void monitor_drop_readers(Monitor *monitor)
{
    attach_close_clients(&monitor->attach, true);
    if (monitor->has_console)
        outlet_skip(&monitor->console.outlet);
}

/* A reader never holds back the exit report: if there is no room left, it has been too slow. */
static void drop_laggards(Monitor *monitor)
{
    message(&monitor->config->messages, LEVEL_WARNING,
            "Readers that lag behind leave no room for the last output: they are dropped");
    monitor_drop_readers(monitor);
}

void monitor_take_rest(Monitor *monitor, StreamId id)
{
    Stream *stream = &monitor->streams[id];
    int rest = 0;

    if (!stream_is_open(stream) || ioctl(stream->fd, FIONREAD, &rest) < 0)
        return;
    while (rest > 0 && stream_is_open(stream)) {
        ssize_t n = take(monitor, id);

        if (n == -ENOBUFS)
            drop_laggards(monitor);
        else if (n < 0 && n != -EINTR)
            break;
        rest -= n > 0 ? (int)n : 0;
    }
}

void monitor_outlets_moved(Monitor *monitor)
{
    hold_or_go_on(monitor);
    if (monitor_page(monitor)->phase > PHASE_RUNNING)
        monitor_end(monitor);
}
