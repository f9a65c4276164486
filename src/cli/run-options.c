#include "cli/run-options.h"

#include "cli/shared-options.h"
#include "process/cgroup-place.h"
#include "util/fd.h"
#include "util/shown.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GO_ON = -1,
    DONE = 0,
    REFUSED = 2,
};

enum {
    STOP_TIMEOUT_MOST = 24 * 60 * 60, /* seconds */
    MEMORY_MAX_LEAST = 1 << 20,       /* bytes: what is probably not meant, but 16 for 16M */
};

typedef struct RunOptions {
    SharedOptions shared;
    char *pidfile;
    char *sdnotify;
    char *cgroup;
    char *memory_max;
    gint stop_timeout;
    gboolean quiet;
    gboolean detach;
    gboolean terminal;
    char **command;
} RunOptions;

#define RUN_OPTIONS_NULL              \
    {                                 \
        .shared = SHARED_OPTIONS_NULL \
    }

static void run_options_clear(RunOptions *options)
{
    shared_options_clear(&options->shared);
    g_free(options->pidfile);
    g_free(options->sdnotify);
    g_free(options->cgroup);
    g_free(options->memory_max);
    g_strfreev(options->command);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunOptions, run_options_clear)

static void run_options_add(GOptionContext *context, RunOptions *options)
{
    const GOptionEntry entries[] = {
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet,
         "Log only; do not copy the output to the terminal", NULL},
        {"detach", 'd', 0, G_OPTION_ARG_NONE, &options->detach,
         "Continue in the background; includes --quiet", NULL},
        {"terminal", 't', 0, G_OPTION_ARG_NONE, &options->terminal,
         "Give the command a terminal of its own", NULL},
        {"pidfile", 'P', 0, G_OPTION_ARG_FILENAME, &options->pidfile,
         "File for the pid of the monitor, for --detach", "PATH"},
        {"stop-timeout", 0, 0, G_OPTION_ARG_INT, &options->stop_timeout,
         "Kill the command this long after a signal to stop it (default 0: never)", "SECONDS"},
        {"sdnotify", 0, 0, G_OPTION_ARG_FILENAME, &options->sdnotify,
         "In a unit: who tells the service manager that it is ready (default monitor)",
         "monitor|command"},
        {"cgroup", 0, 0, G_OPTION_ARG_FILENAME, &options->cgroup,
         "Put the command into this cgroup, below our own or with / from the root of all; it is "
         "made if it is not there (default with --memory-max: ID)",
         "NAME"},
        {"memory-max", 0, 0, G_OPTION_ARG_FILENAME, &options->memory_max,
         "Limit the memory of that cgroup, at least 1M", "BYTES[K|M|G|T]"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->command, NULL,
         "-- COMMAND [ARG...]"},
        G_OPTION_ENTRY_NULL,
    };

    g_option_context_add_main_entries(context, entries, NULL);
}

static int usage_error(const Messages *messages, const char *text)
{
    message(messages, LEVEL_ERROR, "%s; try conward run --help", text);
    return REFUSED;
}

/* A unit's file may be missing, or may not say what the unit is to run. */
static int no_command(const Messages *messages, const char *cid)
{
    if (cid == NULL || getenv("NOTIFY_SOCKET") == NULL)
        return usage_error(messages, "No command to run");
    message(messages, LEVEL_ERROR,
            "No command to run: the unit conward@%s takes it from the line COMMAND= of the file "
            "/etc/conward/units/%s, which does not exist or has no such line",
            cid, cid);
    return REFUSED;
}

static int parse(char **argv, const Messages *messages, RunOptions *options)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_auto(GStrv) words = g_strdupv(argv + 1);
    g_autoptr(GError) error = NULL;

    g_option_context_set_summary(
        context, "Runs a process and holds its output: logs it, passes it on, reports the end.\n"
                 "Without --log-path, it is logged to the k8s-file ./ID.log. Without --cid, ID is\n"
                 "the name of the command and a number; without --name, the name is the ID.");
    g_option_context_set_description(context, "Exit status:\n"
                                              "  N      the command's own\n"
                                              "  128+N  the command was ended by signal N\n"
                                              "  127    the command was not found\n"
                                              "  126    the command could not be executed\n"
                                              "  2      conward refused to start it\n"
                                              "  125    conward itself failed later\n"
                                              "With --detach: 0 once it runs in the background.");
    /* The first word that is no option is the command, and what follows is its own. */
    g_option_context_set_strict_posix(context, TRUE);
    shared_options_add(context, &options->shared);
    run_options_add(context, options);

    /* GLib names the program in its help by the first word. */
    g_free(words[0]);
    words[0] = g_strdup("conward run");
    if (!g_option_context_parse_strv(context, &words, &error))
        return usage_error(messages, error->message);
    if (options->shared.version) {
        version_print();
        return DONE;
    }
    if (options->command == NULL)
        return no_command(messages, options->shared.cid);
    return GO_ON;
}

/* COMMAND-PID, of characters that are harmless in a file name and on a terminal. */
static char *default_cid(const char *command)
{
    enum { NAME_MOST = 160 };
    g_autofree char *name = g_path_get_basename(command);

    if (strlen(name) > NAME_MOST)
        name[NAME_MOST] = '\0';
    for (char *at = name; *at != '\0'; at++) {
        if (!g_ascii_isalnum(*at) && strchr("._-", *at) == NULL)
            *at = '_';
    }
    return g_strdup_printf("%s-%d", name, (int)getpid());
}

static bool check_id(RunOptions *options, Messages *messages)
{
    SharedOptions *shared = &options->shared;
    const char *problem;

    if (shared->cid == NULL)
        shared->cid = default_cid(options->command[0]);
    problem = file_name_problem(shared->cid);
    if (problem != NULL) {
        message(messages, LEVEL_ERROR, "The ID given with --cid is not usable: %s", problem);
        return false;
    }
    if (shared->name == NULL)
        shared->name = g_strdup(shared->cid);
    shown_line(messages->id, sizeof(messages->id), shared->cid);
    return true;
}

static bool check_values(const RunOptions *options, const Messages *messages)
{
    if (options->shared.timeout < 0) {
        message(messages, LEVEL_ERROR,
                "--timeout %d is out of range: use a number of seconds, or 0 for no timeout",
                options->shared.timeout);
        return false;
    }
    if (options->stop_timeout < 0 || options->stop_timeout > STOP_TIMEOUT_MOST) {
        message(messages, LEVEL_ERROR,
                "--stop-timeout %d is out of range: use a number of seconds, 0 to %d, where 0 lets "
                "the command take its time",
                options->stop_timeout, STOP_TIMEOUT_MOST);
        return false;
    }
    if (options->sdnotify != NULL && strcmp(options->sdnotify, "monitor") != 0 &&
        strcmp(options->sdnotify, "command") != 0) {
        message(messages, LEVEL_ERROR,
                "--sdnotify %s is neither monitor nor command: it says which of them tells the "
                "service manager that it is ready",
                options->sdnotify);
        return false;
    }
    if (options->pidfile != NULL && !options->detach) {
        message(messages, LEVEL_ERROR,
                "--pidfile is for the monitor of --detach: give both, or --container-pidfile for "
                "the pid of the command");
        return false;
    }
    return true;
}

/* As systemd has it: K, M, G and T are powers of 1024. */
static bool parse_size(const char *text, uint64_t *bytes)
{
    static const char UNITS[] = "KMGT";
    char *end;
    const char *unit;
    guint64 number;
    int shift = 0;

    errno = 0;
    number = g_ascii_strtoull(text, &end, 10);
    if (!g_ascii_isdigit(*text) || errno != 0)
        return false;
    unit = *end != '\0' ? strchr(UNITS, g_ascii_toupper(*end)) : NULL;
    if (unit != NULL) {
        shift = 10 * (int)(unit - UNITS + 1);
        end++;
    }
    *bytes = number << shift;
    return *end == '\0' && *bytes >> shift == number;
}

/* A limit without a cgroup is one of a cgroup with the command's ID. */
static bool check_cgroup(RunOptions *options, const Messages *messages, Config *config)
{
    const char *problem;

    if (options->memory_max != NULL &&
        (!parse_size(options->memory_max, &config->memory_max) ||
         config->memory_max < MEMORY_MAX_LEAST || config->memory_max > G_MAXINT64)) {
        message(messages, LEVEL_ERROR,
                "--memory-max '%.64s' is refused: use a number of bytes, or with K, M, G or T "
                "behind it, such as 512M; at least 1M, or the command could not even start",
                options->memory_max);
        return false;
    }
    if (options->cgroup == NULL && options->memory_max != NULL)
        options->cgroup = g_strdup(options->shared.cid);
    problem = options->cgroup != NULL ? cgroup_name_problem(options->cgroup) : NULL;
    if (problem != NULL)
        message(messages, LEVEL_ERROR, "--cgroup '%s' cannot be a cgroup: %s", options->cgroup,
                problem);
    return problem == NULL;
}

static bool check_log(const RunOptions *options, const Messages *messages, bool resumed,
                      Config *config, int *log_fd)
{
    LogChoice choice;
    char *path;

    if (!shared_options_choose_log(&options->shared, messages, &choice))
        return false;
    if (choice.passthrough) {
        message(messages, LEVEL_ERROR,
                "log driver passthrough is not supported by this version of conward run: use "
                "--log-path k8s-file:PATH, --log-path journald or --log-path none");
        return false;
    }
    /* Not through the grammar: an id may contain colons. */
    path = options->shared.log_paths != NULL ? g_strdup(choice.file)
                                             : g_strdup_printf("./%s.log", options->shared.cid);
    choice.file = path;
    config->log_path = path;
    config->journald = choice.journald;
    return resumed || log_choice_open(&choice, &options->shared, messages, log_fd);
}

int run_options_parse(int argc, char **argv, const Resumed *resumed, Config *config)
{
    g_auto(RunOptions) options = RUN_OPTIONS_NULL;
    CLEANUP_FD int log_fd = -1;
    Messages *messages = &config->messages;
    int status;

    *config = (Config)CONFIG_NULL;
    messages_init(messages, false, false, argc > 0 ? argv[0] : NULL);
    status = parse(argv, messages, &options);
    if (status != GO_ON)
        return status;

    messages->syslog = options.shared.syslog;
    if (resumed != NULL && resumed->id[0] != '\0') {
        g_free(options.shared.cid);
        options.shared.cid = g_strdup(resumed->id);
    }
    if (!shared_options_check_level(&options.shared, messages) || !check_id(&options, messages) ||
        !check_values(&options, messages) || !check_cgroup(&options, messages, config) ||
        !shared_options_check_delay(&options.shared, messages) ||
        !shared_options_take(&options.shared, resumed, false, true, config) ||
        !check_log(&options, messages, resumed != NULL, config, &log_fd))
        return REFUSED;

    config->kind = KIND_RUN;
    config->log_fd = fd_steal(&log_fd);
    config->command = g_steal_pointer(&options.command);
    config->cgroup = g_steal_pointer(&options.cgroup);
    config->monitor_pidfile = g_steal_pointer(&options.pidfile);
    config->stop_timeout = options.stop_timeout;
    config->command_notifies = g_strcmp0(options.sdnotify, "command") == 0;
    config->detach = options.detach;
    config->terminal = options.terminal;
    config->quiet = options.quiet || options.detach;
    shared_options_move(&options.shared, config);
    return GO_ON;
}
