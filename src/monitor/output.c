#include "monitor/monitor.h"

#include "process/runtime.h"
#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    TRIM_AFTER = 1000000,             /* microseconds without a burst */
    CAPTURE_SIZE = 32768,             /* what is kept of the runtime's own words */
    DOUBT_SIZE = STATE_LINE_MAX_MOST, /* what is kept of words that may be anybody's */
    TERMINAL_HOLDS_MOST = 131072,
};

/* How much must stay in memory for the slowest reader of the raw output, in bytes. */
static uint64_t outlets_held(const Monitor *monitor, StreamId id)
{
    uint64_t clients = attach_held(&monitor->attach, id);
    uint64_t console = monitor->has_console ? outlet_backlog(&monitor->console.outlet, id) : 0;

    return MAX(clients, console);
}

static uint64_t keep_from(const Monitor *monitor, StreamId id)
{
    uint64_t outlets = monitor_page(monitor)->streams[id].end - outlets_held(monitor, id);

    return MIN(outlets, monitor_log_start(monitor, id));
}

void monitor_trim(Monitor *monitor)
{
    state_trim(&monitor->state, (uint64_t[STREAMS]){keep_from(monitor, STREAM_STDOUT),
                                                    keep_from(monitor, STREAM_STDERR)});
}

/* Says once that the spool fails, for then clients can do what they otherwise cannot. */
static void speak_of_spool(Monitor *monitor)
{
    int failure = monitor->attach.spool.failure;

    if (failure == 0 || monitor->said_spool)
        return;
    monitor->said_spool = true;
    message(&monitor->config->messages, LEVEL_WARNING,
            "Attach clients read too slowly, and their output cannot be kept in %s: %s. A client "
            "that stops reading makes the container wait, or is dropped",
            monitor->config->bundle, strerror(failure));
}

/* How long the container is made to wait, for who looks on: since when, and how long before. */
static void note_wait(int64_t *since, uint64_t *time, bool waits)
{
    if (waits == (*since != 0))
        return;
    if (waits) {
        *since = clock_boottime_us();
    } else {
        *time += (uint64_t)(clock_boottime_us() - *since);
        *since = 0;
    }
}

/*
 * A stream whose slowest reader lags too far behind is not read, so that its writer waits: if there
 * is no room for the rest in the spool. Always for both: a client that is found dead while one
 * stream is pumped may have held the other. Both wait for a log that cannot take any more, and one
 * for the other's long line.
 */
static void hold_or_go_on(Monitor *monitor)
{
    Page *page = monitor_page(monitor);
    bool file_waits = monitor_has_file(monitor) && k8s_file_waits(&monitor->log);
    bool journal_holds = monitor_has_journal(monitor) && journald_holds(&monitor->journal);

    attach_balance(&monitor->attach);
    speak_of_spool(monitor);
    note_wait(&page->log.waits_since, &page->log.waited, file_waits);
    note_wait(&page->journal.waits_since, &page->journal.waited, journal_holds);
    if (page->phase > PHASE_DRAINING)
        return;
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        bool held = outlets_held(monitor, i) >= STATE_HOLD_SIZE;
        bool in_turn = monitor_has_file(monitor) && k8s_file_holds(&monitor->log, i);

        note_wait(&page->held_since[i], &page->held_time[i], held);
        stream_watch(&monitor->streams[i], !held && !in_turn && !file_waits && !journal_holds);
    }
}

void monitor_outlets_pump(Monitor *monitor)
{
    if (monitor->has_console)
        outlet_pump(&monitor->console.outlet);
    attach_pump(&monitor->attach);
}

void monitor_pump(Monitor *monitor, StreamId id, SplitMode mode)
{
    monitor_log_pump(monitor, id, mode);
    monitor_warn(monitor, id);
    monitor_outlets_pump(monitor);
    hold_or_go_on(monitor);
    if (state_is_swollen(&monitor->state))
        monitor->trim_at = clock_boottime_us() + TRIM_AFTER;
}

/* How much of a stream is kept while it is not known whose words it carries. */
static uint64_t captured_size(const Monitor *monitor, StreamId id)
{
    return monitor_page(monitor)->streams[id].end - monitor_log_start(monitor, id);
}

/*
 * A container that runs before its runtime has ended: so many words are its own as soon as there is
 * a pid. Without one they may still be those of a runtime that fails, but not without end.
 */
static bool is_containers_already(const Monitor *monitor, StreamId id)
{
    uint64_t size = captured_size(monitor, id);

    if (!config_runs_at_once(monitor->config))
        return false;
    if (monitor_page(monitor)->first_output || size > DOUBT_SIZE)
        return true;
    return size > CAPTURE_SIZE && runtime_read_pidfile(monitor->config->container_pidfile) > 0;
}

/* Whether what a stream carries may be the runtime's words: until it has ended well. */
static bool is_runtimes(const Monitor *monitor, StreamId id)
{
    const Page *page = monitor_page(monitor);

    return page->failed || (page->phase == PHASE_STARTING && !is_containers_already(monitor, id));
}

void monitor_log_go_on(Monitor *monitor)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (!is_runtimes(monitor, i))
            monitor_pump(monitor, i, stream_is_open(&monitor->streams[i]) ? SPLIT_WAIT : SPLIT_END);
    }
}

/* Only the last of the runtime's words are kept, and nobody else gets them. */
static void capture(Monitor *monitor, StreamId id)
{
    const Page *page = monitor_page(monitor);

    if (config_runs_at_once(monitor->config) && !page->failed)
        return;
    attach_skip(&monitor->attach);
    if (captured_size(monitor, id) > 2 * CAPTURE_SIZE)
        monitor_log_skip(monitor, id, page->streams[id].end - CAPTURE_SIZE);
}

static ssize_t take(Monitor *monitor, StreamId id)
{
    Page *page = monitor_page(monitor);
    ssize_t n;

    /* Who has connected before the first output is read gets all of it. */
    if (!page->first_output)
        attach_accept_waiting(&monitor->attach);
    n = stream_read(&monitor->streams[id], keep_from(monitor, id));
    if (!stream_is_open(&monitor->streams[id]))
        monitor_oom_look(monitor); /* a process closes its files before it leaves its cgroup */
    /* A terminal is also the way in; its number will soon be something else's. */
    if (monitor->config->terminal && id == STREAM_STDOUT && !stream_is_open(&monitor->streams[id]))
        feed_stop(&monitor->feed);
    if (is_runtimes(monitor, id)) {
        capture(monitor, id);
        return n;
    }
    if (n > 0 && !page->first_output)
        state_commit(&page->first_output, 1);
    if (n > 0 || !stream_is_open(&monitor->streams[id]))
        monitor_pump(monitor, id, n > 0 ? SPLIT_WAIT : SPLIT_END);
    return n;
}

static void on_readable(Stream *stream, void *owner)
{
    Monitor *monitor = owner;

    take(monitor, stream->id);
    if (monitor_page(monitor)->phase == PHASE_DRAINING)
        monitor_end(monitor);
}

void monitor_take_stream(Monitor *monitor, StreamId id, int fd)
{
    stream_init(&monitor->streams[id], &monitor->state, id, fd, on_readable, monitor);
    stream_watch(&monitor->streams[id], true);
}

void monitor_take_pipes(Monitor *monitor, Pipes *pipes)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (pipes->ours[i] >= 0)
            monitor_take_stream(monitor, i, fd_steal(&pipes->ours[i]));
    }
    if (pipes->our_input >= 0)
        feed_open(&monitor->feed, fd_steal(&pipes->our_input), false);
}

void monitor_streams_adopt(Monitor *monitor)
{
    static const FdRole roles[STREAMS] = {FD_STDOUT, FD_STDERR};

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        int fd = fds_find(&monitor->state, roles[i]);

        if (fd >= 0)
            monitor_take_stream(monitor, i, fd);
    }
}

void monitor_drop_readers(Monitor *monitor)
{
    attach_close_clients(&monitor->attach, true);
    if (monitor->has_console)
        outlet_skip(&monitor->console.outlet);
}

/* Neither a reader nor the log holds back the exit report: if there is no room left, they have been
 * too slow. */
static void drop_laggards(Monitor *monitor)
{
    message(&monitor->config->messages, LEVEL_WARNING,
            "Slow attach clients, or a log that cannot be written, leave no room for the last "
            "output; they are dropped");
    monitor_drop_readers(monitor);
    monitor_log_give_up(monitor);
}

/*
 * How much there is to take now, or at least that much. What FIONREAD says of a terminal leaves out
 * what is on its way from the other side; only a read fetches that.
 */
static int rest_of(const Monitor *monitor, const Stream *stream)
{
    int rest = 0;

    if (monitor->config->terminal && stream->id == STREAM_STDOUT)
        return TERMINAL_HOLDS_MOST;
    return ioctl(stream->fd, FIONREAD, &rest) < 0 ? 0 : rest;
}

void monitor_take_rest(Monitor *monitor, StreamId id)
{
    Stream *stream = &monitor->streams[id];
    int rest = stream_is_open(stream) ? rest_of(monitor, stream) : 0;

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
