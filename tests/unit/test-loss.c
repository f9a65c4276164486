#include "log/loss.h"

#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How losses are added up, and what is said of them. */

START_TEST(records_are_added_with_their_time)
{
    LossPage loss = {.records = 0};

    loss_add(&loss, 10, true, ENOSPC, 100);
    ck_assert(loss.bytes == 10 && loss.records == 1 && loss.from == 100 && loss.to == 100);
    ck_assert(loss.reason == ENOSPC && loss.damaged == 1);
    loss_add(&loss, 5, false, EIO, 200);
    ck_assert(loss.bytes == 15 && loss.records == 2 && loss.from == 100 && loss.to == 200);
    ck_assert(loss.reason == ENOSPC && loss.damaged == 0); /* the first one's */
    loss_add(&loss, 0, true, EIO, 300);
    ck_assert(loss.bytes == 15 && loss.records == 2 && loss.to == 300 && loss.damaged == 1);
    /* One that has lost nothing is none. */
    loss = (LossPage){.records = 0};
    loss_add(&loss, 0, false, EIO, 7);
    loss_add(&loss, 1, false, ENOSPC, 9);
    ck_assert(loss.records == 1 && loss.from == 9 && loss.reason == ENOSPC);
}
END_TEST

/* A newline whose line is open in the log is owed, and neither lost nor counted. */
START_TEST(the_newline_of_an_open_line_is_owed)
{
    LossPage loss = {.records = 0};
    uint64_t open = 1;

    ck_assert_uint_eq(loss_take(&loss, &open, 10, false, true), 10);
    ck_assert(!loss.ends && open == 1);
    ck_assert_uint_eq(loss_take(&loss, &open, 10, true, true), 9);
    ck_assert(loss.ends == 1 && loss_owes_newline(&loss, open));
    /* One newline is owed, however many there are. */
    ck_assert_uint_eq(loss_take(&loss, &open, 10, true, true), 10);
    /* The beginning of that line is lost, too: then the newline is. */
    ck_assert_uint_eq(loss_take(&loss, &open, 10, false, false), 11);
    ck_assert(open == 0 && !loss_owes_newline(&loss, open));
    /* Where no line is open, nothing is owed. */
    loss = (LossPage){.records = 0};
    ck_assert_uint_eq(loss_take(&loss, &open, 10, true, false), 10);
    ck_assert(loss.ends == 1 && !loss_owes_newline(&loss, 0) && loss_owes_newline(&loss, 1));
}
END_TEST

START_TEST(an_owed_newline_may_be_lost_after_all)
{
    LogCounters counters = {.lost_bytes = 3, .lost_records = 1};
    LossPage loss = {.bytes = 3, .records = 1, .from = 1, .to = 2, .ends = 1};

    loss_take_newline(&loss, &counters, 9);
    ck_assert(loss.bytes == 4 && loss.records == 1 && loss.ends == 0 && loss.to == 2);
    ck_assert(counters.lost_bytes == 4 && counters.lost_records == 1);
    /* If nothing else is, it is a record of its own. */
    counters = (LogCounters){.lost_bytes = 0};
    loss = (LossPage){.ends = 1, .reason = EIO, .damaged = 1};
    loss_take_newline(&loss, &counters, 9);
    ck_assert(loss.bytes == 1 && loss.records == 1 && loss.ends == 0);
    ck_assert(loss.from == 9 && loss.to == 9 && loss.reason == EIO && loss.damaged == 1);
    ck_assert(counters.lost_bytes == 1 && counters.lost_records == 1);
}
END_TEST

START_TEST(an_earlier_loss_is_joined)
{
    const LossPage earlier = {.bytes = 7, .records = 2, .from = 1, .to = 4, .reason = EIO};
    const LossPage none = {.bytes = 0, .from = 3, .reason = EDQUOT};
    LossPage loss = {.bytes = 5, .records = 1, .from = 5, .to = 6, .reason = ENOSPC, .damaged = 1};

    loss_merge(&loss, &none);
    ck_assert(loss.bytes == 5 && loss.from == 5 && loss.reason == ENOSPC);
    loss_merge(&loss, &earlier);
    ck_assert(loss.bytes == 12 && loss.records == 3 && loss.from == 1 && loss.to == 6);
    ck_assert(loss.reason == EIO && loss.damaged == 1);
    loss = (LossPage){.damaged = 1, .to = 99};
    loss_merge(&loss, &earlier);
    ck_assert(loss.bytes == 7 && loss.records == 2 && loss.from == 1 && loss.to == 4);
}
END_TEST

static void check_text(LossPage loss, StreamId stream, int64_t rate, const char *expected)
{
    RecordClock clock = RECORD_CLOCK_NULL;
    char text[LOSS_TEXT_MOST];
    size_t length = loss_text(&loss, stream, rate, &clock, text);

    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(length, strlen(expected));
}

#define TIMES "from 1970-01-01T00:00:01.000000002+00:00 to 1970-01-01T00:00:03.999999999+00:00: "

START_TEST(what_is_said_of_a_loss)
{
    LossPage loss = {
        .bytes = 12, .records = 3, .from = 1000000002, .to = INT64_C(3999999999), .reason = ENOSPC};

    setenv("TZ", "UTC0", 1);
    tzset();
    check_text(loss, STREAM_STDOUT, 0,
               "[conward] lost 12 bytes in 3 records on stdout, " TIMES "No space left on device");
    loss.reason = LOSS_RATE;
    check_text(loss, STREAM_STDERR, 77,
               "[conward] lost 12 bytes in 3 records on stderr, " TIMES
               "more than the limit of 77 bytes per second");
    check_text(loss, STREAM_STDOUT, 0,
               "[conward] lost 12 bytes in 3 records on stdout, " TIMES
               "more than the rate limit that there was");
    loss.reason = LOSS_STALLED;
    check_text(loss, STREAM_STDOUT, 77,
               "[conward] lost 12 bytes in 3 records on stdout, " TIMES
               "the journal had stopped reading");
    loss.bytes = loss.records = UINT64_MAX;
    check_text(loss, STREAM_STDOUT, 77,
               "[conward] lost 18446744073709551615 bytes in 18446744073709551615 records on "
               "stdout, " TIMES "the journal had stopped reading");
}
END_TEST

START_TEST(a_loss_that_goes_on_is_said_after_ten_seconds)
{
    const int64_t ten = INT64_C(10000000000); /* nanoseconds */
    const LossPage loss = {.from = 1000};

    ck_assert(!loss_is_late(&loss, 1000));
    ck_assert(!loss_is_late(&loss, 1000 + ten));
    ck_assert(loss_is_late(&loss, 1001 + ten));
    ck_assert(loss_is_late(&loss, 999)); /* the clock was set back: nobody knows */
}
END_TEST

SUITE("loss", a_loss_that_goes_on_is_said_after_ten_seconds, records_are_added_with_their_time,
      the_newline_of_an_open_line_is_owed, an_owed_newline_may_be_lost_after_all,
      an_earlier_loss_is_joined, what_is_said_of_a_loss)
