#include "state/fds.h"

#include "util/fd.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Returns false of a file that cannot be looked at; no file has inode 0. */
static bool fill(FdPage *entry, int fd)
{
    struct stat st = {0};
    bool is_seen = fstat(fd, &st) == 0;

    entry->fd = fd;
    entry->device = st.st_dev;
    entry->inode = st.st_ino;
    return is_seen;
}

/* What another image has noted of the descriptor is still true, if anything is known of it. */
static void fill_from_before(State *state, FdPage *entry)
{
    const FdPage *before = find(state, entry->fd, entry);

    if (before != NULL) {
        entry->device = before->device;
        entry->inode = before->inode;
    }
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

    if (!fill(entry, fd))
        fill_from_before(state, entry);
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

    if (fcntl(entry->fd, F_GETFD) < 0)
        return false;
    /* While the log is being replaced, its entry may name the old file. */
    if (entry->role == FD_LOG && state_cursors(state)->rotation != ROTATION_NONE)
        return true;
    if (entry->inode == 0 || fstat(entry->fd, &st) < 0)
        return true;
    return st.st_dev == entry->device && st.st_ino == entry->inode;
}

/* Of a page that something else has been written to, no number is used. */
static bool is_ours(const State *state)
{
    bool has_state = false;

    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        const FdPage *entry = &state->page->fds[i];

        if (entry->role >= FD_ROLES || (entry->role == FD_STATE && !is_as_noted(state, entry)))
            return false;
        has_state = has_state || entry->role == FD_STATE;
    }
    return has_state;
}

/* Whatever it is, only the table has brought it into this image: nobody else knows of it. */
static void refuse(State *state, FdPage *entry)
{
    int fd = entry->fd;

    state->refused |= UINT64_C(1) << entry->role;
    entry->role = FD_FREE; /* no commit: nothing survives a crash before it has the table */
    if (fd > STDERR_FILENO && find(state, fd, NULL) == NULL)
        close(fd);
}

bool fds_adopt(State *state)
{
    if (!is_ours(state))
        return false;
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        FdPage *entry = &state->page->fds[i];

        if (entry->role == FD_FREE)
            continue;
        if (is_as_noted(state, entry))
            fd_set_cloexec(entry->fd, true);
        else
            refuse(state, entry);
    }
    state->fd_room = find_room(state);
    return true;
}
