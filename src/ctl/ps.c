#include "ctl/ps.h"

#include "ctl/command.h"
#include "ctl/fields.h"
#include "ctl/json.h"
#include "ctl/monitors.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "state/settings.h"
#include "settings/take.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Options {
    gboolean all;
    gboolean json;
    gboolean no_header;
    char *directory;
} Options;

static const char *const COLUMNS[] = {"ID",       "NAME", "KIND",     "ENGINE", ">PID",
                                      "PHASE",    ">UP",  ">WRITTEN", ">LOST",  ">OPEN LINE",
                                      ">LONGEST", ">LOG", ">USER",    NULL};

static uint64_t sum(const Snapshot *monitor, uint64_t (*value)(const Snapshot *, StreamId))
{
    return value(monitor, STREAM_STDOUT) + value(monitor, STREAM_STDERR);
}

static uint64_t written(const Snapshot *monitor, StreamId stream)
{
    return monitor->page.streams[stream].end;
}

static uint64_t lost(const Snapshot *monitor, StreamId stream)
{
    const LogCounters *counters = snapshot_counters(monitor, stream);

    return counters->lost_bytes + counters->capped_bytes;
}

static void add_amount(Table *table, uint64_t bytes)
{
    char text[TEXT_AMOUNT];

    table_add(table, amount_text(bytes, text));
}

static void add_line(Table *table, const Snapshot *monitor)
{
    const LogCounters *out = snapshot_counters(monitor, STREAM_STDOUT);
    const LogCounters *err = snapshot_counters(monitor, STREAM_STDERR);
    g_autofree char *pid = g_strdup_printf("%d", monitor->page.monitor_pid);
    g_autofree char *user = g_strdup_printf("%u", monitor->owner);
    char text[TEXT_AMOUNT];

    table_add(table, snapshot_short_id(monitor));
    table_add(table, snapshot_text(monitor, "name"));
    table_add(table, snapshot_kind(monitor));
    table_add(table, snapshot_text(monitor, "engine"));
    table_add(table, pid);
    table_add(table, snapshot_phase(monitor));
    table_add(table,
              text_duration(snapshot_age(monitor->page.started_at, snapshot_wall_now()), text));
    add_amount(table, sum(monitor, written));
    add_amount(table, sum(monitor, lost));
    add_amount(table, MAX(snapshot_open_line(monitor, STREAM_STDOUT),
                          snapshot_open_line(monitor, STREAM_STDERR)));
    add_amount(table, MAX(out->longest, err->longest));
    add_amount(table, snapshot_log_size(monitor));
    table_add(table, user);
}

/* Who it is: the members that ps and stats begin with. */
static void add_identity(GString *line, const Snapshot *monitor)
{
    static const char *const TEXTS[] = {"name", "engine", "runtime", "command",
                                        "log",  "bundle", "cuuid"};
    const Page *page = &monitor->page;

    json_text(line, "id", snapshot_id(monitor));
    for (size_t i = 0; i < G_N_ELEMENTS(TEXTS); i++)
        json_text(line, TEXTS[i], snapshot_text(monitor, TEXTS[i]));
    json_text(line, "kind", snapshot_kind(monitor));
    json_text(line, "phase", snapshot_phase(monitor));
    json_signed(line, "monitor_pid", page->monitor_pid);
    json_signed(line, "container_pid", page->container_pid);
    json_number(line, "owner", monitor->owner);
    json_text(line, "log_driver", snapshot_log_driver(monitor));
}

static const char *text_of(const void *snapshot, const char *name)
{
    return snapshot_text(snapshot, name);
}

/* The settings that a node can have, as they were given to this monitor, and where. */
static void add_settings(GString *line, const Snapshot *monitor)
{
    json_object(line, "settings");
    for (const Tunable *tunable = TUNABLES; tunable->name != NULL; tunable++) {
        SettingOrigin origin = setting_origin(tunable, text_of, monitor);
        g_autofree char *name = g_strdelimit(g_strdup(tunable->name), "-", '_');

        json_object(line, name);
        if (origin.value != NULL)
            json_text(line, "value", origin.value);
        json_text(line, "from", origin.where);
        json_end_object(line);
    }
    json_end_object(line);
}

static void print_json(const Snapshot *monitor)
{
    g_autoptr(GString) line = g_string_new(NULL);

    json_begin(line);
    add_identity(line, monitor);
    fields_json(line, monitor);
    add_settings(line, monitor);
    json_end(line);
}

static bool is_wanted(const Snapshot *monitor, const Options *options)
{
    return options->all || monitor->page.kind != SNAPSHOT_EXEC;
}

static void list(const Monitors *monitors, const Options *options)
{
    g_autoptr(Table) table = table_new(COLUMNS);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < monitors->list->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(monitors->list, i);

        if (!is_wanted(monitor, options))
            continue;
        if (options->json)
            print_json(monitor);
        else
            add_line(table, monitor);
    }
    if (!options->json) {
        table_append(table, text, !options->no_header);
        fputs(text->str, stdout);
    }
}

int ps_run(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"all", 'a', 0, G_OPTION_ARG_NONE, &options.all, "Monitors of exec processes, too", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "One JSON object a line", NULL},
        {"no-header", 0, 0, G_OPTION_ARG_NONE, &options.no_header, "No line of column names", NULL},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(Monitors) monitors = NULL;

    if (!ctl_options(&argc, &argv, NULL, "Lists the monitors of this machine.", entries))
        return CTL_WRONG;
    if (argc > 1) {
        ctl_say("ps takes no arguments, but there is '%s'; stats shows one container", argv[1]);
        return CTL_WRONG;
    }
    monitors = monitors_read(options.directory);
    g_free(options.directory);
    list(monitors, &options);
    if (monitors->hidden > 0)
        ctl_say(MONITORS_HIDDEN, monitors->hidden);
    return monitors->unread > 0 ? CTL_FAILED : CTL_OK;
}

static void print_text(const char *name, const char *value)
{
    g_autoptr(GString) shown = g_string_new(NULL);

    if (*value == '\0')
        return;
    text_append_name(shown, value, TEXT_PATH_MOST);
    printf("%-22s %s\n", name, shown->str);
}

static void print_number(const char *name, int64_t value)
{
    printf("%-22s %" PRId64 "\n", name, value);
}

/* A figure in the words of people, with the exact one behind it where that is another. */
static void print_figure(const Field *field, const char *name, uint64_t value)
{
    g_autoptr(GDateTime) time = NULL;
    g_autofree char *text = NULL;
    char amount[TEXT_AMOUNT];

    switch (field->unit) {
    case UNIT_LIMIT:
        if (value == 0) {
            printf("%-22s none\n", name);
            break;
        }
        /* fall through */
    case UNIT_BYTES:
        printf("%-22s %s", name, amount_text(value, amount));
        printf(value < 1024 ? "\n" : " (%" PRIu64 " bytes)\n", value);
        break;
    case UNIT_MICROSECONDS:
        printf("%-22s %s\n", name, text_duration((int64_t)MIN(value, INT64_MAX), amount));
        break;
    case UNIT_TIME:
        if (value == 0)
            break;
        time = g_date_time_new_from_unix_local((int64_t)(value / G_USEC_PER_SEC));
        text = time != NULL ? g_date_time_format(time, "%F %T %z") : NULL;
        printf("%-22s %s\n", name, text != NULL ? text : "?");
        break;
    case UNIT_ERRNO:
        if (value != 0) {
            printf("%-22s %" PRIu64 " (%s)\n", name, value, g_strerror((int)value));
            break;
        }
        /* fall through */
    case UNIT_NONE:
        printf("%-22s %" PRIu64 "\n", name, value);
        break;
    }
}

static void print_figures(const Snapshot *monitor, const Field *fields, StreamId stream)
{
    for (; fields->name != NULL; fields++) {
        g_autofree char *name = g_strdelimit(g_strdup(fields->name), "_", ' ');

        print_figure(fields, name, fields->value(monitor, stream));
    }
}

static void print_settings(const Snapshot *monitor)
{
    puts("\nsettings, as they were given");
    for (const Tunable *tunable = TUNABLES; tunable->name != NULL; tunable++) {
        SettingOrigin origin = setting_origin(tunable, text_of, monitor);
        g_autofree char *text = g_strdup_printf("%s (%s)", origin.value, origin.where);

        print_text(tunable->name, origin.value != NULL ? text : origin.where);
    }
}

static void print_stats(const Snapshot *monitor)
{
    static const char *const TEXTS[] = {"name", "engine", "runtime", "command", "log", "bundle"};
    const Page *page = &monitor->page;

    print_text("id", snapshot_id(monitor));
    for (size_t i = 0; i < G_N_ELEMENTS(TEXTS); i++)
        print_text(TEXTS[i], snapshot_text(monitor, TEXTS[i]));
    print_text("kind", snapshot_kind(monitor));
    print_text("phase", snapshot_phase(monitor));
    print_number("monitor pid", page->monitor_pid);
    print_number("container pid", page->container_pid);
    if (page->settings.log_partial_flush < 0)
        print_text("log partial flush", "never");
    else
        print_number("log partial flush ms", page->settings.log_partial_flush);
    print_text("log on error", settings_policy(page->settings.log_on_error));
    print_text("log rate policy", settings_policy(page->settings.log_rate_policy));
    print_text("log loss record", page->settings.log_loss_record != 0 ? "yes" : "no");
    print_text("log close last line", page->settings.log_close_last_line != 0 ? "yes" : "no");
    print_figures(monitor, MONITOR_FIELDS, STREAM_STDOUT);
    for (StreamId stream = STREAM_STDOUT; stream < STREAMS; stream++) {
        printf("\n%s\n", stream_name(stream));
        print_figures(monitor, STREAM_FIELDS, stream);
    }
    print_settings(monitor);
}

int stats_run(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "One JSON object on a line", NULL},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(Monitors) monitors = NULL;
    const Snapshot *monitor;

    if (!ctl_options(&argc, &argv, "ID|NAME", "Shows all that a monitor knows about its container.",
                     entries))
        return CTL_WRONG;
    if (argc != 2) {
        ctl_say("stats takes one ID or name; conwardctl ps lists them");
        return CTL_WRONG;
    }
    monitors = monitors_read(options.directory);
    g_free(options.directory);
    monitor = monitors_find(monitors, argv[1]);
    if (monitor == NULL)
        return CTL_FAILED;
    if (options.json)
        print_json(monitor);
    else
        print_stats(monitor);
    return CTL_OK;
}
