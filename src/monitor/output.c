#include "monitor/monitor.h"

#include "log/none.h"
#include "util/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    TRIM_AFTER = 1000000, /* microseconds without a burst */
    CAPTURE_SIZE = 32768, /* what is kept of the runtime's own words */
};

uint64_t monitor_outlets_from(const Monitor *monitor, StreamId stream)
{
    uint64_t from = monitor_page(monitor)->streams[stream].end;

    if (monitor->has_console)
        from -= outlet_backlog(&monitor->console.outlet, stream);
    if (monitor->attach.state != NULL) {
        uint64_t attach = attach_needs_from(&monitor->attach, stream);

        from = attach < from ? attach : from;
    }
    return from;
}

static uint64_t keep_from(const Monitor *monitor, StreamId stream)
{
    uint64_t log = state_cursors(&monitor->state)->start[stream];
    uint64_t outlets = monitor_outlets_from(monitor, stream);

    return log < outlets ? log : outlets;
}

void monitor_trim(Monitor *monitor)
{
    state_trim(&monitor->state, (uint64_t[STREAMS]){keep_from(monitor, STREAM_STDOUT),
                                                    keep_from(monitor, STREAM_STDERR)});
}

/* Says once that a log fails and once what that cost, not at every record. */
static void speak_of_log(Monitor *monitor, int result)
{
    const LogCounters *counters = state_cursors(&monitor->state)->counters;
    uint64_t lost = counters[STREAM_STDOUT].lost_bytes + counters[STREAM_STDERR].lost_bytes;
    uint64_t records = counters[STREAM_STDOUT].lost_records + counters[STREAM_STDERR].lost_records;

    if (result < 0 && monitor->log.said == 0) {
        monitor->log.said = -result;
        message(&monitor->config->messages, LEVEL_ERROR,
                "Failed to write the log %s: %s. The container goes on; until the log can be "
                "written, its output is lost and counted",
                monitor->log.path, strerror(-result));
    } else if (result == 0 && monitor->log.said != 0) {
        monitor->log.said = 0;
        message(&monitor->config->messages, LEVEL_WARNING,
                "The log %s can be written again; lost so far: %" PRIu64 " bytes in %" PRIu64
                " records",
                monitor->log.path, lost, records);
    }
}

/* A stream whose slowest outlet lags too far behind is not read, so that its writer waits. */
static void hold_or_go_on(Monitor *monitor, StreamId stream)
{
    Stream *s = &monitor->streams[stream];
    uint64_t lag =
        monitor_page(monitor)->streams[stream].end - monitor_outlets_from(monitor, stream);

    stream_watch(s, lag < STATE_HOLD_SIZE);
}

void monitor_pump(Monitor *monitor, StreamId stream, SplitMode mode)
{
    if (monitor_has_log(monitor))
        speak_of_log(monitor, k8s_file_pump(&monitor->log, stream, mode));
    else
        log_none_pump(&monitor->state, stream);
    if (monitor->has_console)
        outlet_pump(&monitor->console.outlet);
    if (monitor->attach.state != NULL)
        attach_pump(&monitor->attach);
    if (state_is_swollen(&monitor->state))
        monitor->trim_at = clock_boottime_us() + TRIM_AFTER;
}

/* Until the runtime has ended, the pipes carry its own words: only the last of them are kept. */
static void capture(Monitor *monitor, StreamId stream)
{
    State *state = &monitor->state;
    uint64_t end = state->page->streams[stream].end;

    if (monitor->attach.state != NULL)
        attach_skip(&monitor->attach);
    if (end - state_cursors(state)->start[stream] > 2 * CAPTURE_SIZE) {
        state_cursors_next(state)->start[stream] = end - CAPTURE_SIZE;
        state_cursors_commit(state);
    }
}

static ssize_t take(Monitor *monitor, StreamId stream)
{
    Page *page = monitor_page(monitor);
    ssize_t n;

    /* Who has connected before the first output is read gets all of it. */
    if (!page->first_output && monitor->attach.state != NULL)
        attach_accept_waiting(&monitor->attach);
    n = stream_read(&monitor->streams[stream], keep_from(monitor, stream));
    if (page->phase == PHASE_STARTING) {
        capture(monitor, stream);
        return n;
    }
    if (n > 0 && !page->first_output)
        state_commit_u32(&page->first_output, 1);
    if (n > 0 || !stream_is_open(&monitor->streams[stream]))
        monitor_pump(monitor, stream, n > 0 ? SPLIT_WAIT : SPLIT_END);
    return n;
}

static void on_readable(Stream *stream, void *owner)
{
    Monitor *monitor = owner;

    take(monitor, stream->id);
    if (monitor_page(monitor)->phase != PHASE_STARTING)
        hold_or_go_on(monitor, stream->id);
}

void monitor_streams_init(Monitor *monitor, const int fds[STREAMS])
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        stream_init(&monitor->streams[i], &monitor->state, i, fds[i], on_readable, monitor);
        stream_watch(&monitor->streams[i], true);
    }
}

bool monitor_take_rest(Monitor *monitor, StreamId stream)
{
    Stream *s = &monitor->streams[stream];
    int rest = 0;

    if (!stream_is_open(s) || ioctl(s->fd, FIONREAD, &rest) < 0)
        return true;
    while (rest > 0 && stream_is_open(s)) {
        ssize_t n = take(monitor, stream);

        if (n == -ENOBUFS)
            return false;
        if (n < 0 && n != -EINTR)
            break;
        rest -= n > 0 ? (int)n : 0;
    }
    return true;
}

void monitor_outlets_moved(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    if (page->phase == PHASE_RUNNING) {
        for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
            hold_or_go_on(monitor, i);
    } else if (page->phase > PHASE_RUNNING) {
        monitor_end(monitor);
    }
}
