#include "monitor/monitor.h"

#include "process/spawn.h"
#include "stdio/pipes.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The command of `conward run`: what the runtime and its container are for an engine. */

static void on_console_moved(Outlet *outlet, void *owner)
{
    (void)outlet;
    monitor_outlets_moved(owner);
}

static int write_pidfile(const Monitor *monitor, Error *error)
{
    const char *path = monitor->config->container_pidfile;
    g_autofree char *text = g_strdup_printf("%d", monitor_page(monitor)->container_pid);
    int r;

    if (path == NULL)
        return 0;
    r = file_replace(path, text, 0644);
    if (r < 0)
        return error_set(error, -r, "Cannot write the command's pid to %s", path);
    return 0;
}

static pid_t spawn_command(Monitor *monitor, const Pipes *pipes, int failure_fd, int cgroup_fd,
                           Error *error)
{
    const Config *config = monitor->config;
    const ChildSignals signals = monitor_child_signals(monitor);
    const Spawn what = {
        .file = config->command[0],
        .argv = config->command,
        .environment = environ,
        .search = true,
        .own_terminal = config->terminal,
        .stdio = {pipes->their_input, pipes->theirs[STREAM_STDOUT], pipes->theirs[STREAM_STDERR]},
        .signals = &signals,
        .oom_score_adj = monitor_page(monitor)->old_oom_score_adj,
        .file_limit = monitor_page(monitor)->old_file_limit,
        .pid = &monitor_page(monitor)->container_pid,
        .gate_fd = -1,
        .failure_fd = failure_fd,
        .cgroup_fd = cgroup_fd,
    };

    return spawn(&what, error);
}

/*
 * What cannot be executed ends now, and is in its cgroup until then. It stays to be reaped: if we
 * crash, the next image takes it for a command that runs, and must see its end.
 */
static void wait_for_end(pid_t pid)
{
    siginfo_t info;

    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

/* Forks and waits for execve. Returns 0, or the status to exit with. */
static int execute(Monitor *monitor, const Pipes *pipes, Error *error)
{
    const char *file = monitor->config->command[0];
    CLEANUP_FD int cgroup = -1;
    CLEANUP_FD int failure = -1;
    CLEANUP_FD int failure_theirs = -1;
    int ends[2];
    int number = 0;

    if (monitor_cgroup_make(monitor, &cgroup, error) < 0)
        return STATUS_RUN_FAILED;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_set(error, errno, "Cannot make a pipe to see whether %s starts", file);
        return STATUS_RUN_FAILED;
    }
    failure = ends[0];
    failure_theirs = ends[1];
    if (spawn_command(monitor, pipes, failure_theirs, cgroup, error) < 0)
        return STATUS_RUN_FAILED;
    fd_close(&failure_theirs);

    /* The pipe closes at execve; only a failure writes to it. */
    if (read(failure, &number, sizeof(number)) != (ssize_t)sizeof(number))
        return 0;
    wait_for_end(monitor_page(monitor)->container_pid);
    if (number < 0) {
        error_set(error, -number, "Cannot put %s into the cgroup %s", file,
                  monitor->config->cgroup);
        return STATUS_RUN_FAILED;
    }
    error_set(error, number, "Cannot execute %s", file);
    return number == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
}

void monitor_console_adopt(Monitor *monitor)
{
    monitor->has_console = monitor_page(monitor)->console.used;
    if (monitor->has_console)
        console_adopt(&monitor->console, &monitor->state, on_console_moved, monitor);
}

/* The command's side is left in `pipes`: of a terminal, one descriptor for all three. */
static int take_stdio(Monitor *monitor, Pipes *pipes, Error *error)
{
    const Config *config = monitor->config;
    int fd;

    if (!config->terminal) {
        if (pipes_init(pipes, false, false, error) < 0)
            return -1;
        pipes->their_input = config->detach ? -1 : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        monitor_take_pipes(monitor, pipes);
        return 0;
    }
    fd = monitor_terminal_make(monitor, error);
    if (fd < 0)
        return -1;
    pipes->their_input = fd;
    pipes->theirs[STREAM_STDOUT] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    pipes->theirs[STREAM_STDERR] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return 0;
}

int monitor_start_command(Monitor *monitor, Error *error)
{
    const Config *config = monitor->config;
    CLEANUP_PIPES Pipes pipes = PIPES_NULL;
    int status;

    if (take_stdio(monitor, &pipes, error) < 0)
        return STATUS_RUN_FAILED;
    /* Before there is a command: not even its first byte is missed after a crash. */
    if (!config->quiet && !config->detach) {
        monitor->has_console = true;
        if (!console_init(&monitor->console, &monitor->state, on_console_moved, monitor))
            message(&config->messages, LEVEL_WARNING,
                    "The output is not copied to a terminal that cannot be opened: look into the "
                    "log, or run with --quiet");
    }
    status = execute(monitor, &pipes, error);
    if (status != 0) {
        monitor_cgroup_unmake(monitor);
        return status;
    }
    monitor_command_runs(monitor);
    return 0;
}

void monitor_command_runs(Monitor *monitor)
{
    Error error = ERROR_NULL;

    if (write_pidfile(monitor, &error) < 0)
        message(&monitor->config->messages, LEVEL_ERROR, "%s. The command continues", error.text);
    monitor_set_running(monitor);
}
