#include "state/fds.h"

#include "util/fd.h"

#include <assert.h>
#include <sys/stat.h>

static void fill(FdPage *entry, int fd)
{
    struct stat st = {0};

    fstat(fd, &st);
    entry->fd = fd;
    entry->device = st.st_dev;
    entry->inode = st.st_ino;
}

/* Another entry of `fd` than `but`. */
static FdPage *find(State *state, int fd, const FdPage *but)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        FdPage *entry = &state->page->fds[i];

        if (entry != but && entry->role != FD_FREE && entry->fd == fd)
            return entry;
    }
    return NULL;
}

static size_t find_room(const State *state)
{
    size_t i = 0;

    while (i < PAGE_FDS_MAX && state->page->fds[i].role != FD_FREE)
        i++;
    /* The table has room for the most clients there can be and for everything else we open. */
    assert(i < PAGE_FDS_MAX);
    return i;
}

static void remove_all(State *state, int fd, const FdPage *but)
{
    FdPage *entry;

    while ((entry = find(state, fd, but)) != NULL)
        state_commit(&entry->role, FD_FREE);
}

void fds_add(State *state, FdRole role, int fd)
{
    FdPage *entry = &state->page->fds[state->fd_room];

    fill(entry, fd);
    state_commit(&entry->role, role);
    remove_all(state, fd, entry); /* of another image, that left it to us */
    state->fd_room = find_room(state);
}

void fds_remove(State *state, int fd)
{
    remove_all(state, fd, NULL);
}

void fds_refresh(State *state, int fd)
{
    FdPage *entry = find(state, fd, NULL);

    if (entry != NULL)
        fill(entry, fd);
}

int fds_find(const State *state, FdRole role)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        if (state->page->fds[i].role == role)
            return state->page->fds[i].fd;
    }
    return -1;
}

static bool is_as_noted(const State *state, const FdPage *entry)
{
    struct stat st;

    if (fstat(entry->fd, &st) < 0)
        return false;
    if (entry->role == FD_LOG && state_cursors(state)->rotation != ROTATION_NONE)
        return true;
    return st.st_dev == entry->device && st.st_ino == entry->inode;
}

bool fds_adopt(State *state)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        const FdPage *entry = &state->page->fds[i];

        if (entry->role == FD_FREE)
            continue;
        if (!is_as_noted(state, entry))
            return false;
        fd_set_cloexec(entry->fd, true);
    }
    state->fd_room = find_room(state);
    return true;
}
