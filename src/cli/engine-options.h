#pragma once

#include "cli/shared-options.h"

#include <glib.h>

/* conmon's command line as it was typed; what `conward run` knows as well is in `shared`. */
typedef struct EngineOptions {
    SharedOptions shared;
    gboolean api_version;
    char *bundle;
    char *cuuid;
    char *runtime;
    char **runtime_args;
    char **runtime_opts;
    gboolean systemd_cgroup;
    gboolean no_pivot;
    gboolean no_new_keyring;
    char *conmon_pidfile;
    gboolean exec;
    char *exec_process_spec;
    gboolean exec_attach;
    char *restore;
    gboolean terminal;
    gboolean stdin_pipe;
    gboolean leave_stdin_open;
    char *log_tag;
    char **log_labels;
    gboolean no_container_partial_message;
    char *socket_dir;
    gboolean full_attach;
    char *sdnotify_socket;
    gboolean replace_listen_pid;
    gboolean sync;
    gboolean help;
    char *ignored;
} EngineOptions;

#define ENGINE_OPTIONS_NULL           \
    {                                 \
        .shared = SHARED_OPTIONS_NULL \
    }

/* Frees what has not been handed over. */
void engine_options_clear(EngineOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EngineOptions, engine_options_clear)

/* Adds conmon's options, the shared ones included; parsing then fills *options. */
void engine_options_add(GOptionContext *context, EngineOptions *options);
