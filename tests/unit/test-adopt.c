#include "state/fds.h"
#include "state/image.h"
#include "util/fd.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What another image of the program takes over, and what it refuses: each number of the page by
 * itself, at its bound and beyond it.
 */

/* A number of the page that has another value than on a new one. */
typedef struct Change {
    size_t at;
    size_t size; /* 0 = no change */
    uint64_t value;
} Change;

typedef struct PageCase {
    const char *text;
    bool is_plausible;
    Change changes[5];
} PageCase;

#define TO(FIELD, VALUE)                                              \
    {                                                                 \
        offsetof(Page, FIELD), sizeof(((Page *)NULL)->FIELD), (VALUE) \
    }
#define TAKEN(...)          \
    {                       \
#__VA_ARGS__, true, \
        {                   \
            __VA_ARGS__     \
        }                   \
    }
#define REFUSED(...)         \
    {                        \
#__VA_ARGS__, false, \
        {                    \
            __VA_ARGS__      \
        }                    \
    }

/* On a new page the first set of cursors is the live one. */
#define LIVE log.set[0]
#define IDLE log.set[1]
#define JOURNAL journal.set[0]

static const PageCase PAGES[] = {
    REFUSED(TO(magic, PAGE_MAGIC + 1)),
    REFUSED(TO(version, PAGE_VERSION - 1)),
    REFUSED(TO(version, PAGE_VERSION + 1)),
    REFUSED(TO(size, sizeof(Page) - 1)),
    REFUSED(TO(size, sizeof(Page) + 1)),

    TAKEN(TO(phase, PHASE_GONE)),
    REFUSED(TO(phase, PHASE_GONE + 1)),

    TAKEN(TO(LIVE.long_line, STREAMS)),
    REFUSED(TO(LIVE.long_line, STREAMS + 1)),

    /* Only the live set counts. */
    TAKEN(TO(IDLE.long_line, STREAMS + 1)),
    TAKEN(TO(LIVE.long_line, STREAMS + 1), TO(log.live, 1)),
    REFUSED(TO(IDLE.long_line, STREAMS + 1), TO(log.live, 1)),

    /* The batch in the output buffer, and the rest of a torn record at its beginning. */
    TAKEN(TO(LIVE.batch_offset, STATE_OUTPUT_SIZE)),
    REFUSED(TO(LIVE.batch_offset, STATE_OUTPUT_SIZE + 1)),
    TAKEN(TO(LIVE.batch_offset, 100), TO(LIVE.batch_length, STATE_OUTPUT_SIZE - 100)),
    REFUSED(TO(LIVE.batch_offset, 100), TO(LIVE.batch_length, STATE_OUTPUT_SIZE - 99)),
    REFUSED(TO(LIVE.batch_offset, 2), TO(LIVE.batch_length, UINT64_MAX)),
    TAKEN(TO(LIVE.batch_length, 50), TO(LIVE.rest_length, 50)),
    REFUSED(TO(LIVE.batch_length, 50), TO(LIVE.rest_length, 51)),

    /* The record in it that is not the container's. */
    TAKEN(TO(LIVE.own_at, 51), TO(LIVE.batch_length, 50)),
    TAKEN(TO(LIVE.own_at, 30), TO(LIVE.own_length, 20), TO(LIVE.batch_length, 50)),
    REFUSED(TO(LIVE.own_at, 31), TO(LIVE.own_length, 20), TO(LIVE.batch_length, 50)),
    REFUSED(TO(LIVE.own_at, 30), TO(LIVE.own_length, 21), TO(LIVE.batch_length, 50)),
    REFUSED(TO(LIVE.own_at, 51), TO(LIVE.own_length, 1), TO(LIVE.batch_length, 50)),
    REFUSED(TO(LIVE.own_at, 50), TO(LIVE.own_length, 1), TO(LIVE.batch_length, 50)),
    REFUSED(TO(LIVE.own_at, UINT64_MAX), TO(LIVE.own_length, 1), TO(LIVE.batch_length, 50)),

    /* The torn record, whose beginning is before its rest. */
    TAKEN(TO(LIVE.torn_stream, STREAMS - 1)),
    REFUSED(TO(LIVE.torn_stream, STREAMS)),
    TAKEN(TO(LIVE.torn_length, 10)),
    TAKEN(TO(LIVE.torn_length, 10), TO(LIVE.rest_length, 1), TO(LIVE.batch_offset, 10),
          TO(LIVE.batch_length, 1)),
    REFUSED(TO(LIVE.torn_length, 11), TO(LIVE.rest_length, 1), TO(LIVE.batch_offset, 10),
            TO(LIVE.batch_length, 1)),

    /* What waits for the container's input. */
    TAKEN(TO(feed.start, 7), TO(feed.end, 7)),
    REFUSED(TO(feed.start, 7), TO(feed.end, 6)),
    TAKEN(TO(feed.start, 7), TO(feed.end, 7 + STATE_FEED_SIZE)),
    REFUSED(TO(feed.start, 7), TO(feed.end, 8 + STATE_FEED_SIZE)),
    TAKEN(TO(feed.state, FEED_CLOSED)),
    REFUSED(TO(feed.state, FEED_CLOSED + 1)),

    /* The streams, of which the second one is looked at, too. */
    TAKEN(TO(streams[1].base, 100), TO(streams[1].end, 100), TO(LIVE.start[1], 100)),
    REFUSED(TO(streams[1].base, 100), TO(streams[1].end, 99), TO(LIVE.start[1], 100)),
    TAKEN(TO(streams[0].base, 5), TO(streams[0].end, 5 + STATE_INPUT_SIZE), TO(LIVE.start[0], 5)),
    REFUSED(TO(streams[0].base, 5), TO(streams[0].end, 6 + STATE_INPUT_SIZE), TO(LIVE.start[0], 5)),
    TAKEN(TO(streams[1].end, STATE_INPUT_SIZE)),
    REFUSED(TO(streams[1].end, STATE_INPUT_SIZE + 1)),
    REFUSED(TO(streams[1].base, 5), TO(streams[1].end, 10), TO(LIVE.start[1], 4)),
    TAKEN(TO(streams[1].base, 5), TO(streams[1].end, 10), TO(LIVE.start[1], 10)),
    REFUSED(TO(streams[1].base, 5), TO(streams[1].end, 10), TO(LIVE.start[1], 11)),
    REFUSED(TO(streams[0].end, 10), TO(LIVE.start[0], 11)),

    /* The journal's cursors count where entries go there. */
    TAKEN(TO(JOURNAL.start[1], 1)),
    REFUSED(TO(JOURNAL.start[1], 1), TO(has_journal, 1)),
    TAKEN(TO(JOURNAL.start[1], 1), TO(has_journal, 1), TO(streams[1].end, 1)),
    TAKEN(TO(JOURNAL.start[0], 3), TO(has_journal, 1), TO(streams[0].base, 3),
          TO(streams[0].end, 4), TO(LIVE.start[0], 3)),
    REFUSED(TO(JOURNAL.start[0], 2), TO(has_journal, 1), TO(streams[0].base, 3),
            TO(streams[0].end, 4), TO(LIVE.start[0], 3)),
    REFUSED(TO(JOURNAL.start[0], 1), TO(has_journal, 1), TO(journal.live, 2)),
    TAKEN(TO(JOURNAL.start[0], 1), TO(has_journal, 1), TO(journal.live, 1)),

    /* The spool holds what has been read, and has a size if it holds anything. */
    TAKEN(TO(spool.end[1], 9), TO(streams[1].end, 9), TO(spool.capacity, 1)),
    REFUSED(TO(spool.end[1], 10), TO(streams[1].end, 9), TO(spool.capacity, 1)),
    REFUSED(TO(spool.end[1], 1), TO(streams[1].end, 9)),
    TAKEN(TO(spool.end[0], 0), TO(streams[0].end, 9)),
};

static void change(Page *page, const Change *change)
{
    memcpy((uint8_t *)page + change->at, &change->value, change->size);
}

/* Ends this image's part of the state, as execve(2) does, and returns the descriptor. */
static int leave(State *state)
{
    int fd = state->page_fd;

    munmap(state->page, PAGE_SIZE_BYTES);
    munmap(state->input[0], (size_t)(state->notify + STATE_NOTIFY_SIZE - state->input[0]));
    return fd;
}

START_TEST(each_number_of_a_page_is_looked_at)
{
    for (size_t i = 0; i < sizeof(PAGES) / sizeof(PAGES[0]); i++) {
        const PageCase *page = &PAGES[i];
        State state;
        State other;
        Error error;
        int fd;
        int r;

        ck_assert_int_eq(state_create(&state, &error), 0);
        for (size_t j = 0; j < sizeof(page->changes) / sizeof(page->changes[0]); j++)
            change(state.page, &page->changes[j]);
        fd = leave(&state);
        r = state_adopt(&other, fd, &error);
        ck_assert_msg((r == 0) == page->is_plausible, "%s: %d", page->text, r);
        if (r == 0)
            state_deinit(&other);
        else
            ck_assert_ptr_null(other.page);
        ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
    }
}
END_TEST

/* Copies the state's memory file, as far as `size`, to another one. */
static int copy_of(const State *state, off_t size)
{
    int fd = memfd_create("copy", MFD_CLOEXEC);

    ck_assert_int_eq(pwrite(fd, state->page, PAGE_SIZE_BYTES, 0), PAGE_SIZE_BYTES);
    ck_assert_int_eq(ftruncate(fd, size), 0);
    return fd;
}

START_TEST(a_memory_file_that_is_too_short_is_refused)
{
    State state;
    State other;
    Error error = ERROR_NULL;
    char expected[96];
    struct stat st;
    long long size;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(fstat(state.page_fd, &st), 0);
    size = (long long)st.st_size;
    snprintf(expected, sizeof(expected), "has %lld bytes where %lld are expected", size - 1, size);
    ck_assert_int_lt(state_adopt(&other, copy_of(&state, size - 1), &error), 0);
    ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
    ck_assert_int_lt(state_adopt(&other, -1, &error), 0);
    ck_assert_int_eq(state_adopt(&other, copy_of(&state, size), &error), 0);
    state_deinit(&other);
    state_deinit(&state);
}
END_TEST

/* An entry of the table as the image that has crashed has left it. */
static FdPage *entry_of(State *state, int fd)
{
    FdPage *entry = state->page->fds;

    while (entry->role == FD_FREE || entry->fd != fd)
        entry++;
    return entry;
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_gt(fd, STDERR_FILENO);
    return fd;
}

START_TEST(each_mark_of_a_descriptor_counts)
{
    State state;
    Error error;
    int by_device = open_null();
    int by_inode = open_null();
    int unseen = open_null();
    int closed = open_null();
    int kept = open_null();

    ck_assert_int_eq(state_create(&state, &error), 0);
    fds_add(&state, FD_CTL, by_device);
    fds_add(&state, FD_WINSZ, by_inode);
    fds_add(&state, FD_CONSOLE, unseen);
    fds_add(&state, FD_KEYBOARD, closed);
    fds_add(&state, FD_STDIN, kept);
    entry_of(&state, by_device)->device++;
    entry_of(&state, by_inode)->inode++;
    entry_of(&state, unseen)->device++; /* nothing was known of its file */
    entry_of(&state, unseen)->inode = 0;
    ck_assert_int_eq(close(closed), 0);
    ck_assert_int_eq(fd_set_cloexec(kept, false), 0);

    ck_assert(fds_adopt(&state));
    ck_assert_int_eq(fds_find(&state, FD_CTL), -1);
    ck_assert_int_eq(fds_find(&state, FD_WINSZ), -1);
    ck_assert_int_eq(fds_find(&state, FD_KEYBOARD), -1);
    ck_assert_int_eq(fds_find(&state, FD_CONSOLE), unseen);
    ck_assert_int_eq(fds_find(&state, FD_STDIN), kept);
    ck_assert_uint_eq(state.refused,
                      UINT64_C(1) << FD_CTL | UINT64_C(1) << FD_WINSZ | UINT64_C(1) << FD_KEYBOARD);
    ck_assert_int_lt(fcntl(by_device, F_GETFD), 0);
    ck_assert_int_lt(fcntl(by_inode, F_GETFD), 0);
    ck_assert_int_eq(fcntl(kept, F_GETFD), FD_CLOEXEC);
    state_deinit(&state);
}
END_TEST

/* Standard descriptors are never closed, nor is one that the table has for something else, too. */
START_TEST(what_is_refused_is_closed_only_if_nobody_else_has_it)
{
    State state;
    Error error;
    int shared = open_null();

    ck_assert_int_eq(state_create(&state, &error), 0);
    fds_add(&state, FD_CONSOLE, STDERR_FILENO);
    entry_of(&state, STDERR_FILENO)->inode++;
    fds_add(&state, FD_CTL, shared);
    state.page->fds[PAGE_FDS_MAX - 1] = *entry_of(&state, shared);
    state.page->fds[PAGE_FDS_MAX - 1].role = FD_WINSZ;
    entry_of(&state, shared)->inode++;
    ck_assert(fds_adopt(&state));
    ck_assert_int_eq(fds_find(&state, FD_CONSOLE), -1);
    ck_assert_int_eq(fds_find(&state, FD_CTL), -1);
    ck_assert_int_eq(fds_find(&state, FD_WINSZ), shared);
    ck_assert_int_ge(fcntl(STDERR_FILENO, F_GETFD), 0);
    ck_assert_int_ge(fcntl(shared, F_GETFD), 0);
    state_deinit(&state);
}
END_TEST

/* While the log is replaced, its entry may name the old file; and no other entry may. */
START_TEST(a_log_that_is_being_replaced_may_be_another_file)
{
    State state;
    Error error;
    int log = open_null();
    int fifo = open_null();

    ck_assert_int_eq(state_create(&state, &error), 0);
    fds_add(&state, FD_LOG, log);
    fds_add(&state, FD_CTL, fifo);
    entry_of(&state, log)->inode++;
    entry_of(&state, fifo)->inode++;
    state_cursors_next(&state)->rotation = ROTATION_MAKING;
    state_cursors_commit(&state);
    ck_assert(fds_adopt(&state));
    ck_assert_int_eq(fds_find(&state, FD_LOG), log);
    ck_assert_int_eq(fds_find(&state, FD_CTL), -1);

    state_cursors_next(&state)->rotation = ROTATION_NONE;
    state_cursors_commit(&state);
    ck_assert(fds_adopt(&state));
    ck_assert_int_eq(fds_find(&state, FD_LOG), -1);
    state_deinit(&state);
}
END_TEST

START_TEST(a_number_may_get_another_file)
{
    State state;
    Error error;
    int log = open_null();
    int other = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(state_create(&state, &error), 0);
    fds_add(&state, FD_LOG, log);
    ck_assert_int_eq(dup3(other, log, O_CLOEXEC), log);
    fds_refresh(&state, log);
    fds_refresh(&state, other); /* which the table does not have */
    ck_assert(fds_adopt(&state));
    ck_assert_int_eq(fds_find(&state, FD_LOG), log);
    close(other);
    state_deinit(&state);
}
END_TEST

/* The role beyond the last one, anywhere in the table; and a table without the state's own entry.
 */
START_TEST(a_table_is_looked_at_as_a_whole)
{
    State state;
    Error error;

    ck_assert_int_eq(state_create(&state, &error), 0);
    for (size_t i = 1; i < PAGE_FDS_MAX; i += PAGE_FDS_MAX - 2) {
        state.page->fds[i] = (FdPage){.fd = -1, .role = FD_ROLES};
        ck_assert(!fds_adopt(&state));
        state.page->fds[i] = (FdPage){.fd = -1, .role = FD_ROLES - 1};
        ck_assert(fds_adopt(&state));
        ck_assert_uint_eq(state.page->fds[i].role, FD_FREE);
    }
    state.page->fds[0].device++;
    ck_assert(!fds_adopt(&state));
    state.page->fds[0].device--;
    ck_assert(fds_adopt(&state));
    fds_remove(&state, state.page_fd);
    ck_assert(!fds_adopt(&state));
    state_deinit(&state);
}
END_TEST

/* What the caller of a program would find in the variable. */
static bool is_resumed(Resumed *resumed, const char *format, int fd, int pid)
{
    char value[64];
    bool found;

    snprintf(value, sizeof(value), format, fd, pid);
    ck_assert_int_eq(setenv(IMAGE_VARIABLE, value, 1), 0);
    *resumed = (Resumed){.page_fd = -1};
    found = image_is_resumed(resumed);
    ck_assert_ptr_null(getenv(IMAGE_VARIABLE));
    ck_assert_int_eq(resumed->page_fd, found ? fd : -1);
    return found;
}

START_TEST(only_a_variable_of_this_process_names_a_page)
{
    Resumed resumed;
    State state;
    Error error;
    int pid = (int)getpid();
    int fd;
    int other = open_null();

    ck_assert_int_eq(state_create(&state, &error), 0);
    memset(state.page->id, 'x', PAGE_ID_MAX);
    fd = state.page_fd;
    ck_assert_int_eq(fd_set_cloexec(fd, false), 0);
    unsetenv(IMAGE_VARIABLE);
    ck_assert(!image_is_resumed(&resumed));
    ck_assert(!is_resumed(&resumed, "%d", fd, pid));
    ck_assert(!is_resumed(&resumed, "%d:%d", fd, pid + 1));
    ck_assert(!is_resumed(&resumed, "%d:%d", 1000, pid)); /* is not open */
    ck_assert(!is_resumed(&resumed, "%d:%d", -1, pid));
    ck_assert(!is_resumed(&resumed, "%d:%d", STDERR_FILENO, pid));
    ck_assert(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));

    ck_assert(is_resumed(&resumed, "%d:%d", fd, pid));
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_uint_eq(strlen(resumed.id), PAGE_ID_MAX - 1);

    /* Where there is no page of ours, there is no id, either. */
    ck_assert(is_resumed(&resumed, "%d:%d", other, pid));
    ck_assert_str_eq(resumed.id, "");
    state.page->version++;
    ck_assert(is_resumed(&resumed, "%d:%d", fd, pid));
    ck_assert_str_eq(resumed.id, "");
    state.page->version--;
    state.page->magic++;
    ck_assert(is_resumed(&resumed, "%d:%d", fd, pid));
    ck_assert_str_eq(resumed.id, "");
    state_deinit(&state);
    close(other);
}
END_TEST

SUITE("adopt", each_number_of_a_page_is_looked_at, a_memory_file_that_is_too_short_is_refused,
      each_mark_of_a_descriptor_counts, what_is_refused_is_closed_only_if_nobody_else_has_it,
      a_log_that_is_being_replaced_may_be_another_file, a_number_may_get_another_file,
      a_table_is_looked_at_as_a_whole, only_a_variable_of_this_process_names_a_page)
