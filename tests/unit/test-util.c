#include "control/signals.h"
#include "util/amount.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/ignored.h"
#include "util/message.h"
#include "util/shown.h"
#include "util/whole.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(file_replace_sets_content_and_mode_and_leaves_nothing_else)
{
    g_autofree char *dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "exit", NULL);
    g_autofree char *content = NULL;
    struct stat st;

    umask(077);
    ck_assert_int_eq(file_replace(path, "first", 0644), 0);
    ck_assert_int_eq(file_replace(path, "3", 0644), 0);
    ck_assert(g_file_get_contents(path, &content, NULL, NULL));
    ck_assert_str_eq(content, "3");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0644);
    ck_assert_int_eq(g_remove(path), 0);
    ck_assert_int_eq(g_rmdir(dir), 0); /* empty again */
}
END_TEST

START_TEST(file_replace_reports_why_it_failed)
{
    ck_assert_int_eq(file_replace("/nonexistent/exit", "3", 0644), -ENOENT);
}
END_TEST

START_TEST(only_inherited_descriptors_are_closed)
{
    int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int inherited = open("/dev/null", O_RDONLY);

    fd_close_inherited();
    ck_assert_int_ge(fcntl(own, F_GETFD), 0);
    ck_assert_int_lt(fcntl(inherited, F_GETFD), 0);
    ck_assert_int_ge(fcntl(STDOUT_FILENO, F_GETFD), 0);
}
END_TEST

START_TEST(stdio_that_was_closed_is_filled_and_the_rest_becomes_dev_null)
{
    struct stat null;
    struct stat kept;

    ck_assert_int_eq(stat("/dev/null", &null), 0);
    close(STDIN_FILENO);
    close(STDERR_FILENO);
    ck_assert_int_eq(fd_fill_stdio(), 0);
    ck_assert_int_eq(fstat(STDOUT_FILENO, &kept), 0);
    ck_assert_uint_ne(kept.st_rdev, null.st_rdev);
    ck_assert_int_eq(fd_null_stdio(), 0);
    for (int fd = 0; fd <= 2; fd++) {
        struct stat st;

        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert_uint_eq(st.st_rdev, null.st_rdev);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
}
END_TEST

START_TEST(a_sleep_is_never_cut_short_nor_overflows)
{
    ck_assert_int_eq(clock_sleep_ms(-1), 0);
    ck_assert_int_eq(clock_sleep_ms(1), 1);
    ck_assert_int_eq(clock_sleep_ms(1000), 1);
    ck_assert_int_eq(clock_sleep_ms(1001), 2);
    ck_assert_int_eq(clock_sleep_ms(INT64_C(3600) * 1000000), 3600000);
    ck_assert_int_eq(clock_sleep_ms(INT64_C(30) * 24 * 3600 * 1000000), INT_MAX);
}
END_TEST

START_TEST(what_may_not_be_shown_is_escaped)
{
    char small[8];
    g_autofree char *all = shown_line_new("a\xc3\xa9\xc2\x9b\x9b\x1b\x7f\n\xe2\x80\xae\xc3 \n\n");

    ck_assert_str_eq(all, "a\xc3\xa9\\xc2\\x9b\\x9b\\x1b\\x7f \\xe2\\x80\\xae\\xc3");
    ck_assert(shown_line(small, sizeof(small), "ab\x1bx"));
    ck_assert_str_eq(small, "ab\\x1bx");
    ck_assert(!shown_line(small, sizeof(small), "abcd\x1b"));
    ck_assert_str_eq(small, "abcd");
    ck_assert(!shown_line(small, sizeof(small), "abcdef\xc3\xa9"));
    ck_assert_str_eq(small, "abcdef");
    ck_assert(shown_line(small, sizeof(small), ""));
    ck_assert_str_eq(small, "");
}
END_TEST

static bool is_shown(gunichar value)
{
    char bytes[8] = "";

    g_unichar_to_utf8(value, bytes);
    return shown_as_is(bytes);
}

/* Letters and marks that show nothing, from the first to the last of each kind. */
START_TEST(what_fills_without_being_seen_is_not_shown)
{
    static const gunichar unseen[] = {0x34f,  0x115f, 0x1160, 0x17b4, 0x17b5,  0x180b, 0x2800,
                                      0x3164, 0xfe00, 0xfe0f, 0xffa0, 0xe0100, 0xe01ef};
    static const gunichar seen[] = {0x20,   0x7e,   0xa1,   0x34e,  0x350,  0x115e, 0x1161,
                                    0x27ff, 0x2801, 0x3163, 0x3165, 0xfe10, 0xffa1};

    for (size_t i = 0; i < G_N_ELEMENTS(unseen); i++)
        ck_assert_msg(!is_shown(unseen[i]), "%x", unseen[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(seen); i++)
        ck_assert_msg(is_shown(seen[i]), "%x", seen[i]);
    ck_assert(!is_shown(0x1f) && !is_shown(0x7f) && !is_shown(0x80) && !is_shown(0x9f));
}
END_TEST

START_TEST(what_has_room_is_shown_to_the_last_byte)
{
    char small[8];

    ck_assert(shown_line(small, sizeof(small), "1234567"));
    ck_assert_str_eq(small, "1234567");
    ck_assert(!shown_line(small, sizeof(small), "12345678"));
    ck_assert_str_eq(small, "1234567");
    ck_assert(shown_line(small, sizeof(small), "1234567\n \n"));
    ck_assert(shown_line(small, sizeof(small), "123\x1b"));
    ck_assert_str_eq(small, "123\\x1b");
    ck_assert(shown_line(small, sizeof(small), "12345\xc3\xa9"));
    ck_assert(!shown_line(small, sizeof(small), "123456\xc3\xa9"));
    ck_assert_str_eq(small, "123456");
    ck_assert(shown_line(small, sizeof(small), "a\tb"));
    ck_assert_str_eq(small, "a b");
    ck_assert(shown_line(small, sizeof(small), " ~"));
    ck_assert_str_eq(small, " ~");
}
END_TEST

static void check_amount(uint64_t bytes, const char *text)
{
    char buffer[AMOUNT_TEXT];

    ck_assert_str_eq(amount_text(bytes, buffer), text);
}

START_TEST(an_amount_has_the_unit_that_makes_it_short)
{
    check_amount(0, "0 B");
    check_amount(1023, "1023 B");
    check_amount(1024, "1.0 KiB");
    check_amount(10188, "9.9 KiB");
    check_amount(10189, "10 KiB");
    check_amount(1048524, "1024 KiB");
    check_amount(1048525, "1.0 MiB");
    check_amount(UINT64_C(1) << 60, "1.0 EiB");
    check_amount(UINT64_MAX, "16 EiB");
}
END_TEST

START_TEST(a_number_that_does_not_fit_becomes_the_nearest)
{
    ck_assert_uint_eq(whole(-1), 0);
    ck_assert_uint_eq(whole(0), 0);
    ck_assert_uint_eq(whole(0.9), 0);
    ck_assert_uint_eq(whole(1), 1);
    ck_assert_uint_eq(whole((double)NAN), 0);
    ck_assert_uint_eq(whole(0x1.fffffffffffffp63), UINT64_MAX - 2047);
    ck_assert_uint_eq(whole(0x1p64), UINT64_MAX);
    ck_assert_uint_eq(whole((double)INFINITY), UINT64_MAX);
}
END_TEST

START_TEST(an_error_has_its_reason_as_far_as_there_is_room)
{
    Error error;
    char text[sizeof(error.text) + 1];

    ck_assert_int_eq(error_set(&error, 0, "no %d", 7), -1);
    ck_assert_str_eq(error.text, "no 7");
    ck_assert_int_eq(error_set(&error, ENOENT, "no %d", 7), -ENOENT);
    ck_assert_str_eq(error.text, "no 7: No such file or directory");
    for (size_t length = sizeof(error.text) - 4; length < sizeof(text); length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        ck_assert_int_eq(error_set(&error, ENOENT, "%s", text), -ENOENT);
        ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
    }
}
END_TEST

/* What a message is on stderr. */
static char *say(const Messages *messages, Level level, const char *text)
{
    static char line[4096];
    int saved = dup(STDERR_FILENO);
    int ends[2];
    ssize_t n;

    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    errno = EXDEV;
    message(messages, level, "%s", text);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    n = read(ends[0], line, sizeof(line) - 1);
    line[n > 0 ? n : 0] = '\0';
    close(saved);
    close(ends[0]);
    close(ends[1]);
    return line;
}

START_TEST(a_message_is_one_line_with_its_level)
{
    Messages messages = {.level = LEVEL_WARNING, .engine_style = true};

    ck_assert_str_eq(say(&messages, LEVEL_ERROR, "a\nb"), "[conmon:e]: a b\n");
    ck_assert_str_eq(say(&messages, LEVEL_WARNING, "a"), "[conmon:w]: a\n");
    ck_assert_str_eq(say(&messages, LEVEL_INFO, "a"), "");
    messages.level = LEVEL_TRACE;
    ck_assert_str_eq(say(&messages, LEVEL_INFO, "a"), "[conmon:i]: a\n");
    ck_assert_str_eq(say(&messages, LEVEL_DEBUG, "a"), "[conmon:d]: a\n");
    ck_assert_str_eq(say(&messages, LEVEL_TRACE, "a"), "[conmon:d]: a\n");
    messages.engine_style = false;
    ck_assert_str_eq(say(&messages, LEVEL_ERROR, "a"), "conward: a\n");
    ck_assert_str_eq(say(&messages, LEVEL_WARNING, "a"), "conward: warning: a\n");
    ck_assert_str_eq(say(&messages, LEVEL_INFO, "a"), "conward: a\n");
    ck_assert_str_eq(say(&messages, LEVEL_TRACE, "a"), "conward: debug: a\n");
}
END_TEST

/* Of 2048 bytes with a NUL, the last three are an ellipsis if there is more to say. */
START_TEST(a_long_message_ends_with_an_ellipsis)
{
    const Messages messages = {.level = LEVEL_ERROR};
    const size_t prefix = strlen("conward: ");
    char text[4096];

    for (size_t length = 2040; length <= 2060; length++) {
        size_t most = 2048 - 3 - 1;
        const char *line;

        memset(text, 'x', length);
        text[length] = '\0';
        line = say(&messages, LEVEL_ERROR, text);
        if (length <= most) {
            ck_assert_uint_eq(strlen(line), prefix + length + 1);
            ck_assert(!g_str_has_suffix(line, "\xe2\x80\xa6\n"));
        } else {
            ck_assert_uint_eq(strlen(line), prefix + most + 3 + 1);
            ck_assert(g_str_has_suffix(line, "xx\xe2\x80\xa6\n"));
        }
        /* A character is there as a whole or not at all. */
        for (size_t i = 0; i < 4; i++) {
            memcpy(text + length - 4 - i, "\xf0\x9f\x98\x80", 4);
            ck_assert(g_utf8_validate(say(&messages, LEVEL_ERROR, text), -1, NULL));
            memset(text, 'x', length);
        }
    }
}
END_TEST

START_TEST(a_level_has_several_words)
{
    static const struct {
        const char *word;
        Level level;
    } words[] = {
        {"error", LEVEL_ERROR},  {"fatal", LEVEL_ERROR},     {"PANIC", LEVEL_ERROR},
        {"warn", LEVEL_WARNING}, {"Warning", LEVEL_WARNING}, {"info", LEVEL_INFO},
        {"debug", LEVEL_DEBUG},  {"trace", LEVEL_TRACE},
    };
    Level level;

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        ck_assert(level_parse(words[i].word, &level));
        ck_assert_int_eq((int)level, (int)words[i].level);
    }
    ck_assert(!level_parse("warnings", &level) && !level_parse("", &level));
}
END_TEST

START_TEST(each_signal_of_the_kernel_is_ignored_by_itself)
{
    uint64_t before = signals_ignored();

    for (int number = 1; number <= SIGNALS_MOST; number++) {
        uint64_t bit = UINT64_C(1) << (number - 1);
        bool is_fixed = number == SIGKILL || number == SIGSTOP;

        ck_assert_uint_eq(signal_bit(number), bit);
        signal_set_ignored(number, true);
        ck_assert_msg(signals_ignored() == (is_fixed ? before : before | bit), "%d", number);
        signal_set_ignored(number, false);
        ck_assert_msg(signals_ignored() == (before & ~bit), "%d", number);
        before &= ~bit;
    }
}
END_TEST

/* The signals that a monitor heeds, or that are a crash, with those it cannot change. */
static uint64_t heeded(bool background)
{
    static const int numbers[] = {SIGTERM, SIGINT,  SIGQUIT, SIGCHLD, SIGWINCH,
                                  SIGCONT, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,
                                  SIGTRAP, SIGSYS,  SIGABRT, SIGKILL, SIGSTOP};
    uint64_t set = background ? 0 : signal_bit(SIGHUP) | signal_bit(SIGTSTP);

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        set |= signal_bit(numbers[i]);
    return set;
}

START_TEST(all_signals_are_ignored_that_need_not_be_heard)
{
    for (int number = 1; number <= SIGNALS_MOST; number++)
        signal_set_ignored(number, false);
    signals_ignore(false);
    ck_assert_uint_eq(signals_ignored(), ~heeded(false));
    signals_ignore(true);
    ck_assert_uint_eq(signals_ignored(), ~heeded(true));
    signal_set_ignored(SIGCHLD, true);
    ck_assert_uint_eq(signals_kept_ignored(), ~(heeded(true) | signal_bit(SIGPIPE) |
                                                signal_bit(SIGXFSZ) | signal_bit(SIGXCPU)));
}
END_TEST

START_TEST(all_is_read_that_there_is_and_no_more)
{
    char bytes[16];
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(fd_write_all(ends[1], "0123456789", 10), 0);
    ck_assert_int_eq(fd_read_all(ends[0], bytes, 4), 4);
    ck_assert_int_eq(fd_read_all(ends[0], bytes, 6), 6);
    ck_assert_int_eq(memcmp(bytes, "456789", 6), 0);
    ck_assert_int_eq(fd_write_all(ends[1], "abc", 3), 0);
    close(ends[1]);
    ck_assert_int_eq(fd_read_all(ends[0], bytes, sizeof(bytes)), 3);
    ck_assert_int_eq(fd_read_all(ends[0], bytes, sizeof(bytes)), 0);
    ck_assert_int_eq(fd_write_all(ends[0], "", 0), 0);
    ck_assert_int_eq(fd_write_all(ends[0], "x", 1), -EBADF);
    close(ends[0]);
    ck_assert_int_eq(fd_read_all(ends[0], bytes, 1), -EBADF);
    ck_assert_int_eq(fd_set_cloexec(ends[0], true), -EBADF);
}
END_TEST

START_TEST(what_comes_in_pieces_is_read_whole)
{
    char bytes[8] = "";
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(write(ends[1], "de", 2), 2);
    ck_assert_int_eq(write(ends[1], "fghi", 4), 4);
    ck_assert_int_eq(fd_read_all(ends[0], bytes, 6), 6);
    ck_assert_str_eq(bytes, "abcdef");
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(flags_are_set_and_cleared)
{
    int fd = fd_open_null(STDIN_FILENO);

    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(fd_set_nonblock(fd, true), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    ck_assert_int_eq(fd_set_nonblock(fd, false), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(fd_set_cloexec(fd, false), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
    ck_assert_int_eq(fd_set_cloexec(fd, true), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    errno = EXDEV;
    fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    fd_close(&fd);
    ck_assert_int_eq(errno, EXDEV);
    fd = fd_open_null(STDOUT_FILENO);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    fd_close(&fd);
}
END_TEST

/* Once published, it is gone under its other name; and that one must fit a path, too. */
START_TEST(a_file_is_published_once)
{
    g_autofree char *dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "exit", NULL);
    char suffix[32];
    char name[PATH_MAX + 1];
    size_t most;

    ck_assert_int_eq(file_publish(path), -ENOENT);
    ck_assert_int_eq(file_prepare(path, "1", 0600), 0);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(file_prepare(path, "2", 0600), 0);
    ck_assert_int_eq(file_publish(path), 0);
    ck_assert_int_eq(file_publish(path), -ENOENT);
    ck_assert_int_eq(g_remove(path), 0);

    most = PATH_MAX - 1 - (size_t)snprintf(suffix, sizeof(suffix), ".%d.tmp", (int)getpid());
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 == 0 ? '.' : '/'; /* "./././" */
    name[most] = '\0';
    ck_assert_int_ne(file_publish(name), -ENAMETOOLONG);
    name[most] = '/';
    name[most + 1] = '\0';
    ck_assert_int_eq(file_prepare(name, "", 0600), -ENAMETOOLONG);
    ck_assert_int_eq(file_publish(name), -ENAMETOOLONG);
    ck_assert_int_eq(g_rmdir(dir), 0);
}
END_TEST

SUITE("util", what_fills_without_being_seen_is_not_shown, what_comes_in_pieces_is_read_whole,
      what_has_room_is_shown_to_the_last_byte, an_amount_has_the_unit_that_makes_it_short,
      a_number_that_does_not_fit_becomes_the_nearest,
      an_error_has_its_reason_as_far_as_there_is_room, a_message_is_one_line_with_its_level,
      a_long_message_ends_with_an_ellipsis, a_level_has_several_words,
      each_signal_of_the_kernel_is_ignored_by_itself,
      all_signals_are_ignored_that_need_not_be_heard, all_is_read_that_there_is_and_no_more,
      flags_are_set_and_cleared, a_file_is_published_once, a_sleep_is_never_cut_short_nor_overflows,
      file_replace_sets_content_and_mode_and_leaves_nothing_else,
      file_replace_reports_why_it_failed, only_inherited_descriptors_are_closed,
      stdio_that_was_closed_is_filled_and_the_rest_becomes_dev_null,
      what_may_not_be_shown_is_escaped)
