#pragma once

#include "monitor/config.h"
#include "settings/tunable.h"
#include "state/image.h"
#include "util/message.h"

#include <glib.h>
#include <stdbool.h>

/*
 * The part of the command line that means the same for an engine and for a person who types
 * `conward run`: defined, validated and explained once.
 *
 * The checks say what is wrong through `messages` and return false; in which order they are asked
 * is the business of the two command lines, for engines know conmon's order.
 */
typedef struct SharedOptions {
    char *cid;
    char *name;
    char *container_pidfile;
    char *exit_dir;
    char *persist_dir;
    char *exit_command;
    char **exit_command_args;
    int exit_delay;
    int timeout;
    char **log_paths;
    gint64 log_size_max;
    gint64 log_global_size_max;
    gboolean log_rotate;
    int log_max_files;
    char **log_allowlist_dirs;
    char *given[TUNABLES_MAX]; /* by number in TUNABLES, as text */
    gboolean flags[TUNABLES_MAX];
    gboolean no_sync_log;
    char *log_level;
    gboolean syslog;
    gboolean version;
} SharedOptions;

#define SHARED_OPTIONS_NULL                                                                    \
    {                                                                                          \
        .log_size_max = NOT_GIVEN, .log_global_size_max = -1, .log_max_files = FILES_NOT_GIVEN \
    }

/* Nobody gives these numbers of bytes and of files. */
#define NOT_GIVEN G_MININT64
#define FILES_NOT_GIVEN G_MININT

/* What all --log-path values together ask for. */
typedef struct LogChoice {
    const char *file; /* of the last k8s-file, borrowed; NULL if there is none */
    bool journald;
    bool passthrough;
} LogChoice;

/* Frees what shared_options_move() has not handed over. */
void shared_options_clear(SharedOptions *shared);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SharedOptions, shared_options_clear)

/* Adds the options to a command line's own; parsing then fills *shared. */
void shared_options_add(GOptionContext *context, SharedOptions *shared);

/* Prints the answer to --version, two lines in conmon's form (Podman and CRI-O take it apart). */
void version_print(void);

/*
 * Where self-messages go. The identifier for syslog is our program's file name, as with syslog(3):
 * people look for `journalctl -t conmon`.
 */
void messages_init(Messages *messages, bool engine_style, bool syslog, const char *argv0);

/*
 * Says why `name`, which is to become the name of a file in a directory of others', cannot be one,
 * as the end of a sentence; NULL if it can.
 */
const char *file_name_problem(const char *name);

/* --log-level, into messages->level. */
bool shared_options_check_level(const SharedOptions *shared, Messages *messages);

/* --exit-delay. */
bool shared_options_check_delay(const SharedOptions *shared, const Messages *messages);

/*
 * Adds the options of the table of settings to a command line's own: those that only engines'
 * command lines have, or the others.
 */
void tunable_options_add(GOptionContext *context, SharedOptions *shared, bool engine);

/* What that table has, from wherever it comes, into *config. `exec` and `strict` as TakeOptions. */
bool shared_options_take(SharedOptions *shared, const Resumed *resumed, bool exec, bool strict,
                         Config *config);

/* Whether the container gets our caller's streams, of a command line that may be refused yet. */
bool shared_options_pass_through(const SharedOptions *shared);

/* Reads all --log-path values; the last file wins, as with conmon. */
bool shared_options_choose_log(const SharedOptions *shared, const Messages *messages,
                               LogChoice *choice);

/*
 * Opens or creates the chosen log file, in a directory that --log-allowlist-dir allows: still in
 * the foreground, where whoever called can be told. Sets *fd, -1 if no file was chosen.
 */
bool log_choice_open(const LogChoice *choice, const SharedOptions *shared, const Messages *messages,
                     int *fd);

/* Hands everything that needs no check, or has passed it, over to *config, which then owns it. */
void shared_options_move(SharedOptions *shared, Config *config);
