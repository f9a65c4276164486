#include "stdio/pace.h"

#include "suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 1000 };

static int pipe_of(int size)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETPIPE_SZ, size), size);
    close(ends[1]);
    return ends[0];
}

/* Many reads of so many bytes, and so many microseconds from one to the next. */
static bool waits_after(int fd, ssize_t bytes, int64_t pause)
{
    Pace pace = {0};

    for (int i = 0; i < MANY; i++)
        pace_note(&pace, fd, bytes, 1 + i * pause);
    return pace.waits;
}

static Pace waiting(int fd)
{
    Pace pace = {0};

    for (int64_t now = 1; !pace.waits; now++) {
        ck_assert_int_lt(now, MANY);
        pace_note(&pace, fd, 100, now);
    }
    return pace;
}

START_TEST(many_small_reads_that_follow_each_other)
{
    int fd = pipe_of(65536);

    ck_assert(!(Pace){0}.waits);
    waiting(fd);
    close(fd);
}

START_TEST(small_reads_now_and_then)
{
    int fd = pipe_of(65536);

    ck_assert(!waits_after(fd, 100, 1000));
    close(fd);
}

START_TEST(large_reads)
{
    int fd = pipe_of(65536);

    ck_assert(!waits_after(fd, 16384, 1));
    ck_assert(!waits_after(fd, 65536, 1));
    close(fd);
}

START_TEST(a_large_read_among_the_small_ones)
{
    int fd = pipe_of(65536);
    Pace pace = {0};

    for (int i = 0; i < MANY; i++) {
        pace_note(&pace, fd, i % 20 == 0 ? 16384 : 100, 1);
        ck_assert(!pace.waits);
    }
    close(fd);
}

START_TEST(what_has_no_room_for_what_comes_meanwhile)
{
    int fd = pipe_of(4096);
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);

    ck_assert_int_ge(terminal, 0);
    ck_assert(!waits_after(fd, 100, 1));
    ck_assert(!waits_after(terminal, 100, 1));
    close(terminal);
    close(fd);
}

START_TEST(as_long_as_it_pays)
{
    static const struct {
        ssize_t n;
        bool waits;
    } READS[] = {
        {20000, true},  /* many writes at once */
        {4000, true},   /* that is still worth it */
        {1000, false},  /* the container hardly goes on */
        {65536, false}, /* it has filled the pipe, and had to wait */
        {-11, false},   /* there was nothing: EAGAIN */
        {0, false},
    };
    int fd = pipe_of(65536);

    for (size_t i = 0; i < sizeof(READS) / sizeof(READS[0]); i++) {
        Pace pace = waiting(fd);

        pace_note(&pace, fd, READS[i].n, MANY);
        ck_assert_int_eq(pace.waits, READS[i].waits);
    }
    close(fd);
}

SUITE("pace", many_small_reads_that_follow_each_other, small_reads_now_and_then, large_reads,
      a_large_read_among_the_small_ones, what_has_no_room_for_what_comes_meanwhile,
      as_long_as_it_pays)
