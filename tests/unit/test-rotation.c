#include "log-fixture.h"
#include "suite.h"

#include "util/clock.h"

#include <signal.h>
#include <sys/param.h>
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

/* What waits for room may have it in the new file. */
START_TEST(a_new_file_is_written_without_a_pause)
{
    LogFixture fixture;
    K8sLimits limits = tiny;
    GString *content;
    GString *joined = g_string_new(NULL);
    struct rlimit limit;

    limits.size_max = 0;
    limits.waits = true;
    log_setup(&fixture, limits);
    feed_line(&fixture, "a line\n");
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = RECORD_HEADER_LENGTH + strlen("a line\n");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    feed_line(&fixture, "another\n");
    ck_assert(k8s_file_waits(&fixture.log));
    fixture.state.page->log.retry_at = clock_boottime_us() + 10000000;
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT), 1);
    content = file_content(fixture.path);
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "another\n");
    ck_assert_int_eq(fixture.state.page->log.retry_at, 0);
    g_string_free(content, TRUE);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

static void check_reopened(LogFixture *fixture, uint64_t request, uint64_t reopens)
{
    ck_assert_int_eq(k8s_file_reopen_once(&fixture->log, request), 0);
    ck_assert_uint_eq(state_cursors(&fixture->state)->reopens, reopens);
}

/* After a crash, the fifo's line is still there. */
START_TEST(a_request_that_comes_again_is_not_taken_again)
{
    LogFixture fixture;
    K8sLimits limits = tiny;
    GString *content;

    limits.size_max = 0;
    log_setup(&fixture, limits);
    check_reopened(&fixture, 1, 1);
    feed_line(&fixture, "a line\n");
    check_reopened(&fixture, 1, 1);
    content = file_content(fixture.path);
    ck_assert(g_str_has_suffix(content->str, " a line\n"));
    g_string_free(content, TRUE);
    check_reopened(&fixture, 2, 2);
    /* Two wait for the end of a line, and get one file. */
    log_feed(&fixture, STREAM_STDOUT, "ope", 3, SPLIT_FLUSH);
    check_reopened(&fixture, 3, 2);
    check_reopened(&fixture, 4, 2);
    log_feed(&fixture, STREAM_STDOUT, "n\n", 2, SPLIT_WAIT);
    check_reopened(&fixture, 4, 3);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0); /* of nobody's number */
    check_reopened(&fixture, 4, 4);
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

/* Between two lines rather than in one */

enum { OVERRUN = STREAMS * (RECORD_HEADER_LENGTH + 256 + 1) };

static K8sLimits limits_of(int64_t size_max)
{
    return (K8sLimits){.line_max = 256, .partial_flush = 100, .size_max = size_max, .backups = 100};
}

/* So many bytes of a line. */
static void feed_part(LogFixture *fixture, size_t size)
{
    char *part = g_strnfill(size, 'x');

    log_feed(fixture, STREAM_STDOUT, part, size, SPLIT_WAIT);
    g_free(part);
}

static void feed_long_line(LogFixture *fixture, size_t size)
{
    feed_part(fixture, size);
    feed_line(fixture, "\n");
}

static uint64_t size_of(const LogFixture *fixture)
{
    struct stat st;

    ck_assert_int_eq(stat(fixture->path, &st), 0);
    return (uint64_t)st.st_size;
}

/* Whether the file ends where a line does. */
static bool ends_at_a_seam(const char *path)
{
    GString *content = file_content(path);
    size_t last = 0;
    bool ends;

    ck_assert_uint_gt(content->len, RECORD_HEADER_LENGTH);
    for (size_t i = 0; i + 1 < content->len; i++)
        last = content->str[i] == '\n' ? i + 1 : last;
    ends = content->str[last + RECORD_TAG_AT] == 'F';
    g_string_free(content, TRUE);
    return ends;
}

static uint64_t backups_of(const LogFixture *fixture)
{
    return state_cursors(&fixture->state)->backups;
}

START_TEST(a_size_limit_waits_for_the_end_of_a_line)
{
    static const size_t sizes[] = {300, 500, 511, 512, 513, 600, 700, 767};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        LogFixture fixture;
        uint64_t most = 0;

        log_setup(&fixture, limits_of(2000));
        for (int line = 0; line < 50; line++) {
            feed_long_line(&fixture, sizes[i]);
            most = MAX(most, size_of(&fixture));
        }
        ck_assert_uint_ge(backups_of(&fixture), 7);
        ck_assert_uint_le(most, 2000 + OVERRUN);
        for (uint64_t j = 1; j <= backups_of(&fixture); j++) {
            char *suffix = g_strdup_printf(".%u", (unsigned)j);
            char *path = beside(&fixture, suffix);

            ck_assert_msg(ends_at_a_seam(path), "lines of %zu bytes are cut at %s", sizes[i],
                          suffix);
            g_free(path);
            g_free(suffix);
        }
        log_teardown(&fixture);
    }
}
END_TEST

/* Endless lines, one or both of them: each file is as long as it may be, to the byte. */
START_TEST(a_line_without_end_is_not_waited_for)
{
    LogFixture fixture;
    uint64_t most = 0;

    log_setup(&fixture, limits_of(3 * 302));
    for (int i = 0; i < 1000; i++) {
        feed_part(&fixture, 64);
        most = MAX(most, size_of(&fixture));
    }
    ck_assert_uint_eq(most, 5 * 302);
    ck_assert_uint_le(most, 3 * 302 + OVERRUN);
    ck_assert_uint_gt(backups_of(&fixture), 30);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_line_that_no_file_can_take_does_not_end_one_early)
{
    LogFixture fixture;
    struct stat st;
    char *oldest;

    log_setup(&fixture, limits_of(1000));
    feed_line(&fixture, "a line\n");
    feed_long_line(&fixture, 5000);
    ck_assert_uint_eq(backups_of(&fixture), 3);
    oldest = beside(&fixture, ".3");
    ck_assert_int_eq(stat(oldest, &st), 0);
    ck_assert_int_eq(st.st_size, RECORD_HEADER_LENGTH + 7 + 5 * 302);
    g_free(oldest);
    log_teardown(&fixture);
}
END_TEST

/* A stream that has ended without a newline has no open line: the other one's files are no longer.
 */
START_TEST(a_stream_that_has_ended_is_not_waited_for)
{
    LogFixture fixture;
    uint64_t most = 0;

    log_setup(&fixture, limits_of(500));
    feed_line(&fixture, "last words");
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    for (int i = 0; i < 100; i++) {
        log_feed(&fixture, STREAM_STDERR, "a line\n", 7, SPLIT_WAIT);
        most = MAX(most, size_of(&fixture));
    }
    ck_assert_uint_le(most, 500);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_request_waits_for_the_end_of_a_line)
{
    LogFixture fixture;
    char *backup;

    log_setup(&fixture, limits_of(0));
    feed_part(&fixture, 300);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert(k8s_file_awaits_seam(&fixture.log));
    ck_assert_int_le(k8s_file_reopen_at(&fixture.log), clock_boottime_us() + 100000);
    ck_assert_uint_eq(backups_of(&fixture), 0);
    feed_line(&fixture, "end\nnew\n");
    ck_assert_uint_eq(backups_of(&fixture), 1);
    ck_assert(!k8s_file_awaits_seam(&fixture.log));
    ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 0);
    ck_assert_uint_eq(size_of(&fixture), RECORD_HEADER_LENGTH + 4);
    backup = beside(&fixture, ".1");
    ck_assert(ends_at_a_seam(backup));
    g_free(backup);

    /* None is open: at once. */
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert_uint_eq(backups_of(&fixture), 2);
    log_teardown(&fixture);
}
END_TEST

/* Its time is over, or it is too long, or its stream ends, or the next image comes after that. */
START_TEST(a_request_does_not_wait_for_ever)
{
    LogFixture fixture;
    K8sFile next;
    LogCursors *cursors;

    log_setup(&fixture, limits_of(0));
    feed_part(&fixture, 300);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    for (uint64_t size = size_of(&fixture), i = 0; backups_of(&fixture) == 0; i++) {
        ck_assert_uint_le(size_of(&fixture), size + OVERRUN);
        ck_assert_uint_lt(i, 100);
        feed_part(&fixture, 64);
    }

    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert(k8s_file_awaits_seam(&fixture.log));
    cursors = state_cursors_next(&fixture.state);
    cursors->rotation_at = 1;
    state_cursors_commit(&fixture.state);
    ck_assert_int_eq(k8s_file_reopen_at(&fixture.log), 1);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    ck_assert_uint_eq(backups_of(&fixture), 2);

    feed_part(&fixture, 300);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, limits_of(0));
    ck_assert(k8s_file_awaits_seam(&next));
    ck_assert_uint_eq(backups_of(&fixture), 2);
    cursors = state_cursors_next(&fixture.state);
    cursors->rotation_at = 1;
    state_cursors_commit(&fixture.state);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, limits_of(0));
    ck_assert_uint_eq(backups_of(&fixture), 3);

    feed_part(&fixture, 300);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    ck_assert_uint_eq(backups_of(&fixture), 4);
    log_teardown(&fixture);
}
END_TEST

SUITE("rotation", the_pause_grows_from_a_second_to_a_minute, not_every_record_is_an_attempt,
      a_request_outlives_a_crash, a_file_that_was_moved_already_is_moved_back,
      a_torn_record_is_completed_before_the_file_is_left, a_new_file_is_written_without_a_pause,
      a_request_that_comes_again_is_not_taken_again, a_batch_is_written_again_after_copytruncate,
      directories_are_compared_by_name_and_not_by_prefix, a_size_limit_waits_for_the_end_of_a_line,
      a_line_without_end_is_not_waited_for, a_line_that_no_file_can_take_does_not_end_one_early,
      a_stream_that_has_ended_is_not_waited_for, a_request_waits_for_the_end_of_a_line,
      a_request_does_not_wait_for_ever)
