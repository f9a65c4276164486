#include "ctl/fields.h"

#include "ctl/json.h"
#include "state/settings.h"

#define COUNTER(field)                                               \
    static uint64_t field(const Snapshot *snapshot, StreamId stream) \
    {                                                                \
        return snapshot_counters(snapshot, stream)->field;           \
    }

COUNTER(bytes)
COUNTER(records)
COUNTER(partials)
COUNTER(long_lines)
COUNTER(longest)
COUNTER(lost_bytes)
COUNTER(lost_records)
COUNTER(limited_bytes)
COUNTER(limited_records)
COUNTER(capped_bytes)

#define JOURNAL_COUNTER(name, field)                                \
    static uint64_t name(const Snapshot *snapshot, StreamId stream) \
    {                                                               \
        return snapshot_journal(snapshot, stream)->field;           \
    }

JOURNAL_COUNTER(journal_bytes, bytes)
JOURNAL_COUNTER(journal_records, records)
JOURNAL_COUNTER(journal_lost_bytes, lost_bytes)
JOURNAL_COUNTER(journal_lost_records, lost_records)

static uint64_t read_bytes(const Snapshot *snapshot, StreamId stream)
{
    return snapshot->page.streams[stream].end;
}

static uint64_t line_since(const Snapshot *snapshot, StreamId stream)
{
    return (uint64_t)snapshot_counters(snapshot, stream)->line_since;
}

const Field STREAM_FIELDS[] = {
    {"read", "What the container has written", FIELD_COUNTER, UNIT_BYTES, read_bytes},
    {"logged", "Output of the container that is in the log", FIELD_COUNTER, UNIT_BYTES, bytes},
    {"records", "Records in the log", FIELD_COUNTER, UNIT_NONE, records},
    {"partial_records", "Records in the log that do not end a line", FIELD_COUNTER, UNIT_NONE,
     partials},
    {"long_lines", "Lines longer than a record may be", FIELD_COUNTER, UNIT_NONE, long_lines},
    {"longest_line", "The longest line so far", FIELD_GAUGE, UNIT_BYTES, longest},
    {"open_line", "The current line, which has no end yet", FIELD_GAUGE, UNIT_BYTES,
     snapshot_open_line},
    {"open_line_since", "When the first record of the open line was made", FIELD_GAUGE, UNIT_TIME,
     line_since},
    {"lost", "What was lost to failed writes and to the rate limit of the log", FIELD_COUNTER,
     UNIT_BYTES, lost_bytes},
    {"lost_records", "Records that were lost to failed writes and to the rate limit of the log",
     FIELD_COUNTER, UNIT_NONE, lost_records},
    {"limited", "Of all that was lost, what the rate limit has cost", FIELD_COUNTER, UNIT_BYTES,
     limited_bytes},
    {"limited_records", "Of all records that were lost, those the rate limit has cost",
     FIELD_COUNTER, UNIT_NONE, limited_records},
    {"capped", "What was left out because of the limit on all that is logged", FIELD_COUNTER,
     UNIT_BYTES, capped_bytes},
    {"journal_sent", "Output of the container that the journal has received", FIELD_COUNTER,
     UNIT_BYTES, journal_bytes},
    {"journal_entries", "Entries that the journal has received", FIELD_COUNTER, UNIT_NONE,
     journal_records},
    {"journal_lost", "What was lost because the journal could not be reached", FIELD_COUNTER,
     UNIT_BYTES, journal_lost_bytes},
    {"journal_lost_entries", "Entries that were lost because the journal could not be reached",
     FIELD_COUNTER, UNIT_NONE, journal_lost_records},
    {"held", "How long the container has waited for slow readers", FIELD_COUNTER, UNIT_MICROSECONDS,
     snapshot_held},
    {0},
};

#define PAGE_VALUE(name, expression)                                \
    static uint64_t name(const Snapshot *snapshot, StreamId stream) \
    {                                                               \
        const Page *page = &snapshot->page;                         \
                                                                    \
        (void)page;                                                 \
        (void)stream;                                               \
        return (uint64_t)(expression);                              \
    }

static uint64_t blocked(const Snapshot *snapshot, StreamId stream)
{
    int64_t since = snapshot->page.log.blocked_since;

    (void)stream;
    return since > 0 && since < snapshot->taken_at ? (uint64_t)(snapshot->taken_at - since) : 0;
}

/* What has been waited before, and since the given moment, 0 = it does not wait now. */
static uint64_t waited_in_all(const Snapshot *snapshot, uint64_t before, int64_t since)
{
    bool waits = since > 0 && since < snapshot->taken_at;

    return before + (waits ? (uint64_t)(snapshot->taken_at - since) : 0);
}

PAGE_VALUE(waited, waited_in_all(snapshot, page->log.waited, page->log.waits_since))
PAGE_VALUE(journal_waited, waited_in_all(snapshot, page->journal.waited, page->journal.waits_since))
PAGE_VALUE(send_errors, page->journal.send_errors)
PAGE_VALUE(journal_last_error, page->journal.last_error)
PAGE_VALUE(started_at, page->started_at)
PAGE_VALUE(log_size, snapshot_log_size(snapshot))
PAGE_VALUE(log_size_max, page->settings.log_size_max)
PAGE_VALUE(log_global_size_max, page->settings.log_global_size_max)
PAGE_VALUE(log_line_max, page->settings.log_line_max)
PAGE_VALUE(log_rate_limit, page->settings.log_rate_limit)
PAGE_VALUE(log_rate_burst, page->settings.log_rate_burst)
PAGE_VALUE(settings_generation, page->settings.generation)
PAGE_VALUE(log_backups, page->settings.log_backups)
PAGE_VALUE(reopens, page_cursors(page)->reopens)
PAGE_VALUE(backups, page_cursors(page)->backups)
PAGE_VALUE(rotation_failures, page->log.rotation_failures)
PAGE_VALUE(rotation_asked, page_cursors(page)->rotation_asked)
PAGE_VALUE(write_errors, page->log.write_errors)
PAGE_VALUE(last_error, page->log.last_error)
PAGE_VALUE(clients, snapshot_clients(snapshot))
PAGE_VALUE(spooled, snapshot_spooled(snapshot))
PAGE_VALUE(crashes, page->crashes)
PAGE_VALUE(oom_kills, page->oom.kills)
PAGE_VALUE(oom_last_kill, page->oom.last_at)
PAGE_VALUE(memory_limit, page->oom.limit)
PAGE_VALUE(monitor_rss, snapshot->process.rss)
PAGE_VALUE(monitor_cpu, snapshot->process.cpu)

const Field MONITOR_FIELDS[] = {
    {"start_time", "When the monitor began", FIELD_GAUGE, UNIT_TIME, started_at},
    {"log_size", "Size of the log file", FIELD_GAUGE, UNIT_BYTES, log_size},
    {"log_size_max", "Limit on the size of the log file, 0 for none", FIELD_GAUGE, UNIT_LIMIT,
     log_size_max},
    {"log_max_files", "Old log files to keep, 0 without --log-rotate", FIELD_GAUGE, UNIT_NONE,
     log_backups},
    {"log_global_size_max", "Limit on all that is ever logged, 0 for none", FIELD_GAUGE, UNIT_LIMIT,
     log_global_size_max},
    {"log_line_max", "Longest content of a record", FIELD_GAUGE, UNIT_BYTES, log_line_max},
    {"log_rate_limit", "Limit on what is logged in a second, 0 for none", FIELD_GAUGE, UNIT_LIMIT,
     log_rate_limit},
    {"log_rate_burst", "What may be logged at once despite that limit", FIELD_GAUGE, UNIT_BYTES,
     log_rate_burst},
    {"settings_changes", "How often settings were changed", FIELD_COUNTER, UNIT_NONE,
     settings_generation},
    {"log_reopens", "How often the log file was replaced", FIELD_COUNTER, UNIT_NONE, reopens},
    {"log_rotations", "How often the old log file was kept under another name", FIELD_COUNTER,
     UNIT_NONE, backups},
    {"log_rotation_failures", "Attempts to replace the log file that failed", FIELD_COUNTER,
     UNIT_NONE, rotation_failures},
    {"log_reopen_owed", "1 while a new log file that was requested cannot be created", FIELD_GAUGE,
     UNIT_NONE, rotation_asked},
    {"log_write_errors", "Writes of the log that failed", FIELD_COUNTER, UNIT_NONE, write_errors},
    {"log_last_error", "Error number of the last write of the log that failed", FIELD_GAUGE,
     UNIT_ERRNO, last_error},
    {"log_blocked", "How long the current write of the log has been blocked", FIELD_GAUGE,
     UNIT_MICROSECONDS, blocked},
    {"log_waited",
     "How long the container has waited because its log could not be written, or for its rate "
     "limit",
     FIELD_COUNTER, UNIT_MICROSECONDS, waited},
    {"journal_errors", "Entries that could not be sent to the journal, at first", FIELD_COUNTER,
     UNIT_NONE, send_errors},
    {"journal_last_error", "Error number of the last entry that could not be sent", FIELD_GAUGE,
     UNIT_NONE, journal_last_error},
    {"journal_waited", "How long the container has waited for the journal", FIELD_COUNTER,
     UNIT_MICROSECONDS, journal_waited},
    {"attach_clients", "Clients that are attached to the container", FIELD_GAUGE, UNIT_NONE,
     clients},
    {"attach_spool", "Output that the spool keeps for slow attach clients", FIELD_GAUGE, UNIT_BYTES,
     spooled},
    {"oom_kills", "Processes of the container that the kernel has killed because memory ran out",
     FIELD_COUNTER, UNIT_NONE, oom_kills},
    {"oom_last_kill", "When the last of them was seen", FIELD_GAUGE, UNIT_TIME, oom_last_kill},
    {"memory_limit",
     "Memory limit of the container when it started or last ran out of memory, 0 for none",
     FIELD_GAUGE, UNIT_LIMIT, memory_limit},
    {"crashes", "Crashes that the monitor has survived", FIELD_COUNTER, UNIT_NONE, crashes},
    {"monitor_rss", "Memory that the monitor itself has resident", FIELD_GAUGE, UNIT_BYTES,
     monitor_rss},
    {"monitor_cpu", "Processor time that the monitor itself has taken", FIELD_COUNTER,
     UNIT_MICROSECONDS, monitor_cpu},
    {0},
};

static void add_fields(GString *line, const Snapshot *monitor, const Field *fields, StreamId stream)
{
    static const char *const UNITS[] = {[UNIT_NONE] = "",        [UNIT_BYTES] = "_bytes",
                                        [UNIT_LIMIT] = "_bytes", [UNIT_MICROSECONDS] = "_us",
                                        [UNIT_TIME] = "_us",     [UNIT_ERRNO] = ""};

    for (; fields->name != NULL; fields++) {
        g_autofree char *name = g_strconcat(fields->name, UNITS[fields->unit], NULL);

        json_number(line, name, fields->value(monitor, stream));
    }
}

void fields_json(GString *line, const Snapshot *monitor)
{
    const SettingsPage *settings = &monitor->page.settings;

    json_signed(line, "log_partial_flush_ms", settings->log_partial_flush);
    json_text(line, "log_on_error", settings_policy(settings->log_on_error));
    json_text(line, "log_rate_policy", settings_policy(settings->log_rate_policy));
    json_text(line, "log_loss_record", settings->log_loss_record != 0 ? "yes" : "no");
    json_text(line, "log_close_last_line", settings->log_close_last_line != 0 ? "yes" : "no");
    add_fields(line, monitor, MONITOR_FIELDS, STREAM_STDOUT);
    for (StreamId stream = STREAM_STDOUT; stream < STREAMS; stream++) {
        json_object(line, stream_name(stream));
        add_fields(line, monitor, STREAM_FIELDS, stream);
        json_end_object(line);
    }
}
