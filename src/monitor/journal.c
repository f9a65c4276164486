#include "monitor/monitor.h"

#include "monitor/events.h"
#include "util/clock.h"
#include "util/watch.h"

#include <errno.h>
#include <string.h>

/* The journal as a log: begun, watched while it does not keep up, and spoken of. */

static JournaldLimits limits_in_force(const Monitor *monitor)
{
    const SettingsPage *settings = &monitor_page(monitor)->settings;

    return (JournaldLimits){
        .waits = settings->log_on_error == LOG_WAIT,
        .says_losses = settings->log_loss_record != 0 && monitor->config->kind != KIND_EXEC,
    };
}

void monitor_journal_init(Monitor *monitor)
{
    const Config *config = monitor->config;
    const JournalIdentity identity = {
        .id = config->cid,
        .tag = config->log_tag,
        .name = config->name,
        .labels = config->log_labels,
    };
    const JournaldFormat format = {
        .hides_partials = config->hides_partials,
        .reads_priorities = config->log_priority_prefix,
    };

    if (config->journald)
        journald_init(&monitor->journal, &monitor->state, &identity, format,
                      limits_in_force(monitor));
}

void monitor_journal_limit(Monitor *monitor)
{
    if (monitor_has_journal(monitor))
        journald_limit(&monitor->journal, limits_in_force(monitor));
}

static void watch(Monitor *monitor);

static gboolean on_writable(gint fd, GIOCondition condition, gpointer data)
{
    Monitor *monitor = data;

    (void)fd;
    (void)condition;
    journald_retry(&monitor->journal);
    monitor_log_go_on(monitor);
    watch(monitor); /* there is nothing to be sent any more, if the runtime has failed */
    if (monitor_page(monitor)->phase > PHASE_RUNNING)
        monitor_end(monitor);
    return G_SOURCE_CONTINUE;
}

/* A journal that does not keep up says when it has. */
static void watch(Monitor *monitor)
{
    int fd = journald_blocked_fd(&monitor->journal);

    if (fd == monitor->journal_fd)
        return;
    if (monitor->journal_source != 0)
        g_source_remove(monitor->journal_source);
    monitor->journal_fd = fd;
    monitor->journal_source = fd < 0 ? 0 : watch_fd(fd, G_IO_OUT, on_writable, monitor);
}

/* Says once that the journal fails and once what that cost, not at every entry. */
static void speak(Monitor *monitor, int result)
{
    uint32_t *said = &monitor_page(monitor)->journal.said_failure;

    if (result < 0 && *said == 0) {
        event_log_fails(monitor, LOG_DRIVER_JOURNAL,
                        result == -EAGAIN ? "it has stopped reading" : strerror(-result),
                        journald_waits(&monitor->journal));
        state_commit(said, 1);
    } else if (result > 0 && *said != 0) {
        event_log_recovered(monitor, LOG_DRIVER_JOURNAL,
                            state_journal_cursors(&monitor->state)->counters);
        state_commit(said, 0);
    }
}

void monitor_journal_pump(Monitor *monitor, StreamId stream, SplitMode mode)
{
    int result = journald_pump(&monitor->journal, stream, mode);

    if (result > 0)
        monitor_log_moved(monitor, &monitor_page(monitor)->journal.settle_at);
    speak(monitor, result);
    watch(monitor);
}

bool monitor_journal_goes_on(const Monitor *monitor)
{
    return monitor_has_journal(monitor) && journald_goes_on(&monitor->journal) &&
           monitor_page(monitor)->report_at > clock_boottime_us();
}

/* Whether nothing waits for it, or may do so still. */
static bool may_wait(Monitor *monitor)
{
    return !journald_waits(&monitor->journal) ||
           monitor_log_may_wait(monitor, &monitor_page(monitor)->journal.settle_at) ||
           monitor_journal_goes_on(monitor);
}

bool monitor_journal_settle(Monitor *monitor)
{
    if (!may_wait(monitor)) {
        /* Neither of us may have run for a while: it is tried once more. */
        journald_retry(&monitor->journal);
        monitor_log_go_on(monitor);
    }
    if (!may_wait(monitor))
        journald_give_up(&monitor->journal);
    else if (journald_waits(&monitor->journal))
        return false;
    monitor_log_go_on(monitor); /* what it has lost it may hear now */
    /* Or soon, if it only does not keep up: that delays no report. */
    return !journald_tells(&monitor->journal);
}

void monitor_journal_deinit(Monitor *monitor)
{
    if (monitor->journal_source != 0)
        g_source_remove(monitor->journal_source);
    journald_deinit(&monitor->journal);
}
