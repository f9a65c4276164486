#include "ctl/troubles.h"

#include "ctl/fields.h"
#include "ctl/rates.h"
#include "ctl/text.h"
#include "util/whole.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_LOG_MOST = 1024 }; /* bytes of a path in a command */

const char *trouble_name(TroubleKind kind)
{
    static const char *const NAMES[] = {
        "blocked_log",  "waiting_log", "lost_output", "rate_limited",  "oom_kills",
        "endless_line", "flood",       "stalled",     "unlimited_log", "crashes"};

    return NAMES[kind];
}

static void trouble_free(gpointer data)
{
    Trouble *trouble = data;

    g_free(trouble->text);
    g_free(trouble->mend);
    g_free(trouble);
}

GPtrArray *troubles_new(void)
{
    return g_ptr_array_new_with_free_func(trouble_free);
}

static gint worst_first(gconstpointer a, gconstpointer b)
{
    const Trouble *one = *(const Trouble *const *)a;
    const Trouble *other = *(const Trouble *const *)b;

    if (one->kind != other->kind)
        return (int)one->kind - (int)other->kind;
    return (one->weight < other->weight) - (one->weight > other->weight);
}

void troubles_sort(GPtrArray *troubles)
{
    g_ptr_array_sort(troubles, worst_first);
}

/* The ID for a command that somebody may copy into a shell: nothing but a plain word. */
static const char *plain_id(const Snapshot *monitor)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    const char *id = snapshot_short_id(monitor);

    return *id != '\0' && *id != '-' && id[strspn(id, PLAIN)] == '\0' ? id : "ID";
}

/* The path of the log for the same purpose, newly allocated. One that would be shown escaped, or
 * too long, would be another one. */
static char *quoted_log(const Snapshot *monitor)
{
    const char *log = snapshot_text(monitor, "log");
    g_autoptr(GString) shown = g_string_new(NULL);

    text_append_name(shown, log, TEXT_LOG_MOST);
    return *log == '/' && strcmp(shown->str, log) == 0 ? g_shell_quote(log) : g_strdup("LOG");
}

/*
 * The command that ends the container. What another user's page says must not make its reader end
 * what is not that user's: a pid is taken only from who is that process's user, and an ID only for
 * that user's engine.
 */
static char *end_command(const Snapshot *monitor)
{
    const char *engine = snapshot_text(monitor, "engine");

    if (monitor->page.kind == SNAPSHOT_RUN)
        return monitor->process.start > 0 ? g_strdup_printf("kill %d", monitor->page.monitor_pid)
                                          : g_strdup("end its command");
    if (monitor->owner != geteuid())
        return g_strdup_printf("as the user %u, podman stop %s", monitor->owner, plain_id(monitor));
    if (strcmp(engine, "crio") == 0)
        return g_strdup_printf("crictl stop %s", plain_id(monitor));
    return g_strdup_printf("podman stop %s", plain_id(monitor));
}

/* Takes over the texts. */
static void add(GPtrArray *troubles, TroubleKind kind, const Snapshot *monitor, uint64_t weight,
                char *text, char *mend)
{
    Trouble *trouble = g_new(Trouble, 1);

    *trouble = (Trouble){kind, monitor, weight, text, mend};
    g_ptr_array_add(troubles, trouble);
}

static int64_t lasts(int64_t since)
{
    return since > 0 ? snapshot_age(since, snapshot_now()) : 0;
}

static void look_at_disk(GPtrArray *troubles, const Snapshot *now, const TroubleLimits *limits)
{
    int64_t blocked = lasts(now->page.log.blocked_since);
    g_autofree char *log = quoted_log(now);
    char duration[TEXT_AMOUNT];

    if (blocked < limits->blocked_after)
        return;
    add(troubles, TROUBLE_BLOCKED_LOG, now, (uint64_t)blocked,
        g_strdup_printf("is blocked: the disk of its log %s has not answered a write for %s",
                        snapshot_text(now, "log"), text_duration(blocked, duration)),
        g_strdup_printf("check that disk: dmesg, df %s", log));
}

static void look_at_waiting(GPtrArray *troubles, const Snapshot *now, const TroubleLimits *limits)
{
    const LogPage *page = &now->page.log;
    int64_t waits = lasts(page->waits_since);
    g_autofree char *log = quoted_log(now);
    char duration[TEXT_AMOUNT];

    if (waits < limits->blocked_after || page->retry_at == 0 ||
        now->page.settings.log_on_error != LOG_WAIT)
        return;
    add(troubles, TROUBLE_WAITING_LOG, now, (uint64_t)waits,
        g_strdup_printf("has waited for %s with its output, because writes of its log %s fail: %s",
                        text_duration(waits, duration), snapshot_text(now, "log"),
                        g_strerror(page->last_error)),
        g_strdup_printf("make room for the log, or repair its disk: df %s; to let it continue and "
                        "lose output: conwardctl set %s log-on-error drop",
                        log, plain_id(now)));
}

/* Why the journal does not get what it should. */
static const char *journal_failure(const Snapshot *now)
{
    int number = now->page.journal.last_error;

    return number == EAGAIN ? "it has stopped reading" : g_strerror(number);
}

static void look_at_waiting_for_journal(GPtrArray *troubles, const Snapshot *now,
                                        const TroubleLimits *limits)
{
    const JournalPage *page = &now->page.journal;
    int64_t waits = lasts(page->waits_since);
    char duration[TEXT_AMOUNT];

    if (waits < limits->blocked_after || page->retry_at == 0 ||
        now->page.settings.log_on_error != LOG_WAIT)
        return;
    add(troubles, TROUBLE_WAITING_LOG, now, (uint64_t)waits,
        g_strdup_printf("has waited for %s with its output, because it cannot be sent to the "
                        "journal: %s",
                        text_duration(waits, duration), journal_failure(now)),
        g_strdup_printf("check the journal: systemctl status systemd-journald; to let it continue "
                        "and lose output: conwardctl set %s log-on-error drop",
                        plain_id(now)));
}

static void look_at_losses_of_journal(GPtrArray *troubles, const Snapshot *now)
{
    const LogCounters *out = snapshot_journal(now, STREAM_STDOUT);
    const LogCounters *err = snapshot_journal(now, STREAM_STDERR);
    uint64_t bytes = out->lost_bytes + err->lost_bytes;
    char amount[TEXT_AMOUNT];

    if (out->lost_records + err->lost_records == 0)
        return;
    add(troubles, TROUBLE_LOST_OUTPUT, now, bytes,
        g_strdup_printf("has lost output: %s in %" PRIu64 " %s, because it could not be sent "
                        "to the journal, the last time with: %s",
                        amount_text(bytes, amount), out->lost_records + err->lost_records,
                        records_word(out->lost_records + err->lost_records), journal_failure(now)),
        g_strdup("check the journal: systemctl status systemd-journald; once it is back, this "
                 "continues by itself"));
}

/* The settings may have changed since. */
static void look_at_limit(GPtrArray *troubles, const Snapshot *now)
{
    const LogCounters *out = snapshot_counters(now, STREAM_STDOUT);
    const LogCounters *err = snapshot_counters(now, STREAM_STDERR);
    uint64_t bytes = out->limited_bytes + err->limited_bytes;
    uint64_t records = out->limited_records + err->limited_records;
    const SettingsPage *settings = &now->page.settings;
    bool goes_on = settings->log_rate_limit > 0 && settings->log_rate_policy == LOG_DROP;
    g_autofree char *limit = NULL;
    char amount[TEXT_AMOUNT];

    if (records == 0)
        return;
    limit = settings->log_rate_limit == 0
                ? g_strdup("there is none now")
                : g_strdup_printf("it is now %s/s",
                                  amount_text((uint64_t)settings->log_rate_limit, amount));
    add(troubles, TROUBLE_LIMITED, now, bytes,
        g_strdup_printf("has lost output: %s in %" PRIu64 " %s, more than the rate limit of "
                        "its log allowed (%s)",
                        amount_text(bytes, amount), records, records_word(records), limit),
        goes_on
            ? g_strdup_printf("to see what it writes: conwardctl logs --tail 10 %s; to let it wait "
                              "instead of losing output: conwardctl set %s log-rate-policy wait",
                              plain_id(now), plain_id(now))
            : g_strdup_printf(
                  "nothing more is lost now; to see what it writes: conwardctl logs --tail 10 %s",
                  plain_id(now)));
}

static void look_at_losses(GPtrArray *troubles, const Snapshot *now)
{
    const LogCounters *out = snapshot_counters(now, STREAM_STDOUT);
    const LogCounters *err = snapshot_counters(now, STREAM_STDERR);
    uint64_t bytes = out->lost_bytes + err->lost_bytes - out->limited_bytes - err->limited_bytes;
    uint64_t records =
        out->lost_records + err->lost_records - out->limited_records - err->limited_records;
    g_autofree char *log = quoted_log(now);
    char amount[TEXT_AMOUNT];

    if (records == 0 || !now->page.has_file)
        return;
    add(troubles, TROUBLE_LOST_OUTPUT, now, bytes,
        g_strdup_printf("has lost output: %s in %" PRIu64 " %s, because writes of its log %s "
                        "failed, the last one with: %s",
                        amount_text(bytes, amount), records, records_word(records),
                        snapshot_text(now, "log"), g_strerror(now->page.log.last_error)),
        g_strdup_printf("make room for the log, or repair its disk, if that has not been done: df "
                        "%s; it then continues by itself",
                        log));
}

/* How to give it more memory: twice as much, where we know how much that is. */
static char *memory_command(const Snapshot *monitor)
{
    uint64_t mebibytes = MAX(monitor->page.oom.limit >> 19, 1);

    if (strcmp(snapshot_text(monitor, "engine"), "crio") == 0)
        return g_strdup("raise resources.limits.memory of its pod");
    if (monitor->page.oom.limit == 0)
        return g_strdup("it has no limit of its own: check the limits around it (its pod or "
                        "slice), and the memory of this machine");
    if (monitor->page.kind == SNAPSHOT_RUN)
        return g_strdup_printf("restart it with --memory-max %" PRIu64 "M", mebibytes);
    return g_strdup_printf("podman update --memory %" PRIu64 "m --memory-swap %" PRIu64 "m %s",
                           mebibytes, 2 * mebibytes, plain_id(monitor));
}

/* Of a command in a container, it is its container's trouble. */
static void look_at_memory(GPtrArray *troubles, const Snapshot *now)
{
    const OomPage *oom = &now->page.oom;
    g_autofree char *command = NULL;
    char limit[TEXT_AMOUNT];
    char duration[TEXT_AMOUNT];

    if (oom->kills == 0 || now->page.kind == SNAPSHOT_EXEC)
        return;
    command = memory_command(now);
    add(troubles, TROUBLE_OOM_KILLS, now, oom->kills,
        g_strdup_printf("runs out of memory: the kernel has killed %" PRIu64
                        " of its processes, the last one %s ago; its limit is %s",
                        oom->kills,
                        text_duration(snapshot_age(oom->last_at, snapshot_wall_now()), duration),
                        oom->limit > 0 ? amount_text(oom->limit, limit) : "unknown"),
        g_strdup_printf("to give it more: %s; to see who was killed: dmesg", command));
}

static void look_at_line(GPtrArray *troubles, const Snapshot *now, StreamId stream)
{
    const LogCounters *counters = snapshot_counters(now, stream);
    uint64_t length = snapshot_open_line(now, stream);
    int64_t since = counters->line_since;
    g_autofree char *end = NULL;
    char amount[TEXT_AMOUNT];
    char duration[TEXT_AMOUNT];

    if (length <= now->page.settings.log_line_max)
        return;
    end = end_command(now);
    add(troubles, TROUBLE_ENDLESS_LINE, now, length,
        g_strdup_printf(
            "writes a line without an end: %s on %s so far, for %s", amount_text(length, amount),
            stream_name(stream),
            text_duration(since > 0 ? snapshot_age(since, snapshot_wall_now()) : 0, duration)),
        g_strdup_printf(
            "nothing is in danger, it is logged in records of at most %u bytes; to read "
            "it: conwardctl logs %s | tail -c 1000; to end it: %s",
            now->page.settings.log_line_max, plain_id(now), end));
}

static void look_at_rate(GPtrArray *troubles, const Snapshot *before, const Snapshot *now,
                         int64_t elapsed, const TroubleLimits *limits)
{
    uint64_t rate = 0;
    g_autofree char *end = NULL;
    char amount[TEXT_AMOUNT];

    if (before == NULL || elapsed <= 0)
        return;
    for (size_t i = 0; i < STREAMS; i++)
        rate += rates_growth(before->page.streams[i].end, now->page.streams[i].end);
    rate = whole((double)rate * G_USEC_PER_SEC / (double)elapsed);
    if (rate < limits->flood)
        return;
    end = end_command(now);
    add(troubles, TROUBLE_FLOOD, now, rate,
        g_strdup_printf("writes a lot of output: %s/s", amount_text(rate, amount)),
        g_strdup_printf("to see what: conwardctl logs --tail 10 %s; to end it: %s", plain_id(now),
                        end));
}

static void look_at_readers(GPtrArray *troubles, const Snapshot *now, const TroubleLimits *limits)
{
    int64_t held = MAX(lasts(now->page.held_since[0]), lasts(now->page.held_since[1]));
    char duration[TEXT_AMOUNT];

    if (held < limits->stalled_after)
        return;
    add(troubles, TROUBLE_STALLED, now, (uint64_t)held,
        g_strdup_printf(
            "has waited for %s for a reader of its output that has stopped reading (%u attached)",
            text_duration(held, duration), snapshot_clients(now)),
        g_strdup("let the reader continue (a stopped pager, a terminal whose output is paused), or "
                 "end the attached command"));
}

static void look_at_size(GPtrArray *troubles, const Snapshot *now, const TroubleLimits *limits)
{
    uint64_t size = snapshot_log_size(now);
    char amount[TEXT_AMOUNT];

    if (now->page.settings.log_size_max > 0 || size < limits->large_log)
        return;
    add(troubles, TROUBLE_UNLIMITED_LOG, now, size,
        g_strdup_printf("has a log of %s, and nothing limits it: %s", amount_text(size, amount),
                        snapshot_text(now, "log")),
        g_strdup("give new containers a limit: podman run --log-opt max-size=100mb; conwardctl "
                 "doctor tells where the default is set"));
}

static void look_at_crashes(GPtrArray *troubles, const Snapshot *now)
{
    const CrashPage *crash = &now->page.crash;
    char alike[64] = "";
    char often[32] = "once";
    char who[64] = "a fault of conward itself";

    if (now->page.crashes == 0)
        return;
    if (!crash->is_our_own)
        snprintf(who, sizeof(who), "sent by process %" PRIu64, crash->address);
    if (crash->alike > 1)
        snprintf(alike, sizeof(alike), ", at the same instruction %u times in a row", crash->alike);
    if (now->page.crashes > 1)
        snprintf(often, sizeof(often), "%u times", now->page.crashes);
    add(troubles, TROUBLE_CRASHES, now, now->page.crashes,
        g_strdup_printf("is not affected, but its monitor %d has crashed %s and recovered; the "
                        "last time by signal %d, %s%s",
                        now->page.monitor_pid, often, crash->signal, who, alike),
        g_strdup(crash->is_our_own ? "please report the journal's entry about it"
                                   : "find out what that process is, and why it sends the signal"));
}

void troubles_add(GPtrArray *troubles, const Snapshot *before, const Snapshot *now, int64_t elapsed,
                  const TroubleLimits *limits)
{
    look_at_disk(troubles, now, limits);
    look_at_waiting(troubles, now, limits);
    look_at_waiting_for_journal(troubles, now, limits);
    look_at_losses(troubles, now);
    look_at_losses_of_journal(troubles, now);
    look_at_limit(troubles, now);
    look_at_memory(troubles, now);
    for (StreamId stream = STREAM_STDOUT; stream < STREAMS; stream++)
        look_at_line(troubles, now, stream);
    look_at_rate(troubles, before, now, elapsed, limits);
    look_at_readers(troubles, now, limits);
    look_at_size(troubles, now, limits);
    look_at_crashes(troubles, now);
}
