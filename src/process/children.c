#include "process/children.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

static void note(Page *page, const siginfo_t *info)
{
    int status = status_of(info);

    if (info->si_pid == page->container_pid) {
        page->container_status = status;
        state_commit_u32(&page->ended, page->ended | ENDED_CONTAINER);
    } else if (info->si_pid == page->runtime_pid) {
        page->runtime_status = status;
        state_commit_u32(&page->ended, page->ended | ENDED_RUNTIME);
    } else if (info->si_pid == page->command_pid) {
        page->command_status = status;
        state_commit_u32(&page->ended, page->ended | ENDED_COMMAND);
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

int children_watch_foreign(pid_t pid)
{
    siginfo_t info;
    int fd;

    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        return -1;
    fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    return fd < 0 ? -ESRCH : fd;
}
