#include "log-fixture.h"
#include "suite.h"

#include "util/clock.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Rotation where tests of the whole monitor cannot look: test-death-ptrace.c has its steps. */

static const K8sLimits tiny = {.line_max = 256, .partial_flush = -1, .size_max = 60, .backups = 2};

static char *beside(const LogFixture *fixture, const char *suffix)
{
    return g_strconcat(fixture->path, suffix, NULL);
}

static bool is_there(const LogFixture *fixture, const char *suffix)
{
    char *path = beside(fixture, suffix);
    bool there = g_file_test(path, G_FILE_TEST_EXISTS);

    g_free(path);
    return there;
}

/* A directory where the new file would be made: no rotation is possible. */
static void block(const LogFixture *fixture)
{
    char *path = beside(fixture, ".tmp");

    ck_assert_int_eq(g_mkdir(path, 0700), 0);
    g_free(path);
}

static void unblock(const LogFixture *fixture)
{
    char *path = beside(fixture, ".tmp");

    ck_assert_int_eq(g_rmdir(path), 0);
    g_free(path);
}

static void feed_line(LogFixture *fixture, const char *line)
{
    log_feed(fixture, STREAM_STDOUT, line, strlen(line), SPLIT_WAIT);
}

static uint64_t failures(const LogFixture *fixture)
{
    return fixture->state.page->log.rotation_failures;
}

START_TEST(the_pause_grows_from_a_second_to_a_minute)
{
    static const int64_t seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    LogFixture fixture;

    log_setup(&fixture, tiny);
    block(&fixture);
    ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 0);
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        int64_t before = clock_boottime_us();

        ck_assert_int_lt(k8s_file_reopen(&fixture.log), 0);
        ck_assert_int_eq(fixture.log.rotation.pause, seconds[i] * 1000000);
        ck_assert_int_ge(k8s_file_reopen_at(&fixture.log), before + seconds[i] * 1000000);
    }
    unblock(&fixture);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 0);
    ck_assert_int_eq(fixture.log.rotation.pause, 0);
    ck_assert_str_eq(fixture.log.rotation.error.text, "");
    log_teardown(&fixture);
}
END_TEST

START_TEST(not_every_record_is_an_attempt)
{
    LogFixture fixture;

    log_setup(&fixture, tiny);
    block(&fixture);
    for (int i = 0; i < 100; i++)
        feed_line(&fixture, "line\n");
    ck_assert_uint_ge(failures(&fixture), 1);
    ck_assert_uint_le(failures(&fixture), 5); /* one, unless the machine is very slow */
    ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 0); /* nobody has asked for it */
    fixture.log.rotation.retry_at = 1;
    feed_line(&fixture, "line\n");
    ck_assert_uint_ge(failures(&fixture), 2);

    unblock(&fixture);
    fixture.log.rotation.retry_at = 1;
    feed_line(&fixture, "last\n");
    ck_assert(is_there(&fixture, ".1"));
    ck_assert_uint_eq(state_cursors(&fixture.state)->backups, 1);
    log_teardown(&fixture);
}
END_TEST

/* The next image of this program does what somebody still waits for. */
START_TEST(a_request_outlives_a_crash)
{
    LogFixture fixture;
    K8sFile next;

    log_setup(&fixture, tiny);
    feed_line(&fixture, "line\n");
    block(&fixture);
    ck_assert_int_lt(k8s_file_reopen(&fixture.log), 0);
    ck_assert(rotation_is_owed(&fixture.state));
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, tiny);
    ck_assert(rotation_is_owed(&fixture.state));
    ck_assert_int_gt(k8s_file_reopen_at(&next), 0);
    unblock(&fixture);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, tiny);
    ck_assert(!rotation_is_owed(&fixture.state));
    ck_assert(is_there(&fixture, ".1"));
    log_teardown(&fixture);
}
END_TEST

/* If the last step fails, the log gets its name back. */
START_TEST(a_file_that_was_moved_already_is_moved_back)
{
    LogFixture fixture;
    K8sFile next;
    char *backup;
    struct stat held;
    struct stat there;

    log_setup(&fixture, tiny);
    feed_line(&fixture, "line\n");
    backup = beside(&fixture, ".1");
    /* As a crash in the middle would leave it, with something in the way of going on. */
    state_cursors_next(&fixture.state)->rotation = ROTATION_PUBLISHING;
    state_cursors_commit(&fixture.state);
    ck_assert_int_eq(rename(fixture.path, backup), 0);
    block(&fixture);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, tiny);
    ck_assert_str_ne(next.rotation.error.text, "");
    ck_assert_int_eq(stat(fixture.path, &there), 0);
    ck_assert_int_eq(fstat(fixture.log.to.fd, &held), 0);
    ck_assert_uint_eq(there.st_ino, held.st_ino);
    ck_assert(!is_there(&fixture, ".1"));
    g_free(backup);
    log_teardown(&fixture);
}
END_TEST

/* Its rest goes to the old file, so that the new one begins with a whole record. */
START_TEST(a_torn_record_is_completed_before_the_file_is_left)
{
    LogFixture fixture;
    K8sLimits limits = tiny;
    GString *content;
    GString *joined = g_string_new(NULL);
    struct rlimit limit;
    char *backup;

    limits.size_max = 0;
    log_setup(&fixture, limits);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 48;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    feed_line(&fixture, "a line\n"); /* 52 bytes */
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    feed_line(&fixture, "another\n");

    backup = beside(&fixture, ".1");
    content = file_content(backup);
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "a line\n");
    g_string_free(content, TRUE);
    content = file_content(fixture.path);
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "a line\nanother\n");
    g_string_free(content, TRUE);
    g_string_free(joined, TRUE);
    g_free(backup);
    log_teardown(&fixture);
}
END_TEST

/* Part of a batch is in a file that is truncated before the next image looks. */
START_TEST(a_batch_is_written_again_after_copytruncate)
{
    LogFixture fixture;
    K8sFile next;
    GString *content;
    GString *joined = g_string_new(NULL);
    LogCursors *cursors;
    K8sLimits limits = tiny;

    limits.size_max = 0;
    log_setup(&fixture, limits);
    feed_line(&fixture, "a line\n");
    /* As if the crash had come before the commit that the batch is written. */
    cursors = state_cursors_next(&fixture.state);
    cursors->batch_length = RECORD_HEADER_LENGTH + strlen("a line\n");
    state_cursors_commit(&fixture.state);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, limits);
    k8s_file_pump(&next, STREAM_STDOUT, SPLIT_WAIT);
    content = file_content(fixture.path);
    ck_assert_uint_eq(content->len, RECORD_HEADER_LENGTH + strlen("a line\n")); /* it was there */
    g_string_free(content, TRUE);

    cursors = state_cursors_next(&fixture.state);
    cursors->batch_length = RECORD_HEADER_LENGTH + strlen("a line\n");
    state_cursors_commit(&fixture.state);
    ck_assert_int_eq(truncate(fixture.path, 0), 0);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, limits);
    k8s_file_pump(&next, STREAM_STDOUT, SPLIT_WAIT);
    content = file_content(fixture.path);
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "a line\n");
    g_string_free(content, TRUE);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(directories_are_compared_by_name_and_not_by_prefix)
{
    LogFixture fixture;
    char *prefix;
    Error error;

    log_setup(&fixture, tiny);
    prefix = g_strndup(fixture.dir, strlen(fixture.dir) - 1);
    ck_assert_int_eq(g_mkdir(prefix, 0700), 0);
    ck_assert_int_eq(rotation_check_allowed(fixture.path, NULL, &error), 0);
    ck_assert_int_eq(
        rotation_check_allowed(fixture.path, (const char *const[]){fixture.dir, NULL}, &error), 0);
    ck_assert_int_eq(rotation_check_allowed(fixture.path, (const char *const[]){"/", NULL}, &error),
                     0);
    ck_assert_int_lt(
        rotation_check_allowed(fixture.path, (const char *const[]){prefix, NULL}, &error), 0);
    ck_assert_ptr_nonnull(strstr(error.text, fixture.dir));
    ck_assert_int_lt(rotation_check_allowed(fixture.path, (const char *const[]){NULL}, &error), 0);
    g_rmdir(prefix);
    g_free(prefix);
    log_teardown(&fixture);
}
END_TEST

SUITE("rotation", the_pause_grows_from_a_second_to_a_minute, not_every_record_is_an_attempt,
      a_request_outlives_a_crash, a_file_that_was_moved_already_is_moved_back,
      a_torn_record_is_completed_before_the_file_is_left,
      a_batch_is_written_again_after_copytruncate,
      directories_are_compared_by_name_and_not_by_prefix)
