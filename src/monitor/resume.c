#include "monitor/monitor.h"

#include "monitor/events.h"
#include "process/children.h"
#include "process/file-limit.h"
#include "state/fds.h"
#include "state/page-file.h"
#include "util/fd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * Crash in place: this image of the program goes on where another one has crashed. Everything is
 * rebuilt from the page; what the page says was begun is finished first.
 */

/* So many faults, each before anything was done or found to do: the next attempt would only crash
 * again. */
enum { STUCK_MOST = 5 };

static void speak_of_crash(Monitor *monitor)
{
    const CrashPage *crash = &monitor_page(monitor)->crash;
    char places[(PAGE_FRAMES_MAX + 1) * 20] = "";
    size_t used = 0;

    if (crash->instruction != 0)
        used = (size_t)snprintf(places, sizeof(places), ", at +%#" PRIx64, crash->instruction);
    for (size_t i = 0; i < PAGE_FRAMES_MAX && crash->frames[i] != 0; i++)
        used += (size_t)snprintf(places + used, sizeof(places) - used, "%s+%#" PRIx64,
                                 i == 0 ? ", called from " : " ", crash->frames[i]);
    event_resumed(monitor, places);
}

/* What is lost with each descriptor that is not what it was. */
static const char *const ROLES[FD_ROLES] = {
    [FD_STDOUT] = "the container's standard output: nothing of it can be read any more",
    [FD_STDERR] = "the container's standard error: nothing of it can be read any more",
    [FD_LOG] = "the log: it is opened again",
    [FD_SYNC_PIPE] = "the engine's pipe: the engine hears nothing more there",
    [FD_ATTACH_LISTENER] = "the attach socket: nobody can attach any more",
    [FD_ATTACH_CLIENT] = "an attach client: it is no longer served",
    [FD_CTL] = "the control fifo: requests are no longer heard there",
    [FD_WINSZ] = "the fifo for window sizes: requests are no longer heard there",
    [FD_CONSOLE] = "the copy of its output: it ends",
    [FD_STDIN] = "the container's standard input: nothing more is passed on to it",
    [FD_KEYBOARD] = "our own standard input: nothing more is passed on from it",
    [FD_TERMINAL_PEER] = "the container's side of its terminal: it is opened again",
    [FD_CONSOLE_LISTENER] = "the socket for the container's terminal: it cannot be received",
    [FD_CONSOLE_PEER] = "the connection for the container's terminal: it cannot be received",
    [FD_PAGE_FILE] = "the page that others see: conwardctl sees it as it is now until the end",
    [FD_STARTED] = "the pipe to the foreground process: it hears nothing of the start",
    [FD_SPOOL_STDOUT] = "the spool of stdout: clients that need it see an end",
    [FD_SPOOL_STDERR] = "the spool of stderr: clients that need it see an end",
    [FD_NOTIFY_INSIDE] = "the container's notify socket: nothing more is passed on from there",
    [FD_NOTIFY_HOST] = "the socket to the service manager: nothing more is passed on to it",
    [FD_OOM_COUNT] = "the count of out-of-memory kills: they are no longer seen",
    [FD_OOM_COUNT_INSIDE] = "the inner count of out-of-memory kills: they are no longer seen",
    [FD_OOM_EVENT] = "the event of a lack of memory: it is seen only at the end",
    [FD_CGROUP_PARENT] = "the command's cgroup: remove it with rmdir when the command has ended",
};

static void speak_of_refused(const Monitor *monitor)
{
    for (FdRole role = 0; role < FD_ROLES; role++) {
        if (fds_refused(&monitor->state, role))
            message(&monitor->config->messages, LEVEL_ERROR,
                    "After the crash, a descriptor is not what it was, and is not used: that of %s",
                    ROLES[role]);
    }
}

/* Opens the log anew. Returns a descriptor, or one in its place: the log is then one that cannot be
 * written. */
static int open_log_again(const Config *config)
{
    Error error = ERROR_NULL;
    int fd = -1;

    if (rotation_check_allowed(config->log_path, config->log_allowed, &error) == 0)
        fd = k8s_file_open(config->log_path);
    return fd >= 0 ? fd : k8s_file_stand_in();
}

static int adopt_log_fd(const Monitor *monitor)
{
    int fd = fds_find(&monitor->state, FD_LOG);

    return fd < 0 && monitor->config->log_path != NULL ? open_log_again(monitor->config) : fd;
}

/* Rebuilds everything that does not depend on the phase. */
static int adopt(Monitor *monitor, Error *error)
{
    const Config *config = monitor->config;
    int r;

    monitor->pipes.sync_fd = fds_find(&monitor->state, FD_SYNC_PIPE);
    monitor_timers_init(monitor);
    monitor_oom_init(monitor);
    /* A reopen that was asked for comes before anything is logged. */
    monitor_open_log(monitor, adopt_log_fd(monitor));
    if (config->sdnotify_socket != NULL)
        notify_proxy_adopt(&monitor->notify, &monitor->state, config->sdnotify_socket,
                           &config->messages);
    monitor_console_adopt(monitor);
    monitor_streams_adopt(monitor);
    if (config->terminal)
        monitor_terminal_adopt(monitor);
    if (config->kind != KIND_RUN)
        monitor_attach_adopt(monitor);
    r = monitor_requests_adopt(monitor, error);
    monitor_service_adopt(monitor);
    if (monitor_page(monitor)->phase > PHASE_STARTING)
        monitor_outlets_pump(monitor); /* what the runtime says is not for them */
    monitor_trim(monitor);
    return r;
}

/*
 * Nothing had been started: the engine or the foreground process is told so. The exit command is
 * not run: it cleans up after a runtime.
 */
static void give_up_start(Monitor *monitor)
{
    static const char why[] = "The monitor crashed before it had started anything";
    Page *page = monitor_page(monitor);

    message(&monitor->config->messages, LEVEL_ERROR, "%s", why);
    state_commit(&page->ended, page->ended | ENDED_COMMAND);
    state_commit(&page->failed, 1);
    monitor_report(monitor, -1, why, strlen(why));
    monitor_end(monitor);
}

/* Whatever runs already is not waited for. */
static void fail_start(Monitor *monitor)
{
    static const char why[] = "The monitor has crashed too often, and has given up";

    state_commit(&monitor_page(monitor)->failed, 1);
    monitor_report(monitor, -1, why, strlen(why));
}

static void go_on_starting(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    if (page->ended & ENDED_RUNTIME) {
        monitor_runtime_ended(monitor);
    } else if (page->runtime_pid == 0 && page->container_pid == 0) {
        give_up_start(monitor);
    } else if (page->failed) { /* so another image has begun to end in an orderly way */
        fail_start(monitor);
        monitor_end(monitor);
    } else if (monitor->config->kind == KIND_RUN) {
        monitor_command_runs(monitor);
    }
}

static void go_on_running(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    event_started(monitor);
    if (monitor->config->kind != KIND_RUN) {
        monitor_report(monitor, page->container_pid, "", 0);
        if (!(page->ended & ENDED_CONTAINER))
            monitor_watch_foreign(monitor);
        monitor_oom_look(monitor);
    }
    for (StreamId i = STREAM_STDOUT; i < STREAMS && page->phase == PHASE_RUNNING; i++)
        monitor_pump(monitor, i, stream_is_open(&monitor->streams[i]) ? SPLIT_WAIT : SPLIT_END);
    if (page->ended & ENDED_CONTAINER)
        monitor_end(monitor);
}

/* The end that can still be made when going on as before cannot: say it, report, leave. */
static void end_orderly(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    message(&monitor->config->messages, LEVEL_ERROR,
            "This monitor has crashed %u times without getting any further%s; it logs what the "
            "container has written, reports its end with an unknown status, and exits",
            page->crashes_stuck,
            page->crash.alike >= page->crashes_stuck ? ", each time at the same instruction" : "");
    if (page->phase == PHASE_STARTING)
        fail_start(monitor);
    if (!(page->ended & ENDED_CONTAINER) && page->phase < PHASE_DRAINING)
        page->container_status = STATUS_UNKNOWN;
    if (page->crashes_stuck > 2 * STUCK_MOST && page->phase < PHASE_REPORTING)
        state_commit(&page->phase, PHASE_REPORTING); /* not even that: the report alone */
    monitor_end(monitor);
}

static void go_on(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);

    if (page->phase == PHASE_REPORTING && page->crashes_stuck <= 2 * STUCK_MOST)
        monitor_log_rest(monitor);
    if (page->crashes_stuck >= STUCK_MOST)
        end_orderly(monitor);
    if (page->phase == PHASE_STARTING)
        go_on_starting(monitor);
    if (page->phase == PHASE_RUNNING)
        go_on_running(monitor);
    if (page->phase > PHASE_RUNNING)
        monitor_end(monitor);
    /* A SIGCHLD that the other image has not read is gone: signals_init() resets its action. */
    monitor_reap(monitor);
}

/*
 * What is left of the other image cannot be trusted: no number of it is used. The configuration
 * alone says where to report, and that an end must be reported, for engines wait for nothing else.
 */
static int end_blindly(Monitor *monitor, const char *why)
{
    Error error = ERROR_NULL;
    int status = STATUS_FAILED;

    message(&monitor->config->messages, LEVEL_ERROR,
            "Cannot continue after a crash: %s. The container is no longer watched; its end is "
            "reported with an unknown status",
            why);
    state_discard(&monitor->state);
    state_deinit(&monitor->state);
    close_range(3, ~0U, 0); /* the engine and the clients see the end */
    page_file_remove_lost();
    if (state_create(&monitor->state, &error) == 0 && monitor_take_signals(monitor, &error) == 0) {
        monitor_timers_init(monitor);
        monitor_oom_init(monitor);
        monitor_page(monitor)->container_status = STATUS_UNKNOWN;
        monitor_page(monitor)->old_file_limit = file_limit_raise();
        monitor_page(monitor)->phase = PHASE_REPORTING;
        monitor_attach_remove_lost(monitor);
        monitor_end(monitor);
        status = monitor_loop(monitor);
    }
    return monitor_finish(monitor, status);
}

/* The other image had only to leave. If that cannot be done, it is not. */
static int finish_again(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    int status = (int)page->finished - 1;

    return page->crashes_stuck >= STUCK_MOST ? status : monitor_finish(monitor, status);
}

int monitor_resume(const Config *config, char **argv, int page_fd)
{
    Monitor monitor = MONITOR_NULL;
    Error error = ERROR_NULL;
    int status;

    monitor.config = config;
    signals_ignore(config_in_background(config));
    if (config->passthrough)
        fd_null_stdio(); /* the container's, if there is one; otherwise there will be none */
    if (state_adopt(&monitor.state, page_fd, &error) < 0)
        return end_blindly(&monitor, error.text);
    prctl(PR_SET_NAME, monitor_page(&monitor)->comm);
    speak_of_crash(&monitor);
    speak_of_refused(&monitor);
    monitor_prepare_for_crashes(&monitor, argv);
    if (monitor_page(&monitor)->finished)
        return finish_again(&monitor);
    status = adopt(&monitor, &error) < 0 ? monitor_own_failure(config) : 0;
    if (status == 0) {
        go_on(&monitor);
        monitor_tell_foreground(&monitor, fds_find(&monitor.state, FD_STARTED),
                                monitor_page(&monitor)->failed ? monitor_own_failure(config) : 0);
        status = monitor_loop(&monitor);
    }
    return monitor_finish(&monitor, status);
}
