#include "stdio/console.h"

#include "state/fds.h"
#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A descriptor for our stdout or stderr that never blocks. O_NONBLOCK belongs to the open file and
 * not to the descriptor, so setting it would change it for the caller's shell too: a pipe or a
 * terminal is opened once more instead. Where that cannot be (a socket, another user's terminal),
 * the original is used, and small writes after poll(2) have to do.
 */
static int open_again(int fd)
{
    struct stat st;
    char name[32];

    if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return -1;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void console_init(Console *console, State *state, OutletMoved moved, void *owner)
{
    OutletPage *page = &state->page->console;

    outlet_init(&console->outlet, state, page, false, moved, owner);
    for (int i = 0; i < STREAMS; i++) {
        console->fds[i] = open_again(STDOUT_FILENO + i);
        console->outlet.blocking[i] = console->fds[i] < 0;
        page->fd[i] = console->fds[i] >= 0 ? console->fds[i] : STDOUT_FILENO + i;
        if (console->fds[i] >= 0)
            fds_add(state, FD_CONSOLE, console->fds[i]);
    }
    page->early = 1;
    page->dead = 0;
    outlet_skip(&console->outlet);
    state_commit_u32(&page->used, 1);
}

void console_deinit(Console *console)
{
    State *state = console->outlet.state;

    state_commit_u32(&state->page->console.used, 0);
    outlet_deinit(&console->outlet);
    for (int i = 0; i < STREAMS; i++) {
        if (console->fds[i] >= 0)
            fds_remove(state, console->fds[i]);
        fd_close(&console->fds[i]);
    }
}
