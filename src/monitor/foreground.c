#include "monitor/foreground.h"

#include "monitor/monitor.h"
#include "process/sync-pipe.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SERVICE_PATIENCE = 10 * 1000 }; /* milliseconds for a service manager that has no room */

static void on_term(int number)
{
    (void)number;
    _exit(1);
}

int foreground_wait_for_engine(int start_fd, Error *error)
{
    int r;

    signal(SIGTERM, on_term); /* until the runtime is started there is nothing to forward it to */
    if (start_fd < 0)
        return 0;
    r = start_pipe_wait(start_fd);
    if (r == -EPIPE)
        return error_set(error, 0,
                         "start-pipe closed before the start was allowed: the engine is gone");
    return r < 0 ? error_set(error, -r, "start-pipe read failed") : 0;
}

static int write_pidfile(const Config *config, pid_t pid, Error *error)
{
    char text[16];
    int r;

    if (config->monitor_pidfile == NULL)
        return 0;
    snprintf(text, sizeof(text), "%d", (int)pid);
    r = file_replace(config->monitor_pidfile, text, 0644);
    if (r < 0 && config->kind == KIND_RUN)
        return error_set(error, 0,
                         "Failed to write the pid file %s: %s; --pidfile must name a file in a "
                         "directory that exists and can be written",
                         config->monitor_pidfile, strerror(-r));
    if (r < 0)
        return error_set(error, -r, "Failed to write conmon pidfile: %s", config->monitor_pidfile);
    return 0;
}

static int wait_for_start(const Config *config, int fd)
{
    int status;

    if (read(fd, &status, sizeof(status)) == (ssize_t)sizeof(status))
        return status;
    return monitor_own_failure(config); /* the monitor died without a word */
}

/* The command runs, and the monitor is the unit's main process from now on. */
static void hand_over(const Config *config, ServiceManager *service, pid_t monitor)
{
    char lines[64];

    snprintf(lines, sizeof(lines), "MAINPID=%d%s", (int)monitor,
             config->command_notifies ? "" : "\nREADY=1");
    service_manager_send(service, lines, SERVICE_PATIENCE);
}

int foreground_detach(const Config *config, bool report, ServiceManager *service, int *started_fd,
                      Error *error)
{
    const int failure = monitor_own_failure(config);
    int gate[2];    /* the monitor waits here for its pid file */
    int started[2]; /* the foreground process waits here for the start */
    char byte = 0;
    int status;
    pid_t pid;

    *started_fd = -1;
    if (pipe2(gate, O_CLOEXEC) < 0 || pipe2(started, O_CLOEXEC) < 0) {
        error_set(error, errno, "Cannot make a pipe to the foreground process");
        return failure;
    }
    pid = fork();
    if (pid < 0) {
        error_set(error, errno, "Failed to fork the monitor");
        return failure;
    }
    if (pid > 0) {
        close(started[1]);
        if (write_pidfile(config, pid, error) < 0)
            return failure; /* the gate closes, and the monitor ends before it has begun */
        fd_write_all(gate[1], &byte, sizeof(byte));
        status = report ? wait_for_start(config, started[0]) : 0;
        if (status == 0)
            hand_over(config, service, pid);
        return status;
    }

    close(gate[1]);
    close(started[0]);
    if (read(gate[0], &byte, sizeof(byte)) != (ssize_t)sizeof(byte))
        _exit(1);
    close(gate[0]);
    if (report)
        *started_fd = started[1];
    else
        close(started[1]);
    return -1;
}
