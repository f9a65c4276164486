#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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
    KIND_CREATE, /* an engine creates a container through an OCI runtime */
    KIND_RUN,    /* `conward run`: a plain process, no runtime, no bundle */
} Kind;

typedef struct Config {
    Kind kind;
    int api_version; /* 0 or 1: chooses the key of the sync pipe's JSON */

    const char *cid;   /* never NULL */
    const char *cuuid; /* never NULL for KIND_CREATE */
    const char *name;
    const char *bundle; /* never NULL for KIND_CREATE; default: the working directory */

    const char *runtime;       /* never NULL for KIND_CREATE; executed by path */
    const char **runtime_args; /* before the subcommand; NULL-terminated, may be NULL */
    const char **runtime_opts; /* after the subcommand's own options; as above */
    bool systemd_cgroup;
    bool no_pivot;
    bool no_new_keyring;

    char **command; /* KIND_RUN: argv of the process, NULL-terminated */
    bool quiet;     /* KIND_RUN: no copy of the output on our own stdout and stderr */

    const char *container_pidfile; /* never NULL for KIND_CREATE */
    const char *monitor_pidfile;   /* written by the foreground process */
    const char *exit_dir;
    const char *persist_dir;
    const char *exit_command;
    const char **exit_command_args; /* NULL-terminated, may be NULL */
    int exit_delay;                 /* seconds */
    int timeout;                    /* seconds after the start; 0 = none */
    const char *socket_dir;         /* NULL with --full-attach */
    bool detach;                    /* fork once; false with --sync */

    const char *log_path;        /* NULL: nothing is logged */
    int log_fd;                  /* opened by validation, the monitor's then; -1 without log_path */
    int64_t log_size_max;        /* bytes, 0 = no limit */
    int64_t log_global_size_max; /* bytes, 0 = no limit */
    uint32_t log_line_max;       /* bytes of a line without its newline: 256 to 1048576 */
    int32_t log_partial_flush;   /* milliseconds, 0 = at every read, -1 = never */
    bool log_sync;               /* fsync the log before the monitor leaves */

    Messages messages; /* where the monitor's own messages go */
} Config;

#define CONFIG_NULL  \
    {                \
        .log_fd = -1 \
    }

/* Frees the strings. */
void config_deinit(Config *config);

enum {
    LOG_LINE_MAX_LEAST = 256,
    LOG_LINE_MAX_DEFAULT = 16384,
    LOG_LINE_MAX_MOST = STATE_LINE_MAX_MOST,
    LOG_PARTIAL_FLUSH_DEFAULT = 100,
};
