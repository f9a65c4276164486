#include "log/seam.h"
#include "log/turn.h"

#include "log-fixture.h"
#include "own-clock.h"
#include "suite.h"

#include <errno.h>

/* When the log acts: just before a limit of time, at it, and after it. */

enum { SECOND = 1000000 };

static const K8sLimits LIMITS = {
    .line_max = 256, .partial_flush = 100, .waits = true, .says_losses = true};

static const LogPage *log_page(const LogFixture *fixture)
{
    return &fixture->state.page->log;
}

/* Checks that a write is tried again after that pause, and not before. */
static void check_pause(LogFixture *fixture, int64_t pause)
{
    uint64_t errors = log_page(fixture)->write_errors;

    ck_assert_int_eq(log_page(fixture)->retry_at, own_boottime + pause);
    own_clock_pass(pause - 1);
    ck_assert_int_eq(k8s_file_pump(&fixture->log, STREAM_STDOUT, SPLIT_WAIT), 0);
    ck_assert_uint_eq(log_page(fixture)->write_errors, errors);
    own_clock_pass(1);
    ck_assert_int_eq(k8s_file_pump(&fixture->log, STREAM_STDOUT, SPLIT_WAIT), -EBADF);
    ck_assert_uint_eq(log_page(fixture)->write_errors, errors + 1);
}

START_TEST(the_pause_between_writes_grows_and_begins_anew_after_a_success)
{
    static const int64_t pauses[] = {100000,  200000,  400000,   800000,   1600000,
                                     3200000, 6400000, 10000000, 10000000, 10000000};
    LogFixture fixture;
    int fd;

    log_setup(&fixture, LIMITS);
    for (int round = 0; round < 2; round++) {
        fd = refuse_writes(&fixture);
        ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "line\n", 5, SPLIT_WAIT), -EBADF);
        for (size_t i = 0; i < G_N_ELEMENTS(pauses); i++)
            check_pause(&fixture, pauses[i]);
        allow_writes(&fixture, fd);
        own_clock_pass(10 * SECOND);
        ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), 1);
        ck_assert_int_eq(log_page(&fixture)->retry_at, 0);
    }
    log_teardown(&fixture);
}
END_TEST

/* A machine that sleeps lets the pause pass, and a clock on the wall that is set does not. */
START_TEST(the_pause_is_of_the_clock_that_counts_a_suspend)
{
    LogFixture fixture;
    int fd;

    log_setup(&fixture, LIMITS);
    fd = refuse_writes(&fixture);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "line\n", 5, SPLIT_WAIT), -EBADF);
    own_realtime += INT64_C(3600) * SECOND;
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), 0);
    own_clock_suspend(100000);
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), -EBADF);
    allow_writes(&fixture, fd);
    log_teardown(&fixture);
}
END_TEST

/* Where nothing waits but what tells of a loss, that has the same pause. */
START_TEST(a_loss_is_told_after_the_same_pause)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;
    int fd;

    limits.waits = false;
    log_setup(&fixture, limits);
    fd = refuse_writes(&fixture);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "line\n", 5, SPLIT_WAIT), -EBADF);
    ck_assert_int_eq(log_page(&fixture)->retry_at, own_boottime + 100000);
    own_clock_pass(100000);
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), -EBADF);
    ck_assert_int_eq(log_page(&fixture)->retry_at, own_boottime + 200000);
    allow_writes(&fixture, fd);
    log_teardown(&fixture);
}
END_TEST

START_TEST(an_unfinished_line_shows_after_its_time)
{
    LogFixture fixture;
    const int64_t *at;

    log_setup(&fixture, LIMITS);
    at = &fixture.state.page->flush_at[STREAM_STDOUT];
    log_feed(&fixture, STREAM_STDOUT, "a", 1, SPLIT_WAIT);
    ck_assert_int_eq(*at, own_boottime + 100000);
    own_clock_pass(60000);
    /* More of the same line changes nothing; the next line has its own time. */
    log_feed(&fixture, STREAM_STDOUT, "b", 1, SPLIT_WAIT);
    ck_assert_int_eq(*at, own_boottime + 40000);
    log_feed(&fixture, STREAM_STDOUT, "\nc", 2, SPLIT_WAIT);
    ck_assert_int_eq(*at, own_boottime + 100000);
    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    ck_assert_int_eq(*at, 0);
    log_teardown(&fixture);
}
END_TEST

/* How long a request for a new file waits for the end of an open line. */
static int64_t wait_for_seam(int32_t partial_flush)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;
    int64_t at;

    limits.partial_flush = partial_flush;
    log_setup(&fixture, limits);
    log_feed(&fixture, STREAM_STDOUT, "open", 4, SPLIT_FLUSH);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    at = k8s_file_reopen_at(&fixture.log);
    if (at != 0) {
        ck_assert(k8s_file_awaits_seam(&fixture.log));
        ck_assert(!seam_is_reached(&fixture.log));
        own_boottime = at - 1;
        ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
        ck_assert_uint_eq(state_cursors(&fixture.state)->reopens, 0);
        ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), at); /* asking again changes nothing */
        own_boottime = at;
        ck_assert(seam_is_reached(&fixture.log));
        ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    }
    ck_assert_uint_eq(state_cursors(&fixture.state)->reopens, 1);
    ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 0);
    log_teardown(&fixture);
    return at;
}

START_TEST(a_new_file_waits_for_the_end_of_a_line_and_no_longer_than_a_second)
{
    int64_t now = own_boottime;

    ck_assert_int_eq(wait_for_seam(0), 0);
    ck_assert_int_eq(wait_for_seam(100), now + 100000);
    now = own_boottime;
    ck_assert_int_eq(wait_for_seam(999), now + 999000);
    now = own_boottime;
    ck_assert_int_eq(wait_for_seam(1000), now + SECOND);
    now = own_boottime;
    ck_assert_int_eq(wait_for_seam(1001), now + SECOND);
    now = own_boottime;
    ck_assert_int_eq(wait_for_seam(-1), now + SECOND);
}
END_TEST

START_TEST(attempts_to_replace_a_file_come_less_and_less_often)
{
    static const int64_t pauses[] = {1, 2, 4, 8, 16, 32, 60, 60, 60}; /* seconds */
    static const char *const nowhere[] = {"/nonexistent", NULL};
    LogFixture fixture;

    log_setup(&fixture, LIMITS);
    for (int round = 0; round < 2; round++) {
        fixture.log.rotation.allowed = nowhere;
        for (size_t i = 0; i < G_N_ELEMENTS(pauses); i++) {
            ck_assert_int_lt(k8s_file_reopen(&fixture.log), 0);
            ck_assert_uint_eq(log_page(&fixture)->rotation_failures,
                              (unsigned)round * G_N_ELEMENTS(pauses) + i + 1);
            ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), own_boottime + pauses[i] * SECOND);
            ck_assert(!k8s_file_awaits_seam(&fixture.log));
            own_clock_pass(pauses[i] * SECOND - 1);
            ck_assert(!rotation_is_due(&fixture.log.rotation));
            ck_assert(!seam_is_wanted(&fixture.log));
            own_clock_pass(1);
            ck_assert(rotation_is_due(&fixture.log.rotation));
            ck_assert(seam_is_wanted(&fixture.log));
        }
        fixture.log.rotation.allowed = NULL;
        ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
        ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 0);
        ck_assert(rotation_is_due(&fixture.log.rotation));
    }
    log_teardown(&fixture);
}
END_TEST

/* Lets a line that is cut at its limit go on on stdout, and lets `size` bytes wait on stderr. */
static void wait_for_turn(LogFixture *fixture, K8sLimits limits, size_t size)
{
    char bytes[65536];

    memset(bytes, 'x', sizeof(bytes));
    log_setup(fixture, limits);
    log_feed(fixture, STREAM_STDOUT, bytes, 300, SPLIT_WAIT);
    ck_assert_int_eq(log_page(fixture)->turn_at, 0);
    for (; size > 0; size -= MIN(size, sizeof(bytes)))
        log_feed(fixture, STREAM_STDERR, bytes, MIN(size, sizeof(bytes)), SPLIT_WAIT);
}

/* How long the other stream waits for such a line, which the same number of bytes bounds. */
static int64_t turn_of(int32_t partial_flush, size_t size)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;
    int64_t at;

    limits.partial_flush = partial_flush;
    wait_for_turn(&fixture, limits, size);
    at = log_page(&fixture)->turn_at;
    log_teardown(&fixture);
    return at == 0 ? -1 : at - own_boottime;
}

START_TEST(a_long_line_is_waited_for_as_an_unfinished_one_is)
{
    ck_assert_int_eq(turn_of(100, 5), 100000);
    ck_assert_int_eq(turn_of(999, 5), 999000);
    ck_assert_int_eq(turn_of(1001, 5), SECOND);
    ck_assert_int_eq(turn_of(-1, 5), SECOND);
    ck_assert_int_eq(turn_of(0, 5), -1);
    /* With a whole pipe, the rest of the wait is short. */
    ck_assert_int_eq(turn_of(100, TURN_FULL - 1), 100000);
    ck_assert_int_eq(turn_of(100, TURN_FULL), 20000);
    ck_assert_int_eq(turn_of(19, TURN_FULL), 19000);
    ck_assert_int_eq(turn_of(-1, TURN_FULL), 20000);
    ck_assert_int_eq(turn_of(100, TURN_BYTES), 20000);
    ck_assert_int_eq(turn_of(100, TURN_BYTES + 1), -1);
}
END_TEST

START_TEST(a_wait_is_made_shorter_and_never_longer)
{
    LogFixture fixture;
    int64_t at;
    char bytes[65536];

    memset(bytes, 'x', sizeof(bytes));
    wait_for_turn(&fixture, LIMITS, TURN_FULL - 2);
    at = log_page(&fixture)->turn_at;
    ck_assert(!k8s_file_holds(&fixture.log, STREAM_STDERR));
    own_clock_pass(50000);
    log_feed(&fixture, STREAM_STDERR, bytes, 1, SPLIT_WAIT);
    ck_assert_int_eq(log_page(&fixture)->turn_at, at);
    ck_assert(!k8s_file_holds(&fixture.log, STREAM_STDERR));
    log_feed(&fixture, STREAM_STDERR, bytes, 1, SPLIT_WAIT);
    at = log_page(&fixture)->turn_at;
    ck_assert_int_eq(at, own_boottime + 20000);
    ck_assert(k8s_file_holds(&fixture.log, STREAM_STDERR));
    ck_assert(!k8s_file_holds(&fixture.log, STREAM_STDOUT));
    own_clock_pass(10000);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_WAIT);
    ck_assert_int_eq(log_page(&fixture)->turn_at, at);
    k8s_file_end_turn(&fixture.log);
    ck_assert_int_eq(log_page(&fixture)->turn_at, 0);
    ck_assert(!k8s_file_holds(&fixture.log, STREAM_STDERR));
    log_teardown(&fixture);
}
END_TEST

/* A record is written while there is a token at all; how long then to wait is for a twentieth of a
 * second's bytes under `wait`, and for all of them under `drop`. */
START_TEST(a_rate_is_waited_for_until_there_is_room)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;
    const int64_t *until;
    const LogCursors *live;
    int64_t pause;

    limits.rate = (RateLimit){1000, 1000};
    limits.rate_waits = true;
    log_setup(&fixture, limits);
    until = &log_page(&fixture)->rate_until;
    /* 46 bytes with an empty line: the twenty-second takes the last token. */
    log_feed(&fixture, STREAM_STDOUT,
             "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", 30, SPLIT_WAIT);
    live = state_cursors(&fixture.state);
    ck_assert_uint_eq(live->counters[STREAM_STDOUT].records, 22);
    ck_assert_int_eq(live->rate_tokens, 1000 - 22 * 46);
    pause = (12 + 51) * 1000;
    ck_assert_int_eq(*until, own_boottime + pause);
    ck_assert(k8s_file_waits(&fixture.log));

    /* At that moment there are 51 tokens, and two more records have room. */
    own_clock_pass(pause);
    fixture.state.page->log.rate_until = 0;
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT);
    live = state_cursors(&fixture.state);
    ck_assert_uint_eq(live->counters[STREAM_STDOUT].records, 24);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_rate_that_drops_does_so_until_there_is_room)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;

    limits.rate = (RateLimit){1000, 2000};
    limits.says_losses = false;
    log_setup(&fixture, limits);
    for (int i = 0; i < 44; i++)
        log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    ck_assert_int_eq(state_cursors(&fixture.state)->rate_tokens, 2000 - 44 * 46);
    ck_assert(!k8s_file_is_limited(&fixture.log));
    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    ck_assert(k8s_file_is_limited(&fixture.log));
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].limited_records, 1);
    own_clock_pass((24 + 1001) * 1000 - 1000); /* a millisecond, and so a token, is missing */
    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].limited_records, 2);
    own_clock_pass(1000);
    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].limited_records, 2);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].records, 45);
    ck_assert(!k8s_file_is_limited(&fixture.log));
    log_teardown(&fixture);
}
END_TEST

SUITE("log-clock", the_pause_between_writes_grows_and_begins_anew_after_a_success,
      the_pause_is_of_the_clock_that_counts_a_suspend, a_loss_is_told_after_the_same_pause,
      an_unfinished_line_shows_after_its_time,
      a_new_file_waits_for_the_end_of_a_line_and_no_longer_than_a_second,
      attempts_to_replace_a_file_come_less_and_less_often,
      a_long_line_is_waited_for_as_an_unfinished_one_is, a_wait_is_made_shorter_and_never_longer,
      a_rate_is_waited_for_until_there_is_room, a_rate_that_drops_does_so_until_there_is_room)
