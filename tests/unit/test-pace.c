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

/* Whether the last of so many small reads makes the next one wait, all of them in that time. */
static bool waits_for(int reads, ssize_t bytes, int64_t within, int pipe_size)
{
    int fd = pipe_of(pipe_size);
    Pace pace = {0};

    pace_note(&pace, fd, bytes, 5000); /* which is not the first moment there is */
    for (int i = 1; i < reads - 1; i++)
        pace_note(&pace, fd, bytes, 5001);
    ck_assert(!pace.waits);
    pace_note(&pace, fd, bytes, 5000 + within);
    close(fd);
    return pace.waits;
}

START_TEST(just_so_many_reads_of_just_so_many_bytes)
{
    ck_assert(!waits_for(31, 100, 1600, 65536));
    ck_assert(waits_for(32, 100, 1600, 65536));
    ck_assert(!waits_for(32, 100, 1601, 65536));
    ck_assert(waits_for(32, 1, 1600, 65536));
    ck_assert(!waits_for(32, 0, 1600, 65536));
    ck_assert(waits_for(32, 8191, 1600, 65536));
    ck_assert(!waits_for(32, 8192, 1600, 65536));
    ck_assert(!waits_for(32, 100, 1600, 32768));
    ck_assert(waits_for(32, 100, 1600, 131072));
}

/* A try in vain is followed by the next one after as many reads. */
START_TEST(slow_reads_are_counted_anew)
{
    int fd = pipe_of(65536);
    Pace pace = {0};

    for (int i = 0; i < 32; i++)
        pace_note(&pace, fd, 100, 1 + i * 1000);
    ck_assert(!pace.waits);
    for (int i = 0; i < 31; i++)
        pace_note(&pace, fd, 100, 50000);
    ck_assert(!pace.waits);
    pace_note(&pace, fd, 100, 50000);
    ck_assert(pace.waits);
    close(fd);
}

START_TEST(just_as_much_as_pays)
{
    static const struct {
        ssize_t n;
        bool waits;
    } READS[] = {{2047, false}, {2048, true}, {49151, true}, {49152, false}};
    int fd = pipe_of(65536);

    for (size_t i = 0; i < sizeof(READS) / sizeof(READS[0]); i++) {
        Pace pace = waiting(fd);

        pace_note(&pace, fd, READS[i].n, MANY);
        ck_assert_int_eq(pace.waits, READS[i].waits);
        ck_assert_uint_eq(pace.little, 0);
    }
    close(fd);
}

SUITE("pace", just_so_many_reads_of_just_so_many_bytes, slow_reads_are_counted_anew,
      just_as_much_as_pays, many_small_reads_that_follow_each_other, small_reads_now_and_then,
      large_reads, a_large_read_among_the_small_ones, what_has_no_room_for_what_comes_meanwhile,
      as_long_as_it_pays)
