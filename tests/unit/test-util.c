#include "util/clock.h"
#include "util/fd.h"
#include "util/shown.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
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

SUITE("util", a_sleep_is_never_cut_short_nor_overflows,
      file_replace_sets_content_and_mode_and_leaves_nothing_else,
      file_replace_reports_why_it_failed, only_inherited_descriptors_are_closed,
      stdio_that_was_closed_is_filled_and_the_rest_becomes_dev_null,
      what_may_not_be_shown_is_escaped)
