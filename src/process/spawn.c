#include "process/spawn.h"

#include "process/file-limit.h"
#include "process/oom-score.h"
#include "process/sync-pipe.h"
#include "state/state.h"
#include "util/fd.h"
#include "util/ignored.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Puts the three descriptors in place without overwriting one that is still to be moved. */
static int place_stdio(const int *stdio)
{
    int source[3];

    for (int i = 0; i < 3; i++) {
        source[i] = stdio[i] >= 0 ? stdio[i] : fd_open_null(i);
        if (source[i] >= 0 && source[i] < 3 && source[i] != i)
            source[i] = fcntl(source[i], F_DUPFD_CLOEXEC, 3);
        if (source[i] < 0)
            return -errno;
    }
    for (int i = 0; i < 3; i++) {
        if (source[i] == i ? fd_set_cloexec(i, false) < 0 : dup2(source[i], i) < 0)
            return -errno;
    }
    return 0;
}

static void say_failure(const Spawn *what, int number)
{
    const char *why = strerrordesc_np(number); /* async-signal-safe, unlike strerror */

    if (what->failure_fd >= 0) {
        fd_write_all(what->failure_fd, &number, sizeof(number));
        return;
    }
    if (why == NULL)
        why = "unknown error";
    fd_write_all(STDERR_FILENO, "conward: cannot execute ", strlen("conward: cannot execute "));
    fd_write_all(STDERR_FILENO, what->file, strlen(what->file));
    fd_write_all(STDERR_FILENO, ": ", 2);
    fd_write_all(STDERR_FILENO, why, strlen(why));
    fd_write_all(STDERR_FILENO, "\n", 1);
}

/* Not before the engine says so: until then somebody may come to see the first byte of output. */
static void wait_at_gate(int fd)
{
    static const char gone[] = "conward: the engine went away before it allowed the start\n";

    if (start_pipe_wait(fd) == 0)
        return;
    fd_write_all(STDERR_FILENO, gone, strlen(gone));
    _exit(127);
}

/* In decimal. Async-signal-safe. */
static void write_pid(char *text, pid_t pid)
{
    size_t digits = 0;

    for (pid_t rest = pid; rest > 0; rest /= 10)
        digits++;
    text[digits] = '\0';
    for (pid_t rest = pid; rest > 0; rest /= 10)
        text[--digits] = (char)('0' + rest % 10);
}

static void become(const Spawn *what, pid_t parent)
{
    int r;

    for (int number = 1; number <= SIGNALS_MOST; number++)
        signal_set_ignored(number, what->signals->ignored & signal_bit(number));
    if (what->cgroup_fd >= 0 && write(what->cgroup_fd, "0", 1) < 0) {
        say_failure(what, -errno);
        _exit(127);
    }
    if (what->die_with_us) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127); /* it died before the call above */
    }
    r = place_stdio(what->stdio);
    if (r < 0) {
        say_failure(what, -r);
        _exit(127);
    }
    if (what->own_terminal) {
        setsid();
        ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    }
    if (what->pid_text != NULL)
        write_pid(what->pid_text, getpid());
    oom_score_set(what->oom_score_adj);
    file_limit_set(what->file_limit);
    if (what->close_others)
        syscall(SYS_close_range, 3U, ~0U, 0U);
    sigprocmask(SIG_SETMASK, &what->signals->mask, NULL);
    if (what->gate_fd >= 0)
        wait_at_gate(what->gate_fd);

    if (what->search)
        execvpe(what->file, what->argv, what->environment);
    else
        execve(what->file, what->argv, what->environment);
    say_failure(what, errno);
    _exit(127);
}

pid_t spawn(const Spawn *what, Error *error)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return error_set(error, errno, "Cannot make a process for %s", what->file);
    if (pid == 0)
        become(what, parent);
    if (what->pid != NULL)
        state_commit(what->pid, pid);
    return pid;
}
