#include "cli/shared-options.h"

#include "log/k8s-file.h"
#include "log/log-path.h"
#include "settings/take.h"
#include "version.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    FILE_NAME_MOST = 200, /* leaves room below NAME_MAX for what a temporary file adds */
};

void shared_options_clear(SharedOptions *shared)
{
    g_free(shared->cid);
    g_free(shared->name);
    g_free(shared->container_pidfile);
    g_free(shared->exit_dir);
    g_free(shared->persist_dir);
    g_free(shared->exit_command);
    g_strfreev(shared->exit_command_args);
    g_strfreev(shared->log_paths);
    for (size_t i = 0; i < TUNABLES_MAX; i++)
        g_free(shared->given[i]);
    g_strfreev(shared->log_allowlist_dirs);
    g_free(shared->log_level);
    *shared = (SharedOptions)SHARED_OPTIONS_NULL;
}

/* Texts are file names to GLib: it would refuse a non-ASCII byte of others in a C locale. */
void shared_options_add(GOptionContext *context, SharedOptions *shared)
{
    const GOptionEntry entries[] = {
        {"cid", 'c', 0, G_OPTION_ARG_FILENAME, &shared->cid, "Identification of the container",
         "ID"},
        {"name", 'n', 0, G_OPTION_ARG_FILENAME, &shared->name, "Name of the container", "NAME"},
        {"container-pidfile", 'p', 0, G_OPTION_ARG_FILENAME, &shared->container_pidfile,
         "File for the pid of the container's first process", "PATH"},
        {"log-path", 'l', 0, G_OPTION_ARG_FILENAME_ARRAY, &shared->log_paths,
         "Where the output goes: a file (k8s-file), systemd's journal (journald), nowhere (none), "
         "or, for engines, to their own output (passthrough). Can be given several times",
         "[k8s-file:]PATH|journald|none|passthrough"},
        {"log-size-max", 0, 0, G_OPTION_ARG_INT64, &shared->log_size_max,
         "Maximum size of the log file; 0 or less means no limit", "BYTES"},
        {"log-global-size-max", 0, 0, G_OPTION_ARG_INT64, &shared->log_global_size_max,
         "Stop logging after this many bytes in total; 0 or less means no limit", "BYTES"},
        {"log-rotate", 0, 0, G_OPTION_ARG_NONE, &shared->log_rotate,
         "Keep what was logged before --log-size-max was reached, in PATH.1 and so on", NULL},
        {"log-max-files", 0, 0, G_OPTION_ARG_INT, &shared->log_max_files,
         "Old log files to keep, 1 to 1000, for --log-rotate (default 1)", "COUNT"},
        {"log-allowlist-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &shared->log_allowlist_dirs,
         "The log must be in or below this directory. Can be given several times", "DIR"},
        {"no-sync-log", 0, 0, G_OPTION_ARG_NONE, &shared->no_sync_log,
         "Do not sync the log to the disk at the end", NULL},
        {"log-level", 0, 0, G_OPTION_ARG_FILENAME, &shared->log_level,
         "Own messages to show: error, warning, info, debug or trace (default warning)", "LEVEL"},
        {"syslog", 0, 0, G_OPTION_ARG_NONE, &shared->syslog, "Send own messages to syslog as well",
         NULL},
        {"exit-dir", 0, 0, G_OPTION_ARG_FILENAME, &shared->exit_dir,
         "Write the exit status to DIR/ID", "DIR"},
        {"persist-dir", '0', 0, G_OPTION_ARG_FILENAME, &shared->persist_dir,
         "Write the exit status to DIR/exit", "DIR"},
        {"exit-command", 0, 0, G_OPTION_ARG_FILENAME, &shared->exit_command,
         "Program to run after the end", "PATH"},
        {"exit-command-arg", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &shared->exit_command_args,
         "Argument of the exit command. Can be given several times", "ARG"},
        {"exit-delay", 0, 0, G_OPTION_ARG_INT, &shared->exit_delay,
         "Wait before the exit command runs", "SECONDS"},
        {"timeout", 'T', 0, G_OPTION_ARG_INT, &shared->timeout,
         "Kill the container after this time", "SECONDS"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &shared->version, "Show the version", NULL},
        G_OPTION_ENTRY_NULL,
    };

    g_option_context_add_main_entries(context, entries, NULL);
    tunable_options_add(context, shared, false);
}

void tunable_options_add(GOptionContext *context, SharedOptions *shared, bool engine)
{
    for (size_t i = 0; TUNABLES[i].name != NULL; i++) {
        const Tunable *tunable = &TUNABLES[i];
        bool is_flag = tunable->where & TUNABLE_FLAG;
        const GOptionEntry entries[] = {
            {tunable->name, 0, 0, is_flag ? G_OPTION_ARG_NONE : G_OPTION_ARG_FILENAME,
             is_flag ? (void *)&shared->flags[i] : (void *)&shared->given[i], tunable->help,
             tunable->argument},
            G_OPTION_ENTRY_NULL,
        };

        if (tunable->help != NULL && !(tunable->where & TUNABLE_ENGINE) == !engine)
            g_option_context_add_main_entries(context, entries, NULL);
    }
}

void version_print(void)
{
    /* 2.2.1 is the conmon whose behaviour we have; CRI-O insists on a plain semantic version. */
    printf("conmon version 2.2.1\ncommit: conward %s (%s)\n", CONWARD_VERSION, CONWARD_COMMIT);
}

void messages_init(Messages *messages, bool engine_style, bool syslog, const char *argv0)
{
    /* The kernel's word behind the path of a file that was removed, or replaced by an upgrade. */
    static const char DELETED[] = " (deleted)";
    /* And before the name of one in memory: see image_execute(). */
    static const char IN_MEMORY[] = "/memfd:";
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const char *program = argv0 != NULL ? argv0 : "conward";
    const char *slash;

    *messages = (Messages){
        .level = LEVEL_WARNING,
        .engine_style = engine_style,
        .syslog = syslog,
    };
    if (length > 0) {
        path[length] = '\0';
        if (g_str_has_suffix(path, DELETED))
            path[strlen(path) - strlen(DELETED)] = '\0';
        program = path;
    }
    if (g_str_has_prefix(program, IN_MEMORY))
        program += strlen(IN_MEMORY);
    slash = strrchr(program, '/');
    g_strlcpy(messages->ident, slash != NULL ? slash + 1 : program, sizeof(messages->ident));
}

/* What to do about it, for people: engines get conmon's words alone. */
static const char *advice(const Messages *messages, const char *text)
{
    return messages->engine_style ? "" : text;
}

const char *file_name_problem(const char *name)
{
    if (*name == '\0')
        return "it must not be empty";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return "it must not be '.' or '..', for files are named after it";
    if (strchr(name, '/') != NULL)
        return "it must not contain '/', for files are named after it";
    if (strlen(name) > FILE_NAME_MOST)
        return "it must not be longer than 200 bytes, for files are named after it";
    return NULL;
}

bool shared_options_check_level(const SharedOptions *shared, Messages *messages)
{
    if (shared->log_level == NULL || level_parse(shared->log_level, &messages->level))
        return true;
    message(messages, LEVEL_ERROR, "No such log level %s%s", shared->log_level,
            advice(messages, "; use error, warning, info, debug or trace"));
    return false;
}

bool shared_options_check_delay(const SharedOptions *shared, const Messages *messages)
{
    if (shared->exit_delay >= 0)
        return true;
    message(messages, LEVEL_ERROR,
            "Delay before invoking exit command must be greater than or equal to 0");
    return false;
}

/* What GLib has read for us, whose numbers are conmon's. */
static void give(SharedOptions *shared, const char *name, char *text)
{
    shared->given[tunable_find(name)] = text;
}

/* What conmon does not object to, as long as there is no rotation, means nothing. */
static bool has_max_files(const SharedOptions *shared, bool strict)
{
    int files = shared->log_max_files;

    return strict ? files != FILES_NOT_GIVEN : files >= 1 && files <= LOG_BACKUPS_MOST;
}

bool shared_options_take(SharedOptions *shared, const Resumed *resumed, bool exec, bool strict,
                         Config *config)
{
    const TakeOptions options = {shared->given, exec, strict, &config->messages};

    if (shared->log_size_max != NOT_GIVEN)
        give(shared, "log-size-max", g_strdup_printf("%" G_GINT64_FORMAT, shared->log_size_max));
    if (shared->log_rotate)
        give(shared, "log-rotate", g_strdup("yes"));
    if (has_max_files(shared, strict))
        give(shared, "log-max-files", g_strdup_printf("%d", shared->log_max_files));
    for (size_t i = 0; i < TUNABLES_MAX; i++) {
        if (shared->flags[i])
            shared->given[i] = g_strdup("yes");
    }
    if (!(resumed != NULL ? settings_take_again(&options, resumed->page_fd, config)
                          : settings_take(&options, config)))
        return false;
    config->log.log_backups = config->log_rotate ? config->log_max_files : 0;
    return true;
}

bool shared_options_pass_through(const SharedOptions *shared)
{
    bool found = false;

    for (char **value = shared->log_paths; value != NULL && *value != NULL; value++) {
        LogPath path;

        found = found || (log_path_parse(*value, &path) == LOG_PATH_OK &&
                          path.driver == LOG_DRIVER_PASSTHROUGH);
    }
    return found;
}

bool shared_options_choose_log(const SharedOptions *shared, const Messages *messages,
                               LogChoice *choice)
{
    *choice = (LogChoice){.file = NULL};
    for (char **value = shared->log_paths; value != NULL && *value != NULL; value++) {
        LogPath path;

        switch (log_path_parse(*value, &path)) {
        case LOG_PATH_OK:
            break;
        case LOG_PATH_EMPTY:
            message(messages, LEVEL_ERROR, "log-path must not be empty");
            return false;
        case LOG_PATH_NO_FILENAME:
            message(messages, LEVEL_ERROR, "k8s-file requires a filename");
            return false;
        case LOG_PATH_NO_DRIVER:
            message(messages, LEVEL_ERROR, "No such log driver %.*s%s", path.driver_length,
                    path.driver_name,
                    advice(messages, "; use PATH, k8s-file:PATH, journald or none"));
            return false;
        }
        if (path.file != NULL)
            choice->file = path.file;
        choice->journald |= path.driver == LOG_DRIVER_JOURNALD;
        choice->passthrough |= path.driver == LOG_DRIVER_PASSTHROUGH;
    }
    return true;
}

/*
 * Also after the file has been opened: only then it is certain where it is. (The link in /proc
 * leads there.)
 */
static bool is_allowed(const char *path, const SharedOptions *shared, const Messages *messages)
{
    Error error = ERROR_NULL;

    if (rotation_check_allowed(path, (const char *const *)shared->log_allowlist_dirs, &error) == 0)
        return true;
    message(messages, LEVEL_ERROR, "%s", error.text);
    return false;
}

bool log_choice_open(const LogChoice *choice, const SharedOptions *shared, const Messages *messages,
                     int *fd)
{
    char link[32];
    int opened;

    *fd = -1;
    if (choice->file == NULL)
        return true;
    if (!is_allowed(choice->file, shared, messages))
        return false;
    opened = k8s_file_open(choice->file);
    if (opened == -EMLINK) {
        message(messages, LEVEL_ERROR,
                "Log file %s is a symbolic link that another user has made in a directory where "
                "everybody may create files; it is not followed. Remove it, or name a file in a "
                "directory of your own with --log-path",
                choice->file);
        return false;
    }
    if (opened < 0) {
        message(messages, LEVEL_ERROR,
                "Failed to open log file %s: %s; --log-path must name a file that can be written, "
                "in a directory that exists",
                choice->file, strerror(-opened));
        return false;
    }
    *fd = opened;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", opened);
    return is_allowed(link, shared, messages);
}

void shared_options_move(SharedOptions *shared, Config *config)
{
    config->cid = g_steal_pointer(&shared->cid);
    config->name = g_steal_pointer(&shared->name);
    config->container_pidfile = g_steal_pointer(&shared->container_pidfile);
    config->exit_dir = g_steal_pointer(&shared->exit_dir);
    config->persist_dir = g_steal_pointer(&shared->persist_dir);
    config->exit_command = g_steal_pointer(&shared->exit_command);
    config->exit_command_args = (const char **)g_steal_pointer(&shared->exit_command_args);
    config->exit_delay = shared->exit_delay;
    config->timeout = MAX(shared->timeout, 0);
    config->log.log_global_size_max = MAX(shared->log_global_size_max, 0);
    config->log_allowed = (const char **)g_steal_pointer(&shared->log_allowlist_dirs);
    config->log_sync = !shared->no_sync_log;
}
