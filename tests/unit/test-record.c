#include "log/record.h"

#include "suite.h"

#include <string.h>

static const char *header_text(time_t second, long nanosecond, int stream, const char *zone)
{
    static char header[RECORD_HEADER_LENGTH + 1];
    RecordClock clock = RECORD_CLOCK_NULL;

    setenv("TZ", zone, 1);
    tzset();
    record_header(&clock, (struct timespec){second, nanosecond}, stream, header);
    return header;
}

START_TEST(a_header_has_nine_digits_and_a_numeric_offset)
{
    ck_assert_str_eq(header_text(1787295907, 123456, 0, "UTC0"),
                     "2026-08-21T07:05:07.000123456+00:00 stdout P ");
    ck_assert_str_eq(header_text(1787295907, 0, 1, "CEST-2"),
                     "2026-08-21T09:05:07.000000000+02:00 stderr P ");
    ck_assert_str_eq(header_text(1787295907, 999999999, 1, "NST3:30"),
                     "2026-08-21T03:35:07.999999999-03:30 stderr P ");
}
END_TEST

START_TEST(a_clock_follows_the_second)
{
    RecordClock clock = RECORD_CLOCK_NULL;
    char header[RECORD_HEADER_LENGTH];

    setenv("TZ", "UTC0", 1);
    tzset();
    record_header(&clock, (struct timespec){59, 5}, 0, header);
    ck_assert_int_eq(memcmp(header, "1970-01-01T00:00:59.000000005+00:00", 35), 0);
    record_header(&clock, (struct timespec){59, 70}, 0, header);
    ck_assert_int_eq(memcmp(header, "1970-01-01T00:00:59.000000070+00:00", 35), 0);
    record_header(&clock, (struct timespec){60, 0}, 0, header);
    ck_assert_int_eq(memcmp(header, "1970-01-01T00:01:00.000000000+00:00", 35), 0);
}
END_TEST

START_TEST(a_record_has_nanoseconds_of_its_own)
{
    uint8_t record[64];

    record_write(record, header_text(59, 123456789, 0, "UTC0"), 'F', (const uint8_t *)"a", 1);
    record_set_nanoseconds(record, 0);
    ck_assert_int_eq(memcmp(record, "1970-01-01T00:00:59.123456000+00:00 stdout F a", 46), 0);
    record_set_nanoseconds(record, 987);
    ck_assert_int_eq(memcmp(record, "1970-01-01T00:00:59.123456987+00:00 stdout F a", 46), 0);
}
END_TEST

START_TEST(stamps_rise_unless_the_clock_is_set)
{
    const int64_t second = 1000000000;
    const int64_t now = 1787295907 * second;

    ck_assert_int_eq(record_stamp(0, now), now);
    ck_assert_int_eq(record_stamp(now - 1, now), now);
    ck_assert_int_eq(record_stamp(now, now), now + 1);
    ck_assert_int_eq(record_stamp(now + second, now), now + second + 1);
    ck_assert_int_eq(record_stamp(now + second + 1, now), now);
    ck_assert_int_eq(record_stamp(now - 3600 * second, now), now);
}
END_TEST

START_TEST(a_record_is_header_tag_content_newline)
{
    uint8_t bytes[64];
    size_t size =
        record_write(bytes, header_text(0, 0, 0, "UTC0"), 'F', (const uint8_t *)"a\0b", 3);

    ck_assert_uint_eq(size, 45 + 3 + 1);
    ck_assert_int_eq(memcmp(bytes, "1970-01-01T00:00:00.000000000+00:00 stdout F a\0b\n", size), 0);
}
END_TEST

SUITE("record", a_header_has_nine_digits_and_a_numeric_offset, a_clock_follows_the_second,
      a_record_has_nanoseconds_of_its_own, stamps_rise_unless_the_clock_is_set,
      a_record_is_header_tag_content_newline)
