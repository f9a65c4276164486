#pragma once

#include "monitor/monitor.h"

/*
 * What the journal hears of a container from its monitor: one function per kind of event. Each is
 * an entry with a MESSAGE_ID, which contrib/systemd/conward.catalog explains, and with fields of
 * its own, for programs. They also appear where the monitor's other messages do, but not twice in
 * the journal.
 *
 * Each kind is said at most once a minute; what is held back is counted, and the count said when
 * the minute is over. Nothing waits for the journal: one that takes no entry is told of it with
 * what is held back. An entry may appear twice if the monitor crashes while it is sent.
 *
 * With the log driver passthrough the journal hears of nothing: it would be read as output.
 */

/* Once for each container; not for commands that an engine runs in one, some of which it runs every
 * few seconds. */
void event_started(Monitor *monitor);
void event_exited(Monitor *monitor, int status);

/* The kernel has killed processes of the container for want of memory. */
void event_oom_kill(Monitor *monitor);

/* A line is open and has grown far beyond its limit, or much is written in a short time: bytes, and
 * bytes a second. */
void event_long_line(Monitor *monitor, StreamId stream, uint64_t bytes, uint64_t rate);
void event_flood(Monitor *monitor, StreamId stream, uint64_t bytes, uint64_t rate);

typedef enum LogDriver {
    LOG_DRIVER_FILE,
    LOG_DRIVER_JOURNAL,
} LogDriver;

/* The log cannot be written, for the reason `why`; and it can again. The counters are its own. */
void event_log_fails(Monitor *monitor, LogDriver driver, const char *why, bool waits);
void event_log_recovered(Monitor *monitor, LogDriver driver, const LogCounters counters[STREAMS]);

/* At the end: all that the container's logs have lost together. A log that could not be written to
 * the last does not say it, and an engine's monitor has no standard error. `text` says it for
 * people. */
void event_log_incomplete(Monitor *monitor, uint64_t bytes, uint64_t records, const char *text);

/* There is more output than --log-rate-limit lets through. */
void event_rate_limited(Monitor *monitor);

/* So many attach clients have read nothing for too long. */
void event_readers_dropped(Monitor *monitor, unsigned count, int seconds);

/* The monitor has crashed, and goes on; `places` are addresses in its program. */
void event_resumed(Monitor *monitor, const char *places);

/*
 * The fields, but for the MESSAGE, of the last event there can be: the monitor has crashed, and
 * cannot go on. The caller owns them; NULL: the journal is to hear of nothing.
 */
GString *event_lost(Monitor *monitor);

/* When there is something to say of what was held back, CLOCK_BOOTTIME microseconds, 0 = never. */
int64_t events_due_at(const Monitor *monitor);

/* Says what was held back until a time before `now`. */
void events_say_held(Monitor *monitor, int64_t now);
