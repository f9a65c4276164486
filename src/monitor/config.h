#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "state/settings.h"
#include "state/state.h"
#include "util/message.h"

/*
 * What one monitor is told to do: the validated command line, immutable once the command-line
 * room has filled it. It lives here and not in cli/ because the monitor may read it and must not
 * know option syntax.
 *
 * Strings belong to the Config. NULL means "not given" for every string unless its line says that
 * it has a default.
 */
typedef enum Kind {
    KIND_CREATE,  /* an engine creates a container through an OCI runtime */
    KIND_RESTORE, /* the same from a checkpoint: the container runs as soon as it exists */
    KIND_EXEC,    /* an engine runs a further process in a container */
    KIND_RUN,     /* `conward run`: a plain process, no runtime, no bundle */
} Kind;

typedef struct Config {
    Kind kind;
    int api_version; /* 0 or 1: chooses the key of the sync pipe's JSON */

    const char *cid;   /* never NULL */
    const char *cuuid; /* names the attach link; NULL without an attach socket only */
    const char *name;
    const char *bundle; /* default: the working directory; KIND_EXEC: NULL means no attach socket */

    const char *runtime;       /* never NULL but for KIND_RUN; executed by path */
    const char **runtime_args; /* before the subcommand; NULL-terminated, may be NULL */
    const char **runtime_opts; /* after the subcommand's own options; as above */
    bool systemd_cgroup;
    bool no_pivot;
    bool no_new_keyring;
    const char *process_spec; /* KIND_EXEC: what to run, for the runtime */
    const char *checkpoint;   /* KIND_RESTORE: the directory to restore from */
    bool waits_for_attach;    /* KIND_EXEC: the engine says when, after it has attached */

    bool terminal;
    bool stdin_pipe;       /* the container has a standard input that attach clients write to */
    bool leave_stdin_open; /* and none of them closes it */

    char **command;        /* KIND_RUN: argv of the process, NULL-terminated */
    int stop_timeout;      /* KIND_RUN: seconds after a signal to stop it, 0 = for ever */
    bool command_notifies; /* KIND_RUN: the command speaks to the service manager, not we */
    const char *cgroup;    /* KIND_RUN: where the command is to be: see process/cgroup-place.h */
    uint64_t memory_max;   /* KIND_RUN: its limit there, in bytes, 0 = as it is */
    bool quiet;            /* KIND_RUN: no copy of the output on our own stdout and stderr */

    const char *container_pidfile; /* never NULL but for KIND_RUN */
    const char *monitor_pidfile;   /* written by the foreground process */
    const char *exit_dir;
    const char *persist_dir;
    const char *exit_command;
    const char **exit_command_args; /* NULL-terminated, may be NULL */
    int exit_delay;                 /* seconds */
    int32_t late_output;            /* milliseconds for what runs on after the container's end */
    int timeout;                    /* seconds after the start; 0 = none */
    const char *socket_dir;         /* NULL with --full-attach */
    const char *sdnotify_socket;    /* the host's: a path, or @ and an abstract name */
    bool detach;                    /* fork once; false with --sync */
    bool replace_listen_pid;        /* whatever process LISTEN_PID names */
    bool passthrough;               /* the container has our caller's stdio; nothing is logged */

    const char *log_path;     /* of a k8s-file; NULL: there is none */
    int log_fd;               /* opened by validation, the monitor's then; -1 without log_path */
    SettingsPage log;         /* its settings, as they are to begin with */
    bool log_rotate;          /* old files are kept */
    uint32_t log_max_files;   /* so many of them */
    const char **log_allowed; /* directories for logs; NULL-terminated, NULL = any */
    bool log_sync;            /* fsync the log before the monitor leaves */
    bool journald;            /* it is logged to the journal, too; there: */
    const char *log_tag;
    const char *const *log_labels; /* FIELD=VALUE, NULL-terminated; NULL = none */
    bool hides_partials;           /* entries do not say that their line goes on */
    bool log_priority_prefix;      /* <N> at the beginning of a line is its entries' priority */
    int64_t attach_spool_max;      /* bytes, 0 = no spool, -1 = not given: our choice */
    int attach_stall_timeout;      /* seconds a client may make the container wait */
    int attach_linger;             /* seconds a client may take nothing after the end */
    bool sync_events;              /* the engine's pipe also tells of kills and of the end */
    bool crash_core;               /* a crash that is survived also leaves a core dump */

    /* For behind the page, where the next image finds it: the settings that have been given, and
     * where they came from; see settings/take.h. */
    const char *settings;
    size_t settings_length;

    Messages messages; /* where the monitor's own messages go */
} Config;

enum {
    LOG_BACKUPS_MOST = 1000, /* each rotation renames them all */
    LATE_OUTPUT_DEFAULT = 500,
    ATTACH_STALL_TIMEOUT_DEFAULT = 30,
    ATTACH_LINGER_DEFAULT = 10,
};

/* Nothing but the defaults of what a node's settings may change. */
#define CONFIG_NULL                                                                     \
    {                                                                                   \
        .log_fd = -1,                                                                   \
        .log = {.log_line_max = LOG_LINE_MAX_DEFAULT,                                   \
                .log_partial_flush = LOG_PARTIAL_FLUSH_DEFAULT,                         \
                .log_on_error = LOG_DROP,                                               \
                .log_rate_policy = LOG_WAIT,                                            \
                .log_loss_record = 1},                                                  \
        .log_max_files = 1, .late_output = LATE_OUTPUT_DEFAULT, .attach_spool_max = -1, \
        .attach_stall_timeout = ATTACH_STALL_TIMEOUT_DEFAULT,                           \
        .attach_linger = ATTACH_LINGER_DEFAULT,                                         \
    }

/* Whether the container runs before its runtime has ended, so that all output may be its own. */
static inline bool config_runs_at_once(const Config *config)
{
    return config->kind == KIND_EXEC || config->kind == KIND_RESTORE;
}

/* Whether the monitor is no job of our caller's terminal. */
static inline bool config_in_background(const Config *config)
{
    return config->kind != KIND_RUN || config->detach;
}

/* Frees the strings. */
void config_deinit(Config *config);
