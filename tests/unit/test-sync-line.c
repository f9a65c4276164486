#include "process/sync-pipe.h"

#include "suite.h"

#include <stdbool.h>
#include <string.h>

static char line[SYNC_LINE_MAX + 1];

static const char *line_of(int number, const char *text, size_t length)
{
    size_t used = sync_line(line, "data", number, text, length);

    ck_assert_uint_le(used, SYNC_LINE_MAX);
    line[used] = '\0';
    return line;
}

START_TEST(without_text_there_is_no_message)
{
    ck_assert_str_eq(line_of(42, "", 0), "{\"data\": 42}\n");
}
END_TEST

START_TEST(text_is_escaped)
{
    ck_assert_str_eq(line_of(-1, "a\"b\\c/\n\r\t\b\f\x01\x7f\xc3\xa9", 15),
                     "{\"data\": -1, \"message\": "
                     "\"a\\\"b\\\\c\\/\\n\\r\\t\\b\\f\\u0001\\u007f\xc3\xa9\"}\n");
}
END_TEST

START_TEST(invalid_utf8_is_replaced)
{
    ck_assert_str_eq(line_of(-1, "a\xff", 2), "{\"data\": -1, \"message\": \"a\xef\xbf\xbd\"}\n");
}
END_TEST

START_TEST(of_a_long_text_the_end_is_kept)
{
    static char text[20000];
    const char *got;

    /* Every shift: the cut must never fall inside an escape or a character. */
    for (size_t length = 4000; length < 4100; length++) {
        for (size_t i = 0; i < length; i++)
            text[i] = i % 3 == 0 ? '"' : i % 3 == 1 ? '\xc3' : '\xa9';
        memcpy(text + length, "the reason", 10);
        got = line_of(-1, text, length + 10);
        ck_assert_uint_gt(strlen(got), SYNC_LINE_MAX - 16);
        ck_assert_ptr_nonnull(strstr(got, "the reason\"}\n"));
        ck_assert_int_eq(strncmp(got, "{\"data\": -1, \"message\": \"[...] ", 31), 0);
        ck_assert_msg(got[31] == '\\' || got[31] == '\xc3', "cut inside: %.40s", got);
        if (got[31] == '\\')
            ck_assert_int_eq(got[32], '"');
    }
}
END_TEST

SUITE("sync-line", without_text_there_is_no_message, text_is_escaped, invalid_utf8_is_replaced,
      of_a_long_text_the_end_is_kept)
