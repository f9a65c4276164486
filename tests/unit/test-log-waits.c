/* Which deadlines of the log are set while its streams wait, and which are not. */
#include "log-fixture.h"
#include "suite.h"

#include "util/clock.h"

#include <errno.h>

static const K8sLimits limits = {.line_max = 256, .partial_flush = 100, .waits = true};

static int64_t flush_at(const LogFixture *fixture)
{
    return fixture->state.page->flush_at[STREAM_STDOUT];
}

/* What waits for room is not waited for a second time: a deadline that nothing can meet would wake
 * the monitor again and again. */
START_TEST(test_an_open_line_has_no_deadline_while_the_log_waits)
{
    LogFixture fixture;
    int fd;

    log_setup(&fixture, limits);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "begun", 5, SPLIT_WAIT), 0);
    ck_assert_int_gt(flush_at(&fixture), clock_boottime_us());
    fd = refuse_writes(&fixture);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, " and ended\nbegun", 16, SPLIT_WAIT),
                     -EBADF);
    ck_assert(k8s_file_waits(&fixture.log));
    ck_assert_int_eq(flush_at(&fixture), 0);
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), 0);
    ck_assert_int_eq(flush_at(&fixture), 0);

    allow_writes(&fixture, fd);
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), 1);
    ck_assert(!k8s_file_waits(&fixture.log));
    ck_assert_int_gt(flush_at(&fixture), clock_boottime_us());
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_FLUSH), 1);
    ck_assert_int_eq(flush_at(&fixture), 0);
    log_teardown(&fixture);
}
END_TEST

/* The deadline is that of the line's beginning, however often more of it comes. */
START_TEST(test_an_open_line_keeps_its_deadline)
{
    LogFixture fixture;
    int64_t at;

    log_setup(&fixture, limits);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "a", 1, SPLIT_WAIT), 0);
    at = flush_at(&fixture);
    ck_assert_int_gt(at, 0);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "b", 1, SPLIT_WAIT), 0);
    ck_assert_int_eq(flush_at(&fixture), at);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT), 1);
    ck_assert_int_eq(flush_at(&fixture), 0);
    log_teardown(&fixture);
}
END_TEST

/* Who waits for a rate that does not hold any more goes on at once. */
START_TEST(test_another_rate_ends_the_wait_for_the_old_one)
{
    K8sLimits slow = limits;
    LogFixture fixture;
    int64_t left;

    slow.rate = (RateLimit){.bytes = 1, .burst = 1};
    slow.rate_waits = true;
    log_setup(&fixture, slow);
    log_feed(&fixture, STREAM_STDOUT, "one\ntwo\nthree\n", 14, SPLIT_WAIT);
    ck_assert(k8s_file_is_limited(&fixture.log));
    ck_assert(k8s_file_waits(&fixture.log));
    /* Nor does it get anew what may come at once. */
    left = state_cursors(&fixture.state)->rate_tokens;
    ck_assert_int_lt(left, 0);
    slow.rate.burst = 1000;
    k8s_file_limit(&fixture.log, slow);
    ck_assert_int_eq(state_cursors(&fixture.state)->rate_tokens, left);
    ck_assert(!k8s_file_waits(&fixture.log));

    k8s_file_limit(&fixture.log, limits);
    ck_assert(!k8s_file_is_limited(&fixture.log));
    ck_assert(!k8s_file_waits(&fixture.log));
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), 1);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].bytes, 14);
    log_teardown(&fixture);
}
END_TEST

START_TEST(test_a_first_rate_begins_with_all_that_may_come_at_once)
{
    K8sLimits limited = limits;
    LogFixture fixture;

    limited.rate = (RateLimit){.bytes = 1000, .burst = 5000};
    log_setup(&fixture, limits);
    k8s_file_limit(&fixture.log, limited);
    ck_assert_int_eq(state_cursors(&fixture.state)->rate_tokens, 5000);
    ck_assert_int_gt(state_cursors(&fixture.state)->rate_at, 0);
    log_teardown(&fixture);
}
END_TEST

/* The pauses before the next attempt grow, and begin anew with another file. */
START_TEST(test_a_new_file_has_not_failed_yet)
{
    LogFixture fixture;
    int64_t first;
    int fd;

    log_setup(&fixture, limits);
    fd = refuse_writes(&fixture);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "one\n", 4, SPLIT_WAIT), -EBADF);
    first = fixture.log.retry_pause;
    ck_assert_int_gt(first, 0);
    fixture.state.page->log.retry_at = 0;
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), -EBADF);
    ck_assert_int_eq(fixture.log.retry_pause, 2 * first);

    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert_int_eq(fixture.log.retry_pause, 0);
    ck_assert_int_eq(fixture.state.page->log.retry_at, 0);
    close(fd);
    log_teardown(&fixture);
}
END_TEST

SUITE("log waits", test_an_open_line_has_no_deadline_while_the_log_waits,
      test_an_open_line_keeps_its_deadline, test_a_new_file_has_not_failed_yet,
      test_another_rate_ends_the_wait_for_the_old_one,
      test_a_first_rate_begins_with_all_that_may_come_at_once)
