#include "monitor/monitor.h"

#include "process/children.h"
#include "process/runtime.h"
#include "process/spawn.h"
#include "process/sync-pipe.h"
#include "state/fds.h"
#include "state/input.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STATUS_FAILED = 125, /* `conward run` itself could not go on */
    STATUS_CANNOT_EXECUTE = 126,
    STATUS_NOT_FOUND = 127,
    STATUS_UNKNOWN = -1,
};

typedef struct Pipes {
    int ours[STREAMS];
    int theirs[STREAMS];
} Pipes;

static void pipes_deinit(Pipes *pipes)
{
    for (int i = 0; i < STREAMS; i++) {
        fd_close(&pipes->ours[i]);
        fd_close(&pipes->theirs[i]);
    }
}

#define CLEANUP_PIPES __attribute__((cleanup(pipes_deinit)))
#define PIPES_NULL \
    {              \
        {-1, -1},  \
        {          \
            -1, -1 \
        }          \
    }

static int pipes_init(Pipes *pipes, Error *error)
{
    for (int i = 0; i < STREAMS; i++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
            return error_set(error, errno, "Cannot make a pipe for the container's output");
        pipes->ours[i] = ends[0];
        pipes->theirs[i] = ends[1];
        /* So that a process without our rights can open /dev/stdout once more. */
        fchmod(ends[1], 0777);
    }
    return 0;
}

/* The pipes become the streams; the child's ends stay open in `pipes` for the spawn. */
static void adopt_pipes(Monitor *monitor, Pipes *pipes)
{
    monitor_streams_init(monitor, (int[STREAMS]){pipes->ours[0], pipes->ours[1]});
    pipes->ours[0] = pipes->ours[1] = -1;
}

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
    CLEANUP_PIPES Pipes pipes = PIPES_NULL;
    g_autofree char **argv = runtime_create_argv(&call);
    Spawn what = {
        .file = config->runtime,
        .argv = argv,
        .environment = environ,
        .die_with_us = true,
        .mask = &monitor->mask,
        .oom_score_adj = monitor_page(monitor)->old_oom_score_adj,
        .failure_fd = -1,
    };
    pid_t pid;

    if (pipes_init(&pipes, error) < 0)
        return -1;
    what.stdio[0] = -1;
    what.stdio[1] = pipes.theirs[STREAM_STDOUT];
    what.stdio[2] = pipes.theirs[STREAM_STDERR];
    adopt_pipes(monitor, &pipes);
    pid = spawn(&what, error);
    if (pid < 0)
        return -1;
    state_commit_i32(&monitor_page(monitor)->runtime_pid, pid);
    return 0;
}

int monitor_start_command(Monitor *monitor, Error *error)
{
    const Config *config = monitor->config;
    Page *page = monitor_page(monitor);
    CLEANUP_PIPES Pipes pipes = PIPES_NULL;
    CLEANUP_FD int failure = -1;
    int ends[2];
    int number = 0;
    Spawn what = {
        .file = config->command[0],
        .argv = config->command,
        .environment = environ,
        .search = true,
        .mask = &monitor->mask,
        .oom_score_adj = page->old_oom_score_adj,
    };
    pid_t pid;

    if (pipes_init(&pipes, error) < 0)
        return STATUS_FAILED;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_set(error, errno, "Cannot make a pipe");
        return STATUS_FAILED;
    }
    failure = ends[0];
    what.failure_fd = ends[1];
    what.stdio[0] = config->detach ? -1 : STDIN_FILENO;
    what.stdio[1] = pipes.theirs[STREAM_STDOUT];
    what.stdio[2] = pipes.theirs[STREAM_STDERR];
    pid = spawn(&what, error);
    close(ends[1]);
    if (pid < 0)
        return STATUS_FAILED;
    state_commit_i32(&page->container_pid, pid);

    /* The pipe closes at execve; only a failure writes to it. */
    if (read(failure, &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        error_set(error, number, "Cannot execute %s", config->command[0]);
        return number == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
    }
    adopt_pipes(monitor, &pipes);
    return 0;
}

void monitor_report(Monitor *monitor, int number, const char *text, size_t length)
{
    char line[SYNC_LINE_MAX];
    const char *key = monitor->config->api_version >= 1 ? "data" : "pid";
    int r;

    if (monitor->sync_fd < 0)
        return;
    r = fd_write_all(monitor->sync_fd, line, sync_line(line, key, number, text, length));
    if (r < 0)
        message(&monitor->config->messages, LEVEL_DEBUG, "The engine does not read its pipe: %s",
                strerror(-r));
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

static gboolean on_foreign_end(gint fd, GIOCondition condition, gpointer data)
{
    Monitor *monitor = data;
    Page *page = monitor_page(monitor);

    (void)fd;
    (void)condition;
    monitor->foreign_source = 0;
    page->container_status = STATUS_UNKNOWN;
    state_commit_u32(&page->ended, page->ended | ENDED_CONTAINER);
    message(&monitor->config->messages, LEVEL_WARNING,
            "The container's process %d was not left to this monitor by the runtime %s: it has "
            "ended with a status that is unknown, reported as %d",
            page->container_pid, monitor->config->runtime, STATUS_UNKNOWN);
    monitor_end(monitor);
    return G_SOURCE_REMOVE;
}

/* A container that is not our child (the runtime kept or reaped it) is watched by a pidfd. */
static void watch_foreign(Monitor *monitor, pid_t pid)
{
    int fd = children_watch_foreign(pid);

    if (fd >= 0) {
        monitor->foreign_fd = fd;
        fds_add(&monitor->state, FD_CONTAINER, fd);
        monitor->foreign_source = watch_fd(fd, G_IO_IN, on_foreign_end, monitor);
    } else if (fd == -ESRCH) {
        on_foreign_end(-1, 0, monitor);
    }
}

static void running(Monitor *monitor, pid_t pid)
{
    const Config *config = monitor->config;
    Page *page = monitor_page(monitor);
    GString *noise = captured(monitor, STREAM_STDERR);

    if (noise->len > 0)
        message(&config->messages, LEVEL_WARNING, "The runtime %s warned: %s", config->runtime,
                noise->str);
    g_string_free(noise, TRUE);
    forget_captured(monitor);

    state_commit_i32(&page->container_pid, pid);
    if (config->timeout > 0)
        page->timeout_at = clock_boottime_us() + (int64_t)config->timeout * 1000000;
    state_commit_u32(&page->phase, PHASE_RUNNING);
    monitor_report(monitor, pid, "", 0);

    watch_foreign(monitor, pid);
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
        message(&config->messages, LEVEL_ERROR, "Failed to create container: exit status %d",
                status);
        if (text->len == 0)
            g_string_printf(text, "The runtime %s failed with exit status %d and said nothing",
                            config->runtime, status);
    } else {
        const char *why = pid < 0 ? strerror(-pid) : "it holds no pid";

        message(&config->messages, LEVEL_ERROR, "Failed to read pidfile: %s: %s",
                config->container_pidfile, why);
        if (text->len == 0)
            g_string_printf(text, "The runtime %s succeeded, but its pid file %s is of no use: %s",
                            config->runtime, config->container_pidfile, why);
    }
    fail(monitor, text->str, text->len);
    g_string_free(text, TRUE);
}
