#include "state/fds.h"
#include "state/input.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The byte of the test's stream at an offset: does not repeat with any buffer's size. */
static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761U >> 13);
}

static void feed(int fd, uint64_t from, size_t size)
{
    uint8_t bytes[65536];

    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(from + i);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
}

START_TEST(pending_bytes_stay_intact_however_they_are_moved)
{
    State state;
    Error error;
    int ends[2];
    uint64_t keep = 0;
    unsigned seed = 7;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(pipe(ends), 0);
    for (int round = 0; round < 2000; round++) {
        const StreamPage *page = &state.page->streams[STREAM_STDERR];
        size_t size = 1 + (size_t)rand_r(&seed) % 65536;
        uint64_t end = page->end + size;
        uint64_t pending;

        feed(ends[1], page->end, size);
        while (page->end < end)
            ck_assert_int_gt(input_read(&state, STREAM_STDERR, ends[0], keep), 0);
        for (uint64_t at = keep; at < page->end; at += 1 + (uint64_t)rand_r(&seed) % 997)
            ck_assert_uint_eq(*input_at(&state, STREAM_STDERR, at), byte_at(at));
        ck_assert_uint_eq(*input_at(&state, STREAM_STDERR, page->end - 1), byte_at(page->end - 1));

        /* Keep any tail up to the most that can be pending; often nothing. */
        pending = rand_r(&seed) % 3 == 0 ? 0 : (uint64_t)rand_r(&seed) % STATE_PENDING_MAX;
        if (pending < page->end - keep)
            keep = page->end - pending;
        if (page->end - keep > STATE_PENDING_MAX - STATE_READ_SIZE)
            keep = page->end;
    }
    state_deinit(&state);
}
END_TEST

START_TEST(a_full_buffer_is_said_and_nothing_is_lost)
{
    State state;
    Error error;
    int ends[2];
    uint64_t taken = 0;
    ssize_t n = 0;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    ck_assert_int_eq(input_read(&state, STREAM_STDOUT, ends[0], 0), -EAGAIN);
    for (uint64_t written = 0; n >= 0; written += 65536) {
        feed(ends[1], written, 65536);
        while ((n = input_read(&state, STREAM_STDOUT, ends[0], 0)) > 0)
            taken += (uint64_t)n;
        if (n == -EAGAIN)
            n = 0;
    }
    ck_assert_int_eq(n, -ENOBUFS);
    ck_assert_uint_eq(taken, STATE_INPUT_SIZE);
    ck_assert_uint_eq(*input_at(&state, STREAM_STDOUT, taken - 1), byte_at(taken - 1));
    feed(ends[1], taken, 100);
    n = input_read(&state, STREAM_STDOUT, ends[0], taken);
    ck_assert_int_gt(n, 0);
    ck_assert_uint_eq(*input_at(&state, STREAM_STDOUT, taken), byte_at(taken));
    state_deinit(&state);
}
END_TEST

static long resident_pages(const State *state)
{
    static unsigned char pages[(STREAMS * STATE_INPUT_SIZE + STATE_OUTPUT_SIZE) / 4096 + 1];
    long count = 0;

    ck_assert_int_eq(
        mincore(state->input[0], STREAMS * STATE_INPUT_SIZE + STATE_OUTPUT_SIZE, pages), 0);
    for (size_t i = 0; i < sizeof(pages); i++)
        count += pages[i] & 1;
    return count;
}

START_TEST(trim_gives_memory_back_and_keeps_what_is_pending)
{
    State state;
    Error error;
    int ends[2];

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(pipe(ends), 0);
    feed(ends[1], 0, 45000);
    ck_assert_int_eq(input_read(&state, STREAM_STDOUT, ends[0], 0), 45000);
    memset(state.input[STREAM_STDOUT] + 45056, 1, 1 << 20);
    memset(state.output, 1, 1 << 20);
    ck_assert_int_gt(resident_pages(&state), 500);
    state_trim(&state, (uint64_t[STREAMS]){40000, 0});
    ck_assert_int_le(resident_pages(&state), 2);
    for (uint64_t at = 40000; at < 45000; at++)
        ck_assert_uint_eq(*input_at(&state, STREAM_STDOUT, at), byte_at(at));
    state_deinit(&state);
}
END_TEST

START_TEST(a_child_does_not_have_the_state)
{
    State state;
    Error error;
    pid_t pid;
    int status;

    ck_assert_int_eq(state_create(&state, &error), 0);
    pid = fork();
    if (pid == 0) {
        unsigned char page;

        _exit(mincore(state.page, 1, &page) < 0 && errno == ENOMEM ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    state_deinit(&state);
}
END_TEST

START_TEST(another_image_adopts_what_was_left)
{
    State state;
    State other;
    Error error;
    char expected[64];
    int page_fd;

    ck_assert_int_eq(state_create(&state, &error), 0);
    state.page->streams[STREAM_STDERR].end = 100;
    state_cursors_next(&state)->start[STREAM_STDERR] = 77;
    state_cursors_commit(&state);
    state.output[5] = 'x';
    page_fd = dup(state.page_fd);
    /* As after execve: the descriptor is handed over. */
    munmap(state.page, PAGE_SIZE_BYTES);

    ck_assert_int_eq(state_adopt(&other, page_fd, &error), 0);
    ck_assert_uint_eq(state_cursors(&other)->start[STREAM_STDERR], 77);
    ck_assert_uint_eq(other.output[5], 'x');
    other.page->version++;
    page_fd = dup(other.page_fd);
    ck_assert_int_lt(state_adopt(&state, page_fd, &error), 0);
    snprintf(expected, sizeof(expected), "has version %d; this program knows %d", PAGE_VERSION + 1,
             (int)PAGE_VERSION);
    ck_assert_ptr_nonnull(strstr(error.text, expected));
    state_deinit(&other);
}
END_TEST

START_TEST(the_table_knows_what_is_open)
{
    State state;
    Error error;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(state_create(&state, &error), 0);
    for (int round = 0; round < 3 * PAGE_FDS_MAX; round++) {
        fds_add(&state, FD_LOG, fd);
        ck_assert_int_eq(fds_find(&state, FD_LOG), fd);
        ck_assert(fds_adopt(&state));
        fds_remove(&state, fd);
        ck_assert_int_eq(fds_find(&state, FD_LOG), -1);
    }
    state_deinit(&state);
}
END_TEST

START_TEST(what_is_another_file_is_refused)
{
    State state;
    Error error;
    int log = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fifo = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int other = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(state_create(&state, &error), 0);
    fds_add(&state, FD_LOG, log);
    fds_add(&state, FD_CTL, fifo);
    fds_add(&state, FD_ATTACH_CLIENT, other);
    ck_assert_int_eq(dup2(other, fifo), fifo);
    ck_assert_int_eq(close(other), 0);
    ck_assert(fds_adopt(&state));
    ck_assert_int_eq(fds_find(&state, FD_LOG), log);
    ck_assert(!fds_refused(&state, FD_LOG));
    ck_assert_int_eq(fds_find(&state, FD_CTL), -1);
    ck_assert(fds_refused(&state, FD_CTL) && fds_refused(&state, FD_ATTACH_CLIENT));
    ck_assert_int_lt(fcntl(fifo, F_GETFD), 0);
    state_deinit(&state);
}
END_TEST

START_TEST(a_table_that_is_none_of_ours_is_refused)
{
    State state;
    Error error;

    ck_assert_int_eq(state_create(&state, &error), 0);
    state.page->fds[PAGE_FDS_MAX - 1].role = FD_ROLES;
    ck_assert(!fds_adopt(&state));
    state.page->fds[PAGE_FDS_MAX - 1].role = FD_FREE;
    ck_assert(fds_adopt(&state));
    state.page->fds[0].inode++; /* of the page itself */
    ck_assert(!fds_adopt(&state));
    state_deinit(&state);
}
END_TEST

/* As for one that another image has left, before its new owner has made it its own. */
START_TEST(the_table_has_each_descriptor_once)
{
    State state;
    Error error;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(state_create(&state, &error), 0);
    for (int round = 0; round < 3 * PAGE_FDS_MAX; round++)
        fds_add(&state, round % 2 == 0 ? FD_LOG : FD_ATTACH_CLIENT, fd);
    ck_assert_int_eq(fds_find(&state, FD_LOG), -1);
    ck_assert_int_eq(fds_find(&state, FD_ATTACH_CLIENT), fd);
    fds_remove(&state, fd);
    ck_assert_int_eq(fds_find(&state, FD_ATTACH_CLIENT), -1);
    state_deinit(&state);
    close(fd);
}
END_TEST

/* Whether another image takes over a batch that is said to be there. The state is gone then. */
static bool is_adopted(uint64_t offset, uint64_t length, uint64_t rest)
{
    State state;
    State other;
    Error error;
    LogCursors *next;
    bool adopted;

    ck_assert_int_eq(state_create(&state, &error), 0);
    next = state_cursors_next(&state);
    next->batch_offset = offset;
    next->batch_length = length;
    next->rest_length = rest;
    state_cursors_commit(&state);
    munmap(state.page, PAGE_SIZE_BYTES);
    adopted = state_adopt(&other, state.page_fd, &error) == 0;
    if (adopted)
        state_deinit(&other);
    return adopted;
}

START_TEST(a_batch_may_be_anywhere_in_its_buffer_and_nowhere_else)
{
    ck_assert(is_adopted(0, STATE_BATCH_AREA, 0));
    ck_assert(is_adopted(STATE_BATCH_AREA, STATE_BATCH_AREA, 1));
    ck_assert(is_adopted(STATE_BATCH_AREA + 4711, STATE_BATCH_AREA - 4711, 0)); /* half written */
    ck_assert(is_adopted(STATE_OUTPUT_SIZE, 0, 0));
    ck_assert(!is_adopted(STATE_OUTPUT_SIZE, 1, 0));
    ck_assert(!is_adopted(STATE_OUTPUT_SIZE + 1, 0, 0));
    ck_assert(!is_adopted(UINT64_MAX, 2, 0));
    ck_assert(!is_adopted(0, 10, 11));
}
END_TEST

SUITE("state", pending_bytes_stay_intact_however_they_are_moved,
      a_full_buffer_is_said_and_nothing_is_lost, trim_gives_memory_back_and_keeps_what_is_pending,
      a_child_does_not_have_the_state, another_image_adopts_what_was_left,
      the_table_knows_what_is_open, what_is_another_file_is_refused,
      a_table_that_is_none_of_ours_is_refused, the_table_has_each_descriptor_once,
      a_batch_may_be_anywhere_in_its_buffer_and_nowhere_else)
