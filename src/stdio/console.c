#include "stdio/console.h"

#include "state/fds.h"
#include "stdio/reopen.h"
#include "util/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sets one stream up. Returns false if a write to it could stop us, so that there is no copy. */
static bool console_open(Console *console, StreamId id)
{
    Outlet *outlet = &console->outlet;
    int own = id == STREAM_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
    struct stat st = {0};
    int again;

    fstat(own, &st);
    again = reopen(own, O_WRONLY);
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

    outlet_init(&console->outlet, state, page, NULL, moved, owner);
    page->early = 1;
    page->dead = 0;
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (!console_open(console, i)) {
            page->dead |= 1U << i;
            complete = false;
        }
    }
    outlet_skip(&console->outlet);
    state_commit(&page->used, 1);
    return complete;
}

static bool has_descriptor(const State *state, int fd)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        if (state->page->fds[i].role == FD_CONSOLE && state->page->fds[i].fd == fd)
            return true;
    }
    return false;
}

void console_adopt(Console *console, State *state, OutletMoved moved, void *owner)
{
    OutletPage *page = &state->page->console;

    outlet_init(&console->outlet, state, page, NULL, moved, owner);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        bool is_own = page->fd[i] > STDERR_FILENO;

        console->fds[i] = is_own && has_descriptor(state, page->fd[i]) ? page->fd[i] : -1;
        console->outlet.blocking[i] = !is_own;
        if (is_own && console->fds[i] < 0)
            page->dead |= 1U << i;
    }
}

void console_deinit(Console *console)
{
    State *state = console->outlet.state;

    state_commit(&state->page->console.used, 0);
    outlet_deinit(&console->outlet);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (console->fds[i] >= 0)
            fds_remove(state, console->fds[i]);
        fd_close(&console->fds[i]);
    }
}
