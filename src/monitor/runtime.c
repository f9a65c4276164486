#include "monitor/monitor.h"

#include "process/children.h"
#include "process/runtime.h"
#include "process/spawn.h"
#include "process/sync-pipe.h"
#include "state/input.h"
#include "stdio/pipes.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int monitor_start_runtime(Monitor *monitor, Error *error)
{
    const Config *config = monitor->config;
    const RuntimeCall call = {
        .runtime = config->runtime,
        .arguments = config->runtime_args,
        .options = config->runtime_opts,
        .bundle = config->bundle,
        .pidfile = config->container_pidfile,
        .cid = config->cid,
        .systemd_cgroup = config->systemd_cgroup,
        .no_pivot = config->no_pivot,
        .no_new_keyring = config->no_new_keyring,
    };
    const sigset_t mask = monitor_child_mask(monitor);
    CLEANUP_PIPES Pipes pipes = PIPES_NULL;
    g_autofree char **argv = runtime_create_argv(&call);
    Spawn what = {
        .file = config->runtime,
        .argv = argv,
        .environment = environ,
        .die_with_us = true,
        .mask = &mask,
        .oom_score_adj = monitor_page(monitor)->old_oom_score_adj,
        .file_limit = monitor_page(monitor)->old_file_limit,
        .pid = &monitor_page(monitor)->runtime_pid,
        .failure_fd = -1,
    };

    if (pipes_init(&pipes, error) < 0)
        return -1;
    what.stdio[0] = -1;
    what.stdio[1] = pipes.theirs[STREAM_STDOUT];
    what.stdio[2] = pipes.theirs[STREAM_STDERR];
    monitor_take_pipes(monitor, &pipes);
    return spawn(&what, error) < 0 ? -1 : 0;
}

void monitor_report(Monitor *monitor, int number, const char *text, size_t length)
{
    char line[SYNC_LINE_MAX];
    const char *key = monitor->config->api_version >= 1 ? "data" : "pid";
    Page *page = monitor_page(monitor); /* NULL if there is none for want of memory */
    int r;

    if (monitor->sync_fd < 0 || (page != NULL && page->reported & REPORTED_START))
        return;
    r = sync_send(monitor->sync_fd, line, sync_line(line, key, number, text, length));
    if (r < 0)
        message(&monitor->config->messages, LEVEL_DEBUG, "The engine does not read its pipe: %s",
                strerror(-r));
    if (page != NULL)
        state_commit_u32(&page->reported, page->reported | REPORTED_START);
}

/* What the runtime has said on a stream and that has been kept. */
static GString *captured(Monitor *monitor, StreamId stream)
{
    const StreamPage *page = &monitor_page(monitor)->streams[stream];
    uint64_t start = state_cursors(&monitor->state)->start[stream];

    return g_string_new_len((const char *)input_at(&monitor->state, stream, start),
                            (gssize)(page->end - start));
}

/* The runtime's words are not the container's: they are passed over by the log and the outlets. */
static void forget_captured(Monitor *monitor)
{
    LogCursors *next = state_cursors_next(&monitor->state);

    for (int i = 0; i < STREAMS; i++)
        next->start[i] = monitor_page(monitor)->streams[i].end;
    state_cursors_commit(&monitor->state);
    attach_skip(&monitor->attach);
}

static void fail(Monitor *monitor, const char *text, size_t length)
{
    state_commit_u32(&monitor_page(monitor)->failed, 1);
    monitor_report(monitor, -1, text, length);
    forget_captured(monitor);
    monitor_end(monitor);
}

/* It may have become our child meanwhile, when its parent ended: then its status can be had. */
static void foreign_ended(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    children_reap(&monitor->state);
    if (!(page->ended & ENDED_CONTAINER)) {
        message(&monitor->config->messages, LEVEL_WARNING,
                "The container's process %d was not left to this monitor by the runtime %s: it has "
                "ended with a status that is unknown, reported as %d",
                page->container_pid, monitor->config->runtime, STATUS_UNKNOWN);
        page->container_status = STATUS_UNKNOWN;
        state_commit_u32(&page->ended, page->ended | ENDED_CONTAINER);
    }
    monitor_end(monitor);
}

static gboolean on_foreign_end(gint fd, GIOCondition condition, gpointer data)
{
    Monitor *monitor = data;

    (void)fd;
    (void)condition;
    monitor->foreign_source = 0;
    foreign_ended(monitor);
    return G_SOURCE_REMOVE;
}

void monitor_watch_foreign(Monitor *monitor)
{
    pid_t pid = monitor_page(monitor)->container_pid;
    int r = children_watch_foreign(pid, &monitor->foreign_fd);

    if (r == -ESRCH) {
        foreign_ended(monitor);
    } else if (r < 0) {
        message(&monitor->config->messages, LEVEL_ERROR,
                "Cannot watch the container's process %d, which is not a child of this monitor: "
                "%s. Its end will not be seen; stop it and remove the container",
                pid, strerror(-r));
    } else if (monitor->foreign_fd >= 0) {
        monitor->foreign_source = watch_fd(monitor->foreign_fd, G_IO_IN, on_foreign_end, monitor);
    }
}

static void running(Monitor *monitor, pid_t pid)
{
    const Config *config = monitor->config;
    Page *page = monitor_page(monitor);
    GString *noise = captured(monitor, STREAM_STDERR);
    GString *more = captured(monitor, STREAM_STDOUT);

    g_string_append_len(noise, more->str, (gssize)more->len);
    g_string_free(more, TRUE);
    if (noise->len > 0)
        message(&config->messages, LEVEL_WARNING, "The runtime %s warned: %s", config->runtime,
                noise->str);
    g_string_free(noise, TRUE);
    forget_captured(monitor);

    state_commit_i32(&page->container_pid, pid);
    monitor_set_running(monitor);
    monitor_report(monitor, pid, "", 0);

    monitor_watch_foreign(monitor);
    children_reap(&monitor->state);
    if (page->ended & ENDED_CONTAINER)
        monitor_end(monitor);
}

void monitor_runtime_ended(Monitor *monitor)
{
    const Config *config = monitor->config;
    int status = monitor_page(monitor)->runtime_status;
    int pid;
    GString *text;

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        monitor_take_rest(monitor, i);
    state_commit_i32(&monitor_page(monitor)->runtime_pid, 0);
    pid = status == 0 ? runtime_read_pidfile(config->container_pidfile) : 0;
    if (pid > 0) {
        running(monitor, pid);
        return;
    }

    text = captured(monitor, STREAM_STDERR);
    if (status != 0) {
        message(&config->messages, LEVEL_ERROR,
                "Failed to create container: exit status %d of %s: %s", status, config->runtime,
                text->len > 0 ? text->str : "it said nothing");
        if (text->len == 0)
            g_string_printf(text, "The runtime %s failed with exit status %d and said nothing",
                            config->runtime, status);
    } else {
        const char *why = pid < 0 ? strerror(-pid) : "it does not hold the pid of a container";

        message(&config->messages, LEVEL_ERROR, "Failed to read pidfile: %s: %s",
                config->container_pidfile, why);
        if (text->len == 0)
            g_string_printf(text, "The runtime %s succeeded, but its pid file %s is of no use: %s",
                            config->runtime, config->container_pidfile, why);
    }
    fail(monitor, text->str, text->len);
    g_string_free(text, TRUE);
}
