#include "ctl/set.h"

#include "ctl/command.h"
#include "ctl/monitors.h"
#include "ctl/request.h"
#include "ctl/text.h"
#include "monitor/config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int64_t line_max(const SettingsPage *settings)
{
    return settings->log_line_max;
}

static int64_t partial_flush(const SettingsPage *settings)
{
    return settings->log_partial_flush;
}

typedef struct Setting {
    const char *name;
    int64_t (*in_force)(const SettingsPage *settings);
    int64_t least;
    int64_t most;
    const char *word; /* that is a value, too: on the page, it is -1 */
} Setting;

static const Setting SETTINGS[] = {
    {"log-line-max", line_max, LOG_LINE_MAX_LEAST, LOG_LINE_MAX_MOST, NULL},
    {"log-partial-flush", partial_flush, 0, LOG_PARTIAL_FLUSH_MOST, "never"},
};

typedef struct Asked {
    const Setting *setting;
    int64_t value;
} Asked;

/* Whether there is such a setting and value, which *asked then names; otherwise says why not. */
static bool check(const char *name, const char *value, Asked *asked)
{
    for (size_t i = 0; i < G_N_ELEMENTS(SETTINGS); i++) {
        g_autoptr(GError) error = NULL;
        gint64 number = -1;

        if (strcmp(name, SETTINGS[i].name) != 0)
            continue;
        if (g_strcmp0(value, SETTINGS[i].word) == 0 ||
            (value[0] >= '0' && value[0] <= '9' &&
             g_ascii_string_to_signed(value, 10, SETTINGS[i].least, SETTINGS[i].most, &number,
                                      &error))) {
            *asked = (Asked){&SETTINGS[i], number};
            return true;
        }
        ctl_say("%s cannot be '%s': use a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                "%s%s",
                name, value, SETTINGS[i].least, SETTINGS[i].most,
                SETTINGS[i].word != NULL ? ", or the word " : "",
                SETTINGS[i].word != NULL ? SETTINGS[i].word : "");
        return false;
    }
    ctl_say("there is no setting '%s' that can be changed while a monitor runs; there are "
            "log-line-max and log-partial-flush",
            name);
    return false;
}

/* Others may set something at the same time: what counts is the value that is in force. */
static RequestState has_set(const Page *before, const Page *now, const void *data, Error *error)
{
    const Asked *asked = data;
    int64_t value = asked->setting->in_force(&now->settings);

    if (now->settings.generation == before->settings.generation)
        return REQUEST_WAITING;
    if (value == asked->value)
        return REQUEST_DONE;
    error_set(error, 0,
              "%s is %" G_GINT64_FORMAT "%s and not what was asked for: somebody else has changed "
              "a setting at the same time",
              asked->setting->name, value, value < 0 ? " (never)" : "");
    return REQUEST_OVERTAKEN;
}

static RequestState has_reopened(const Page *before, const Page *now, const void *asked,
                                 Error *error)
{
    (void)asked;
    (void)error;
    return now->log.reopens != before->log.reopens ? REQUEST_DONE : REQUEST_WAITING;
}

typedef struct Request {
    const char *line;
    RequestLook look;
    const void *asked; /* for it */
} Request;

/* Says what has come of it. Returns a CtlStatus. */
static int tell(const Snapshot *monitor, const char *problem)
{
    g_autoptr(GString) who = g_string_new(NULL);

    text_append_name(who, snapshot_short_id(monitor), TEXT_NAME_MOST);
    g_string_append_c(who, ' ');
    text_append_name(who, snapshot_text(monitor, "name"), TEXT_NAME_MOST);
    if (problem != NULL) {
        g_autoptr(GString) why = g_string_new(NULL);

        text_append_shown(why, problem, strlen(problem));
        fprintf(stderr, "conwardctl: %s: %s\n", who->str, why->str);
        return CTL_FAILED;
    }
    printf("%s: done\n", who->str);
    return CTL_OK;
}

/* Asks all of them before it waits for any, and for all no longer than for one: none that does not
 * answer keeps the others waiting. */
static int send_to(const GPtrArray *monitors, const Request *request)
{
    g_autofree Error *errors = g_new0(Error, monitors->len);
    int status = CTL_OK;
    int64_t until;

    for (guint i = 0; i < monitors->len; i++)
        request_send(g_ptr_array_index(monitors, i), request->line, &errors[i]);
    until = snapshot_now() + REQUEST_WAIT;
    for (guint i = 0; i < monitors->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(monitors, i);

        if (errors[i].text[0] == '\0')
            request_wait(monitor, request->look, request->asked, until, &errors[i]);
        if (tell(monitor, errors[i].text[0] != '\0' ? errors[i].text : NULL) != CTL_OK)
            status = CTL_FAILED;
    }
    return status;
}

static int send_to_all(const Monitors *monitors, const Request *request)
{
    g_autoptr(GPtrArray) chosen = g_ptr_array_new();
    int status;

    for (guint i = 0; i < monitors->list->len; i++) {
        Snapshot *monitor = g_ptr_array_index(monitors->list, i);

        /* One that logs nothing has nothing to change, and one that ends soon needs nothing. */
        if (monitor->page.has_log && monitor->page.phase <= PHASE_RUNNING)
            g_ptr_array_add(chosen, monitor);
    }
    status = send_to(chosen, request);
    return monitors->unread > 0 ? CTL_FAILED : status;
}

/* `word`: whom; NULL = all. */
static int carry_out(const char *directory, const char *word, const Request *request)
{
    g_autoptr(Monitors) monitors = monitors_read(directory);
    g_autoptr(GPtrArray) chosen = g_ptr_array_new();
    const Snapshot *monitor;

    signal(SIGPIPE, SIG_IGN); /* of a monitor that ends just then */
    if (word == NULL)
        return send_to_all(monitors, request);
    monitor = monitors_find(monitors, word);
    if (monitor == NULL)
        return CTL_FAILED;
    if (!monitor->page.has_log) {
        ctl_say("%s has no log: its log driver is none", word);
        return CTL_FAILED;
    }
    g_ptr_array_add(chosen, (gpointer)monitor);
    return send_to(chosen, request);
}

typedef struct Options {
    gboolean all;
    char *directory;
} Options;

/* Parses the options and looks at the number of further arguments. */
static bool parse(int *argc, char ***argv, Options *options, const char *usage, const char *about,
                  int arguments)
{
    const GOptionEntry entries[] = {
        {"all", 'a', 0, G_OPTION_ARG_NONE, &options->all, "All monitors, those of exec too", NULL},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    const char *name = (*argv)[0];

    if (!ctl_options(argc, argv, usage, about, entries))
        return false;
    if (*argc - 1 == arguments + !options->all)
        return true;
    ctl_say("wrong number of arguments; usage: conwardctl %s %s", name, usage);
    return false;
}

int set_run(int argc, char **argv)
{
    Options options = {0};
    g_autofree char *line = NULL;
    const char *word;
    Asked asked;
    int status = CTL_WRONG;

    if (parse(&argc, &argv, &options, "ID|NAME|--all SETTING VALUE",
              "Changes a setting of running monitors, for what is logged from now on.", 2) &&
        check(argv[argc - 2], argv[argc - 1], &asked)) {
        word = options.all ? NULL : argv[1];
        line = g_strdup_printf("set %s %s", argv[argc - 2], argv[argc - 1]);
        status = carry_out(options.directory, word, &(Request){line, has_set, &asked});
    }
    g_free(options.directory);
    return status;
}

int reopen_run(int argc, char **argv)
{
    Options options = {0};
    int status = CTL_WRONG;

    if (parse(&argc, &argv, &options, "ID|NAME|--all",
              "Makes monitors replace their log file by a new, empty one. Move the old file away "
              "before: what "
              "is at its path is gone.",
              0))
        status = carry_out(options.directory, options.all ? NULL : argv[1],
                           &(Request){"2 0 0", has_reopened, NULL});
    g_free(options.directory);
    return status;
}
