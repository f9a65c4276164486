#include "log/line-count.h"
#include "log/rate.h"

#include "suite.h"

#include <stdlib.h>

enum { SECOND = 1000000 };

START_TEST(a_bucket_holds_the_burst_and_a_tenth_of_a_second_at_least)
{
    ck_assert_int_eq(rate_full((RateLimit){1000, 500}, 7).tokens, 500);
    ck_assert_int_eq(rate_full((RateLimit){1000, 500}, 7).at, 7);
    ck_assert_int_eq(rate_full((RateLimit){1000, 100}, 0).tokens, 100);
    ck_assert_int_eq(rate_full((RateLimit){1000, 99}, 0).tokens, 100);
    ck_assert_int_eq(rate_full((RateLimit){1000, 101}, 0).tokens, 101);
    ck_assert_int_eq(rate_full((RateLimit){1, 1}, 0).tokens, 1);
}
END_TEST

/* Who writes often asks often: no time of a token is lost, and none counts twice. */
START_TEST(a_rate_is_kept_however_often_it_is_asked)
{
    static const int64_t rates[] = {1, 3, 7, 999, 1000, 4096, 1000003, 1500000, 1999999};
    static const int64_t steps[] = {1, 2, 17, 999, 1000, 1001, 250000, 999999};

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (size_t j = 0; j < sizeof(steps) / sizeof(steps[0]); j++) {
            const RateLimit limit = {rates[i], INT64_C(1) << 40};
            RateBucket bucket = {0, 0};
            int64_t now = 0;
            int64_t due;

            for (; now < SECOND / 4; now += steps[j])
                rate_refill(limit, &bucket, now);
            rate_refill(limit, &bucket, now);
            ck_assert_int_le(bucket.at, now);
            due = now * rates[i] / SECOND;
            ck_assert_int_ge(bucket.tokens,
                             due - rates[i] / 1000 - 1); /* of the last millisecond */
            ck_assert_int_le(bucket.tokens, due + due / 1000 + 1);
        }
    }
}
END_TEST

START_TEST(no_time_below_a_millisecond_is_looked_at)
{
    const RateLimit limit = {SECOND, SECOND};
    RateBucket bucket = {0, 0};

    rate_refill(limit, &bucket, 999);
    ck_assert_int_eq(bucket.tokens, 0);
    ck_assert_int_eq(bucket.at, 0);
    rate_refill(limit, &bucket, 1000);
    ck_assert_int_eq(bucket.tokens, 1000);
    ck_assert_int_eq(bucket.at, 1000);
}
END_TEST

START_TEST(a_token_comes_when_it_is_due)
{
    const RateLimit limit = {10, 100};
    RateBucket bucket = {-5, 0};

    rate_refill(limit, &bucket, 99999);
    ck_assert_int_eq(bucket.tokens, -5);
    ck_assert_int_eq(bucket.at, 0);
    rate_refill(limit, &bucket, 100000);
    ck_assert_int_eq(bucket.tokens, -4);
    ck_assert_int_eq(bucket.at, 100000);
    rate_refill(limit, &bucket, 250000);
    ck_assert_int_eq(bucket.tokens, -3);
    ck_assert_int_eq(bucket.at, 200000);
}
END_TEST

START_TEST(nothing_is_saved_up_beyond_the_burst)
{
    const RateLimit limit = {10, 100};
    RateBucket bucket = {99, 0};

    rate_refill(limit, &bucket, 100000);
    ck_assert_int_eq(bucket.tokens, 100);
    ck_assert_int_eq(bucket.at, 100000);
    /* A full bucket saves up no time, either. */
    rate_refill(limit, &bucket, 199999);
    ck_assert_int_eq(bucket.tokens, 100);
    ck_assert_int_eq(bucket.at, 199999);
    bucket.tokens = 50;
    rate_refill(limit, &bucket, 199999 + 5 * SECOND);
    ck_assert_int_eq(bucket.tokens, 100);
    bucket.tokens = 50;
    rate_refill(limit, &bucket, bucket.at + 4999999);
    ck_assert_int_eq(bucket.tokens, 99);
    bucket.tokens = 50;
    rate_refill(limit, &bucket, bucket.at + INT64_C(1000000000) * SECOND);
    ck_assert_int_eq(bucket.tokens, 100);
    /* The burst was made smaller. */
    bucket = (RateBucket){101, 0};
    rate_refill(limit, &bucket, 1);
    ck_assert_int_eq(bucket.tokens, 100);
    ck_assert_int_eq(bucket.at, 1);
}
END_TEST

START_TEST(a_wait_ends_when_the_tokens_are_there)
{
    const RateLimit limit = {3, 100};
    const RateBucket bucket = {10, 0};

    ck_assert_int_eq(rate_wait(limit, &bucket, 9), 0);
    ck_assert_int_eq(rate_wait(limit, &bucket, 10), 0);
    ck_assert_int_eq(rate_wait(limit, &bucket, 11), 333334); /* not a microsecond less */
    ck_assert_int_eq(rate_wait(limit, &bucket, 13), SECOND);
    ck_assert_int_eq(rate_wait(limit, &bucket, 100), 30 * SECOND);
    ck_assert_int_eq(rate_wait(limit, &bucket, 101), 30 * SECOND); /* more there never are */
    for (int64_t tokens = 11; tokens <= 100; tokens++) {
        RateBucket early = bucket;
        RateBucket due = bucket;

        rate_refill(limit, &early, rate_wait(limit, &bucket, tokens) - 1);
        rate_refill(limit, &due, rate_wait(limit, &bucket, tokens));
        ck_assert_int_eq(early.tokens, tokens - 1);
        ck_assert_int_eq(due.tokens, tokens);
    }
}
END_TEST

START_TEST(the_highest_rate_there_may_be_overflows_nowhere)
{
    const RateLimit limit = {INT64_C(1) << 40, INT64_C(1) << 40};
    RateBucket bucket = {-1048576, 0};

    rate_refill(limit, &bucket, 1000);
    ck_assert_int_eq(bucket.tokens, limit.bytes / 1000 - 1048576);
    rate_refill(limit, &bucket, INT64_MAX / 2);
    ck_assert_int_eq(bucket.tokens, limit.burst);
    bucket.tokens = 0;
    ck_assert_int_eq(rate_wait(limit, &bucket, limit.burst), SECOND);
}
END_TEST

/* A line is a long one from the record on with which it exceeds the limit, and once. */
START_TEST(a_line_is_counted_as_long_once)
{
    LogCounters counters = {.longest = 5};

    line_count(&counters, 6, false, 10, 2500);
    ck_assert_uint_eq(counters.line, 6);
    ck_assert_uint_eq(counters.longest, 6);
    ck_assert_int_eq(counters.line_since, 2); /* microseconds */
    line_count(&counters, 4, false, 10, 9000);
    ck_assert_uint_eq(counters.long_lines, 0);
    line_count(&counters, 1, false, 10, 9000);
    ck_assert_uint_eq(counters.long_lines, 1);
    line_count(&counters, 50, false, 10, 9000);
    ck_assert_uint_eq(counters.long_lines, 1);
    ck_assert_int_eq(counters.line_since, 2);
    line_count(&counters, 0, true, 10, 9000);
    ck_assert_uint_eq(counters.line, 0);
    ck_assert_int_eq(counters.line_since, 0);
    ck_assert_uint_eq(counters.longest, 61);
    /* The rest alone may be what exceeds it, or a whole line. */
    line_count(&counters, 10, false, 10, 9000);
    line_count(&counters, 1, true, 10, 9000);
    ck_assert_uint_eq(counters.long_lines, 2);
    line_count(&counters, 10, true, 10, 9000);
    ck_assert_uint_eq(counters.long_lines, 2);
    line_count(&counters, 11, true, 10, 9000);
    ck_assert_uint_eq(counters.long_lines, 3);
    ck_assert_int_eq(counters.line_since, 0);
    ck_assert_uint_eq(counters.longest, 61);
}
END_TEST

SUITE("rate", a_bucket_holds_the_burst_and_a_tenth_of_a_second_at_least,
      a_rate_is_kept_however_often_it_is_asked, no_time_below_a_millisecond_is_looked_at,
      a_token_comes_when_it_is_due, nothing_is_saved_up_beyond_the_burst,
      a_wait_ends_when_the_tokens_are_there, the_highest_rate_there_may_be_overflows_nowhere,
      a_line_is_counted_as_long_once)
