#include "process/children.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

/* Only the first end of a pid is ours: once reaped, its number can come back as some orphan's. */
static bool is_first_end(const Page *page, const siginfo_t *info, int32_t pid, ChildEnd end)
{
    return info->si_pid == pid && !(page->ended & end);
}

static void note(Page *page, const siginfo_t *info)
{
    int status = status_of(info);

    if (is_first_end(page, info, page->container_pid, ENDED_CONTAINER)) {
        page->container_status = status;
        page->container_signal = info->si_code == CLD_EXITED ? 0 : info->si_status;
        state_commit(&page->ended, page->ended | ENDED_CONTAINER);
    } else if (is_first_end(page, info, page->runtime_pid, ENDED_RUNTIME)) {
        page->runtime_status = status;
        state_commit(&page->ended, page->ended | ENDED_RUNTIME);
    } else if (is_first_end(page, info, page->command_pid, ENDED_COMMAND)) {
        page->command_status = status;
        state_commit(&page->ended, page->ended | ENDED_COMMAND);
    }
}

/* Returns 1 if a child was reaped, 0 if none has ended. */
static int reap_one(Page *page, idtype_t type, pid_t pid)
{
    siginfo_t info = {0};

    if (waitid(type, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
        return 0;
    note(page, &info);
    waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    return 1;
}

void children_reap(State *state)
{
    Page *page = state->page;

    if (page->phase == PHASE_STARTING) {
        if (page->runtime_pid > 0)
            reap_one(page, P_PID, page->runtime_pid);
        return;
    }
    while (reap_one(page, P_ALL, 0))
        ;
}

void child_comm(pid_t pid, char comm[PAGE_COMM_MAX])
{
    char path[32];
    CLEANUP_FD int fd = -1;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = read(fd, comm, PAGE_COMM_MAX);
    comm[n > 0 ? n - 1 : 0] = '\0'; /* in the place of its newline */
}

int children_watch_foreign(pid_t pid, int *pidfd)
{
    siginfo_t info;

    *pidfd = -1;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        return 0;
    *pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    return *pidfd < 0 ? -errno : 0;
}
