#include "stdio/spool.h"

#include "state/fds.h"
#include "state/input.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A file system that knows no O_TMPFILE: takes the place of the C library's function. */
static bool no_unnamed_files;

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (no_unnamed_files && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* The type of file system that one is on, 0 = the true one. */
static __fsword_t file_system;

int fstatfs(int fd, struct statfs *found)
{
    int r = (int)syscall(SYS_fstatfs, fd, found);

    if (file_system != 0)
        found->f_type = file_system;
    return r;
}

typedef struct Fixture {
    State state;
    Spool spool;
    char directory[64];
    int pipe[2];
    uint64_t cursor[STREAMS]; /* of the only client */
    rlim_t file_limit;        /* while the spool is written, 0 = none */
} Fixture;

static void setup(Fixture *fixture, int64_t max)
{
    Error error;

    *fixture = (Fixture){.directory = "/tmp/test-spool-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(fixture->directory));
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    ck_assert_int_eq(pipe2(fixture->pipe, O_NONBLOCK), 0);
    spool_init(&fixture->spool, &fixture->state, fixture->directory, max);
}

static void teardown(Fixture *fixture)
{
    spool_end(&fixture->spool);
    state_deinit(&fixture->state);
    close(fixture->pipe[0]);
    close(fixture->pipe[1]);
    ck_assert_int_eq(rmdir(fixture->directory), 0); /* so no file is left, either */
}

/* The byte of a stream at an offset: does not repeat with any capacity. */
static uint8_t byte_at(StreamId stream, uint64_t offset)
{
    return (uint8_t)((offset + stream) * 2654435761U >> 13);
}

static uint64_t end_of(const Fixture *fixture, StreamId stream)
{
    return fixture->state.page->streams[stream].end;
}

/* Up to this offset the stream must stay in memory: as Attach reckons. */
static uint64_t keep_from(const Fixture *fixture, StreamId stream)
{
    uint64_t spooled = fixture->state.page->spool.end[stream];

    return spooled > fixture->cursor[stream] ? spooled : fixture->cursor[stream];
}

/* The container writes. */
static void feed(Fixture *fixture, StreamId stream, size_t size)
{
    uint8_t bytes[65536];
    uint64_t from = end_of(fixture, stream);

    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(stream, from + i);
    ck_assert_int_eq(write(fixture->pipe[1], bytes, size), (ssize_t)size);
    while (end_of(fixture, stream) < from + size)
        ck_assert_int_gt(
            input_read(&fixture->state, stream, fixture->pipe[0], keep_from(fixture, stream)), 0);
}

/* The next bytes of the client's stream, from wherever they are; returns how many. */
static uint64_t next_bytes(Fixture *fixture, StreamId stream, uint8_t bytes[8192])
{
    uint64_t cursor = fixture->cursor[stream];
    uint64_t size = end_of(fixture, stream) - cursor;
    ssize_t n;

    if (spool_has(&fixture->state, stream, cursor)) {
        n = spool_read(&fixture->spool, stream, cursor, bytes, 8192);
        ck_assert_int_gt(n, 0);
        return (uint64_t)n;
    }
    size = size < 8192 ? size : 8192;
    memcpy(bytes, input_at(&fixture->state, stream, cursor), size);
    return size;
}

/* The client takes at least that much or all, and finds what was written. */
static void take(Fixture *fixture, StreamId stream, uint64_t size)
{
    uint8_t bytes[8192];
    uint64_t *cursor = &fixture->cursor[stream];
    uint64_t left = end_of(fixture, stream) - *cursor;
    uint64_t to = *cursor + (size < left ? size : left);

    while (*cursor < to) {
        uint64_t n = next_bytes(fixture, stream, bytes);
        uint64_t wrong = 0;

        for (uint64_t i = 0; i < n; i++)
            wrong += bytes[i] != byte_at(stream, *cursor + i);
        ck_assert_uint_eq(wrong, 0);
        *cursor += n;
    }
}

/* Under the fixture's limit on file sizes, which would be one for the test's own files as well. */
static void spool(Fixture *fixture, StreamId stream)
{
    struct rlimit before;
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){.rlim_cur = fixture->file_limit, .rlim_max = before.rlim_max};
    if (fixture->file_limit != 0)
        setrlimit(RLIMIT_FSIZE, &limit);
    spool_take(&fixture->spool, stream, fixture->cursor);
    setrlimit(RLIMIT_FSIZE, &before);
}

static uint64_t spooled(const Fixture *fixture)
{
    uint64_t sum = 0;

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (spool_has(&fixture->state, i, fixture->cursor[i]))
            sum += fixture->state.page->spool.end[i] - fixture->cursor[i];
    }
    return sum;
}

/* Fills the spool until it takes no more. */
static void fill(Fixture *fixture, StreamId stream)
{
    do {
        feed(fixture, stream, 65536);
        spool(fixture, stream);
    } while (fixture->state.page->spool.end[stream] == end_of(fixture, stream));
}

static uint64_t disk_use(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

START_TEST(every_byte_comes_back_whatever_the_speeds_are)
{
    const uint64_t max = 300007; /* no number of pages */
    Fixture fixture;
    unsigned seed = 7;
    bool was_full = false;
    unsigned made = 0;

    setup(&fixture, (int64_t)max);
    for (int round = 0; round < 6000; round++) {
        StreamId stream = rand_r(&seed) % 3 == 0 ? STREAM_STDERR : STREAM_STDOUT;
        bool slow = round / 500 % 2 == 0;

        if (end_of(&fixture, stream) - keep_from(&fixture, stream) < STATE_HOLD_SIZE)
            feed(&fixture, stream, 1 + (size_t)rand_r(&seed) % 65536);
        if (end_of(&fixture, stream) - keep_from(&fixture, stream) >= STATE_HOLD_SIZE) {
            made += fixture.spool.fds[stream] < 0;
            spool(&fixture, stream);
        }
        ck_assert_uint_le(spooled(&fixture), max);
        was_full = was_full || spooled(&fixture) == max;
        take(&fixture, stream, (uint64_t)rand_r(&seed) % (slow ? 20000 : 100000));
        spool_give_back(&fixture.spool, fixture.cursor);
        if (round % 1000 == 999) {
            for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
                take(&fixture, i, UINT64_MAX);
            spool_end(&fixture.spool);
        }
    }
    ck_assert_int_eq(fixture.spool.failure, 0);
    ck_assert(was_full);
    ck_assert_uint_gt(made, 2);
    teardown(&fixture);
}
END_TEST

START_TEST(both_streams_share_the_maximum)
{
    Fixture fixture;

    setup(&fixture, 1000000);
    fill(&fixture, STREAM_STDOUT);
    ck_assert_uint_eq(spooled(&fixture), 1000000);
    feed(&fixture, STREAM_STDERR, 65536);
    spool(&fixture, STREAM_STDERR);
    ck_assert_uint_eq(fixture.state.page->spool.end[STREAM_STDERR], 0);
    take(&fixture, STREAM_STDOUT, 8192);
    spool(&fixture, STREAM_STDERR);
    ck_assert_uint_eq(fixture.state.page->spool.end[STREAM_STDERR], 8192);
    ck_assert_uint_eq(spooled(&fixture), 1000000);
    teardown(&fixture);
}
END_TEST

START_TEST(nobody_else_can_open_the_files)
{
    Fixture fixture;
    struct stat st;

    setup(&fixture, -1);
    for (int i = 0; i < 2; i++) {
        int fd;

        no_unnamed_files = i == 1;
        feed(&fixture, STREAM_STDOUT, 65536);
        spool(&fixture, STREAM_STDOUT);
        no_unnamed_files = false;
        fd = fixture.spool.fds[STREAM_STDOUT];
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert_int_eq(st.st_mode & 07777, 0600);
        ck_assert_uint_eq(st.st_nlink, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        take(&fixture, STREAM_STDOUT, 65536);
        spool_end(&fixture.spool);
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        ck_assert_int_eq(fds_find(&fixture.state, FD_SPOOL_STDOUT), -1);
    }
    teardown(&fixture);
}
END_TEST

/* How much a spool may hold that was made with that maximum, on such a file system. */
static uint64_t capacity_of(int64_t max, __fsword_t type, rlim_t file_limit)
{
    Fixture fixture;
    uint64_t capacity;

    setup(&fixture, max);
    fixture.file_limit = file_limit;
    file_system = type;
    feed(&fixture, STREAM_STDOUT, 65536);
    spool(&fixture, STREAM_STDOUT);
    file_system = 0;
    capacity = fixture.state.page->spool.capacity;
    teardown(&fixture);
    return capacity;
}

START_TEST(how_much_is_kept_depends_on_where_it_is)
{
    ck_assert_uint_eq(capacity_of(-1, EXT4_SUPER_MAGIC, 0), 64 << 20);
    ck_assert_uint_eq(capacity_of(-1, TMPFS_MAGIC, 0), 4 << 20);
    ck_assert_uint_eq(capacity_of(-1, RAMFS_MAGIC, 0), 4 << 20);
    ck_assert_uint_eq(capacity_of(1, TMPFS_MAGIC, 0), 1);
    ck_assert_uint_eq(capacity_of(5 << 20, TMPFS_MAGIC, 0), 5 << 20);
    ck_assert_uint_eq(capacity_of(10000, EXT4_SUPER_MAGIC, 9999), 9999);
    ck_assert_uint_eq(capacity_of(10000, EXT4_SUPER_MAGIC, 10000), 10000);
    ck_assert_uint_eq(capacity_of(10000, EXT4_SUPER_MAGIC, 10001), 10000);
}
END_TEST

START_TEST(none_is_made_if_none_is_wanted)
{
    Fixture fixture;

    setup(&fixture, 0);
    feed(&fixture, STREAM_STDOUT, 65536);
    spool(&fixture, STREAM_STDOUT);
    ck_assert_int_eq(fixture.spool.fds[STREAM_STDOUT], -1);
    ck_assert_int_eq(fixture.spool.failure, 0);
    teardown(&fixture);
}
END_TEST

START_TEST(one_that_cannot_be_made_is_tried_again_only_when_all_have_caught_up)
{
    Fixture fixture;

    setup(&fixture, -1);
    fixture.spool.directory = "/nonexistent";
    feed(&fixture, STREAM_STDERR, 65536);
    spool(&fixture, STREAM_STDERR);
    ck_assert_int_eq(fixture.spool.failure, ENOENT);
    fixture.spool.directory = fixture.directory;
    spool(&fixture, STREAM_STDERR);
    ck_assert_int_eq(fixture.spool.fds[STREAM_STDERR], -1);
    spool_end(&fixture.spool);
    spool(&fixture, STREAM_STDERR);
    ck_assert_int_ge(fixture.spool.fds[STREAM_STDERR], 0);
    ck_assert_int_eq(fixture.spool.failure, 0);
    teardown(&fixture);
}
END_TEST

START_TEST(a_limit_on_file_sizes_is_the_maximum)
{
    Fixture fixture;

    setup(&fixture, -1);
    signal(SIGXFSZ, SIG_IGN);
    fixture.file_limit = 200000;
    for (int i = 0; i < 3; i++) { /* more than once around */
        fill(&fixture, STREAM_STDOUT);
        ck_assert_int_eq(fixture.spool.failure, 0);
        ck_assert_uint_eq(spooled(&fixture), 200000);
        take(&fixture, STREAM_STDOUT, UINT64_MAX);
    }
    teardown(&fixture);
}
END_TEST

START_TEST(what_was_there_before_a_failure_can_be_read)
{
    Fixture fixture;

    setup(&fixture, -1);
    signal(SIGXFSZ, SIG_IGN);
    feed(&fixture, STREAM_STDOUT, 65536);
    spool(&fixture, STREAM_STDOUT);
    fixture.file_limit = 100000;
    feed(&fixture, STREAM_STDOUT, 65536);
    spool(&fixture, STREAM_STDOUT);
    ck_assert_int_eq(fixture.spool.failure, EFBIG);
    ck_assert_uint_eq(spooled(&fixture), 100000);
    take(&fixture, STREAM_STDOUT, UINT64_MAX);
    teardown(&fixture);
}
END_TEST

START_TEST(what_has_been_taken_is_given_back)
{
    Fixture fixture;
    uint64_t before;

    setup(&fixture, 4 << 20);
    for (int i = 0; i < 3; i++) {
        fill(&fixture, STREAM_STDOUT);
        before = disk_use(fixture.spool.fds[STREAM_STDOUT]);
        ck_assert_uint_ge(before, 4 << 20);
        take(&fixture, STREAM_STDOUT, 3 << 20);
        spool_give_back(&fixture.spool, fixture.cursor);
        ck_assert_uint_lt(disk_use(fixture.spool.fds[STREAM_STDOUT]), 2 << 20);
        take(&fixture, STREAM_STDOUT, 512 << 10); /* and nothing that is still needed */
    }
    take(&fixture, STREAM_STDOUT, UINT64_MAX);
    teardown(&fixture);
}
END_TEST

START_TEST(another_image_goes_on)
{
    Fixture fixture;
    Spool next;

    setup(&fixture, 500000);
    fill(&fixture, STREAM_STDOUT);
    fill(&fixture, STREAM_STDERR);
    spool_adopt(&next, &fixture.state, fixture.directory, 500000);
    ck_assert_int_eq(next.fds[STREAM_STDOUT], fixture.spool.fds[STREAM_STDOUT]);
    ck_assert_int_eq(next.fds[STREAM_STDERR], fixture.spool.fds[STREAM_STDERR]);
    fixture.spool = next;
    take(&fixture, STREAM_STDOUT, 400000);
    fill(&fixture, STREAM_STDERR);
    spool_give_back(&fixture.spool, fixture.cursor);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        take(&fixture, i, UINT64_MAX);
    teardown(&fixture);
}
END_TEST

START_TEST(a_file_that_somebody_has_cut_is_an_error)
{
    Fixture fixture;
    uint8_t byte;

    setup(&fixture, -1);
    feed(&fixture, STREAM_STDOUT, 65536);
    spool(&fixture, STREAM_STDOUT);
    ck_assert_int_eq(ftruncate(fixture.spool.fds[STREAM_STDOUT], 0), 0);
    ck_assert_int_eq(spool_read(&fixture.spool, STREAM_STDOUT, 0, &byte, 1), -EIO);
    teardown(&fixture);
}
END_TEST

SUITE("spool", every_byte_comes_back_whatever_the_speeds_are, both_streams_share_the_maximum,
      nobody_else_can_open_the_files, how_much_is_kept_depends_on_where_it_is,
      none_is_made_if_none_is_wanted,
      one_that_cannot_be_made_is_tried_again_only_when_all_have_caught_up,
      a_limit_on_file_sizes_is_the_maximum, what_was_there_before_a_failure_can_be_read,
      what_has_been_taken_is_given_back, another_image_goes_on,
      a_file_that_somebody_has_cut_is_an_error)
