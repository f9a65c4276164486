#include "monitor/events.h"

#include "log/journal-field.h"
#include "log/journal-socket.h"
#include "util/amount.h"
#include "util/clock.h"
#include "util/shown.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

enum {
    ID_SHOWN = 20, /* bytes of an id in a text, as in the monitor's other messages */
    PAUSE = 60 * 1000000,
};

typedef struct KindName {
    const char *message_id;
    const char *word;
    const char *many;
} KindName;

static const KindName NAMES[EVENTS] = {
    [EVENT_STARTED] = {"a47249607a8e4b4ba5d7807f86f96ee4", "started", "starts"},
    [EVENT_EXITED] = {"a055d02ccb50497987914c481ddee1a3", "exited", "ends"},
    [EVENT_OOM_KILL] = {"ff57a1273f1a4f17b32db5212ed955ff", "oom-kill", "out-of-memory kills"},
    [EVENT_LONG_LINE] = {"ca3e049407524d5f8f0208d862c724ea", "long-line", "over-long lines"},
    [EVENT_FLOOD] = {"90dd3ee920904d87acbc7d1b083450ad", "flood", "reports of a flood"},
    [EVENT_LOG_FAILS] = {"db24db6e3f53427bb89a72e673575501", "log-fails", "log failures"},
    [EVENT_LOG_RECOVERED] = {"73464c21c1a44770aec850d784f2fc35", "log-recovered", "log recoveries"},
    [EVENT_LOG_INCOMPLETE] = {"05869514e7a54779b352fa9ba873e2b8", "log-incomplete",
                              "incomplete logs"},
    [EVENT_RATE_LIMITED] = {"a15dd0e4156948348e73747c07c3c79d", "rate-limited",
                            "times that the rate limit was reached"},
    [EVENT_READERS_DROPPED] = {"c80d66328b814d97a97598ac1c87b41a", "readers-dropped",
                               "times that attach clients were dropped"},
    [EVENT_RESUMED] = {"726cdfd8921d489086c5c3ae43d993af", "resumed", "monitor crashes"},
    [EVENT_LOST] = {"937180d7583b400c88e14a454ff1b16d", "lost", "monitors that gave up"},
};

/* One that is being put together. */
typedef struct Event {
    Monitor *monitor;
    EventKind kind;
    Level level;
    GString *fields; /* NULL: the journal is not to hear of it now */
} Event;

static EventPage *page_of(const Event *event)
{
    return &monitor_page(event->monitor)->events[event->kind];
}

static void add_number(Event *event, const char *name, int64_t value)
{
    if (event->fields != NULL)
        journal_number(event->fields, name, value);
}

static void add_text(Event *event, const char *name, const char *value)
{
    if (event->fields != NULL)
        journal_text(event->fields, name, value);
}

/*
 * Whose it is. In the fields of the container's own entries only if it has none: whoever asks for
 * its output by them must get nothing else.
 */
static void add_container(Event *event)
{
    const Config *config = event->monitor->config;

    add_text(event, "CONWARD_CONTAINER_ID", config->cid);
    add_text(event, "CONWARD_CONTAINER_NAME", config->name);
    if (config->journald)
        return;
    add_text(event, "CONTAINER_ID_FULL", config->cid);
    add_text(event, "CONTAINER_NAME", config->name);
}

/*
 * In a unit, Podman reads the output of a container with the log driver passthrough from the
 * journal, by the unit's name and the user (podman #17482, #17502). Journald adds both to what we
 * send, too.
 */
static bool is_unheard(const Event *event)
{
    return event->monitor->config->passthrough;
}

/* The journal hears of it unless it is not to hear of that kind until after `now`. */
static void begin_at(Event *event, Monitor *monitor, EventKind kind, Level level, int64_t now)
{
    *event = (Event){.monitor = monitor, .kind = kind, .level = level};
    if (page_of(event)->next_at <= now && !is_unheard(event))
        event->fields = g_string_new(NULL);
    add_text(event, "MESSAGE_ID", NAMES[kind].message_id);
    add_text(event, "CONWARD_EVENT", NAMES[kind].word);
    add_container(event);
}

static void begin(Event *event, Monitor *monitor, EventKind kind, Level level)
{
    begin_at(event, monitor, kind, level, clock_boottime_us());
}

/* Names the container in the text, too, for who reads the journal line by line. */
static void add_message(Event *event, const char *text)
{
    const Config *config = event->monitor->config;
    g_autofree char *id = g_strdup_printf("%.*s", ID_SHOWN, config->cid);
    bool named = config->name != NULL && strcmp(config->name, config->cid) != 0;
    g_autofree char *whole = named ? g_strconcat(config->name, " (", id, "): ", text, NULL)
                                   : g_strconcat(id, ": ", text, NULL);
    g_autofree char *shown = shown_line_new(whole);

    add_text(event, "MESSAGE", shown);
}

static int priority_of(Level level)
{
    if (level == LEVEL_ERROR)
        return LOG_ERR;
    return level == LEVEL_WARNING ? LOG_WARNING : LOG_INFO;
}

static int send_entry(Event *event, const char *text)
{
    JournalSocket journal = JOURNAL_SOCKET_NULL;
    uint64_t held = page_of(event)->held - page_of(event)->told;
    int r;

    add_message(event, text);
    add_text(event, "SYSLOG_IDENTIFIER", event->monitor->config->messages.ident);
    add_number(event, "PRIORITY", priority_of(event->level));
    if (held > 0)
        add_number(event, "CONWARD_HELD_BACK", (int64_t)held);
    r = journal_socket_send(&journal, &(struct iovec){event->fields->str, event->fields->len}, 1);
    journal_socket_close(&journal);
    FAULT_POINT();
    return r;
}

/*
 * Tells the journal, if it is time for that, and frees the event; what it is to hear later counts
 * as held back, `more` of them than before. Returns 0, or -errno: -EAGAIN if it is to hear later.
 */
static int end(Event *event, const char *text, unsigned more)
{
    EventPage *page = page_of(event);
    int r;

    if (is_unheard(event))
        return 0;
    r = event->fields != NULL ? send_entry(event, text) : -EAGAIN;
    if (r == -EAGAIN && more > 0)
        state_commit(&page->held, page->held + more);
    if (r != -EAGAIN && page->told != page->held)
        state_commit(&page->told, page->held);
    if (event->fields == NULL)
        return r;
    /* Last, as it says of some kinds that they need not be told again, after a crash. */
    state_commit(&page->next_at, clock_boottime_us() + PAUSE);
    g_string_free(event->fields, TRUE);
    return r;
}

/* Of those there may be one with each line, or with each 100 MiB: their messages, too, would become
 * a flood. */
static bool is_early(EventKind kind)
{
    return kind == EVENT_LONG_LINE || kind == EVENT_FLOOD;
}

/* Says it wherever it is to be said. */
static void say(Event *event, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(Event *event, const char *format, ...)
{
    Messages messages = event->monitor->config->messages;
    bool is_held = event->fields == NULL && is_early(event->kind);
    g_autofree char *text = NULL;
    va_list args;
    int r;

    va_start(args, format);
    text = g_strdup_vprintf(format, args); /* with a path that may be long */
    va_end(args);
    r = end(event, text, 1);
    /* Where there is no journal, somebody else may read /dev/log. */
    messages.syslog = messages.syslog && r < 0 && r != -EAGAIN;
    if (!is_held)
        message(&messages, event->level, "%s", text);
}

/* --- The kinds --- */

static bool was_said(const Monitor *monitor, EventKind kind)
{
    return monitor_page(monitor)->events[kind].next_at != 0;
}

void event_started(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    Event event;

    if (monitor->config->kind == KIND_EXEC || was_said(monitor, EVENT_STARTED))
        return;
    begin(&event, monitor, EVENT_STARTED, LEVEL_INFO);
    add_number(&event, "CONWARD_CONTAINER_PID", page->container_pid);
    say(&event, "Started, with pid %d", page->container_pid);
}

void event_exited(Monitor *monitor, int status)
{
    const Page *page = monitor_page(monitor);
    Event event;

    if (monitor->config->kind == KIND_EXEC || page->failed || was_said(monitor, EVENT_EXITED))
        return;
    begin(&event, monitor, EVENT_EXITED, LEVEL_INFO);
    add_number(&event, "CONWARD_STATUS", status);
    if (page->container_signal != 0)
        add_number(&event, "CONWARD_SIGNAL", page->container_signal);
    if (page->timed_out)
        say(&event, "Killed, because it ran longer than --timeout allows");
    else if (status < 0)
        say(&event, "Ended with an unknown status");
    else if (page->container_signal != 0)
        say(&event, "Killed by signal %d (%s)", page->container_signal,
            strsignal(page->container_signal));
    else
        say(&event, "Exited with status %d", status);
}

void event_oom_kill(Monitor *monitor)
{
    const OomPage *oom = &monitor_page(monitor)->oom;
    const Config *config = monitor->config;
    char amount[AMOUNT_TEXT];
    char limit[64] = "it has no memory limit of its own";
    Event event;

    if (oom->limit > 0)
        snprintf(limit, sizeof(limit), "its memory limit is %s",
                 amount_text((uint64_t)oom->limit, amount));
    begin(&event, monitor, EVENT_OOM_KILL, LEVEL_WARNING);
    add_number(&event, "CONWARD_OOM_KILLS", (int64_t)oom->kills);
    if (oom->limit > 0)
        add_number(&event, "CONWARD_MEMORY_LIMIT", (int64_t)oom->limit);
    say(&event,
        "Out of memory: the kernel has killed %" PRIu64
        " %s of the %s %s so far; %s. Raise the limit, or find out what uses so much memory",
        oom->kills, oom->kills == 1 ? "process" : "processes",
        config->kind == KIND_RUN ? "command" : "container",
        config->name != NULL ? config->name : config->cid, limit);
}

void event_long_line(Monitor *monitor, StreamId stream, uint64_t bytes, uint64_t rate)
{
    char length[AMOUNT_TEXT];
    char growth[AMOUNT_TEXT];
    Event event;

    begin(&event, monitor, EVENT_LONG_LINE, LEVEL_WARNING);
    add_text(&event, "CONWARD_STREAM", stream_name(stream));
    add_number(&event, "CONWARD_LINE_BYTES", (int64_t)bytes);
    add_number(&event, "CONWARD_BYTES_PER_SECOND", (int64_t)rate);
    say(&event,
        "A line on %s has grown to %s without a newline, and grows by %s/s. It is logged in pieces "
        "and takes no memory; find out what prints it",
        stream_name(stream), amount_text(bytes, length), amount_text(rate, growth));
}

void event_flood(Monitor *monitor, StreamId stream, uint64_t bytes, uint64_t rate)
{
    char speed[AMOUNT_TEXT];
    char total[AMOUNT_TEXT];
    Event event;

    begin(&event, monitor, EVENT_FLOOD, LEVEL_WARNING);
    add_text(&event, "CONWARD_STREAM", stream_name(stream));
    add_number(&event, "CONWARD_BYTES", (int64_t)bytes);
    add_number(&event, "CONWARD_BYTES_PER_SECOND", (int64_t)rate);
    say(&event,
        "A flood on %s: %s/s, %s so far. Find out what prints it, or limit it with "
        "--log-rate-limit",
        stream_name(stream), amount_text(rate, speed), amount_text(bytes, total));
}

/* What fails and recovers, for people. */
static char *log_of(const Monitor *monitor, LogDriver driver)
{
    return driver == LOG_DRIVER_FILE ? g_strconcat("log ", monitor->config->log_path, NULL)
                                     : g_strdup("journal");
}

static void add_driver(Event *event, LogDriver driver)
{
    add_text(event, "CONWARD_LOG_DRIVER", driver == LOG_DRIVER_FILE ? "k8s-file" : "journald");
}

void event_log_fails(Monitor *monitor, LogDriver driver, const char *why, bool waits)
{
    g_autofree char *log = log_of(monitor, driver);
    Event event;

    begin(&event, monitor, EVENT_LOG_FAILS, LEVEL_ERROR);
    add_driver(&event, driver);
    add_text(&event, "CONWARD_REASON", why);
    say(&event, "Failed to write the %s: %s. %s", log, why,
        waits ? "The container waits, and so does its output, until the log can be written again"
              : "The container continues; its output is lost, and counted, until the log can be "
                "written again");
}

void event_log_recovered(Monitor *monitor, LogDriver driver, const LogCounters counters[STREAMS])
{
    g_autofree char *log = log_of(monitor, driver);
    uint64_t bytes = counters[STREAM_STDOUT].lost_bytes + counters[STREAM_STDERR].lost_bytes;
    uint64_t records = counters[STREAM_STDOUT].lost_records + counters[STREAM_STDERR].lost_records;
    Event event;

    begin(&event, monitor, EVENT_LOG_RECOVERED, LEVEL_WARNING);
    add_driver(&event, driver);
    add_number(&event, "CONWARD_LOST_BYTES", (int64_t)bytes);
    add_number(&event, "CONWARD_LOST_RECORDS", (int64_t)records);
    if (records == 0)
        say(&event, "The %s can be written again; nothing is lost", log);
    else
        say(&event, "The %s can be written again; lost so far: %" PRIu64 " bytes in %" PRIu64 " %s",
            log, bytes, records, records_word(records));
}

void event_log_incomplete(Monitor *monitor, uint64_t bytes, uint64_t records, const char *text)
{
    Event event;

    if (was_said(monitor, EVENT_LOG_INCOMPLETE))
        return;
    begin(&event, monitor, EVENT_LOG_INCOMPLETE, LEVEL_WARNING);
    add_number(&event, "CONWARD_LOST_BYTES", (int64_t)bytes);
    add_number(&event, "CONWARD_LOST_RECORDS", (int64_t)records);
    say(&event, "%s", text);
}

void event_rate_limited(Monitor *monitor)
{
    const SettingsPage *settings = &monitor_page(monitor)->settings;
    bool waits = settings->log_rate_policy == LOG_WAIT;
    Event event;

    begin(&event, monitor, EVENT_RATE_LIMITED, waits ? LEVEL_INFO : LEVEL_WARNING);
    add_number(&event, "CONWARD_RATE_LIMIT", settings->log_rate_limit);
    say(&event, "More output than the %" PRId64 " bytes per second of --log-rate-limit: %s",
        settings->log_rate_limit, waits ? "the container waits" : "the excess is lost and counted");
}

void event_readers_dropped(Monitor *monitor, unsigned count, int seconds)
{
    Event event;

    begin(&event, monitor, EVENT_READERS_DROPPED, LEVEL_WARNING);
    add_number(&event, "CONWARD_CLIENTS", count);
    say(&event, "Dropped %u %s that read nothing for %d seconds", count,
        count == 1 ? "attach client" : "attach clients", seconds);
}

void event_resumed(Monitor *monitor, const char *places)
{
    const Page *page = monitor_page(monitor);
    const CrashPage *crash = &page->crash;
    char alike[64] = "";
    char address[32] = "";
    char who[64] = "our own fault";
    Event event;

    if (crash->is_our_own)
        snprintf(address, sizeof(address), ", address %#" PRIx64, crash->address);
    else
        snprintf(who, sizeof(who), "sent by process %" PRIu64, crash->address);
    if (crash->alike > 1)
        snprintf(alike, sizeof(alike), ", the same instruction %" PRIu32 " times in a row",
                 crash->alike);

    begin(&event, monitor, EVENT_RESUMED, LEVEL_ERROR);
    add_number(&event, "CONWARD_CRASHES", page->crashes);
    add_number(&event, "CONWARD_SIGNAL", crash->signal);
    add_number(&event, "CONWARD_SIGNAL_CODE", crash->code);
    add_number(&event, "CONWARD_CRASHES_ALIKE", crash->alike);
    add_text(&event, "CONWARD_BUILD_ID", page->build_id);
    say(&event,
        "Resumed after a crash, number %u of this monitor: signal %d (%s), code %d%s%s%s, build id "
        "%s. The container is not affected; %s",
        page->crashes, crash->signal, who, crash->code, address, places, alike, page->build_id,
        crash->is_our_own ? "please report this line" : "find out why that process sends it");
}

GString *event_lost(Monitor *monitor)
{
    Event event;

    begin_at(&event, monitor, EVENT_LOST, LEVEL_ERROR, INT64_MAX);
    add_text(&event, "SYSLOG_IDENTIFIER", monitor->config->messages.ident);
    add_number(&event, "PRIORITY", LOG_CRIT);
    return event.fields;
}

/* --- What was held back --- */

int64_t events_due_at(const Monitor *monitor)
{
    const EventPage *events = monitor_page(monitor)->events;
    int64_t at = 0;

    for (int i = 0; i < EVENTS; i++) {
        if (events[i].held != events[i].told && (at == 0 || events[i].next_at < at))
            at = events[i].next_at;
    }
    return at;
}

void events_say_held(Monitor *monitor, int64_t now)
{
    for (EventKind kind = 0; kind < EVENTS; kind++) {
        const EventPage *page = &monitor_page(monitor)->events[kind];
        Messages messages = monitor->config->messages;
        uint64_t held = page->held - page->told;
        char text[128];
        Event event;
        int r;

        if (held == 0 || page->next_at > now)
            continue;
        snprintf(text, sizeof(text), "%" PRIu64 " more, not reported one by one: %s", held,
                 NAMES[kind].many);
        begin_at(&event, monitor, kind, LEVEL_WARNING, now);
        r = end(&event, text, 0);
        messages.syslog = messages.syslog && r < 0;
        if (r != -EAGAIN && is_early(kind)) /* the others have been messages one by one */
            message(&messages, LEVEL_WARNING, "%s", text);
    }
}
