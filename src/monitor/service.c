#include "monitor/monitor.h"

#include "util/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/*
 * The monitor as the main process of a unit. What is to be said is first owed on the page, then
 * said, then owed no more: a crash in between says it twice, which means the same.
 *
 * How the command is, is said together with something else only: nobody wakes up for that.
 */

enum {
    RETRY_PAUSE = 100 * 1000, /* microseconds, while the service manager has no room */
    LINES_SIZE = 256,
};

static void describe(const Monitor *monitor, char *text, size_t size)
{
    const LogCounters *out = &state_cursors(&monitor->state)->counters[STREAM_STDOUT];
    const LogCounters *err = &state_cursors(&monitor->state)->counters[STREAM_STDERR];
    uint64_t lost = out->lost_bytes + err->lost_bytes;
    uint64_t line = out->line > err->line ? out->line : err->line;
    int used = snprintf(text, size, "STATUS=%" PRIu64 " bytes logged", out->bytes + err->bytes);

    if (lost > 0)
        used += snprintf(text + used, size - (size_t)used, ", %" PRIu64 " lost", lost);
    if (line > 0)
        snprintf(text + used, size - (size_t)used, ", a line of %" PRIu64 " goes on", line);
}

/* Returns false, and when to come back in service_at, if there is no room. */
static bool say(Monitor *monitor, const char *word, const char *more)
{
    char lines[LINES_SIZE];

    snprintf(lines, sizeof(lines), "%s%s%s", word, *more != '\0' ? "\n" : "", more);
    if (service_manager_send(&monitor->service, lines, 0))
        return true;
    monitor->service_at = clock_boottime_us() + RETRY_PAUSE;
    return false;
}

static bool say_word(Monitor *monitor, ServiceWord word)
{
    char status[LINES_SIZE / 2];
    struct timespec now;

    describe(monitor, status, sizeof(status));
    switch (word) {
    case SERVICE_RELOADING:
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(status, sizeof(status), "MONOTONIC_USEC=%" PRId64,
                 (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        return say(monitor, "RELOADING=1", status);
    case SERVICE_STOPPING:
        return say(monitor, "STOPPING=1", status);
    default:
        return say(monitor, "READY=1", status);
    }
}

/* Not as long as the reload goes on. */
static bool is_due(const ServicePage *page, ServiceWord word)
{
    return page->owed & word && (word != SERVICE_RELOADED || page->reload == 0);
}

static void say_owed(Monitor *monitor)
{
    ServicePage *page = &monitor_page(monitor)->service;

    for (ServiceWord word = SERVICE_READY; word <= SERVICE_STOPPING; word <<= 1) {
        if (!is_due(page, word))
            continue;
        if (!say_word(monitor, word))
            return;
        FAULT_POINT();
        state_commit(&page->owed, page->owed & ~(uint64_t)word);
    }
}

static void give_sign_of_life(Monitor *monitor, int64_t now)
{
    ServicePage *page = &monitor_page(monitor)->service;
    char status[LINES_SIZE / 2] = "";
    bool said;

    if (!monitor->config->command_notifies)
        describe(monitor, status, sizeof(status));
    said = say(monitor, "WATCHDOG=1", status);
    FAULT_POINT();
    state_commit(&page->watchdog_at, now + (said ? page->interval : RETRY_PAUSE));
}

void monitor_service_speak(Monitor *monitor, int64_t now)
{
    const ServicePage *page = &monitor_page(monitor)->service;

    say_owed(monitor);
    if (page->watchdog_at != 0 && page->watchdog_at <= now)
        give_sign_of_life(monitor, now);
}

static void owe(Monitor *monitor, uint64_t words)
{
    ServicePage *page = &monitor_page(monitor)->service;

    if (page->used && !monitor->config->command_notifies)
        state_commit(&page->owed, page->owed | words);
}

void monitor_service_tell(Monitor *monitor, ServiceWord word)
{
    owe(monitor, word);
    say_owed(monitor);
}

static void end_reload(Monitor *monitor)
{
    state_commit(&monitor_page(monitor)->service.reload, 0);
    say_owed(monitor);
}

/* The page knows how many files the log had before: a new one is made once, whatever crashes. */
static void go_on_reloading(Monitor *monitor)
{
    ServicePage *page = &monitor_page(monitor)->service;

    owe(monitor, SERVICE_RELOADING | SERVICE_RELOADED);
    say_owed(monitor);
    if (state_cursors(&monitor->state)->reopens < page->reload &&
        !rotation_is_owed(&monitor->state))
        monitor_reopen_log(monitor);
    FAULT_POINT();
    if (!k8s_file_awaits_seam(&monitor->log))
        end_reload(monitor);
}

void monitor_service_log_tried(Monitor *monitor)
{
    uint64_t reload = monitor_page(monitor)->service.reload;
    bool is_done = state_cursors(&monitor->state)->reopens >= reload;
    bool has_failed = rotation_is_owed(&monitor->state) && !k8s_file_awaits_seam(&monitor->log);

    if (reload != 0 && (is_done || has_failed))
        end_reload(monitor);
}

void monitor_service_reload(Monitor *monitor)
{
    if (monitor_page(monitor)->phase != PHASE_RUNNING)
        return;
    state_commit(&monitor_page(monitor)->service.reload,
                 state_cursors(&monitor->state)->reopens + 1);
    go_on_reloading(monitor);
}

void monitor_service_init(Monitor *monitor, const ServiceManager *manager)
{
    ServicePage *page = &monitor_page(monitor)->service;

    if (!service_manager_is_there(manager))
        return;
    monitor->service = *manager;
    service_manager_hide(monitor->config->command_notifies);
    page->interval = manager->watchdog;
    if (page->interval > 0)
        page->watchdog_at = clock_boottime_us() + page->interval;
    state_commit(&page->used, 1);
}

void monitor_service_adopt(Monitor *monitor)
{
    const ServicePage *page = &monitor_page(monitor)->service;

    if (!page->used)
        return;
    service_manager_adopt(&monitor->service, &monitor->config->messages);
    service_manager_hide(monitor->config->command_notifies);
    if (page->reload != 0)
        go_on_reloading(monitor);
    say_owed(monitor);
}
