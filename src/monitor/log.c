#include "monitor/monitor.h"

#include "log/none.h"
#include "monitor/events.h"
#include "util/amount.h"
#include "util/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * The log, as the monitor sees it: opened, limited, spoken of, and settled at the end. What is
 * written to it, and how, is the business of log/.
 */

/* Microseconds in which a log takes nothing of what waits after the container's end, until that is
 * lost. Under --log-on-error wait it outlasts a journal that hangs: systemd starts it anew after
 * three minutes. And all of what waits, however slowly it goes. */
enum {
    SETTLE_TIME = 10 * 1000000,
    SETTLE_TIME_WAIT = 300 * 1000000,
};
static const int64_t SETTLE_MOST = INT64_C(3600) * 1000000;

enum { REPORT_TIME = 10 * 1000000 }; /* microseconds that a slow journal may delay the report */

/* The limits that the page says. */
static K8sLimits limits_in_force(const Monitor *monitor)
{
    const SettingsPage *settings = &monitor_page(monitor)->settings;

    return (K8sLimits){
        .line_max = settings->log_line_max,
        .partial_flush = settings->log_partial_flush,
        .size_max = settings->log_size_max,
        .global_size_max = settings->log_global_size_max,
        .backups = settings->log_backups,
        .allowed = monitor->config->log_allowed,
        .rate = {settings->log_rate_limit, settings->log_rate_burst},
        .rate_waits = settings->log_rate_policy == LOG_WAIT,
        .waits = settings->log_on_error == LOG_WAIT,
        /* What an engine reads back as a command's output holds nothing else. */
        .says_losses = settings->log_loss_record != 0 && monitor->config->kind != KIND_EXEC,
        .closes_last_line =
            settings->log_close_last_line != 0 && monitor->config->kind != KIND_EXEC,
    };
}

void monitor_open_log(Monitor *monitor, int fd)
{
    const char *path = monitor->config->log_path;

    if (path != NULL)
        k8s_file_init(&monitor->log, &monitor->state, fd, path, limits_in_force(monitor));
    monitor_journal_init(monitor);
}

void monitor_close_log(Monitor *monitor)
{
    k8s_file_deinit(&monitor->log);
    monitor_journal_deinit(monitor);
}

void monitor_limit_log(Monitor *monitor)
{
    if (monitor_has_file(monitor))
        k8s_file_limit(&monitor->log, limits_in_force(monitor));
    monitor_journal_limit(monitor);
}

uint64_t monitor_log_start(const Monitor *monitor, StreamId id)
{
    uint64_t start = state_cursors(&monitor->state)->start[id];

    return monitor_has_journal(monitor)
               ? MIN(start, state_journal_cursors(&monitor->state)->start[id])
               : start;
}

void monitor_log_skip(Monitor *monitor, StreamId id, uint64_t offset)
{
    state_cursors_next(&monitor->state)->start[id] = offset;
    state_cursors_commit(&monitor->state);
    journald_skip(&monitor->journal, id, offset);
}

/* Says once that the log cannot be replaced, and why, and once that it can be again. */
static void speak_of_rotation(Monitor *monitor)
{
    const K8sFile *log = &monitor->log;
    bool failing = log->rotation.error.text[0] != '\0';

    if (failing && !monitor->said_rotation)
        message(&monitor->config->messages, LEVEL_ERROR, "%s. Logging continues in the old file%s",
                log->rotation.error.text,
                log->rotation.retry_at == 0    ? ""
                : k8s_file_reopen_at(log) == 0 ? ", beyond --log-size-max; this is tried again"
                                               : "; this is tried again until it succeeds");
    else if (!failing && monitor->said_rotation)
        message(&monitor->config->messages, LEVEL_WARNING,
                "The log %s has now been replaced, after failed attempts", log->path);
    monitor->said_rotation = failing;
}

/* Says once that a log fails and once what that cost, not at every record. */
static void speak_of_writes(Monitor *monitor, int result)
{
    uint32_t *said = &monitor_page(monitor)->log.said_failure;

    if (result < 0 && *said == 0) {
        event_log_fails(monitor, LOG_DRIVER_FILE, strerror(-result), k8s_file_waits(&monitor->log));
        state_commit(said, 1);
    } else if (result > 0 && *said != 0) {
        event_log_recovered(monitor, LOG_DRIVER_FILE, state_cursors(&monitor->state)->counters);
        state_commit(said, 0);
    }
}

/* Likewise, each time that it begins to be limited. */
static void speak_of_rate(Monitor *monitor)
{
    bool limited = k8s_file_is_limited(&monitor->log);

    if (limited && !monitor->is_limited)
        event_rate_limited(monitor);
    monitor->is_limited = limited;
}

static void pump_file(Monitor *monitor, StreamId id, SplitMode mode)
{
    uint64_t before = monitor->log.to.written;
    int result = k8s_file_pump(&monitor->log, id, mode);

    if (monitor->log.to.written != before)
        monitor_log_moved(monitor, &monitor_page(monitor)->log.settle_at);
    speak_of_writes(monitor, result);
}

void monitor_log_pump(Monitor *monitor, StreamId id, SplitMode mode)
{
    if (monitor_has_file(monitor)) {
        pump_file(monitor, id, mode);
        speak_of_rotation(monitor);
        monitor_service_log_tried(monitor);
        speak_of_rate(monitor);
    } else {
        log_none_pump(&monitor->state, id);
    }
    if (monitor_has_journal(monitor))
        monitor_journal_pump(monitor, id, mode);
}

void monitor_log_give_up(Monitor *monitor)
{
    if (monitor_has_file(monitor))
        k8s_file_give_up(&monitor->log);
    if (monitor_has_journal(monitor))
        journald_give_up(&monitor->journal);
    if (monitor_has_log(monitor))
        monitor_log_go_on(monitor);
}

void monitor_log_rest(Monitor *monitor)
{
    if (monitor_has_file(monitor))
        k8s_file_hurry(&monitor->log);
    if (monitor_has_log(monitor))
        monitor_log_go_on(monitor);
}

/* The file has been replaced, or could not be. */
static void follow_reopen(Monitor *monitor)
{
    speak_of_rotation(monitor);
    monitor_service_log_tried(monitor);
    monitor_log_go_on(monitor); /* what waits may have room in the new file */
}

void monitor_reopen_log(Monitor *monitor)
{
    if (!monitor_has_file(monitor))
        return;
    k8s_file_reopen(&monitor->log);
    follow_reopen(monitor);
}

void monitor_reopen_log_once(Monitor *monitor, uint64_t request)
{
    if (!monitor_has_file(monitor))
        return;
    k8s_file_reopen_once(&monitor->log, request);
    follow_reopen(monitor);
}

/* A journal that has failed may be back, and there is no later output to show it: it is tried once
 * more at the container's end. Returns whether it is. */
static bool hurry_journal(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    bool has_failed = monitor_has_journal(monitor) && page->journal.retry_at != 0 &&
                      page->journal.settle_at == 0; /* once */

    if (has_failed)
        journald_retry(&monitor->journal);
    return has_failed;
}

void monitor_log_hurry(Monitor *monitor)
{
    bool waits = monitor_has_file(monitor) && monitor_page(monitor)->log.rate_until != 0;
    int64_t *report_at = &monitor_page(monitor)->report_at;

    if (*report_at == 0)
        state_commit(report_at, clock_boottime_us() + REPORT_TIME);
    if (monitor_has_file(monitor))
        k8s_file_hurry(&monitor->log);
    if (hurry_journal(monitor) || waits)
        monitor_log_go_on(monitor);
}

/* When what waits is given up if nothing of it goes on from now. */
static int64_t give_up_at(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    bool waits = page->settings.log_on_error == LOG_WAIT;
    int64_t at = clock_boottime_us() + (waits ? SETTLE_TIME_WAIT : SETTLE_TIME);

    return MIN(at, page->report_at + SETTLE_MOST);
}

void monitor_log_moved(Monitor *monitor, int64_t *settle_at)
{
    if (*settle_at != 0)
        state_commit(settle_at, give_up_at(monitor));
}

bool monitor_log_may_wait(Monitor *monitor, int64_t *settle_at)
{
    if (*settle_at == 0)
        state_commit(settle_at, give_up_at(monitor));
    return !monitor_page(monitor)->hurried && monitor->config->kind != KIND_EXEC &&
           *settle_at > clock_boottime_us();
}

int64_t monitor_log_settle_at(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    int64_t at = INT64_MAX;

    if (monitor_has_file(monitor) && k8s_file_waits(&monitor->log))
        at = page->log.settle_at;
    if (journald_waits(&monitor->journal))
        at = MIN(at, page->journal.settle_at);
    return at;
}

static bool settle_file(Monitor *monitor)
{
    if (!monitor_has_file(monitor))
        return true;
    if (k8s_file_waits(&monitor->log)) {
        if (monitor_log_may_wait(monitor, &monitor_page(monitor)->log.settle_at))
            return false;
        k8s_file_give_up(&monitor->log);
        monitor_log_go_on(monitor);
    }
    k8s_file_finish(&monitor->log);
    return true;
}

bool monitor_settle_log(Monitor *monitor)
{
    bool file = settle_file(monitor);
    bool journal = !monitor_has_journal(monitor) || monitor_journal_settle(monitor);

    return file && journal;
}

bool monitor_describe_loss(const Monitor *monitor, char *text, size_t size)
{
    const LogCounters *counters = state_cursors(&monitor->state)->counters;
    uint64_t bytes = counters[STREAM_STDOUT].lost_bytes + counters[STREAM_STDERR].lost_bytes;
    uint64_t limited =
        counters[STREAM_STDOUT].limited_bytes + counters[STREAM_STDERR].limited_bytes;

    if (bytes == 0)
        return false;
    snprintf(text, size, "log incomplete: lost %" PRIu64 " bytes: %s", bytes,
             bytes > limited ? strerror(monitor_page(monitor)->log.last_error)
                             : "more than its rate limit allows");
    return true;
}

/* All losses, while they are added up. */
typedef struct Losses {
    GString *text;
    uint64_t bytes;
    uint64_t records;
} Losses;

static void add_loss(Losses *losses, StreamId id, uint64_t bytes, uint64_t records, const char *log,
                     const char *why)
{
    if (records == 0)
        return;
    losses->bytes += bytes;
    losses->records += records;
    g_string_append_printf(losses->text,
                           "%sLost %" PRIu64 " bytes in %" PRIu64 " %s of %s: the %s %s",
                           losses->text->len > 0 ? ". " : "", bytes, records, records_word(records),
                           stream_name(id), log, why);
}

void monitor_say_losses(Monitor *monitor)
{
    g_autofree char *log = g_strconcat("log ", monitor->config->log_path, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    Losses losses = {.text = text};

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        const LogCounters *counters = &state_cursors(&monitor->state)->counters[i];
        const LogCounters *journal = &state_journal_cursors(&monitor->state)->counters[i];

        add_loss(&losses, i, counters->lost_bytes - counters->limited_bytes,
                 counters->lost_records - counters->limited_records, log, "could not be written");
        add_loss(&losses, i, counters->limited_bytes, counters->limited_records, log,
                 "may not grow faster than --log-rate-limit says");
        add_loss(&losses, i, journal->lost_bytes, journal->lost_records, "journal",
                 "did not take them");
        if (counters->capped_bytes > 0)
            message(&monitor->config->messages, LEVEL_WARNING,
                    "Left out %" PRIu64 " bytes of %s: --log-global-size-max was reached",
                    counters->capped_bytes, stream_name(i));
    }
    if (losses.records > 0)
        event_log_incomplete(monitor, losses.bytes, losses.records, text->str);
}

void monitor_sync_log(Monitor *monitor)
{
    if (!monitor_has_file(monitor) || !monitor->config->log_sync || !monitor->log.to.regular)
        return;
    if (fsync(monitor->log.to.fd) < 0)
        message(
            &monitor->config->messages, LEVEL_ERROR,
            "Failed to sync the log %s to disk: %s. Its last records may be lost; check that disk",
            monitor->log.path, strerror(errno));
}
