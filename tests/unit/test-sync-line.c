#include "process/sync-pipe.h"

#include "suite.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static char line[SYNC_LINE_MAX + 1];

static const char *line_of(int number, const char *text, size_t length)
{
    size_t used = sync_line(line, "data", number, text, length, 0);

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
    size_t left_out;
    size_t kept;
    int at = 0;

    /* Every shift: the cut must never fall inside an escape or a character. */
    for (size_t length = 4000; length < 4100; length++) {
        for (size_t i = 0; i < length; i++)
            text[i] = i % 3 == 0 ? '"' : i % 3 == 1 ? '\xc3' : '\xa9';
        memcpy(text + length, "the reason", 10);
        got = line_of(-1, text, length + 10);
        ck_assert_uint_gt(strlen(got), SYNC_LINE_MAX - 16);
        ck_assert_ptr_nonnull(strstr(got, "the reason\"}\n"));
        ck_assert_int_eq(
            sscanf(got, "{\"data\": -1, \"message\": \"[%zu bytes left out] %n", &left_out, &at),
            1);
        ck_assert_msg(got[at] == '\\' || got[at] == '\xc3', "cut inside: %.60s", got);
        if (got[at] == '\\')
            ck_assert_int_eq(got[at + 1], '"');
        /* A quote has two bytes there, and half of a character, which may be the last one, three.
         */
        kept = strlen(got) - (size_t)at - strlen("\"}\n");
        for (const char *quote = got + at; (quote = strstr(quote, "\\\"")) != NULL; quote += 2)
            kept--;
        if (length % 3 == 2)
            kept -= 2;
        ck_assert_uint_eq(left_out + kept, length + 10);
    }
}
END_TEST

START_TEST(what_is_left_out_is_counted_in_bytes_of_the_text)
{
    static char text[8000];
    size_t used;

    memset(text, '\xff', sizeof(text)); /* each becomes three bytes, and the count does not */
    used = sync_line(line, "data", -1, text, sizeof(text), 1000);
    line[used] = '\0';
    ck_assert_ptr_nonnull(strstr(line, "[7652 bytes left out] \xef\xbf\xbd"));
    used = sync_line(line, "data", -1, "the end", 7, 1000);
    line[used] = '\0';
    ck_assert_str_eq(line, "{\"data\": -1, \"message\": \"[1000 bytes left out] the end\"}\n");
}
END_TEST

SUITE("sync-line", without_text_there_is_no_message, text_is_escaped, invalid_utf8_is_replaced,
      of_a_long_text_the_end_is_kept, what_is_left_out_is_counted_in_bytes_of_the_text)
