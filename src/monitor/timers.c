#include "monitor/monitor.h"

#include "monitor/events.h"
#include "util/clock.h"

#include <signal.h>
#include <unistd.h>

enum { KILL_TIMEOUT = 10 * 1000000 }; /* microseconds after --timeout's SIGKILL */

/*
 * All deadlines in one source. Its prepare function tells the main loop how long to sleep, which
 * costs nothing; a GLib timeout would write to the loop's own wake-up descriptor at every change.
 * The sleep itself does not count a suspend: a deadline that passes in one is seen after the rest
 * of the sleep.
 */
typedef struct Timers {
    GSource source;
    Monitor *monitor;
} Timers;

/* For whom somebody waits, and for how many seconds, if they take nothing. */
typedef struct Patience {
    AttachLag with;
    int seconds;
} Patience;

/*
 * With clients that came early the container has all the patience of its user, unless he has said
 * how much may be kept for them. When it has ended, an engine waits for all alike.
 */
static Patience patience(const Monitor *monitor)
{
    const Config *config = monitor->config;
    bool limited = config->attach_spool_max >= 0;

    if (monitor_page(monitor)->phase >= PHASE_REPORTING)
        return (Patience){ATTACH_LAGGARDS, config->attach_linger};
    return (Patience){limited ? ATTACH_HOLDERS : ATTACH_LATE_HOLDERS, config->attach_stall_timeout};
}

static int64_t earlier(int64_t a, int64_t b)
{
    return b != 0 && b < a ? b : a;
}

/* When to ask again whether what waits for the log is to be given up, once only that is left. */
static int64_t settle_at(const Monitor *monitor)
{
    bool reporting = monitor_page(monitor)->phase == PHASE_REPORTING;

    return reporting ? monitor_log_settle_at(monitor) : INT64_MAX;
}

static int64_t next_deadline(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    const Patience limit = patience(monitor);
    int64_t at = INT64_MAX;
    int64_t since;

    for (int i = 0; i < STREAMS; i++)
        at = earlier(at, page->flush_at[i]);
    at = earlier(at, page->timeout_at);
    at = earlier(at, page->command_at);
    at = earlier(at, monitor->look_at);
    if (page->phase == PHASE_DRAINING)
        at = earlier(at, page->late_at);
    at = earlier(at, page->stop_at);
    at = earlier(at, page->kill_at);
    at = earlier(at, page->oom.look_at);
    at = earlier(at, monitor->trim_at);
    at = earlier(at, monitor->service_at);
    at = earlier(at, page->service.watchdog_at);
    at = earlier(at, k8s_file_reopen_at(&monitor->log));
    at = earlier(at, monitor->attach.retry_at);
    at = earlier(at, page->log.retry_at);
    at = earlier(at, page->log.rate_until);
    at = earlier(at, page->log.turn_at);
    at = earlier(at, journald_due_at(&monitor->journal));
    at = earlier(at, events_due_at(monitor));
    at = earlier(at, settle_at(monitor));
    since = attach_stalled_since(&monitor->attach, limit.with);
    if (since != INT64_MAX)
        at = earlier(at, since + (int64_t)limit.seconds * 1000000);
    return at;
}

static gboolean prepare(GSource *source, gint *timeout)
{
    int64_t at = next_deadline(((Timers *)source)->monitor);
    int64_t wait;

    if (at == INT64_MAX) {
        *timeout = -1;
        return FALSE;
    }
    wait = at - clock_boottime_us();
    *timeout = clock_sleep_ms(wait);
    return wait <= 0;
}

static gboolean check(GSource *source)
{
    return next_deadline(((Timers *)source)->monitor) <= clock_boottime_us();
}

/* Whether the deadline has come; then it is taken off. */
static bool is_due(int64_t *at, int64_t now)
{
    if (*at == 0 || *at > now)
        return false;
    *at = 0;
    return true;
}

/* The same for a deadline that another image of this program may take over. */
static bool is_reached(int64_t *at, int64_t now)
{
    if (*at == 0 || *at > now)
        return false;
    state_commit(at, 0);
    return true;
}

/*
 * SIGKILL to the container's process group, unless that is our own, and to its first process. Its
 * output is still taken and its end awaited, for a while.
 */
static void kill_container(Monitor *monitor, int64_t now)
{
    Page *page = monitor_page(monitor);
    pid_t group = getpgid(page->container_pid);

    if (group > 1 && group != getpgrp())
        kill(-group, SIGKILL);
    kill(page->container_pid, SIGKILL);
    state_commit(&page->kill_at, now + KILL_TIMEOUT);
}

static void time_out(Monitor *monitor, int64_t now)
{
    state_commit(&monitor_page(monitor)->timed_out, 1);
    message(&monitor->config->messages, LEVEL_WARNING, "command timed out after %d seconds",
            monitor->config->timeout);
    kill_container(monitor, now);
    state_commit(&monitor_page(monitor)->timeout_at, 0);
}

/* It has had its signal, and the time that was given to it. */
static void stop_by_force(Monitor *monitor, int64_t now)
{
    message(&monitor->config->messages, LEVEL_WARNING,
            "The command has not ended within --stop-timeout (%d s), and is killed",
            monitor->config->stop_timeout);
    kill_container(monitor, now);
    state_commit(&monitor_page(monitor)->stop_at, 0);
}

static void give_up_killing(Monitor *monitor)
{
    state_commit(&monitor_page(monitor)->kill_at, 0);
    message(&monitor->config->messages, LEVEL_ERROR,
            "The container's process %d does not end after SIGKILL; its end is reported without "
            "waiting for it any longer",
            monitor_page(monitor)->container_pid);
    monitor_end(monitor);
}

static void drop_stalled(Monitor *monitor, int64_t now)
{
    const Patience limit = patience(monitor);
    unsigned dropped =
        attach_drop_stalled(&monitor->attach, now - (int64_t)limit.seconds * 1000000, limit.with);

    if (dropped == 0)
        return;
    event_readers_dropped(monitor, dropped, limit.seconds);
    monitor_outlets_moved(monitor);
}

static bool journal_is_due(const Monitor *monitor, int64_t now)
{
    int64_t at = journald_due_at(&monitor->journal);

    return at != 0 && at <= now;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    Monitor *monitor = ((Timers *)source)->monitor;
    Page *page = monitor_page(monitor);
    int64_t now = clock_boottime_us();
    bool log_due;

    (void)callback;
    (void)data;
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (page->flush_at[i] != 0 && page->flush_at[i] <= now)
            monitor_pump(monitor, i, SPLIT_FLUSH);
    }
    if (is_due(&monitor->trim_at, now))
        monitor_trim(monitor);
    if (page->timeout_at != 0 && page->timeout_at <= now)
        time_out(monitor, now);
    if (page->stop_at != 0 && page->stop_at <= now)
        stop_by_force(monitor, now);
    if (page->kill_at != 0 && page->kill_at <= now)
        give_up_killing(monitor);
    if (k8s_file_reopen_at(&monitor->log) != 0 && k8s_file_reopen_at(&monitor->log) <= now)
        monitor_reopen_log(monitor);
    if (page->oom.look_at != 0 && page->oom.look_at <= now) {
        monitor_oom_look(monitor);
        state_commit(&page->oom.look_at, 0);
    }
    if (is_due(&monitor->service_at, now) ||
        (page->service.watchdog_at != 0 && page->service.watchdog_at <= now))
        monitor_service_speak(monitor, now);
    if (is_due(&monitor->attach.retry_at, now))
        attach_retry(&monitor->attach);
    drop_stalled(monitor, now);
    events_say_held(monitor, now);
    if (page->log.turn_at != 0 && page->log.turn_at <= now) {
        k8s_file_end_turn(&monitor->log);
        monitor_log_go_on(monitor);
    }
    log_due = is_reached(&page->log.retry_at, now);
    log_due = is_reached(&page->log.rate_until, now) || log_due;
    log_due = journal_is_due(monitor, now) || log_due;
    if (log_due)
        monitor_log_go_on(monitor);
    if ((page->command_at != 0 && page->command_at <= now) || is_due(&monitor->look_at, now) ||
        (page->phase == PHASE_DRAINING && page->late_at != 0 && page->late_at <= now) ||
        (page->phase > PHASE_RUNNING && log_due) || settle_at(monitor) <= now)
        monitor_end(monitor);
    return G_SOURCE_CONTINUE;
}

void monitor_timers_init(Monitor *monitor)
{
    static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};

    monitor->timers = g_source_new(&functions, sizeof(Timers));
    ((Timers *)monitor->timers)->monitor = monitor;
    g_source_set_can_recurse(monitor->timers, TRUE); /* see util/watch.h */
    g_source_attach(monitor->timers, NULL);
}

void monitor_timers_deinit(Monitor *monitor)
{
    if (monitor->timers == NULL)
        return;
    g_source_destroy(monitor->timers);
    g_source_unref(monitor->timers);
    monitor->timers = NULL;
}
