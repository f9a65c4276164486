#include "state/state.h"

#include "state/fds.h"
#include "state/page-file.h"
#include "util/fd.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFERS_SIZE =
        STREAMS * STATE_INPUT_SIZE + STATE_OUTPUT_SIZE + STATE_FEED_SIZE + STATE_NOTIFY_SIZE
};

/* Maps a memory file, or with fd -1 memory that no other image of this program can find. */
static int map(int fd, size_t size, void **address, Error *error)
{
    int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);

    *address = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (*address == MAP_FAILED) {
        *address = NULL;
        return error_set(error, errno, "Cannot map %zu bytes of the monitor's state", size);
    }
    madvise(*address, size, MADV_DONTFORK);
    return 0;
}

static int map_buffers(State *state, Error *error)
{
    void *buffers;
    int r = map(state->buffers_fd, BUFFERS_SIZE, &buffers, error);

    if (r < 0)
        return r;
    for (size_t i = 0; i < STREAMS; i++)
        state->input[i] = (uint8_t *)buffers + i * STATE_INPUT_SIZE;
    state->output = (uint8_t *)buffers + (size_t)STREAMS * STATE_INPUT_SIZE;
    state->feed = state->output + STATE_OUTPUT_SIZE;
    state->notify = state->feed + STATE_FEED_SIZE;
    return 0;
}

static int map_both(State *state, Error *error)
{
    void *page;
    int r = map(state->page_fd, PAGE_SIZE_BYTES, &page, error);

    if (r < 0)
        return r;
    state->page = page;
    return map_buffers(state, error);
}

/*
 * Returns a descriptor, or a negative value with *error filled. -EFBIG: the limit on file
 * sizes, which counts for memory files too, does not allow this.
 */
static int memory_file(const char *name, off_t size, Error *error)
{
    CLEANUP_FD int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, size) < 0)
        return error_set(error, errno, "Cannot make the memory file %s of %lld bytes", name,
                         (long long)size);
    return fd_steal(&fd);
}

static int make_files(State *state, bool findable, Error *error)
{
    int r = findable ? page_file_create() : -1;

    if (r < 0)
        r = memory_file(PAGE_MEMORY_NAME, PAGE_SIZE_BYTES, error);
    if (r < 0)
        return r;
    state->page_fd = r;
    r = memory_file("conward-buffers", BUFFERS_SIZE, error);
    if (r < 0) {
        page_file_remove(state->page_fd);
        fd_close(&state->page_fd);
        return r;
    }
    state->buffers_fd = r;
    return 0;
}

int state_create(State *state, bool findable, Error *error)
{
    int r;

    *state = (State)STATE_NULL;
    r = make_files(state, findable, error);
    if (r == 0 || r == -EFBIG)
        r = map_both(state, error);
    if (r < 0) {
        state_discard(state);
        state_deinit(state);
        return r;
    }
    state->page->version = PAGE_VERSION;
    state->page->size = sizeof(Page);
    state->page->monitor_pid = getpid();
    if (!findable)
        state->page->magic = PAGE_MAGIC;
    if (state->buffers_fd >= 0)
        fds_add(state, FD_BUFFERS, state->buffers_fd);
    return 0;
}

void state_discard(State *state)
{
    page_file_remove(state->page_fd);
}

void state_publish(const State *state, const struct iovec *texts, int count)
{
    if (state->page_fd >= 0 && pwritev(state->page_fd, texts, count, PAGE_SIZE_BYTES) < 0) {
        /* The page itself says enough to be of use. */
    }
    __atomic_store_n(&state->page->magic, PAGE_MAGIC, __ATOMIC_RELEASE);
}

static int check_size(int fd, off_t size, Error *error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_set(error, errno, "Cannot look at the monitor's state");
    if (st.st_size < size)
        return error_set(error, 0, "The monitor's state has %lld bytes where %lld are expected",
                         (long long)st.st_size, (long long)size);
    return 0;
}

/* Whether numbers that index memory can be what this program has written. */
static bool is_plausible(const Page *page)
{
    const LogCursors *live = &page->log.set[page->log.live & 1];

    if (page->phase > PHASE_GONE)
        return false;
    if (live->batch_offset > STATE_OUTPUT_SIZE ||
        live->batch_length > STATE_OUTPUT_SIZE - live->batch_offset ||
        live->rest_length > live->batch_length ||
        live->said_length > live->batch_length - live->rest_length)
        return false;
    if (live->rest_length > 0 && live->torn_length > live->batch_offset)
        return false;
    if (page->feed.end < page->feed.start || page->feed.end - page->feed.start > STATE_FEED_SIZE ||
        page->feed.state > FEED_CLOSED)
        return false;
    for (size_t i = 0; i < STREAMS; i++) {
        const StreamPage *stream = &page->streams[i];

        if (stream->end < stream->base || stream->end - stream->base > STATE_INPUT_SIZE ||
            live->start[i] < stream->base || live->start[i] > stream->end)
            return false;
        if (page->spool.end[i] > stream->end ||
            (page->spool.end[i] > 0 && page->spool.capacity == 0))
            return false;
    }
    return true;
}

int state_adopt(State *state, int page_fd, Error *error)
{
    void *page;
    int r;

    *state = (State)STATE_NULL;
    state->page_fd = page_fd;
    r = check_size(page_fd, PAGE_SIZE_BYTES, error);
    if (r == 0)
        r = map(page_fd, PAGE_SIZE_BYTES, &page, error);
    if (r < 0)
        goto fail;
    state->page = page;
    if (state->page->magic != PAGE_MAGIC || state->page->version != PAGE_VERSION ||
        state->page->size != sizeof(Page)) {
        r = error_set(error, 0, "The monitor's state has version %u; this program knows %u",
                      state->page->version, (unsigned)PAGE_VERSION);
        goto fail;
    }
    state->buffers_fd = fds_find(state, FD_BUFFERS);
    r = check_size(state->buffers_fd, BUFFERS_SIZE, error);
    if (r == 0)
        r = map_buffers(state, error);
    if (r == 0 && !is_plausible(state->page))
        r = error_set(error, 0, "The monitor's state makes no sense");
    if (r == 0)
        return 0;
fail:
    state_discard(state);
    state_deinit(state);
    return r;
}

void state_deinit(State *state)
{
    if (state->page != NULL)
        munmap(state->page, PAGE_SIZE_BYTES);
    if (state->input[0] != NULL)
        munmap(state->input[0], BUFFERS_SIZE);
    fd_close(&state->page_fd);
    fd_close(&state->buffers_fd);
    *state = (State)STATE_NULL;
}

/* Gives back the whole pages of buffer[from, to). */
static void give_back(uint8_t *buffer, size_t from, size_t to)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = (from + page - 1) / page * page;
    size_t last = to / page * page;

    if (first < last)
        madvise(buffer + first, last - first, MADV_REMOVE);
}

void state_trim(State *state, const uint64_t keep_from[STREAMS])
{
    const LogCursors *live = state_cursors(state);
    /* The beginning of a torn record may have to be written again, to another file. */
    uint64_t before = live->rest_length > 0 ? live->torn_length : 0;

    for (size_t i = 0; i < STREAMS; i++) {
        const StreamPage *stream = &state->page->streams[i];

        give_back(state->input[i], 0, keep_from[i] - stream->base);
        give_back(state->input[i], stream->end - stream->base, STATE_INPUT_SIZE);
    }
    give_back(state->output, 0, live->batch_offset - before);
    give_back(state->output, live->batch_offset + live->batch_length, STATE_OUTPUT_SIZE);
    if (state->page->feed.start == state->page->feed.end)
        give_back(state->feed, 0, STATE_FEED_SIZE);
    state->touched = 0;
}

LogCursors *state_cursors_next(State *state)
{
    LogPage *log = &state->page->log;
    LogCursors *next = &log->set[~log->live & 1];

    *next = log->set[log->live & 1];
    return next;
}
