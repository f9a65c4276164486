#include "monitor/events.h"
#include "util/clock.h"

#include <stddef.h>

/*
 * Early warnings: of lines and of floods that cost nothing here, and may cost a node everything in
 * another program that reads the log.
 */
enum {
    LONG_TIMES = 16,  /* a line is spoken of beyond so many times its limit */
    FLOOD_WHILE = 10, /* seconds for which a stream writes at FLOOD_RATE, at least */
    FLOOD_SIZE = FLOOD_WHILE * FLOOD_RATE,
};

/* 0 if the clock was set back meanwhile. */
static uint64_t per_second(uint64_t bytes, int64_t microseconds)
{
    return microseconds <= 0 ? 0 : (uint64_t)((double)bytes * 1e6 / (double)microseconds);
}

/* The limit of the log that counts the lines: see page_counters(). */
static uint64_t line_limit(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);

    return page_counts_by_journal(page) ? JOURNALD_MESSAGE_MOST : page->settings.log_line_max;
}

/* Each line is counted once, however often it is looked at; and spoken of again while it grows. */
static void warn_of_line(Monitor *monitor, StreamId id)
{
    Page *page = monitor_page(monitor);
    const LogCounters *counters = page_counters(page, id);
    WarningPage *warning = &page->warnings[id];
    bool is_new = counters->long_lines != warning->line;

    if (counters->line <= LONG_TIMES * line_limit(monitor))
        return;
    if (!is_new && page->events[EVENT_LONG_LINE].next_at > clock_boottime_us())
        return;
    event_long_line(monitor, id, counters->line,
                    per_second(counters->line, clock_realtime_ns() / 1000 - counters->line_since));
    state_commit(&warning->line, counters->long_lines);
}

/* No clock is read until there is enough for a flood. */
static void warn_of_flood(Monitor *monitor, StreamId id)
{
    Page *page = monitor_page(monitor);
    WarningPage *warning = &page->warnings[id];
    uint64_t end = page->streams[id].end;
    uint64_t bytes = end - warning->flood_mark;
    int64_t now;
    int64_t since = warning->flood_since;

    if (bytes < FLOOD_SIZE)
        return;
    now = clock_boottime_us();
    if (since != 0 && now - since <= FLOOD_WHILE * 1000000)
        event_flood(monitor, id, end, per_second(bytes, now - since));
    warning->flood_mark = end;
    state_commit(&warning->flood_since, now);
}

void monitor_warn(Monitor *monitor, StreamId id)
{
    if (monitor_has_log(monitor))
        warn_of_line(monitor, id);
    warn_of_flood(monitor, id);
}
