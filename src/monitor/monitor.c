#include "monitor/monitor.h"

#include "monitor/events.h"
#include "monitor/foreground.h"
#include "monitor/last-words.h"
#include "process/children.h"
#include "process/file-limit.h"
#include "process/oom-score.h"
#include "process/sync-pipe.h"
#include "state/fds.h"
#include "util/build-id.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/ignored.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The kernel's choice must be the container, not its monitor. */
enum { MONITOR_OOM_SCORE = -1000 };

void monitor_set_running(Monitor *monitor)
{
    Page *page = monitor_page(monitor);
    int timeout = monitor->config->timeout;

    if (timeout > 0)
        state_commit(&page->timeout_at, clock_boottime_us() + (int64_t)timeout * 1000000);
    if (!monitor->config->detach) /* else the foreground process does */
        monitor_service_tell(monitor, SERVICE_READY);
    state_commit(&page->phase, PHASE_RUNNING);
    event_started(monitor);
}

/* A page holds numbers only: a set is as in util/ignored.h. */
static uint64_t mask_to_bits(const sigset_t *mask)
{
    uint64_t bits = 0;

    for (int number = 1; number <= SIGNALS_MOST; number++) {
        if (sigismember(mask, number) == 1)
            bits |= signal_bit(number);
    }
    return bits;
}

ChildSignals monitor_child_signals(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    ChildSignals signals = {.ignored = page->child_ignored};

    sigemptyset(&signals.mask);
    for (int number = 1; number <= SIGNALS_MOST; number++) {
        if (page->child_mask & signal_bit(number))
            sigaddset(&signals.mask, number);
    }
    return signals;
}

/* Everything an engine may use as soon as it hears of the container, and then the runtime. */
static int start_container(Monitor *monitor, Error *error)
{
    const Config *config = monitor->config;
    int r = 0;

    if (config->sdnotify_socket != NULL)
        r = notify_proxy_init(&monitor->notify, &monitor->state, config->bundle,
                              config->sdnotify_socket, &config->messages, error);
    if (r == 0)
        r = monitor_attach_init(monitor, error);
    if (r == 0)
        r = monitor_requests_init(monitor, error);
    if (r == 0 && config->terminal)
        r = monitor_terminal_init(monitor, error);
    if (r == 0) {
        monitor_tell_attachable(monitor);
        r = monitor_start_runtime(monitor, error);
    }
    return r == 0 ? 0 : monitor_own_failure(config);
}

static int start_command(Monitor *monitor, Error *error)
{
    if (monitor_requests_init(monitor, error) < 0)
        return STATUS_RUN_FAILED;
    return monitor_start_command(monitor, error);
}

/*
 * One turn of the loop. After a fault it does not wait before it has once found nothing to do, and
 * noted that; so nobody pays for it in a life without any.
 */
static void take_turn(Monitor *monitor)
{
    bool is_stuck = monitor_page(monitor)->crashes_stuck > 0;

    if (!g_main_context_iteration(g_main_context_default(), !is_stuck) && is_stuck)
        crash_quiet(monitor_page(monitor));
}

/* A process has sent a signal that would have been fatal. */
static void take_over(Monitor *monitor)
{
    int r = crash_take_over();

    message(&monitor->config->messages, LEVEL_ERROR,
            "A process has sent signal %d, after which the monitor's program %s cannot be executed "
            "again: %s. The monitor continues, but could not recover from a fault of its own: "
            "allow files to be executed where the program is",
            monitor_page(monitor)->crash.signal, monitor->image.path, strerror(-r));
}

int monitor_loop(Monitor *monitor)
{
    while (monitor_page(monitor)->phase != PHASE_GONE) {
        if (crash_asked())
            take_over(monitor);
        monitor_show(monitor);
        take_turn(monitor);
    }
    /* Who has the page open can read what the last entries and records were, when it is removed. */
    monitor_show(monitor);
    return monitor_exit_status(monitor);
}

/* What the monitor has of its caller; the children get back what it has changed for itself. */
typedef struct Inherited {
    int oom_score_adj;
    uint64_t file_limit;
    sigset_t mask;
    uint64_t ignored;           /* signals, for the command */
    char engine[PAGE_COMM_MAX]; /* the name of our caller */
    ServiceManager service;     /* whose unit we are, if anybody's */
} Inherited;

/* Without it the monitor goes on all the same: it only can not survive a crash. */
void monitor_prepare_for_crashes(Monitor *monitor, char **argv)
{
    Error error = ERROR_NULL;

    int r = image_init(&monitor->image, &monitor->state, argv, &error);

    if (r == 0) {
        last_words_init(monitor);
        r = crash_init(&monitor->image, monitor->config->crash_core, last_words_say, monitor,
                       &error);
    }
    if (r < 0)
        message(&monitor->config->messages, LEVEL_WARNING, "%s", error.text);
}

static int make_state(Monitor *monitor, const Inherited *inherited, Error *error)
{
    Page *page;

    if (state_create(&monitor->state, error) < 0)
        return monitor_own_failure(monitor->config);
    page = monitor_page(monitor);
    page->old_oom_score_adj = inherited->oom_score_adj;
    page->old_file_limit = inherited->file_limit;
    page->child_mask = mask_to_bits(&inherited->mask);
    page->child_ignored = inherited->ignored;
    prctl(PR_GET_NAME, page->comm);
    build_id(page->build_id, sizeof(page->build_id));
    snprintf(page->id, sizeof(page->id), "%s", monitor->config->cid);
    page->settings = monitor->config->log;
    monitor_describe(monitor, inherited->engine);
    return 0;
}

/* GLib would end the process by a signal if it could not make the loop's only descriptor, so there
 * must be one when it does. */
static int make_loop(Error *error)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd >= 0) {
        close(fd);
        g_main_context_default();
        return 0;
    }
    return error_set(error, 0,
                     "Cannot make the event loop of the monitor: %s; raise the limit on open files "
                     "(ulimit -n; LimitNOFILE= of a unit)",
                     strerror(errno));
}

static int start(Monitor *monitor, const Inherited *inherited, int started_fd, char **argv,
                 Error *error)
{
    if (monitor->pipes.sync_fd >= 0)
        fds_add(&monitor->state, FD_SYNC_PIPE, monitor->pipes.sync_fd);
    if (started_fd >= 0)
        fds_add(&monitor->state, FD_STARTED, started_fd);
    if (make_loop(error) < 0)
        return monitor_own_failure(monitor->config);
    monitor_prepare_for_crashes(monitor, argv);
    monitor_service_init(monitor, &inherited->service); /* the next image still has the variables */
    monitor_open_log(monitor, monitor->config->log_fd);
    monitor_timers_init(monitor);
    monitor_oom_init(monitor);
    return monitor->config->kind == KIND_RUN ? start_command(monitor, error)
                                             : start_container(monitor, error);
}

void monitor_tell_foreground(Monitor *monitor, int started_fd, int status)
{
    if (started_fd < 0)
        return;
    fd_write_all(started_fd, &status, sizeof(status));
    if (monitor_page(monitor) != NULL)
        fds_remove(&monitor->state, started_fd);
    close(started_fd);
    fd_null_stdio();
}

/*
 * The monitor from its first to its last moment. `started_fd` is told how the start went, if
 * somebody waits for it.
 */
static int monitor_live(const Config *config, const Inherited *inherited, EnginePipes pipes,
                        int started_fd, char **argv)
{
    Monitor monitor = MONITOR_NULL;
    Error error = ERROR_NULL;
    int status;

    monitor.config = config;
    monitor.pipes = pipes;
    status = make_state(&monitor, inherited, &error);
    if (status == 0)
        status = start(&monitor, inherited, started_fd, argv, &error);
    if (status != 0) {
        message(&config->messages, LEVEL_ERROR, "%s", error.text);
        monitor_report(&monitor, -1, error.text, strlen(error.text));
    }
    monitor_tell_foreground(&monitor, started_fd, status);
    if (status == 0)
        status = monitor_loop(&monitor);
    return monitor_finish(&monitor, status);
}

static int take_pipes(const Config *config, EnginePipes *pipes, Error *error)
{
    pipes->sync_fd = engine_pipe("_OCI_SYNCPIPE", error);
    if (pipes->sync_fd >= -1)
        pipes->start_fd = engine_pipe("_OCI_STARTPIPE", error);
    if (pipes->start_fd >= -1 && config->waits_for_attach)
        pipes->attach_fd = engine_pipe("_OCI_ATTACHPIPE", error);
    if (pipes->sync_fd < -1 || pipes->start_fd < -1 || pipes->attach_fd < -1)
        return -1;
    if (config->waits_for_attach && pipes->attach_fd < 0)
        return error_set(error, 0, "--attach specified but _OCI_ATTACHPIPE was not");
    return 0;
}

int monitor_main(const Config *config, char **argv)
{
    bool engine = config->kind != KIND_RUN;
    Inherited inherited = {oom_score_get(), file_limit_raise(), {{0}}, 0, "", SERVICE_MANAGER_NULL};
    int started_fd = -1;
    EnginePipes pipes = ENGINE_PIPES_NULL;
    Error error = ERROR_NULL;
    int status = -1;

    sigprocmask(SIG_SETMASK, NULL, &inherited.mask);
    child_comm(getppid(), inherited.engine);
    oom_score_set(MONITOR_OOM_SCORE);
    /* An engine's signals are meant for the container, whatever its caller ignores. */
    inherited.ignored = engine ? 0 : signals_kept_ignored();
    signals_ignore(config_in_background(config));
    if (engine && (take_pipes(config, &pipes, &error) < 0 ||
                   foreground_wait_for_engine(pipes.start_fd, &error) < 0))
        status = STATUS_FAILED;
    if (!engine)
        service_manager_find(&inherited.service, &config->messages);
    if (status < 0 && config->detach)
        status = foreground_detach(config, !engine, &inherited.service, &started_fd, &error);
    if (status >= 0) {
        if (error.text[0] != '\0')
            message(&config->messages, LEVEL_ERROR, "%s", error.text);
        return status;
    }

    if (!config->waits_for_attach)
        fd_close(&pipes.start_fd);
    if (engine && !config->passthrough)
        fd_null_stdio();
    if (engine || config->detach)
        setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return monitor_live(config, &inherited, pipes, started_fd, argv);
}
