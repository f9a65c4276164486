#include "stdio/console.h"

#include "state/fds.h"
#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The device behind a terminal's descriptor; /dev/tty is only another name for it. */
static int terminal_device(int fd, unsigned *device)
{
    return ioctl(fd, TIOCGDEV, device);
}

/* Our controlling terminal, if that is what `fd` is: it may be opened whoever owns it. */
static int open_terminal_again(int fd)
{
    CLEANUP_FD int own = open("/dev/tty", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    unsigned ours;
    unsigned wanted;

    if (own < 0 || terminal_device(own, &ours) < 0 || terminal_device(fd, &wanted) < 0 ||
        ours != wanted)
        return -1;
    return fd_steal(&own);
}

/*
 * A descriptor for our stdout or stderr that never blocks. O_NONBLOCK belongs to the open file and
 * not to the descriptor, so setting it would change it for the caller's shell too: a pipe or a
 * terminal is opened once more instead. Returns -1 where that cannot be.
 */
static int open_again(int fd, mode_t mode)
{
    char name[32];
    int again;

    if (!S_ISFIFO(mode) && !S_ISCHR(mode))
        return -1;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    again = open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return again < 0 && S_ISCHR(mode) ? open_terminal_again(fd) : again;
}

/* Sets one stream up. Returns false if a write to it could stop us, so that there is no copy. */
static bool console_open(Console *console, StreamId id)
{
    Outlet *outlet = &console->outlet;
    int own = id == STREAM_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
    struct stat st = {0};
    int again;

    fstat(own, &st);
    again = open_again(own, st.st_mode);
    console->fds[id] = again;
    outlet->blocking[id] = again < 0;
    outlet->page->fd[id] = again >= 0 ? again : own;
    if (again >= 0)
        fds_add(outlet->state, FD_CONSOLE, again);
    return again >= 0 || !S_ISCHR(st.st_mode);
}

bool console_init(Console *console, State *state, OutletMoved moved, void *owner)
{
    OutletPage *page = &state->page->console;
    bool complete = true;

    outlet_init(&console->outlet, state, page, false, moved, owner);
    page->early = 1;
    page->dead = 0;
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (!console_open(console, i)) {
            page->dead |= 1U << i;
            complete = false;
        }
    }
    outlet_skip(&console->outlet);
    state_commit_u32(&page->used, 1);
    return complete;
}

void console_adopt(Console *console, State *state, OutletMoved moved, void *owner)
{
    OutletPage *page = &state->page->console;

    outlet_init(&console->outlet, state, page, false, moved, owner);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        console->fds[i] = page->fd[i] > STDERR_FILENO ? page->fd[i] : -1;
        console->outlet.blocking[i] = console->fds[i] < 0;
    }
}

void console_deinit(Console *console)
{
    State *state = console->outlet.state;

    state_commit_u32(&state->page->console.used, 0);
    outlet_deinit(&console->outlet);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (console->fds[i] >= 0)
            fds_remove(state, console->fds[i]);
        fd_close(&console->fds[i]);
    }
}
