#include "cli/options.h"

#include "cli/engine-options.h"
#include "cli/run-options.h"
#include "cli/shared-options.h"
#include "util/fd.h"
#include "util/shown.h"

#include <errno.h>
#include <glib.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GO_ON = -1,
    DONE = 0,
    REFUSED = 1,
};

/*
 * GLib's parser is the grammar that engines write for: a value may begin with '-' (--runtime-arg
 * --log-format=json), stray words are skipped wherever they stand (--api-version 1), names are not
 * abbreviated. It takes its copy of argv apart; ours stays as it is.
 */
static int parse(char **argv, EngineOptions *options)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_auto(GStrv) words = g_strdupv(argv);
    g_autoptr(GError) error = NULL;

    g_option_context_set_summary(
        context, "Holds a container's output: logs it, serves attach clients, reports the end.\n"
                 "Takes the options of conmon, from a container engine.");
    g_option_context_set_description(
        context, "A plain process needs no engine: conward run [OPTIONS] -- COMMAND [ARG...]\n"
                 "See conward run --help.");
    engine_options_add(context, options);

    if (!g_option_context_parse_strv(context, &words, &error)) {
        g_autofree char *shown = shown_line_new(error->message);

        fprintf(stderr, "conmon: option parsing failed: %s\n", shown);
        return REFUSED;
    }
    if (options->help) {
        g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);

        g_print("%s", help);
        return DONE;
    }
    if (options->shared.version) {
        version_print();
        return DONE;
    }
    return GO_ON;
}

/* What conmon says before it knows where its messages go, in a form of its own. */
static bool check_early(const EngineOptions *options)
{
    const char *cid = options->shared.cid;
    int files = options->shared.log_max_files;
    const char *problem;

    if (files < 0 && files != FILES_NOT_GIVEN) {
        fprintf(stderr, "conmon: log-max-files must be non-negative, got %d\n", files);
        return false;
    }
    if (options->shared.log_rotate && files == 0) {
        fprintf(stderr, "conmon: log-max-files must be at least 1 when log-rotate is enabled, "
                        "got 0\n");
        return false;
    }
    if (options->shared.log_rotate && files > LOG_BACKUPS_MOST) {
        fprintf(stderr,
                "conmon: log-max-files must be at most %d when log-rotate is enabled, got %d: "
                "every rotation renames that many files\n",
                LOG_BACKUPS_MOST, files);
        return false;
    }
    if (cid == NULL || *cid == '\0') {
        fprintf(stderr, "conmon: Container ID not provided. Use --cid\n");
        return false;
    }
    problem = file_name_problem(cid);
    if (problem != NULL)
        fprintf(stderr, "conmon: Container ID given with --cid is not usable: %s\n", problem);
    return problem == NULL;
}

static void set_messages(const EngineOptions *options, const char *argv0, Messages *messages)
{
    g_autofree char *id = g_strconcat(options->shared.cid, options->log_tag != NULL ? ": " : NULL,
                                      options->log_tag, NULL);

    /* The journal reads syslog, and Podman the output of such a container from there. */
    messages_init(messages, true,
                  options->shared.syslog && !shared_options_pass_through(&options->shared), argv0);
    shown_line(messages->id, sizeof(messages->id), id);
}

static bool refuse(const Messages *messages, const char *sentence)
{
    message(messages, LEVEL_ERROR, "%s", sentence);
    return false;
}

static bool check_mode(const EngineOptions *options, const Messages *messages)
{
    if (options->exec && options->restore != NULL)
        return refuse(messages, "Cannot use 'exec' and 'restore' at the same time");
    if (options->exec_attach && !options->exec)
        return refuse(messages, "Attach can only be specified with exec");
    if (options->exec_attach && !options->api_version)
        return refuse(messages, "Attach can only be specified for a non-legacy exec session");
    return true;
}

static bool check_cuuid(const EngineOptions *options, const Messages *messages)
{
    const char *cuuid = options->cuuid;
    bool legacy_exec = options->exec && !options->api_version;
    const char *problem;

    if (legacy_exec && cuuid == NULL)
        return true;
    if (cuuid == NULL || *cuuid == '\0')
        return refuse(messages, "Container UUID not provided. Use --cuuid");
    problem = file_name_problem(cuuid);
    if (problem != NULL)
        message(messages, LEVEL_ERROR, "Container UUID given with --cuuid is not usable: %s",
                problem);
    return problem == NULL;
}

static bool check_runtime(const EngineOptions *options, const Messages *messages)
{
    if (options->runtime == NULL)
        return refuse(messages, "Runtime path not provided. Use --runtime");
    if (access(options->runtime, X_OK) == 0)
        return true;
    message(messages, LEVEL_ERROR, "Runtime path %s is not valid %s", options->runtime,
            strerror(errno));
    return false;
}

static bool check_exec(const EngineOptions *options, const Messages *messages)
{
    if (!options->exec || options->exec_process_spec != NULL)
        return true;
    return refuse(messages, "Exec process spec path not provided. Use --exec-process-spec");
}

/* Fills in what conmon derives from the working directory. */
static void set_paths_in(const char *directory, EngineOptions *options)
{
    if (options->shared.container_pidfile == NULL)
        options->shared.container_pidfile =
            g_strdup_printf("%s/pidfile-%s", directory, options->shared.cid);
    if (options->bundle == NULL && !options->exec)
        options->bundle = g_strdup(directory);
}

/* conmon asks for it even if it needs it not. */
static bool check_directory(EngineOptions *options, const Messages *messages)
{
    g_autofree char *directory = getcwd(NULL, 0);

    if (directory == NULL) {
        message(messages, LEVEL_ERROR,
                "Failed to get working directory: %s; start from a directory that exists",
                strerror(errno));
        return false;
    }
    set_paths_in(directory, options);
    return true;
}

/* journald takes fields whose names are made like this, and conmon exactly one '=' in each. */
static bool check_label(const char *label, const Messages *messages)
{
    const char *equals = strchr(label, '=');

    if (equals == NULL || equals == label || strchr(equals + 1, '=') != NULL) {
        message(messages, LEVEL_ERROR, "Container labels must be in format LABEL=VALUE (%s)",
                label);
        return false;
    }
    for (const char *at = label; at < equals; at++) {
        if (g_ascii_isupper(*at) || g_ascii_isdigit(*at) || *at == '_')
            continue;
        message(messages, LEVEL_ERROR,
                "Container label names must contain only uppercase letters, numbers and "
                "underscore (in '%s')",
                label);
        return false;
    }
    return true;
}

static bool check_journald(const EngineOptions *options, const Messages *messages)
{
    enum { SHORT_ID = 12 }; /* goes into a field of its own, beside the full id */

    if (strlen(options->shared.cid) <= SHORT_ID)
        return refuse(messages, "Container ID must be longer than 12 characters");
    for (char **label = options->log_labels; label != NULL && *label != NULL; label++) {
        if (!check_label(*label, messages))
            return false;
    }
    return true;
}

static bool check_log(const EngineOptions *options, const Messages *messages, LogChoice *choice,
                      int *log_fd)
{
    if (options->shared.log_paths == NULL)
        return refuse(messages, "Log driver not provided. Use --log-path");
    if (!shared_options_choose_log(&options->shared, messages, choice) ||
        !log_choice_open(choice, &options->shared, messages, log_fd))
        return false;
    if (choice->file != NULL && !choice->journald && options->log_tag != NULL)
        return refuse(messages, "k8s-file doesn't support --log-tag");
    if (choice->file != NULL && !choice->journald && options->log_labels != NULL)
        return refuse(messages, "k8s-file doesn't support --log-label");
    if (choice->journald && !check_journald(options, messages))
        return false;
    if (options->no_container_partial_message && !choice->journald)
        message(messages, LEVEL_WARNING,
                "--no-container-partial-message has no effect without journald log driver");
    if (choice->passthrough && (choice->file != NULL || choice->journald))
        message(messages, LEVEL_WARNING,
                "Nothing is logged: with log driver passthrough, the container writes to where its "
                "caller does");
    return true;
}

static bool take_settings(EngineOptions *options, const Resumed *resumed, Config *config)
{
    return shared_options_take(&options->shared, resumed, options->exec, false, config);
}

/* We make the attach socket and the fifos there; conmon fails at it later, where nobody hears. */
static bool check_bundle(const EngineOptions *options, const Messages *messages)
{
    struct stat status;
    int number = 0;

    if (options->bundle == NULL)
        return true;
    if (stat(options->bundle, &status) < 0)
        number = errno;
    else if (!S_ISDIR(status.st_mode))
        number = ENOTDIR;
    else if (access(options->bundle, W_OK | X_OK) < 0)
        number = errno;
    if (number == 0)
        return true;
    message(messages, LEVEL_ERROR,
            "Bundle path %s is not usable: %s; --bundle must name a directory that can be searched "
            "and written",
            options->bundle, strerror(number));
    return false;
}

static void move(EngineOptions *options, Config *config)
{
    shared_options_move(&options->shared, config);
    config->kind = options->exec              ? KIND_EXEC
                   : options->restore != NULL ? KIND_RESTORE
                                              : KIND_CREATE;
    config->api_version = options->api_version ? 1 : 0;
    config->cuuid = g_steal_pointer(&options->cuuid);
    config->bundle = g_steal_pointer(&options->bundle);
    config->runtime = g_steal_pointer(&options->runtime);
    config->runtime_args = (const char **)g_steal_pointer(&options->runtime_args);
    config->runtime_opts = (const char **)g_steal_pointer(&options->runtime_opts);
    config->systemd_cgroup = options->systemd_cgroup;
    config->no_pivot = options->no_pivot;
    config->no_new_keyring = options->no_new_keyring;
    config->process_spec = g_steal_pointer(&options->exec_process_spec);
    config->checkpoint = g_steal_pointer(&options->restore);
    config->waits_for_attach = options->exec_attach;
    config->terminal = options->terminal;
    config->stdin_pipe = options->stdin_pipe;
    config->leave_stdin_open = options->leave_stdin_open;
    config->monitor_pidfile = g_steal_pointer(&options->conmon_pidfile);
    config->detach = !options->sync;
    config->replace_listen_pid = options->replace_listen_pid;
    /* An empty one is what a script makes of a variable that is not set. */
    if (options->sdnotify_socket != NULL && *options->sdnotify_socket != '\0' &&
        config->bundle != NULL)
        config->sdnotify_socket = g_steal_pointer(&options->sdnotify_socket);
    if (options->full_attach || config->bundle == NULL)
        return;
    config->socket_dir = options->socket_dir != NULL ? g_steal_pointer(&options->socket_dir)
                                                     : g_strdup("/var/run/crio");
}

/* Passthrough leaves nothing to log, as with conmon, which makes the file nevertheless. */
static void set_log(const LogChoice *choice, EngineOptions *options, Config *config)
{
    config->passthrough = choice->passthrough;
    if (choice->passthrough)
        return;
    config->log_path = g_strdup(choice->file);
    config->journald = choice->journald;
    config->log_tag = g_steal_pointer(&options->log_tag);
    config->log_labels = (const char *const *)g_steal_pointer(&options->log_labels);
    config->hides_partials = options->no_container_partial_message;
}

/* What a command line that has been validated once says, without looking at any file. */
static bool resume(EngineOptions *options, const Resumed *resumed, Messages *messages,
                   Config *config)
{
    g_autofree char *directory = getcwd(NULL, 0); /* NULL: it has been removed meanwhile */
    LogChoice choice;

    set_paths_in(directory != NULL ? directory : "/proc/self/cwd", options);
    if (!shared_options_check_level(&options->shared, messages) ||
        !take_settings(options, resumed, config) ||
        !shared_options_choose_log(&options->shared, messages, &choice))
        return false;
    set_log(&choice, options, config);
    return true;
}

static int engine_options_parse(char **argv, const Resumed *resumed, Config *config)
{
    g_auto(EngineOptions) options = ENGINE_OPTIONS_NULL;
    CLEANUP_FD int log_fd = -1;
    Messages *messages = &config->messages;
    LogChoice choice;
    int status;

    umask(0022); /* whatever the engine's is; a process wrapped by `run` keeps its caller's */
    status = parse(argv, &options);
    if (status != GO_ON)
        return status;
    if (!check_early(&options))
        return REFUSED;

    *config = (Config)CONFIG_NULL;
    set_messages(&options, argv[0], messages);
    if (resumed != NULL) {
        if (!resume(&options, resumed, messages, config))
            return REFUSED;
        move(&options, config);
        return GO_ON;
    }
    /* The order is conmon's, with our own options where nothing has been created yet. */
    if (!shared_options_check_level(&options.shared, messages) || !check_mode(&options, messages) ||
        !check_cuuid(&options, messages) || !check_runtime(&options, messages) ||
        !check_exec(&options, messages) || !check_directory(&options, messages) ||
        !shared_options_check_delay(&options.shared, messages) ||
        !take_settings(&options, NULL, config) ||
        !check_log(&options, messages, &choice, &log_fd) || !check_bundle(&options, messages))
        return REFUSED;

    set_log(&choice, &options, config);
    if (config->log_path != NULL)
        config->log_fd = fd_steal(&log_fd);
    move(&options, config);
    return GO_ON;
}

int options_parse(int argc, char **argv, const Resumed *resumed, Config *config)
{
    bool run = argc > 1 && strcmp(argv[1], "run") == 0;
    int status;

    setlocale(LC_CTYPE, ""); /* for --log-tag; other categories would change messages and dates */
    status = run ? run_options_parse(argc, argv, resumed, config)
                 : engine_options_parse(argv, resumed, config);
    setlocale(LC_CTYPE, "C"); /* the monitor needs none, and none of its tables in memory */
    malloc_trim(0);           /* nor what parsing has taken, which would be its own after a fork */
    return status;
}
