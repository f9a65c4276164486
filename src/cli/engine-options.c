#include "cli/engine-options.h"

void engine_options_clear(EngineOptions *options)
{
    shared_options_clear(&options->shared);
    g_free(options->bundle);
    g_free(options->cuuid);
    g_free(options->runtime);
    g_strfreev(options->runtime_args);
    g_strfreev(options->runtime_opts);
    g_free(options->conmon_pidfile);
    g_free(options->exec_process_spec);
    g_free(options->restore);
    g_free(options->log_tag);
    g_strfreev(options->log_labels);
    g_free(options->socket_dir);
    g_free(options->sdnotify_socket);
    g_free(options->ignored);
}

void engine_options_add(GOptionContext *context, EngineOptions *options)
{
    const GOptionEntry entries[] = {
        {"api-version", 0, 0, G_OPTION_ARG_NONE, &options->api_version,
         "Speak version 1 of the protocol on the sync pipe", NULL},
        {"bundle", 'b', 0, G_OPTION_ARG_FILENAME, &options->bundle,
         "OCI bundle (default: the working directory)", "DIR"},
        {"cuuid", 'u', 0, G_OPTION_ARG_FILENAME, &options->cuuid,
         "Identification of the container or the exec session", "ID"},
        {"runtime", 'r', 0, G_OPTION_ARG_FILENAME, &options->runtime, "OCI runtime", "PATH"},
        {"runtime-arg", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->runtime_args,
         "Argument for the runtime, before its command. Can be given several times", "ARG"},
        {"runtime-opt", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->runtime_opts,
         "Argument for the runtime, after its command. Can be given several times", "ARG"},
        {"restore-arg", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME_ARRAY,
         &options->runtime_opts, "Old name of --runtime-opt", "ARG"},
        {"systemd-cgroup", 's', 0, G_OPTION_ARG_NONE, &options->systemd_cgroup,
         "Let the runtime make cgroups through systemd", NULL},
        {"no-pivot", 0, 0, G_OPTION_ARG_NONE, &options->no_pivot,
         "Let the runtime do without pivot_root", NULL},
        {"no-new-keyring", 0, 0, G_OPTION_ARG_NONE, &options->no_new_keyring,
         "Let the runtime keep the session keyring", NULL},
        {"pidfile", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME,
         &options->shared.container_pidfile, "Old name of --container-pidfile", "PATH"},
        {"conmon-pidfile", 'P', 0, G_OPTION_ARG_FILENAME, &options->conmon_pidfile,
         "File for the monitor's own pid", "PATH"},
        {"exec", 'e', 0, G_OPTION_ARG_NONE, &options->exec, "Run a command in a running container",
         NULL},
        {"exec-process-spec", 0, 0, G_OPTION_ARG_FILENAME, &options->exec_process_spec,
         "Process to run, for --exec", "PATH"},
        {"exec-attach", 0, 0, G_OPTION_ARG_NONE, &options->exec_attach,
         "Wait for somebody to attach, for --exec", NULL},
        {"restore", 0, 0, G_OPTION_ARG_FILENAME, &options->restore, "Restore from a checkpoint",
         "DIR"},
        {"terminal", 't', 0, G_OPTION_ARG_NONE, &options->terminal, "Give the container a terminal",
         NULL},
        {"stdin", 'i', 0, G_OPTION_ARG_NONE, &options->stdin_pipe,
         "Give the container a standard input", NULL},
        {"leave-stdin-open", 0, 0, G_OPTION_ARG_NONE, &options->leave_stdin_open,
         "Keep the standard input open when a client leaves", NULL},
        /*
         * The only text that must be valid in the locale's charset. Podman's test suite asserts
         * that a non-ASCII tag is refused under LANG=C, in the words GLib has for it.
         */
        {"log-tag", 0, 0, G_OPTION_ARG_STRING, &options->log_tag, "Tag for journald", "TAG"},
        {"log-label", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->log_labels,
         "Field for journald. Can be given several times", "LABEL=VALUE"},
        {"no-container-partial-message", 0, 0, G_OPTION_ARG_NONE,
         &options->no_container_partial_message, "Do not mark partial messages in journald", NULL},
        {"socket-dir-path", 0, 0, G_OPTION_ARG_FILENAME, &options->socket_dir,
         "Parent of the attach sockets (default /var/run/crio)", "DIR"},
        {"full-attach", 0, 0, G_OPTION_ARG_NONE, &options->full_attach,
         "Attach socket in the bundle only; ignores --socket-dir-path", NULL},
        {"sdnotify-socket", 0, 0, G_OPTION_ARG_FILENAME, &options->sdnotify_socket,
         "Host's notify socket: what the container says there is passed on", "PATH|@NAME"},
        {"replace-listen-pid", 0, 0, G_OPTION_ARG_NONE, &options->replace_listen_pid,
         "Set LISTEN_PID, if there is one, to the runtime's pid", NULL},
        {"sync", 0, 0, G_OPTION_ARG_NONE, &options->sync, "Stay in the foreground", NULL},
        {"seccomp-notify-socket", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options->ignored,
         "Ignored, as conmon no longer has it", "PATH"},
        {"seccomp-notify-plugins", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME,
         &options->ignored, "Ignored, as conmon no longer has it", "PATH"},
        {"help-conmon", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options->help,
         "The same as --help", NULL},
        G_OPTION_ENTRY_NULL,
    };

    shared_options_add(context, &options->shared);
    g_option_context_add_main_entries(context, entries, NULL);
    tunable_options_add(context, &options->shared, true);
}
