#include "monitor/monitor.h"

#include "monitor/events.h"
#include "process/children.h"
#include "process/exit-command.h"
#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Microseconds between two looks whether the container is still there. */
enum { LOOK_PAUSE = 5 * 1000000 };

static void set_phase(Monitor *monitor, Phase phase)
{
    state_commit(&monitor_page(monitor)->phase, phase);
}

/*
 * Whether processes that the container has left behind may still print something: somebody holds
 * one of its streams, and the time for that is not over.
 */
static bool may_print(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    bool open = stream_is_open(&monitor->streams[STREAM_STDOUT]) ||
                stream_is_open(&monitor->streams[STREAM_STDERR]);

    return open && page->late_at > clock_boottime_us();
}

static int container_status(const Page *page)
{
    return page->timed_out ? STATUS_TIMED_OUT : page->container_status;
}

/* No more output: what waits for the end of a line is logged. */
static void close_streams(Monitor *monitor)
{
    notify_proxy_drain(&monitor->notify);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        stream_deinit(&monitor->streams[i]);
        if (!monitor_page(monitor)->failed)
            monitor_pump(monitor, i, SPLIT_END);
    }
    monitor_settle_log(monitor);
}

static void speak_of_exit_file(Monitor *monitor, const char *path, int r)
{
    message(&monitor->config->messages, LEVEL_ERROR,
            "Failed to write the exit file %s: %s. The exit status is %d", path, strerror(-r),
            container_status(monitor_page(monitor)));
}

/* A file that says the exit status is made in two steps, so that it appears once and only once. */
static void prepare_status(Monitor *monitor, const char *directory, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
    char text[16];
    int r;

    snprintf(text, sizeof(text), "%d", container_status(monitor_page(monitor)));
    r = file_prepare(path, text, 0644);
    if (r < 0)
        speak_of_exit_file(monitor, path, r);
}

static void publish_status(Monitor *monitor, const char *directory, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
    int r = file_publish(path);

    if (r < 0 && r != -ENOENT)
        speak_of_exit_file(monitor, path, r);
}

static void end_attach(Monitor *monitor)
{
    attach_stop_listening(&monitor->attach);
    attach_close_clients(&monitor->attach, false);
    attach_begin_linger(&monitor->attach);
}

/* Where no container came to be, there is no exit status either. */
static bool has_exit_file(const Monitor *monitor, const char *directory)
{
    return directory != NULL && !monitor_page(monitor)->failed;
}

static void prepare_persist_file(Monitor *monitor)
{
    if (has_exit_file(monitor, monitor->config->persist_dir))
        prepare_status(monitor, monitor->config->persist_dir, "exit");
}

static void publish_persist_file(Monitor *monitor)
{
    if (has_exit_file(monitor, monitor->config->persist_dir))
        publish_status(monitor, monitor->config->persist_dir, "exit");
}

static void prepare_exit_file(Monitor *monitor)
{
    if (has_exit_file(monitor, monitor->config->exit_dir))
        prepare_status(monitor, monitor->config->exit_dir, monitor->config->cid);
}

static void publish_exit_file(Monitor *monitor)
{
    if (has_exit_file(monitor, monitor->config->exit_dir))
        publish_status(monitor, monitor->config->exit_dir, monitor->config->cid);
}

/* Before the exit files: an engine that sees one looks for the others only then. */
static void report_oom(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);

    if (page->ended & ENDED_CONTAINER && page->container_status == 128 + SIGKILL)
        cgroup_oom_look_behind(&monitor->oom, page->container_pid);
    monitor_oom_look(monitor);
    cgroup_oom_deinit(&monitor->oom);
}

/* Engines that wait for a command in a container are told its exit status. Podman may be gone. */
static void report_status(Monitor *monitor)
{
    Page *page = monitor_page(monitor);
    int status = container_status(page);
    char text[160] = "";

    if (monitor->config->kind != KIND_EXEC || page->failed)
        return;
    if (page->timed_out)
        snprintf(text, sizeof(text), "command timed out"); /* CRI-O knows these very words */
    else if (status < 0)
        snprintf(text, sizeof(text), "the exit status is unknown");
    else if (monitor->config->api_version == 0 &&
             monitor_describe_loss(monitor, text, sizeof(text)))
        status = STATUS_UNKNOWN; /* the log is the answer: one that is cut must not look whole */
    monitor_say(monitor, status, text, strlen(text));
    /* At once: what has been said must not be said again. */
    state_commit(&page->reported, page->reported | REPORTED_STATUS);
}

static void report_exit(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    if (page->failed)
        return;
    monitor_say_exit(monitor, container_status(page));
    state_commit(&page->reported, page->reported | REPORTED_EXIT); /* at once, as above */
}

/* Nobody but us may hold the engine's pipe, and now we do not either: it sees the end. */
static void close_sync(Monitor *monitor)
{
    if (monitor->pipes.sync_fd >= 0)
        fds_remove(&monitor->state, monitor->pipes.sync_fd);
    fd_close(&monitor->pipes.sync_fd);
}

static void start_exit_command(Monitor *monitor)
{
    const Config *config = monitor->config;
    const ChildSignals signals = monitor_child_signals(monitor);
    Page *page = monitor_page(monitor);
    Error error = ERROR_NULL;
    pid_t pid = exit_command_start(config->exit_command, config->exit_command_args, &signals,
                                   page->old_oom_score_adj, page->old_file_limit,
                                   &page->command_pid, &error);

    if (pid < 0) {
        message(&config->messages, LEVEL_ERROR, "Failed to run the exit command: %s", error.text);
        page->command_status = STATUS_FAILED;
        state_commit(&page->ended, page->ended | ENDED_COMMAND);
    }
}

/* It is never started twice, whatever step of this is repeated. */
static bool exit_command_was_started(const Page *page)
{
    return page->command_pid > 0 || page->ended & ENDED_COMMAND;
}

/*
 * Whether the engine has removed the container: then nobody asks any more how it ended. The bundle
 * of an exec says nothing: Podman removes it at once, and keeps what it knows of the exec with the
 * container, in whose directory it was, until the exit command.
 *
 * It is looked at now and then. inotify tells nothing of the end of a directory as long as one of
 * ours, removed before, was in it; and it has few instances, which all programs of a user share.
 */
static bool container_is_gone(const Monitor *monitor)
{
    const char *bundle = monitor->config->bundle;
    g_autofree char *path = bundle == NULL ? NULL : g_canonicalize_filename(bundle, NULL);
    g_autofree char *parent = path == NULL ? NULL : g_path_get_dirname(path);
    const char *directory = monitor->config->kind == KIND_EXEC ? parent : path;

    return directory != NULL && access(directory, F_OK) < 0 && errno == ENOENT;
}

static void start_exit_command_if_due(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);
    int64_t now = clock_boottime_us();

    monitor->look_at = 0;
    if (page->command_at == 0)
        return;
    if (page->command_at > now && !container_is_gone(monitor)) {
        monitor->look_at = now + LOOK_PAUSE;
        return;
    }
    if (!exit_command_was_started(page))
        start_exit_command(monitor);
    state_commit(&monitor_page(monitor)->command_at, 0);
}

static void schedule_exit_command(Monitor *monitor)
{
    const Config *config = monitor->config;
    int64_t at = clock_boottime_us();

    if (config->exit_command == NULL || exit_command_was_started(monitor_page(monitor)))
        return;
    if (!monitor_page(monitor)->hurried)
        at += (int64_t)config->exit_delay * 1000000;
    state_commit(&monitor_page(monitor)->command_at, at);
    start_exit_command_if_due(monitor);
}

/* All steps but the first, which is no part of the end. */
enum { STEPS_OF_THE_END = (REPORTED_CGROUP << 1) - 1 - REPORTED_START };

typedef struct Step {
    ReportStep step;
    void (*run)(Monitor *);
} Step;

/* Each step is done once, noted when done, and does not depend on whether the one before it could
 * be done: an exit file that cannot be written must not cost the next one. */
static void take_steps(Monitor *monitor, const Step *steps, size_t count)
{
    Page *page = monitor_page(monitor);

    for (size_t i = 0; i < count; i++) {
        if (page->reported & steps[i].step)
            continue;
        steps[i].run(monitor);
        FAULT_POINT_AT(steps[i].step, STEPS_OF_THE_END);
        state_commit(&page->reported, page->reported | steps[i].step);
    }
}

/* The exit report. */
static void report(Monitor *monitor)
{
    static const Step steps[] = {
        {REPORTED_ATTACH, end_attach},
        {REPORTED_OOM, report_oom},
        {REPORTED_CGROUP, monitor_cgroup_unmake},
        {REPORTED_PERSIST_READY, prepare_persist_file},
        {REPORTED_PERSIST_FILE, publish_persist_file},
        {REPORTED_EXIT_READY, prepare_exit_file},
        {REPORTED_EXIT_FILE, publish_exit_file},
        {REPORTED_STATUS, report_status},
        {REPORTED_EXIT, report_exit},
        {REPORTED_SYNC, close_sync},
        {REPORTED_COMMAND, schedule_exit_command},
    };

    take_steps(monitor, steps, sizeof(steps) / sizeof(steps[0]));
}

static void tell_journal(Monitor *monitor)
{
    event_exited(monitor, container_status(monitor_page(monitor)));
    events_say_held(monitor, INT64_MAX);
}

/* The log is settled and brought to the disk last, while the exit command runs: a slow disk, or one
 * that is full, delays nobody. Returns whether that is done. */
static bool settle_log(Monitor *monitor)
{
    static const Step steps[] = {
        {REPORTED_LOSSES, monitor_say_losses},
        {REPORTED_LOG, monitor_sync_log},
        {REPORTED_EVENTS, tell_journal},
    };

    if (!monitor_settle_log(monitor))
        return false;
    take_steps(monitor, steps, sizeof(steps) / sizeof(steps[0]));
    return true;
}

static bool command_is_over(const Monitor *monitor)
{
    return monitor->config->exit_command == NULL || monitor_page(monitor)->ended & ENDED_COMMAND;
}

static bool readers_are_served(Monitor *monitor)
{
    attach_close_clients(&monitor->attach, false);
    return !attach_has_clients(&monitor->attach) &&
           (!monitor->has_console || !outlet_is_behind(&monitor->console.outlet));
}

/* Somebody wants an end: all that is waited for is due now, but for an exit command that runs. */
static void wait_no_longer(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    if (page->command_at != 0)
        state_commit(&page->command_at, clock_boottime_us());
    state_commit(&page->late_at, 0);
    monitor_drop_readers(monitor);
}

void monitor_end(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    if (page->phase < PHASE_DRAINING) {
        state_commit(&page->timeout_at, 0);
        state_commit(&page->stop_at, 0);
        state_commit(&page->kill_at, 0);
        if (!page->failed)
            monitor_service_tell(monitor, SERVICE_STOPPING);
        if (!page->failed && !page->timed_out)
            state_commit(&page->late_at,
                         clock_boottime_us() + (int64_t)monitor->config->late_output * 1000);
        set_phase(monitor, PHASE_DRAINING);
    }
    if (page->hurried)
        wait_no_longer(monitor);
    if (page->phase == PHASE_DRAINING) {
        feed_deinit(&monitor->feed);
        monitor_terminal_hang_up(monitor);
        monitor_log_hurry(monitor);
        for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
            monitor_take_rest(monitor, i);
        if (may_print(monitor))
            return;
        state_commit(&page->late_at, 0);
        close_streams(monitor);
        if (monitor_journal_goes_on(monitor))
            return; /* who hears of the end may look there at once for all of the output */
        fd_close_inherited();
        set_phase(monitor, PHASE_REPORTING);
    }
    if (page->phase == PHASE_REPORTING) {
        report(monitor);
        start_exit_command_if_due(monitor);
        if (settle_log(monitor) && readers_are_served(monitor) && command_is_over(monitor))
            set_phase(monitor, PHASE_GONE);
    }
}

void monitor_hurry(Monitor *monitor)
{
    state_commit(&monitor_page(monitor)->hurried, 1);
    monitor_end(monitor);
}

int monitor_exit_status(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);

    /* Whoever stops a unit sends the signal to all of its processes: a cleanup that is interrupted
     * by it is no failure. */
    if (page->ended & ENDED_COMMAND && page->command_status != 0 && !page->hurried)
        return page->command_status;
    return page->failed ? monitor_own_failure(monitor->config) : container_status(page) & 0xff;
}
