#include "ctl/set.h"

#include "ctl/command.h"
#include "ctl/monitors.h"
#include "ctl/request.h"
#include "ctl/text.h"
#include "state/settings.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct Asked {
    const char *name;
    const char *value;
} Asked;

/* Whether there is such a setting and value; otherwise says why not. */
static bool check(const Asked *asked)
{
    g_autoptr(GString) names = g_string_new(settings_name(0));
    SettingsPage unused;

    switch (settings_set(&unused, asked->name, asked->value)) {
    case SETTING_OK:
        return true;
    case SETTING_WRONG:
        ctl_say("%s cannot be '%s': use %s", asked->name, asked->value,
                settings_values(asked->name));
        return false;
    default:
        for (size_t i = 1; settings_name(i) != NULL; i++)
            g_string_append_printf(names, ", %s", settings_name(i));
        ctl_say("there is no setting '%s' that can be changed while a monitor runs; there are %s",
                asked->name, names->str);
        return false;
    }
}

/* Others may set something at the same time: what counts is the value that is in force. */
static RequestState has_set(const Page *before, const Page *now, const void *data, Error *error)
{
    const Asked *asked = data;
    SettingsPage wanted = now->settings;
    char value[SETTING_TEXT_MOST];

    settings_set(&wanted, asked->name, asked->value);
    if (now->settings.generation == before->settings.generation)
        return REQUEST_WAITING;
    if (memcmp(&wanted, &now->settings, sizeof(wanted)) == 0)
        return REQUEST_DONE;
    settings_get(&now->settings, asked->name, value);
    error_set(
        error, 0,
        "%s is %s and not what was asked for: somebody else changed a setting at the same time",
        asked->name, value);
    return REQUEST_OVERTAKEN;
}

static RequestState has_reopened(const Page *before, const Page *now, const void *asked,
                                 Error *error)
{
    (void)asked;
    (void)error;
    return page_cursors(now)->reopens != page_cursors(before)->reopens ? REQUEST_DONE
                                                                       : REQUEST_WAITING;
}

typedef struct Request {
    const char *line;
    RequestLook look;
    const void *asked; /* for it */
    bool needs_file;   /* it is about the log file, and not the log */
} Request;

static bool concerns(const Request *request, const Page *page)
{
    return page->has_file || (page->has_journal && !request->needs_file);
}

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
        if (concerns(request, &monitor->page) && monitor->page.phase <= PHASE_RUNNING)
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
    if (!concerns(request, &monitor->page)) {
        ctl_say("%s has no log%s: its log driver is %s", word, request->needs_file ? " file" : "",
                snapshot_log_driver(monitor));
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
    int status = CTL_WRONG;

    if (parse(&argc, &argv, &options, "ID|NAME|--all SETTING VALUE",
              "Changes a setting of running monitors, for what is logged from now on.", 2)) {
        const Asked asked = {argv[argc - 2], argv[argc - 1]};

        word = options.all ? NULL : argv[1];
        line = g_strdup_printf("set %s %s", asked.name, asked.value);
        if (check(&asked))
            status = carry_out(options.directory, word, &(Request){line, has_set, &asked, false});
    }
    g_free(options.directory);
    return status;
}

int reopen_run(int argc, char **argv)
{
    Options options = {0};
    int status = CTL_WRONG;

    if (parse(&argc, &argv, &options, "ID|NAME|--all",
              "Makes monitors replace their log file with a new, empty one. Move the old file away "
              "first: what is at its path is lost.",
              0))
        status = carry_out(options.directory, options.all ? NULL : argv[1],
                           &(Request){"2 0 0", has_reopened, NULL, true});
    g_free(options.directory);
    return status;
}
