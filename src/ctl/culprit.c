#include "ctl/culprit.h"

#include "ctl/command.h"
#include "ctl/foreign.h"
#include "ctl/troubles.h"
#include "ctl/json.h"
#include "ctl/monitors.h"
#include "ctl/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char ABOUT[] =
    "Names the containers that cause trouble on this machine now, the worst first, with what to do "
    "about each: a hanging log disk, lost output, processes killed by the kernel because memory "
    "ran out, a line without an end, a flood, a container that waits for a slow reader of its "
    "output, a large log that nothing limits, a monitor that has crashed. With --foreign it looks "
    "at the containers of any engine, watched by conward or not: it looks twice, and says which "
    "one writes output that does not reach its log, which one writes a line without an end, and "
    "whose logger grows. The exit status is 0 if there is nothing, 1 if there is something.";

typedef struct Options {
    gboolean json;
    gboolean watch;
    gboolean foreign;
    double interval; /* seconds between two looks */
    gint64 least;    /* of foreign containers: bytes per second that are much */
    char *directory;
} Options;

/* Everything that is wrong now. The troubles refer to `now`. */
static GPtrArray *find(const Monitors *before, const Monitors *now, int64_t elapsed)
{
    const TroubleLimits limits = TROUBLE_LIMITS;
    g_autoptr(GHashTable) by_path = monitors_by_path(before);
    GPtrArray *troubles = troubles_new();

    for (guint i = 0; i < now->list->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(now->list, i);

        troubles_add(troubles, g_hash_table_lookup(by_path, monitor->path), monitor, elapsed,
                     &limits);
    }
    troubles_sort(troubles);
    return troubles;
}

/* Whom a sentence is about. */
static void append_subject(GString *to, const Snapshot *monitor)
{
    const char *name = snapshot_text(monitor, "name");
    const char *id = snapshot_id(monitor);

    text_append_name(to, *name != '\0' ? name : id, TEXT_NAME_MOST);
    g_string_append(to, " (");
    if (strcmp(name, id) != 0) {
        text_append_name(to, snapshot_short_id(monitor), TEXT_NAME_MOST);
        g_string_append(to, ", ");
    }
    g_string_append_printf(to, "%s, pid %d)", snapshot_kind(monitor), monitor->page.container_pid);
}

static void print_text(const Trouble *trouble, bool bold, GString *to)
{
    g_string_append(to, bold ? "\033[1m" : "");
    append_subject(to, trouble->monitor);
    g_string_append(to, bold ? "\033[0m " : " ");
    text_append_name(to, trouble->text, TEXT_PATH_MOST);
    g_string_append(to, ".\n    ");
    text_append_shown(to, trouble->mend, strlen(trouble->mend));
    g_string_append(to, ".\n");
}

static void print_json(const Trouble *trouble)
{
    g_autoptr(GString) line = g_string_new(NULL);

    json_begin(line);
    json_text(line, "trouble", trouble_name(trouble->kind));
    json_text(line, "id", snapshot_id(trouble->monitor));
    json_text(line, "name", snapshot_text(trouble->monitor, "name"));
    json_signed(line, "monitor_pid", trouble->monitor->page.monitor_pid);
    json_signed(line, "container_pid", trouble->monitor->page.container_pid);
    json_text(line, "text", trouble->text);
    json_text(line, "mend", trouble->mend);
    json_end(line);
}

static void print(const GPtrArray *troubles, const Monitors *monitors, const Options *options)
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool bold = isatty(STDOUT_FILENO);

    if (options->watch && bold)
        g_string_append(text, "\033[H\033[2J");
    for (guint i = 0; i < troubles->len; i++) {
        const Trouble *trouble = g_ptr_array_index(troubles, i);

        if (options->json)
            print_json(trouble);
        else
            print_text(trouble, bold, text);
    }
    if (!options->json && troubles->len == 0)
        g_string_append_printf(text, "Nothing is wrong with the %u containers that are watched.\n",
                               monitors->list->len);
    if (!options->json && monitors->hidden > 0)
        g_string_append_printf(text, "There are also " MONITORS_HIDDEN ".\n", monitors->hidden);
    fputs(text->str, stdout);
    fflush(stdout);
}

/* One look after the interval has passed. Returns whether there is a trouble. */
static bool look(const Monitors *before, int64_t begin, const Options *options, Monitors **next)
{
    Monitors *now;
    g_autoptr(GPtrArray) troubles = NULL;

    if (options->interval > 0 && before->list->len > 0)
        g_usleep((gulong)(options->interval * G_USEC_PER_SEC));
    now = monitors_read(options->directory);
    troubles = find(before, now, snapshot_now() - begin);
    print(troubles, now, options);
    *next = now;
    return troubles->len > 0;
}

static int watch(const Options *options)
{
    Monitors *before = monitors_read(options->directory);

    for (;;) {
        int64_t begin = snapshot_now();
        Monitors *now;

        look(before, begin, options, &now);
        if (now->list->len == 0)
            g_usleep((gulong)(options->interval * G_USEC_PER_SEC));
        monitors_free(before);
        before = now;
        if (ferror(stdout))
            return CTL_FAILED;
    }
}

static int look_once(const Options *options)
{
    int64_t begin = snapshot_now();
    g_autoptr(Monitors) before = monitors_read(options->directory);
    g_autoptr(Monitors) now = NULL;

    if (look(before, begin, options, &now))
        return CTL_FOUND;
    return now->unread > 0 ? CTL_FAILED : CTL_OK;
}

/* Whether the options fit together; otherwise says why not. */
static bool check(const Options *options, int argc, char **argv)
{
    double shortest = options->foreign || options->watch ? 0.1 : 0;

    if (argc > 1)
        ctl_say("culprit takes no arguments, but there is '%s'", argv[1]);
    else if (options->foreign && (options->watch || options->directory != NULL))
        ctl_say("--foreign cannot be used with --watch and --state-dir");
    else if (!options->foreign && options->least != FOREIGN_LEAST)
        ctl_say("--min is for --foreign only");
    else if (options->foreign && options->least < 1)
        ctl_say("--min must be at least 1 byte per second");
    else if (!(options->interval >= shortest && options->interval <= 3600))
        ctl_say("--interval must be from %g to 3600 seconds", shortest);
    else
        return true;
    return false;
}

int culprit_run(int argc, char **argv)
{
    Options options = {.interval = G_MAXDOUBLE, .least = FOREIGN_LEAST};
    const GOptionEntry entries[] = {
        {"foreign", 0, 0, G_OPTION_ARG_NONE, &options.foreign,
         "Look at the containers of any engine", NULL},
        {"watch", 'w', 0, G_OPTION_ARG_NONE, &options.watch, "Look again and again", NULL},
        {"interval", 0, 0, G_OPTION_ARG_DOUBLE, &options.interval,
         "Time between two looks (default 1, with --foreign 2)", "SECONDS"},
        {"min", 0, 0, G_OPTION_ARG_INT64, &options.least,
         "With --foreign, report this many bytes per second or more (default 1048576)", "BYTES"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "One JSON object a line", NULL},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    int status = CTL_WRONG;

    if (!ctl_options(&argc, &argv, NULL, ABOUT, entries))
        return CTL_WRONG;
    if (options.interval == G_MAXDOUBLE)
        options.interval = options.foreign ? FOREIGN_SECONDS : 1;
    if (!check(&options, argc, argv))
        status = CTL_WRONG;
    else if (options.foreign)
        status = foreign_run(options.json, options.interval, (uint64_t)options.least);
    else
        status = options.watch ? watch(&options) : look_once(&options);
    g_free(options.directory);
    return status;
}
