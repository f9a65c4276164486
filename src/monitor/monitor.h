#pragma once

#include "control/ctl-fifo.h"
#include "control/signals.h"
#include "log/k8s-file.h"
#include "monitor/config.h"
#include "state/state.h"
#include "stdio/attach.h"
#include "stdio/console.h"
#include "stdio/stream.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>

/*
 * One monitor: owner of everything that watches one container. What must outlive this program
 * image is on the state's page; the rest is rebuilt from it and from the configuration.
 *
 * Its life is the page's phase: starting → running → draining → reporting → gone. Each part of it
 * is a file here: start (before the loop), runtime (starting), output (what the container writes),
 * end (draining, reporting), timers, requests (signals, ctl).
 */
typedef struct Monitor {
    const Config *config;
    State state;
    sigset_t mask; /* the caller's signal mask, for our children */
    Signals signals;
    Stream streams[STREAMS];
    K8sFile log; /* fd -1 without a log */
    Attach attach;
    Console console;
    bool has_console;
    CtlFifo ctl;
    CtlFifo winsz;
    int sync_fd;
    int foreign_fd; /* pidfd of a container that is not our child */
    guint foreign_source;
    GSource *timers;
    int64_t trim_at; /* CLOCK_BOOTTIME microseconds, 0 = nothing to give back */
    int64_t kill_at; /* when to stop waiting for a container that --timeout has killed */
} Monitor;

/*
 * Does what `config` says and returns the exit status of the program: of the foreground process
 * when the monitor detaches, else of the monitor.
 */
int monitor_main(const Config *config);

/* --- runtime.c: phase starting --- */

/* Makes the pipes and starts the runtime. Returns 0, or negative with *error filled. */
int monitor_start_runtime(Monitor *monitor, Error *error);

/* The runtime has ended: reports the container's pid, or why there is none. */
void monitor_runtime_ended(Monitor *monitor);

/*
 * Makes the pipes and starts the command of `conward run`. Returns 0, or the exit status to end
 * with (126, 127, 125) with *error filled.
 */
int monitor_start_command(Monitor *monitor, Error *error);

/* Tells the engine on the sync pipe; `text` may be empty. The engine may be gone: no error. */
void monitor_report(Monitor *monitor, int number, const char *text, size_t length);

/* --- output.c: what the container writes --- */

void monitor_streams_init(Monitor *monitor, const int fds[STREAMS]);

/* Follows the outlets' progress: lets streams go on, or the end come. */
void monitor_outlets_moved(Monitor *monitor);

/* Hands what a stream holds to the log and to the outlets. */
void monitor_pump(Monitor *monitor, StreamId stream, SplitMode mode);

/* Stream offset of the first byte that an outlet still needs, or the stream's end. */
uint64_t monitor_outlets_from(const Monitor *monitor, StreamId stream);

/* Gives back the memory that a burst has left in the buffers. */
void monitor_trim(Monitor *monitor);

/*
 * Takes what is in the pipe now, and not what may follow. Returns false if an outlet that lags
 * behind leaves no room for it.
 */
bool monitor_take_rest(Monitor *monitor, StreamId stream);

/* --- end.c: phases draining and reporting --- */

/* The container has ended: takes its last output, reports, and ends. Safe to call again. */
void monitor_end(Monitor *monitor);

/* Somebody wants an end while only the report is left: waits for no reader any more. */
void monitor_hurry(Monitor *monitor);

/* The status to exit with, as engines expect it of the monitor. */
int monitor_exit_status(const Monitor *monitor);

/* --- timers.c --- */

void monitor_timers_init(Monitor *monitor);
void monitor_timers_deinit(Monitor *monitor);

/* --- requests.c: signals and ctl --- */

int monitor_requests_init(Monitor *monitor, Error *error);
void monitor_requests_deinit(Monitor *monitor);

static inline Page *monitor_page(const Monitor *monitor)
{
    return monitor->state.page;
}

static inline bool monitor_has_log(const Monitor *monitor)
{
    return monitor->log.fd >= 0;
}
