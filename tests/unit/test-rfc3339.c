#include "ctl/rfc3339.h"

#include "suite.h"

#include <stdio.h>
#include <string.h>

static bool parse(const char *text, struct timespec *time)
{
    return rfc3339_parse(text, strlen(text), time);
}

START_TEST(times_are_read)
{
    static const struct {
        const char *text;
        time_t second;
        long nanosecond;
    } CASE[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"1969-12-31T23:59:59.5Z", -1, 500000000},
        {"2026-08-21T09:05:07.000123456+02:00", 1787295907, 123456},
        {"2026-08-21T03:35:07.000123456789-03:30", 1787295907, 123456},
        {"2026-08-21T07:05:07.1Z", 1787295907, 100000000},
        {"2024-02-29T00:00:00Z", 1709164800, 0},
        {"2000-02-29T00:00:00Z", 951782400, 0},
        {"0000-01-01T00:00:00Z", -62167219200, 0},
        {"9999-12-31T23:59:60Z", 253402300800, 0},
    };

    for (size_t i = 0; i < sizeof(CASE) / sizeof(CASE[0]); i++) {
        struct timespec time;

        ck_assert_msg(parse(CASE[i].text, &time), "%s", CASE[i].text);
        ck_assert_int_eq(time.tv_sec, CASE[i].second);
        ck_assert_int_eq(time.tv_nsec, CASE[i].nanosecond);
    }
}
END_TEST

START_TEST(every_day_is_one_later)
{
    time_t expected = 0;

    for (int year = 1970; year < 2410; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= 31; day++) {
                char text[32];
                struct timespec time;

                snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", year, month, day);
                if (!parse(text, &time))
                    continue;
                ck_assert_int_eq(time.tv_sec, expected);
                expected += 86400;
            }
        }
    }
    ck_assert_int_eq(expected, 13885084800); /* of 2410-01-01, by date(1) */
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
    static const char *const CASE[] = {
        "",
        "2026-08-21",
        "2026-08-21T09:05:07",
        "2026-08-21 09:05:07Z",
        "2026-08-21T09:05:07.Z",
        "2026-08-21T09:05:07z",
        "2026-08-21T09:05:07+0200",
        "2026-08-21T09:05:07+24:00",
        "2026-08-21T24:05:07Z",
        "2026-08-21T09:60:07Z",
        "2026-00-21T09:05:07Z",
        "2026-02-29T09:05:07Z",
        "2100-02-29T09:05:07Z",
        "2026-08-32T09:05:07Z",
        "2026-08-21T09:05:07ZZ",
        "-026-08-21T09:05:07Z",
    };

    for (size_t i = 0; i < sizeof(CASE) / sizeof(CASE[0]); i++) {
        struct timespec time;

        ck_assert_msg(!parse(CASE[i], &time), "%s", CASE[i]);
    }
}
END_TEST

START_TEST(arguments_may_be_durations)
{
    static const struct {
        const char *text;
        time_t before;
    } CASE[] = {
        {"0s", 0},       {"90s", 90},           {"10m", 600},    {"2h", 7200},
        {"1d", 86400},   {"1h30m", 5400},       {"1d1s", 86401}, {"1970-01-02T00:00:00Z", 913600},
        {"1m1m1m", 180}, {"1000000s", 1000000},
    };
    static const char *const WRONG[] = {"", "10", "s", "10 m", "10x", "-5m", "1h30", "m10"};
    struct timespec now = {1000000, 5};
    struct timespec time;

    for (size_t i = 0; i < sizeof(CASE) / sizeof(CASE[0]); i++) {
        ck_assert_msg(rfc3339_parse_argument(CASE[i].text, now, &time), "%s", CASE[i].text);
        ck_assert_int_eq(time.tv_sec, 1000000 - CASE[i].before);
    }
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        ck_assert_msg(!rfc3339_parse_argument(WRONG[i], now, &time), "%s", WRONG[i]);
    ck_assert(
        rfc3339_parse_argument("99999999999999999999999999d99999999999999999999h", now, &time));
    ck_assert_int_lt(time.tv_sec, -60000000000);
}
END_TEST

START_TEST(times_are_compared)
{
    struct timespec a = {5, 10};
    struct timespec b = {5, 11};
    struct timespec c = {6, 0};

    ck_assert_int_eq(rfc3339_compare(a, a), 0);
    ck_assert_int_lt(rfc3339_compare(a, b), 0);
    ck_assert_int_gt(rfc3339_compare(b, a), 0);
    ck_assert_int_lt(rfc3339_compare(b, c), 0);
    ck_assert_int_gt(rfc3339_compare(c, b), 0);
}
END_TEST

SUITE("rfc3339", times_are_read, every_day_is_one_later, what_is_no_time_is_refused,
      arguments_may_be_durations, times_are_compared)
