#include "control/ctl-fifo.h"

#include "suite.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(requests_are_three_decimal_numbers)
{
    CtlRequest request;

    ck_assert_int_eq(ctl_parse("1 24 80", &request), 0);
    ck_assert_int_eq(request.type, CTL_RESIZE);
    ck_assert_int_eq(request.height, 24);
    ck_assert_int_eq(request.width, 80);
    ck_assert_int_eq(ctl_parse("2 0 0", &request), 0);
    ck_assert_int_eq(request.type, CTL_REOPEN_LOG);
    ck_assert_int_eq(ctl_parse("1 0010 +20 30 more", &request), 0);
    ck_assert_int_eq(request.height, 10);
    ck_assert_int_eq(ctl_parse("1 1000 1000", &request), 0);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    static const char *const wrong[] = {"",          "foo",        "1",         "1 2",
                                        "3 1 1",     "0 1 1",      "1 0x10 20", "1 10.5 20",
                                        "1 -1 20",   "1 20 -1",    "1 1001 20", "2 1 1001",
                                        "1 65535 1", "1 100000 1", "999 2 2",   "-1 1 1"};
    CtlRequest request;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(ctl_parse(wrong[i], &request) < 0, "taken: %s", wrong[i]);
}
END_TEST

typedef struct Seen {
    int count;
    CtlRequest last;
} Seen;

static void on_request(const CtlRequest *request, void *owner)
{
    Seen *seen = owner;

    seen->count++;
    seen->last = *request;
}

typedef struct Fixture {
    State state;
    CtlFifo fifo;
    Seen seen;
    char *dir;
    int writer;
} Fixture;

static void setup(Fixture *fixture)
{
    Error error;
    char *path;

    *fixture = (Fixture){.state = STATE_NULL};
    fixture->dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    path = g_build_filename(fixture->dir, "ctl", NULL);
    ck_assert_int_eq(ctl_fifo_init(&fixture->fifo, &fixture->state, FD_CTL,
                                   &fixture->state.page->ctl, path, 0660, ctl_parse, on_request,
                                   &fixture->seen, &error),
                     0);
    fixture->writer = open(path, O_WRONLY | O_NONBLOCK);
    ck_assert_int_ge(fixture->writer, 0);
    g_free(path);
}

static void send_text(Fixture *fixture, const char *text, size_t length)
{
    ck_assert_int_eq(write(fixture->writer, text, length), (ssize_t)length);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void teardown(Fixture *fixture)
{
    char *path = g_build_filename(fixture->dir, "ctl", NULL);

    close(fixture->writer);
    ctl_fifo_deinit(&fixture->fifo);
    state_deinit(&fixture->state);
    g_remove(path);
    g_rmdir(fixture->dir);
    g_free(path);
    g_free(fixture->dir);
}

START_TEST(a_request_may_come_byte_by_byte)
{
    Fixture fixture;

    setup(&fixture);
    for (int round = 0; round < 500; round++) {
        for (const char *c = "2 1 1\n"; *c != '\0'; c++)
            send_text(&fixture, c, 1);
        ck_assert_int_eq(fixture.seen.count, round + 1);
    }
    teardown(&fixture);
}
END_TEST

START_TEST(garbage_does_not_cost_the_next_line)
{
    Fixture fixture;
    char overlong[4000];

    setup(&fixture);
    send_text(&fixture, "garbage\n2 1 1\n", 14);
    ck_assert_int_eq(fixture.seen.count, 1);

    /* Every length around the limit, in one write with the line behind it. */
    for (size_t length = 190; length < 410; length++) {
        memset(overlong, 'x', length);
        memcpy(overlong + length, "\n2 3 4\n", 7);
        send_text(&fixture, overlong, length + 7);
        ck_assert_int_eq(fixture.seen.count, (int)(length - 190) + 2);
    }
    memset(overlong, '1', sizeof(overlong));
    send_text(&fixture, overlong, sizeof(overlong));
    send_text(&fixture, "\n1 7 8\n", 7);
    ck_assert_int_eq(fixture.seen.last.width, 8);
    teardown(&fixture);
}
END_TEST

START_TEST(many_requests_in_one_write_are_all_taken)
{
    Fixture fixture;
    GString *text = g_string_new(NULL);

    setup(&fixture);
    for (int i = 0; i < 300; i++)
        g_string_append_printf(text, "1 %d %d\n", i % 1000, i % 77);
    send_text(&fixture, text->str, text->len);
    ck_assert_int_eq(fixture.seen.count, 300);
    ck_assert_int_eq(fixture.seen.last.height, 299);
    g_string_free(text, TRUE);
    teardown(&fixture);
}
END_TEST

START_TEST(a_size_of_the_window_has_two_numbers)
{
    CtlRequest request;

    ck_assert_int_eq(winsz_parse("24 80", &request), 0);
    ck_assert_int_eq(request.type, CTL_RESIZE);
    ck_assert_int_eq(request.height, 24);
    ck_assert_int_eq(request.width, 80);
    ck_assert_int_eq(winsz_parse("0 1000 more", &request), 0);
    ck_assert_int_lt(winsz_parse("24", &request), 0);
    ck_assert_int_lt(winsz_parse("", &request), 0);
    ck_assert_int_lt(winsz_parse("1001 80", &request), 0);
    ck_assert_int_lt(winsz_parse("24 1001", &request), 0);
    ck_assert_int_lt(winsz_parse("-1 80", &request), 0);
    ck_assert_int_lt(winsz_parse("24 -1", &request), 0);
}
END_TEST

START_TEST(a_setting_is_what_follows_the_word)
{
    CtlRequest request;

    ck_assert_int_eq(ctl_parse("set log-line-max 256", &request), 0);
    ck_assert_int_eq(request.type, CTL_SET);
    ck_assert_str_eq(request.setting, "log-line-max 256");
    ck_assert_int_eq(ctl_parse("set ", &request), 0);
    ck_assert_int_lt(ctl_parse("set", &request), 0);
    ck_assert_int_lt(ctl_parse("sets x", &request), 0);
    ck_assert_int_lt(ctl_parse("100 1 1", &request), 0);
}
END_TEST

/* A resize whose line has that many bytes, with its last digit there. */
static void fill_line(char *line, size_t length)
{
    memset(line, ' ', length);
    memcpy(line, "1 20", 4);
    line[length - 1] = '9';
    line[length] = '\n';
}

/* A line of 199 bytes is one, however it comes; of a longer one nothing is taken, and of what
 * follows it everything. */
START_TEST(a_line_has_199_bytes_at_most)
{
    enum { LONGEST = 205 };
    char line[LONGEST + 1];
    Fixture fixture;
    int count = 0;
    uint64_t lines = 0;

    setup(&fixture);
    for (size_t length = 195; length <= LONGEST; length++) {
        for (size_t cut = 0; cut <= length + 1; cut++) {
            fill_line(line, length);
            send_text(&fixture, line, cut);
            send_text(&fixture, line + cut, length + 1 - cut);
            count += length <= 199;
            ck_assert_msg(fixture.seen.count == count, "%zu bytes, cut at %zu", length, cut);
            if (length <= 199)
                ck_assert_int_eq(fixture.seen.last.width, 9);
            send_text(&fixture, "2 3 4\n", 6);
            ck_assert_int_eq(fixture.seen.count, ++count);
            ck_assert_int_eq(fixture.seen.last.type, CTL_REOPEN_LOG);
            lines += 2; /* the one that is too long counts */
            ck_assert_uint_eq(fixture.seen.last.number, lines);
        }
    }
    teardown(&fixture);
}
END_TEST

/* Two lines of the greatest length, and a third one, in one write, which the page cannot hold. */
START_TEST(lines_of_the_greatest_length_follow_each_other)
{
    Fixture fixture;
    char lines[4 * 200];

    setup(&fixture);
    for (size_t i = 0; i < 4; i++)
        fill_line(lines + i * 200, 199);
    send_text(&fixture, lines, sizeof(lines));
    ck_assert_int_eq(fixture.seen.count, 4);
    ck_assert_uint_eq(fixture.seen.last.number, 4);
    teardown(&fixture);
}
END_TEST

/* What had been read, and not been acted on, is acted on by the next image, with its number. */
START_TEST(another_image_goes_on_with_what_was_read)
{
    Fixture fixture;
    CtlFifo other;
    char line[201];

    setup(&fixture);
    send_text(&fixture, "1 2 3\n1 4", 9);
    ck_assert_int_eq(fixture.seen.count, 1);
    ctl_fifo_adopt(&other, &fixture.state, FD_CTL, &fixture.state.page->ctl, ctl_parse, on_request,
                   &fixture.seen);
    ck_assert_int_eq(other.fd, fixture.fifo.fd);
    ck_assert_int_eq(fixture.seen.count, 1);
    g_source_remove(fixture.fifo.source);
    fixture.fifo = other;
    send_text(&fixture, " 5\n", 3);
    ck_assert_int_eq(fixture.seen.count, 2);
    ck_assert_int_eq(fixture.seen.last.height, 4);
    ck_assert_uint_eq(fixture.seen.last.number, 2);

    /* The rest of a line that is too long is passed over by that one, too. */
    memset(line, '1', sizeof(line));
    send_text(&fixture, line, sizeof(line));
    ctl_fifo_adopt(&other, &fixture.state, FD_CTL, &fixture.state.page->ctl, ctl_parse, on_request,
                   &fixture.seen);
    g_source_remove(fixture.fifo.source);
    fixture.fifo = other;
    send_text(&fixture, "2 1 1\n2 1 1\n", 12);
    ck_assert_int_eq(fixture.seen.count, 3);
    ck_assert_uint_eq(fixture.seen.last.number, 4);
    teardown(&fixture);
}
END_TEST

START_TEST(without_a_fifo_there_is_nothing_to_go_on_with)
{
    State state;
    Error error;
    CtlFifo fifo;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ctl_fifo_adopt(&fifo, &state, FD_CTL, &state.page->ctl, ctl_parse, on_request, NULL);
    ck_assert_int_eq(fifo.fd, -1);
    ck_assert_uint_eq(fifo.source, 0);
    ctl_fifo_deinit(&fifo);
    state_deinit(&state);
}
END_TEST

SUITE("control", requests_are_three_decimal_numbers, anything_else_is_refused,
      a_request_may_come_byte_by_byte, garbage_does_not_cost_the_next_line,
      many_requests_in_one_write_are_all_taken, a_size_of_the_window_has_two_numbers,
      a_setting_is_what_follows_the_word, a_line_has_199_bytes_at_most,
      lines_of_the_greatest_length_follow_each_other, another_image_goes_on_with_what_was_read,
      without_a_fifo_there_is_nothing_to_go_on_with)
