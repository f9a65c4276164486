#include "stdio/spool.h"

#include "state/fds.h"
#include "state/input.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    MAX_ON_DISK = 64 << 20,
    MAX_IN_MEMORY = 4 << 20, /* tmpfs: it is the node's memory */
    GIVE_BACK_SIZE = 256 << 10,
};

static const FdRole roles[STREAMS] = {FD_SPOOL_STDOUT, FD_SPOOL_STDERR};

void spool_init(Spool *spool, State *state, const char *directory, int64_t max)
{
    *spool = (Spool)SPOOL_NULL;
    spool->state = state;
    spool->directory = directory;
    spool->max = max;
}

void spool_adopt(Spool *spool, State *state, const char *directory, int64_t max)
{
    spool_init(spool, state, directory, max);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        spool->fds[i] = fds_find(state, roles[i]);
}

/* A file that nobody else can open. Returns a descriptor or -errno. */
static int make_file(const char *directory)
{
    char path[PATH_MAX];
    int fd = open(directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    /* Not every file system can do that. */
    if (snprintf(path, sizeof(path), "%s/spool-XXXXXX", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

/* How much either file may hold; their sum may not be more. */
static uint64_t choose_capacity(int64_t max, int fd)
{
    uint64_t capacity = (uint64_t)max;
    struct rlimit limit;
    struct statfs fs;

    if (max < 0) {
        bool in_memory =
            fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);

        capacity = in_memory ? MAX_IN_MEMORY : MAX_ON_DISK;
    }
    /* Beyond the limit on file sizes a circle would never close. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < capacity)
        capacity = limit.rlim_cur;
    return capacity;
}

/* Returns 0 or -errno. */
static int make(Spool *spool, StreamId stream)
{
    SpoolPage *page = &spool->state->page->spool;
    CLEANUP_FD int fd = make_file(spool->directory);

    if (fd < 0)
        return fd;
    /* Nobody reads from a file that is gone: its capacity may change. */
    if (spool->fds[!stream] < 0) {
        uint64_t capacity = choose_capacity(spool->max, fd);

        if (capacity == 0)
            return -EFBIG;
        state_commit(&page->capacity, capacity);
    }
    fds_add(spool->state, roles[stream], fd);
    spool->fds[stream] = fd_steal(&fd);
    return 0;
}

/* How many bytes still fit. */
static uint64_t room(const Spool *spool, const uint64_t slowest[STREAMS])
{
    const SpoolPage *page = &spool->state->page->spool;
    uint64_t used = 0;

    for (size_t i = 0; i < STREAMS; i++) {
        if (slowest[i] < page->end[i])
            used += page->end[i] - slowest[i];
    }
    return used < page->capacity ? page->capacity - used : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Writes one piece and commits it. Returns the number of bytes, 0 if there is no room, or -errno.
 */
static ssize_t append(Spool *spool, StreamId stream, const uint64_t slowest[STREAMS])
{
    SpoolPage *page = &spool->state->page->spool;
    uint64_t end = page->end[stream];
    uint64_t place = end % page->capacity;
    uint64_t size = spool->state->page->streams[stream].end - end;
    ssize_t n;

    size = smaller(smaller(size, room(spool, slowest)), page->capacity - place);
    if (size == 0)
        return 0;
    n = pwrite(spool->fds[stream], input_at(spool->state, stream, end), size, (off_t)place);
    if (n < 0)
        return -errno;
    state_commit(&page->end[stream], end + (uint64_t)n);
    return n;
}

void spool_take(Spool *spool, StreamId stream, const uint64_t slowest[STREAMS])
{
    SpoolPage *page = &spool->state->page->spool;
    ssize_t n;

    if (spool->max == 0 || spool->failure != 0)
        return;
    n = spool->fds[stream] < 0 ? make(spool, stream) : 0;
    /* All clients have gone on in memory from where the file ends: what lies between is not of use
     * to anybody. */
    if (n == 0 && page->end[stream] < slowest[stream])
        state_commit(&page->end[stream], slowest[stream]);
    if (n == 0) {
        do
            n = append(spool, stream, slowest);
        while (n > 0 || n == -EINTR);
    }
    spool->failure = (int)-n;
}

ssize_t spool_read(const Spool *spool, StreamId stream, uint64_t cursor, uint8_t *bytes,
                   size_t size)
{
    const SpoolPage *page = &spool->state->page->spool;
    uint64_t place = cursor % page->capacity;
    ssize_t n;

    size = smaller(smaller(size, page->end[stream] - cursor), page->capacity - place);
    do
        n = pread(spool->fds[stream], bytes, size, (off_t)place);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return -EIO; /* somebody has cut the file */
    return n < 0 ? -errno : n;
}

/* Makes a hole of the places of the bytes [from, to). Not every file system can. */
static void punch(const Spool *spool, StreamId stream, uint64_t from, uint64_t to)
{
    uint64_t capacity = spool->state->page->spool.capacity;

    while (from < to) {
        uint64_t place = from % capacity;
        uint64_t size = smaller(to - from, capacity - place);

        if (fallocate(spool->fds[stream], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)place,
                      (off_t)size) < 0)
            return;
        from += size;
    }
}

void spool_give_back(Spool *spool, const uint64_t slowest[STREAMS])
{
    const SpoolPage *page = &spool->state->page->spool;

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        uint64_t taken = smaller(slowest[i], page->end[i]);
        uint64_t from = spool->given_back[i];

        if (spool->fds[i] < 0)
            continue;
        /* The places of older bytes are those of newer ones. */
        if (page->end[i] > page->capacity && from < page->end[i] - page->capacity)
            from = page->end[i] - page->capacity;
        if (taken < from || taken - from < GIVE_BACK_SIZE)
            continue;
        punch(spool, i, from, taken);
        spool->given_back[i] = taken;
    }
}

void spool_end(Spool *spool)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (spool->fds[i] >= 0)
            fds_remove(spool->state, spool->fds[i]);
        fd_close(&spool->fds[i]);
    }
    spool->failure = 0;
}
