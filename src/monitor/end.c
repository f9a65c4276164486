#include "monitor/monitor.h"

#include "process/children.h"
#include "process/exit-command.h"
#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void set_phase(Monitor *monitor, Phase phase)
{
    state_commit_u32(&monitor_page(monitor)->phase, phase);
}

static int container_status(const Page *page)
{
    return page->timed_out ? STATUS_TIMED_OUT : page->container_status;
}

/* What was in the pipes when the container ended, and what waits for the end of a line. */
static void drain(Monitor *monitor)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        monitor_take_rest(monitor, i);
        stream_deinit(&monitor->streams[i]);
        if (!monitor_page(monitor)->failed)
            monitor_pump(monitor, i, SPLIT_END);
    }
    if (monitor_has_log(monitor))
        k8s_file_finish(&monitor->log);
}

static void write_status(Monitor *monitor, const char *directory, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
    char text[16];
    int r;

    snprintf(text, sizeof(text), "%d", container_status(monitor_page(monitor)));
    r = file_replace(path, text, 0644);
    if (r < 0)
        message(&monitor->config->messages, LEVEL_ERROR,
                "Failed to write the exit file %s: %s. The exit status is %s", path, strerror(-r),
                text);
}

static void end_attach(Monitor *monitor)
{
    attach_stop_listening(&monitor->attach);
    attach_close_clients(&monitor->attach, false);
}

static void write_persist_file(Monitor *monitor)
{
    if (monitor->config->persist_dir != NULL && !monitor_page(monitor)->failed)
        write_status(monitor, monitor->config->persist_dir, "exit");
}

static void write_exit_file(Monitor *monitor)
{
    if (monitor->config->exit_dir != NULL && !monitor_page(monitor)->failed)
        write_status(monitor, monitor->config->exit_dir, monitor->config->cid);
}

/* Nobody but us may hold the engine's pipe, and now we do not either: it sees the end. */
static void close_sync(Monitor *monitor)
{
    if (monitor->sync_fd >= 0)
        fds_remove(&monitor->state, monitor->sync_fd);
    fd_close(&monitor->sync_fd);
}

static void start_exit_command(Monitor *monitor)
{
    const Config *config = monitor->config;
    const sigset_t mask = monitor_child_mask(monitor);
    Page *page = monitor_page(monitor);
    Error error = ERROR_NULL;
    pid_t pid = exit_command_start(config->exit_command, config->exit_command_args, &mask,
                                   page->old_oom_score_adj, page->old_file_limit,
                                   &page->command_pid, &error);

    if (pid < 0) {
        message(&config->messages, LEVEL_ERROR, "Failed to run the exit command: %s", error.text);
        page->command_status = STATUS_FAILED;
        state_commit_u32(&page->ended, page->ended | ENDED_COMMAND);
    }
}

static void say_losses(Monitor *monitor)
{
    const LogCounters *counters = state_cursors(&monitor->state)->counters;

    for (int i = 0; i < STREAMS; i++) {
        const char *name = i == STREAM_STDOUT ? "stdout" : "stderr";

        if (counters[i].lost_bytes > 0)
            message(&monitor->config->messages, LEVEL_WARNING,
                    "Lost %" PRIu64 " bytes in %" PRIu64
                    " records of %s: the log %s could not be written",
                    counters[i].lost_bytes, counters[i].lost_records, name,
                    monitor->config->log_path);
        if (counters[i].capped_bytes > 0)
            message(&monitor->config->messages, LEVEL_WARNING,
                    "Left out %" PRIu64 " bytes of %s: --log-global-size-max was reached",
                    counters[i].capped_bytes, name);
    }
}

static void finish_log(Monitor *monitor)
{
    say_losses(monitor);
    if (monitor_has_log(monitor) && monitor->config->log_sync)
        fsync(monitor->log.to.fd);
}

/* It is never started twice, whatever step of this is repeated. */
static bool exit_command_was_started(const Page *page)
{
    return page->command_pid > 0 || page->ended & ENDED_COMMAND;
}

static void start_exit_command_if_due(Monitor *monitor)
{
    const Page *page = monitor_page(monitor);

    if (page->command_at == 0 || page->command_at > clock_boottime_us())
        return;
    if (!exit_command_was_started(page))
        start_exit_command(monitor);
    state_commit_i64(&monitor_page(monitor)->command_at, 0);
}

static void schedule_exit_command(Monitor *monitor)
{
    const Config *config = monitor->config;

    if (config->exit_command == NULL || exit_command_was_started(monitor_page(monitor)))
        return;
    state_commit_i64(&monitor_page(monitor)->command_at,
                     clock_boottime_us() + (int64_t)config->exit_delay * 1000000);
    start_exit_command_if_due(monitor);
}

/*
 * The exit report. Each step is done once, noted when done, and does not depend on whether the one
 * before it could be done: an exit file that cannot be written must not cost the next one. The log
 * is brought to the disk last, while the exit command runs: a slow disk delays nobody.
 */
static void report(Monitor *monitor)
{
    static const struct {
        ReportStep step;
        void (*run)(Monitor *);
    } steps[] = {
        {REPORTED_ATTACH, end_attach},
        {REPORTED_PERSIST_FILE, write_persist_file},
        {REPORTED_EXIT_FILE, write_exit_file},
        {REPORTED_SYNC, close_sync},
        {REPORTED_COMMAND, schedule_exit_command},
        {REPORTED_LOG, finish_log},
    };
    Page *page = monitor_page(monitor);

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (page->reported & steps[i].step)
            continue;
        steps[i].run(monitor);
        state_commit_u32(&page->reported, page->reported | steps[i].step);
    }
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

void monitor_end(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    if (page->phase < PHASE_DRAINING) {
        state_commit_i64(&page->timeout_at, 0);
        state_commit_i64(&page->kill_at, 0);
        set_phase(monitor, PHASE_DRAINING);
    }
    if (page->phase == PHASE_DRAINING) {
        drain(monitor);
        fd_close_inherited();
        set_phase(monitor, PHASE_REPORTING);
    }
    if (page->phase == PHASE_REPORTING) {
        report(monitor);
        start_exit_command_if_due(monitor);
        if (readers_are_served(monitor) && command_is_over(monitor))
            set_phase(monitor, PHASE_GONE);
    }
}

void monitor_hurry(Monitor *monitor)
{
    monitor_drop_readers(monitor);
    if (monitor_page(monitor)->command_at != 0)
        state_commit_i64(&monitor_page(monitor)->command_at, clock_boottime_us());
    monitor_end(monitor);
}

int monitor_exit_status(const Monitor *monitor)
{
    const Page *page = monitor_page(monitor);

    if (page->ended & ENDED_COMMAND && page->command_status != 0)
        return page->command_status;
    return page->failed ? STATUS_FAILED : container_status(page) & 0xff;
}
