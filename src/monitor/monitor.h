#pragma once

#include "control/crash.h"
#include "control/ctl-fifo.h"
#include "control/notify-proxy.h"
#include "control/service-manager.h"
#include "control/signals.h"
#include "log/journald.h"
#include "log/k8s-file.h"
#include "monitor/config.h"
#include "process/cgroup-oom.h"
#include "process/spawn.h"
#include "process/sync-pipe.h"
#include "state/state.h"
#include "stdio/attach.h"
#include "stdio/console-socket.h"
#include "stdio/console.h"
#include "stdio/feed.h"
#include "stdio/keyboard.h"
#include "stdio/pipes.h"
#include "stdio/stream.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>

/* See last-words.h. */
typedef struct LastWords {
    char *text;
    GString *fields; /* NULL: not for the journal */
} LastWords;

/*
 * One monitor: owner of everything that watches one container. What must outlive this program
 * image is on the state's page; the rest is rebuilt from it and from the configuration.
 *
 * Its life is the page's phase: starting → running → draining → reporting → gone. Each part of it
 * is a file here: foreground (before there is one), monitor (start and loop), runtime (starting),
 * command and cgroup (the same for `conward run`), terminal, output (what the container writes),
 * log, journal, end (draining, reporting), timers, requests (signals, ctl).
 */
typedef struct Monitor {
    const Config *config;
    State state;
    Image image; /* what goes on if this one crashes */
    LastWords last_words;
    Signals signals;
    Stream streams[STREAMS];
    K8sFile log; /* fd -1 without a file */
    Journald journal;
    guint journal_source; /* the journal can be sent to again */
    int journal_fd;       /* that this source watches */
    Attach attach;
    Feed feed;
    Keyboard keyboard;
    ConsoleSocket console_socket;
    int terminal_peer; /* the container's side of its terminal, held open */
    Console console;
    bool has_console;
    CtlFifo ctl;
    CtlFifo winsz;
    NotifyProxy notify;
    ServiceManager service;
    int64_t service_at; /* when to try again to tell it, CLOCK_BOOTTIME microseconds, 0 = no need */
    CgroupOom oom;
    EnginePipes pipes;
    int foreign_fd; /* pidfd of a container that is not our child */
    guint foreign_source;
    GSource *timers;
    int64_t trim_at;    /* CLOCK_BOOTTIME microseconds, 0 = nothing to give back */
    int64_t look_at;    /* when to see whether --exit-delay still makes sense, likewise */
    bool said_rotation; /* that the log could not be replaced */
    bool said_spool;    /* that there is none where one is needed */
    bool said_refused;  /* that an attach client was one too many */
    bool is_limited;    /* the log's rate limit holds output back, or did when it was last asked */
} Monitor;

/* Statuses to report or to exit with that are not the container's own. */
enum {
    STATUS_UNKNOWN = -1,         /* it ended, but nobody could see how */
    STATUS_TIMED_OUT = -1,       /* --timeout has killed it */
    STATUS_FAILED = 1,           /* for an engine: no container came to be */
    STATUS_RUN_FAILED = 125,     /* `conward run`: it could not do its work */
    STATUS_CANNOT_EXECUTE = 126, /* `conward run`: there is such a command, but it cannot be run */
    STATUS_NOT_FOUND = 127,      /* `conward run`: there is no such command */
};

#define MONITOR_NULL                                                                             \
    {                                                                                            \
        .state = STATE_NULL, .signals = SIGNALS_NULL, .streams = {STREAM_NULL, STREAM_NULL},     \
        .log = K8S_FILE_NULL, .journal = JOURNALD_NULL, .journal_fd = -1, .attach = ATTACH_NULL, \
        .feed = FEED_NULL, .keyboard = KEYBOARD_NULL, .console_socket = CONSOLE_SOCKET_NULL,     \
        .terminal_peer = -1, .ctl = CTL_FIFO_NULL, .winsz = CTL_FIFO_NULL,                       \
        .notify = NOTIFY_PROXY_NULL, .service = SERVICE_MANAGER_NULL, .oom = CGROUP_OOM_NULL,    \
        .pipes = ENGINE_PIPES_NULL, .foreign_fd = -1                                             \
    }

/*
 * Does what `config` says and returns the exit status of the program: of the foreground process
 * when the monitor detaches, else of the monitor.
 */
int monitor_main(const Config *config, char **argv);

/*
 * Goes on in the same process where another image of this program has crashed; `page_fd` names what
 * it has left. Returns the exit status of the program.
 */
int monitor_resume(const Config *config, char **argv, int page_fd);

/* --- runtime.c: phase starting --- */

/* Makes the attach socket; a container without a bundle of its own has none. */
int monitor_attach_init(Monitor *monitor, Error *error);
void monitor_attach_adopt(Monitor *monitor);

/* Removes the socket's files, if they are still there; and so when the page has lost what it knew,
 * as long as no end is reported: until then there is no other monitor of that container. */
void monitor_attach_remove(Monitor *monitor);
void monitor_attach_remove_lost(Monitor *monitor);

/* Tells the engine that it can attach now, if it waits for that. */
void monitor_tell_attachable(Monitor *monitor);

/* Makes the pipes and starts the runtime. Returns 0, or negative with *error filled. */
int monitor_start_runtime(Monitor *monitor, Error *error);

/* Watches a container that is not our child; its end is then seen. */
void monitor_watch_foreign(Monitor *monitor);

/* The runtime has ended: reports the container's pid, or why there is none. */
void monitor_runtime_ended(Monitor *monitor);

/*
 * Tells the engine on the sync pipe that the container has the pid `number`, or with -1 and a text
 * why there is none. Only the first call says anything. The engine may be gone: no error.
 */
void monitor_report(Monitor *monitor, int number, const char *text, size_t length);

/* Sends one line on the sync pipe, whatever has been said before. */
void monitor_say(Monitor *monitor, int number, const char *text, size_t length);

/* --- sync-events.c --- */

/* For an engine that wants events (--sync-events): a line of JSON on that pipe, whose end of file
 * stays the end of everything. Nothing waits for who does not read it. */
void monitor_say_oom(Monitor *monitor);
void monitor_say_exit(Monitor *monitor, int status);

/* --- command.c: the same for `conward run` --- */

/*
 * Makes the pipes and starts the command; the phase is then running. Returns 0, or the exit status
 * to end with and *error filled.
 */
int monitor_start_command(Monitor *monitor, Error *error);

/* There is a command: leaves its pid in the file for it, and says that it runs. */
void monitor_command_runs(Monitor *monitor);

/* Goes on with the console copy, if there was one. */
void monitor_console_adopt(Monitor *monitor);

/* --- cgroup.c: where it is --- */

/*
 * Makes the cgroup that the command is to be in, if it is to be in one, and watches it. Returns 0
 * and what it enters it by, which the caller closes, or negative with *error filled.
 */
int monitor_cgroup_make(Monitor *monitor, int *entry_fd, Error *error);

/* The command has ended, or will not be started: undoes that. Safe to call again. */
void monitor_cgroup_unmake(Monitor *monitor);

/* --- terminal.c --- */

/* Makes the socket on which the runtime will hand over the container's terminal. */
int monitor_terminal_init(Monitor *monitor, Error *error);

/* Goes on with the terminal or the socket for it. The streams are adopted already. */
void monitor_terminal_adopt(Monitor *monitor);

/*
 * Makes a terminal for a command, with our own standard input and window size if we stay in the
 * foreground. Returns the command's side of it, which the caller closes, or -1 with *error filled.
 */
int monitor_terminal_make(Monitor *monitor, Error *error);

/* Our own terminal has another size now. */
void monitor_follow_window(Monitor *monitor);

/* The container has ended: now the terminal ends with its last process. */
void monitor_terminal_hang_up(Monitor *monitor);

/* Sets the window size, now or when there is a terminal. */
void monitor_resize(Monitor *monitor, int rows, int columns);

/* --- output.c: what the container writes --- */

/* Goes on with the streams that are still open. */
void monitor_streams_adopt(Monitor *monitor);

/* Takes a descriptor over as the stream, and reads it from the loop's next turn on. */
void monitor_take_stream(Monitor *monitor, StreamId stream, int fd);

/* The same for our ends of the pipes. */
void monitor_take_pipes(Monitor *monitor, Pipes *pipes);

/* Sends the outlets what they can take now. */
void monitor_outlets_pump(Monitor *monitor);

/* Waits for no reader of the raw output any more: clients are closed, the console has had its
 * share. */
void monitor_drop_readers(Monitor *monitor);

/* Follows the outlets' progress: lets streams go on, or the end come. */
void monitor_outlets_moved(Monitor *monitor);

/* Hands what the streams hold to a log that may take more now than before. */
void monitor_log_go_on(Monitor *monitor);

/* Warns of what a stream may do to a node: a line far beyond its limit, a flood. */
void monitor_warn(Monitor *monitor, StreamId stream);

/* Hands what a stream holds to the log and to the outlets. */
void monitor_pump(Monitor *monitor, StreamId stream, SplitMode mode);

/* Gives back the memory that a burst has left in the buffers. */
void monitor_trim(Monitor *monitor);

/* Takes what is in the pipe now, and not what may follow. */
void monitor_take_rest(Monitor *monitor, StreamId stream);

/* --- end.c: phases draining and reporting --- */

/* The container has ended: takes its last output, reports, and ends. Safe to call again. */
void monitor_end(Monitor *monitor);

/* Somebody wants an end while only the report is left: no waiting for late output, the log, readers
 * or --exit-delay. An exit command that runs has its time. */
void monitor_hurry(Monitor *monitor);

/* The status to exit with, as engines expect it of the monitor. */
int monitor_exit_status(const Monitor *monitor);

/* --- finish.c --- */

/*
 * Gives the terminal back, removes what others could find of this monitor, and tears everything
 * down; what a crash leaves of that is done by the next image. Returns `status`.
 */
int monitor_finish(Monitor *monitor, int status);

/* --- oom.c --- */

/* Before the container is known; or goes on with what another image of this program has left. */
void monitor_oom_init(Monitor *monitor);

/* Looks whether the kernel has killed a process of the container for want of memory, and tells. */
void monitor_oom_look(Monitor *monitor);

/* --- describe.c --- */

/* Writes to the page who this is, and lets others look at it. `engine` is the name of our caller.
 */
void monitor_describe(Monitor *monitor, const char *engine);

/* Lets others see what the page says now. */
void monitor_show(Monitor *monitor);

/* --- service.c: the main process of a unit of a service manager --- */

/* If there is a service manager, keeps what it wants to hear, and takes its variables out of the
 * environment. */
void monitor_service_init(Monitor *monitor, const ServiceManager *manager);

/* Goes on with it, and with a reload that was not done. */
void monitor_service_adopt(Monitor *monitor);

/* Tells it a ServiceWord, now or when there is room for it. */
void monitor_service_tell(Monitor *monitor, ServiceWord word);

/* Tells it what it could not be told before, and gives the sign of life that is due. */
void monitor_service_speak(Monitor *monitor, int64_t now);

/* A new file for the log may be there, or could not be made: a reload that waits for it is over. */
void monitor_service_log_tried(Monitor *monitor);

/* It wants a reload: a new file for the log. */
void monitor_service_reload(Monitor *monitor);

/* --- timers.c --- */

/* Adds the one source of all deadlines to the main loop. */
void monitor_timers_init(Monitor *monitor);
void monitor_timers_deinit(Monitor *monitor);

/* --- requests.c: signals and ctl --- */

/* Begins to take them. Returns 0, or negative with *error filled. */
int monitor_requests_init(Monitor *monitor, Error *error);

/* Only the signals. */
int monitor_take_signals(Monitor *monitor, Error *error);

/* The same, for what another image of this program has left. */
int monitor_requests_adopt(Monitor *monitor, Error *error);

/* Reaps the children that have ended, and does what follows from that. */
void monitor_reap(Monitor *monitor);
void monitor_requests_deinit(Monitor *monitor);

/* --- journal.c: the journal, as a log --- */

/* Begins to log there, or goes on, if the configuration says so. */
void monitor_journal_init(Monitor *monitor);
void monitor_journal_deinit(Monitor *monitor);

/* The page says other limits now. */
void monitor_journal_limit(Monitor *monitor);

/* Hands what a stream holds to the journal, and speaks of what goes wrong. There must be one. */
void monitor_journal_pump(Monitor *monitor, StreamId stream, SplitMode mode);

/* Whether the report waits, after the last output, for a journal that only has not kept up: not for
 * one that takes nothing, and until report_at at most. */
bool monitor_journal_goes_on(const Monitor *monitor);

/* monitor_settle_log() for the journal alone. There must be one. */
bool monitor_journal_settle(Monitor *monitor);

/* --- log.c: the log: a file, the journal, both or neither --- */

/* Opens the log, or goes on with the file in `fd`. The page says which limits it has. */
void monitor_open_log(Monitor *monitor, int fd);
void monitor_close_log(Monitor *monitor);

/* The page says other limits now. */
void monitor_limit_log(Monitor *monitor);

/* Hands what a stream holds to the log, and speaks of what goes wrong. */
void monitor_log_pump(Monitor *monitor, StreamId stream, SplitMode mode);

/* The stream offset of the first byte that the log still needs. */
uint64_t monitor_log_start(const Monitor *monitor, StreamId stream);

/* What comes before that offset is not the container's, and not logged. */
void monitor_log_skip(Monitor *monitor, StreamId stream, uint64_t offset);

/* Logs what another image of the program, which has crashed during the report, had not come to. */
void monitor_log_rest(Monitor *monitor);

/* What waits for the log does not any more, but is lost if it must be. */
void monitor_log_give_up(Monitor *monitor);

/* Puts a new file at the log's path, as somebody has asked for, or tries to do so again. */
void monitor_reopen_log(Monitor *monitor);

/* The same for a request with a number: see k8s_file_reopen_once(). */
void monitor_reopen_log_once(Monitor *monitor, uint64_t request);

/* The container has ended: its rate limit does not hold it back any longer, and from now on a slow
 * journal delays the report for a limited time only. */
void monitor_log_hurry(Monitor *monitor);

/*
 * After the last output: what waits is written, or given up when the log has taken none of it for
 * too long. Returns whether the log is settled; else it must be asked again when the log has gone
 * on, and at monitor_log_settle_at().
 */
bool monitor_settle_log(Monitor *monitor);

/* CLOCK_BOOTTIME microseconds; INT64_MAX: nothing waits. */
int64_t monitor_log_settle_at(const Monitor *monitor);

/* One of the logs, whose settle_at that is, has taken some of what waits. */
void monitor_log_moved(Monitor *monitor, int64_t *settle_at);

/* Whether what waits for it may still do so after the end: not if somebody wants the monitor to
 * end, nor for a command whose log is the answer that an engine waits for. */
bool monitor_log_may_wait(Monitor *monitor, int64_t *settle_at);

/* Writes to `text` what the log has lost, if anything. */
bool monitor_describe_loss(const Monitor *monitor, char *text, size_t size);

/* The last steps of the report: says what is lost, and brings the log to the disk. */
void monitor_say_losses(Monitor *monitor);
void monitor_sync_log(Monitor *monitor);

/* From the first event to the last. Returns the exit status of the program. */
int monitor_loop(Monitor *monitor);

/*
 * Tells the foreground process of `conward run --detach`, which waits for it in `started_fd` (-1:
 * nobody does), how the start went, and leaves its terminal.
 */
void monitor_tell_foreground(Monitor *monitor, int started_fd, int status);

/* Survives crashes from now on, if that is possible. */
void monitor_prepare_for_crashes(Monitor *monitor, char **argv);

/* The container runs: commits the phase, and when --timeout ends it. */
void monitor_set_running(Monitor *monitor);

/* How signals are for our children: as the caller of the monitor has them. */
ChildSignals monitor_child_signals(const Monitor *monitor);

/* The status to exit with when the monitor could not do its work. */
static inline int monitor_own_failure(const Config *config)
{
    return config->kind == KIND_RUN ? STATUS_RUN_FAILED : STATUS_FAILED;
}

static inline Page *monitor_page(const Monitor *monitor)
{
    return monitor->state.page;
}

static inline bool monitor_has_file(const Monitor *monitor)
{
    return monitor->log.to.fd >= 0;
}

static inline bool monitor_has_journal(const Monitor *monitor)
{
    return monitor->journal.state != NULL;
}

/* One of them, or both. */
static inline bool monitor_has_log(const Monitor *monitor)
{
    return monitor_has_file(monitor) || monitor_has_journal(monitor);
}
