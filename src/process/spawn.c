#include "process/spawn.h"

#include "process/file-limit.h"
#include "process/oom-score.h"
#include "state/state.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Puts the three descriptors in place without overwriting one that is still to be moved. */
static int place_stdio(const int *stdio)
{
    int source[3];

    for (int i = 0; i < 3; i++) {
        source[i] = stdio[i] >= 0 ? stdio[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
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

static void become(const Spawn *what, pid_t parent)
{
    static const int ours[] = {SIGPIPE, SIGXFSZ, SIGXCPU, SIGSEGV, SIGBUS, SIGFPE,
                               SIGILL,  SIGTRAP, SIGSYS,  SIGABRT, SIGALRM};
    int r;

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        signal(ours[i], SIG_DFL);
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
    oom_score_set(what->oom_score_adj);
    file_limit_set(what->file_limit);
    if (what->close_others)
        syscall(SYS_close_range, 3U, ~0U, 0U);
    sigprocmask(SIG_SETMASK, what->mask, NULL);

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
        state_commit_i32(what->pid, pid);
    return pid;
}
