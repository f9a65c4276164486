#include "state/fds.h"

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

/* The entry of `fd`, or a free one if fd is -1. */
static FdPage *find(State *state, int fd)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        FdPage *entry = &state->page->fds[i];

        if (fd < 0 ? entry->role == FD_FREE : entry->role != FD_FREE && entry->fd == fd)
            return entry;
    }
    return NULL;
}

void fds_add(State *state, FdRole role, int fd)
{
    FdPage *entry = find(state, fd); /* there already, if another image left it */

    if (entry == NULL)
        entry = find(state, -1);
    /* The table has room for the most clients there can be and for everything else we open. */
    assert(entry != NULL);
    fill(entry, fd);
    state_commit_u32(&entry->role, role);
}

void fds_remove(State *state, int fd)
{
    FdPage *entry = find(state, fd);

    if (entry != NULL)
        state_commit_u32(&entry->role, FD_FREE);
}

void fds_refresh(State *state, int fd)
{
    FdPage *entry = find(state, fd);

    if (entry != NULL)
        fill(entry, fd);
}
