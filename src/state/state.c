#include "state/state.h"

#include "state/fds.h"
#include "state/page-file.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFERS_SIZE =
        STREAMS * STATE_INPUT_SIZE + STATE_OUTPUT_SIZE + STATE_FEED_SIZE + STATE_NOTIFY_SIZE,
    BUFFERS_AT = 65536, /* in the memory file, behind the texts: no system has larger pages */
    MEMORY_SIZE = BUFFERS_AT + BUFFERS_SIZE,
};

_Static_assert(PAGE_SIZE_BYTES + PAGE_TEXTS_MAX <= BUFFERS_AT, "texts would be in the buffers");

/* Maps a part of a file, or with fd -1 memory that no other image of this program can find. */
static int map(int fd, off_t at, size_t size, void **address, Error *error)
{
    int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);

    *address = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, fd < 0 ? 0 : at);
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
    int r = map(state->page_fd, BUFFERS_AT, BUFFERS_SIZE, &buffers, error);

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
    int r = map(state->page_fd, 0, PAGE_SIZE_BYTES, &page, error);

    if (r < 0)
        return r;
    state->page = page;
    return map_buffers(state, error);
}

/*
 * A memory file whose size nobody can change: a mapping beyond its end would be a SIGBUS. Returns a
 * descriptor, or a negative value with *error filled. -EFBIG: the limit on file sizes, which counts
 * for memory files too, does not allow this.
 */
static int memory_file(const char *name, off_t size, Error *error)
{
    CLEANUP_FD int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_set(error, errno, "Cannot make the memory file %s of %lld bytes", name,
                         (long long)size);
    return fd_steal(&fd);
}

int state_create(State *state, Error *error)
{
    int r;

    *state = (State)STATE_NULL;
    r = memory_file(PAGE_MEMORY_NAME, MEMORY_SIZE, error);
    if (r >= 0)
        state->page_fd = r;
    if (r >= 0 || r == -EFBIG)
        r = map_both(state, error);
    if (r < 0) {
        state_deinit(state);
        return r;
    }
    state->page->magic = PAGE_MAGIC;
    state->page->version = PAGE_VERSION;
    state->page->size = sizeof(Page);
    state->page->monitor_pid = getpid();
    if (state->page_fd >= 0)
        fds_add(state, FD_STATE, state->page_fd);
    return 0;
}

/* Others see no copy any more. The file stays locked: it is of a monitor that lives. */
static void hide(State *state)
{
    if (state->shown != NULL)
        munmap(state->shown, PAGE_SIZE_BYTES);
    state->shown = NULL;
    state->is_unseen = false;
}

void state_discard(State *state)
{
    page_file_remove(state->shown_fd);
}

void state_keep_texts(const State *state, const char *texts, size_t length)
{
    if (state->page_fd >= 0 && length <= PAGE_TEXTS_MAX &&
        pwrite(state->page_fd, texts, length, PAGE_SIZE_BYTES) < 0) {
        /* The next image then knows the command line only, and what is on the page. */
    }
}

int state_publish(State *state, const struct iovec *texts, int count, Error *error)
{
    off_t size = PAGE_SIZE_BYTES;
    void *shown;

    *error = (Error)ERROR_NULL;
    for (int i = 0; i < count; i++)
        size += (off_t)texts[i].iov_len;
    if (state->page_fd < 0)
        return 0;
    state->shown_fd = page_file_create(size, error);
    if (state->shown_fd < 0)
        return error->text[0] != '\0' ? state->shown_fd : 0;
    /* The first copy makes it a page: whoever finds one finds its texts, too. It is not mapped yet,
     * as a fault could not be answered yet. */
    if (pwritev(state->shown_fd, texts, count, PAGE_SIZE_BYTES) < 0 ||
        pwrite(state->shown_fd, state->page, sizeof(Page), 0) < 0 ||
        map(state->shown_fd, 0, PAGE_SIZE_BYTES, &shown, error) < 0) {
        error_set(error, errno, "Cannot write the monitor's page");
        page_file_remove(state->shown_fd);
        fd_close(&state->shown_fd);
        return -1;
    }
    state->shown = shown;
    fds_add(state, FD_PAGE_FILE, state->shown_fd);
    return 0;
}

/*
 * So much of the page is of interest to all: not its descriptors, and of the clients those that
 * there have been. What is not written of the file does not count as our memory.
 */
static size_t shown_size(State *state)
{
    for (unsigned i = PAGE_CLIENTS_MAX; i > state->shown_clients; i--) {
        if (state->page->clients[i - 1].used)
            state->shown_clients = i;
    }
    return offsetof(Page, clients) + state->shown_clients * sizeof(OutletPage);
}

bool state_show(State *state)
{
    Page *shown = state->shown;
    uint64_t now = state->page->shown | 1;

    if (shown == NULL)
        return true;
    state->page->shown = now;
    __atomic_store_n(&shown->shown, now, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    memcpy(shown, state->page, shown_size(state));
    if (state->page->has_journal)
        memcpy(&shown->journal, &state->page->journal, sizeof(shown->journal));
    FAULT_POINT();
    state->page->shown = now + 1;
    __atomic_store_n(&shown->shown, now + 1, __ATOMIC_RELEASE);
    if (!state->is_unseen)
        return true;
    hide(state);
    return false;
}

bool state_repair_shown(State *state, const void *address)
{
    uintptr_t at = (uintptr_t)address;
    uintptr_t begin = (uintptr_t)state->shown;

    if (begin == 0 || at < begin || at >= begin + PAGE_SIZE_BYTES)
        return false;
    state->is_unseen = true;
    return mmap(state->shown, PAGE_SIZE_BYTES, PROT_READ | PROT_WRITE,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
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
    const LogCursors *live = page_cursors(page);
    const JournalCursors *journal = page_journal_cursors(page);

    if (page->phase > PHASE_GONE)
        return false;
    if (live->long_line > STREAMS)
        return false;
    if (live->batch_offset > STATE_OUTPUT_SIZE ||
        live->batch_length > STATE_OUTPUT_SIZE - live->batch_offset ||
        live->rest_length > live->batch_length ||
        (live->own_length > 0 && (live->own_at > live->batch_length ||
                                  live->own_length > live->batch_length - live->own_at)))
        return false;
    if (live->torn_stream >= STREAMS ||
        (live->rest_length > 0 && live->torn_length > live->batch_offset))
        return false;
    if (page->feed.end < page->feed.start || page->feed.end - page->feed.start > STATE_FEED_SIZE ||
        page->feed.state > FEED_CLOSED)
        return false;
    for (size_t i = 0; i < STREAMS; i++) {
        const StreamPage *stream = &page->streams[i];

        if (stream->end < stream->base || stream->end - stream->base > STATE_INPUT_SIZE ||
            live->start[i] < stream->base || live->start[i] > stream->end)
            return false;
        if (page->has_journal &&
            (journal->start[i] < stream->base || journal->start[i] > stream->end))
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
    void *shown;
    int r;

    *state = (State)STATE_NULL;
    state->page_fd = page_fd;
    r = check_size(page_fd, MEMORY_SIZE, error);
    if (r == 0)
        r = map(page_fd, 0, PAGE_SIZE_BYTES, &page, error);
    if (r < 0)
        goto fail;
    state->page = page;
    if (state->page->magic != PAGE_MAGIC || state->page->version != PAGE_VERSION ||
        state->page->size != sizeof(Page)) {
        r = error_set(error, 0, "The monitor's state has version %u; this program knows %u",
                      state->page->version, (unsigned)PAGE_VERSION);
        goto fail;
    }
    state->shown_fd = fds_find(state, FD_PAGE_FILE); /* whatever it is, only a page is removed */
    if (!is_plausible(state->page) || !fds_adopt(state)) {
        r = error_set(error, 0, "The monitor's state makes no sense");
        goto fail;
    }
    state->shown_fd = fds_find(state, FD_PAGE_FILE);
    if (state->shown_fd >= 0 && map(state->shown_fd, 0, PAGE_SIZE_BYTES, &shown, error) == 0)
        state->shown = shown;
    /* Its descriptor may have become something else's: there is no other way to the file. */
    if (state->shown_fd < 0)
        page_file_remove_lost();
    state->shown_clients = PAGE_CLIENTS_MAX; /* the other image may have had as many */
    r = map_buffers(state, error);
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
    hide(state);
    fd_close(&state->shown_fd);
    fd_close(&state->page_fd);
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

JournalCursors *state_journal_cursors_next(State *state)
{
    JournalPage *journal = &state->page->journal;
    JournalCursors *next = &journal->set[~journal->live & 1];

    *next = journal->set[journal->live & 1];
    return next;
}
