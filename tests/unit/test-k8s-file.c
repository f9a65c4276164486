#include "log-fixture.h"
#include "suite.h"

#include "log/none.h"
#include "log/turn.h"
#include "util/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const K8sLimits plain = {.line_max = 256, .partial_flush = -1};

static GString *log_joined(const LogFixture *fixture, StreamId stream)
{
    GString *content = file_content(fixture->path);
    GString *joined = g_string_new(NULL);

    ck_assert_msg(join_records(content, stream, joined), "torn or malformed record");
    g_string_free(content, TRUE);
    return joined;
}

START_TEST(both_streams_come_back)
{
    LogFixture fixture;
    GString *joined;

    log_setup(&fixture, plain);
    log_feed(&fixture, STREAM_STDOUT, "one\ntwo\r\n\n", 10, SPLIT_WAIT);
    log_feed(&fixture, STREAM_STDERR, "error\nopen", 10, SPLIT_WAIT);
    log_feed(&fixture, STREAM_STDOUT, "a\0b\n", 4, SPLIT_WAIT);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_uint_eq(joined->len, 14);
    ck_assert_int_eq(memcmp(joined->str, "one\ntwo\r\n\na\0b\n", 14), 0);
    g_string_free(joined, TRUE);
    joined = log_joined(&fixture, STREAM_STDERR);
    ck_assert_str_eq(joined->str, "error\nopen");
    g_string_free(joined, TRUE);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].records, 4);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDERR].partials, 1);
    log_teardown(&fixture);
}
END_TEST

START_TEST(what_was_in_the_file_stays_and_the_mode_is_0640)
{
    LogFixture fixture;
    GString *content;
    struct stat st;

    umask(0022);
    log_setup(&fixture, plain);
    ck_assert(g_file_set_contents(fixture.path, "2026-01-01T00:00:00.000000000+00:00 stdout F a\n",
                                  -1, NULL));
    k8s_file_deinit(&fixture.log);
    k8s_file_init(&fixture.log, &fixture.state, k8s_file_open(fixture.path), fixture.path, plain);
    log_feed(&fixture, STREAM_STDOUT, "b\n", 2, SPLIT_WAIT);
    content = file_content(fixture.path);
    ck_assert_uint_eq(content->len, 47 * 2);
    g_string_free(content, TRUE);
    g_remove(fixture.path);
    close(k8s_file_open(fixture.path));
    ck_assert_int_eq(stat(fixture.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    log_teardown(&fixture);
}
END_TEST

START_TEST(an_unfinished_line_gets_a_deadline_and_loses_it)
{
    LogFixture fixture;
    int64_t now = clock_boottime_us();
    GString *content;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = 5000});
    log_feed(&fixture, STREAM_STDOUT, "prompt> ", 8, SPLIT_WAIT);
    ck_assert_int_ge(fixture.state.page->flush_at[STREAM_STDOUT], now + 5000000);
    ck_assert_int_eq(fixture.state.page->flush_at[STREAM_STDERR], 0);
    content = file_content(fixture.path);
    ck_assert_uint_eq(content->len, 0);
    g_string_free(content, TRUE);

    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_FLUSH);
    ck_assert_int_eq(fixture.state.page->flush_at[STREAM_STDOUT], 0);
    content = file_content(fixture.path);
    ck_assert_ptr_nonnull(strstr(content->str, " stdout P prompt> \n"));
    g_string_free(content, TRUE);

    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    content = file_content(fixture.path);
    ck_assert_ptr_nonnull(strstr(content->str, " stdout F \n"));
    g_string_free(content, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_zero_deadline_writes_at_every_read)
{
    LogFixture fixture;
    GString *content;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = 0});
    log_feed(&fixture, STREAM_STDOUT, "now", 3, SPLIT_WAIT);
    content = file_content(fixture.path);
    ck_assert_ptr_nonnull(strstr(content->str, " stdout P now\n"));
    g_string_free(content, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_flood_of_newlines_takes_several_batches)
{
    LogFixture fixture;
    static char newlines[65536];
    GString *joined;

    memset(newlines, '\n', sizeof(newlines));
    log_setup(&fixture, plain);
    log_feed(&fixture, STREAM_STDOUT, newlines, sizeof(newlines), SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_uint_eq(joined->len, sizeof(newlines));
    g_string_free(joined, TRUE);
    ck_assert_uint_le(fixture.state.touched, sizeof(newlines)); /* no batch is larger than that */
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_size_limit_keeps_the_newest_whole_records)
{
    LogFixture fixture;
    GString *joined;
    char line[32];

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .size_max = 500});
    for (int i = 0; i < 1000; i++) {
        int size = snprintf(line, sizeof(line), "line %d\n", i);
        struct stat st;

        log_feed(&fixture, STREAM_STDOUT, line, (size_t)size, SPLIT_WAIT);
        ck_assert_int_eq(stat(fixture.path, &st), 0);
        ck_assert_int_le(st.st_size, 500);
    }
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert(g_str_has_suffix(joined->str, "line 999\n"));
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_record_longer_than_the_size_limit_is_written_alone)
{
    LogFixture fixture;
    GString *joined;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .size_max = 10});
    log_feed(&fixture, STREAM_STDOUT, "first\nsecond\nthird\n", 19, SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "third\n");
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(the_global_limit_is_never_exceeded_and_counted)
{
    LogFixture fixture;
    const LogCounters *counters;
    struct stat st;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .global_size_max = 100});
    for (int i = 0; i < 20; i++)
        log_feed(&fixture, STREAM_STDOUT, "12345\n", 6, SPLIT_WAIT);
    ck_assert_int_eq(stat(fixture.path, &st), 0);
    ck_assert_int_eq(st.st_size, 51); /* one record; a second would make 102 */
    counters = &state_cursors(&fixture.state)->counters[STREAM_STDOUT];
    ck_assert_uint_eq(counters->bytes, 6);
    ck_assert_uint_eq(counters->capped_bytes, 19 * 6);
    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT); /* 47 bytes would fit, but hide a gap */
    ck_assert_int_eq(stat(fixture.path, &st), 0);
    ck_assert_int_eq(st.st_size, 51);
    log_teardown(&fixture);
}
END_TEST

START_TEST(what_was_in_the_file_counts_for_the_global_limit)
{
    LogFixture fixture;
    static const K8sLimits limits = {.line_max = 256, .partial_flush = -1, .global_size_max = 120};
    struct stat st;

    log_setup(&fixture, limits);
    log_feed(&fixture, STREAM_STDOUT, "12345\n", 6, SPLIT_WAIT);
    state_deinit(&fixture.state);
    ck_assert_int_eq(state_create(&fixture.state, &(Error)ERROR_NULL), 0);
    k8s_file_deinit(&fixture.log);
    k8s_file_init(&fixture.log, &fixture.state, k8s_file_open(fixture.path), fixture.path, limits);
    log_feed(&fixture, STREAM_STDOUT, "12345\n12345\n", 12, SPLIT_WAIT);
    ck_assert_int_eq(stat(fixture.path, &st), 0);
    ck_assert_int_eq(st.st_size, 102);
    log_teardown(&fixture);
}
END_TEST

START_TEST(reopen_goes_on_in_a_new_file_at_the_path)
{
    LogFixture fixture;
    GString *joined = g_string_new(NULL);
    GString *content;
    char *moved;

    log_setup(&fixture, plain);
    moved = g_strdup_printf("%s.1", fixture.path);
    ck_assert(g_file_set_contents(moved, "in the way", -1, NULL));
    log_feed(&fixture, STREAM_STDOUT, "before\nopen ", 12, SPLIT_WAIT);
    ck_assert_int_eq(rename(fixture.path, moved), 0);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    log_feed(&fixture, STREAM_STDOUT, "line\n", 5, SPLIT_WAIT);

    content = file_content(moved);
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "before\n");
    g_string_free(content, TRUE);
    content = file_content(fixture.path);
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "before\nopen line\n");
    g_string_free(content, TRUE);
    g_string_free(joined, TRUE);
    g_free(moved);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_pump_says_whether_it_wrote)
{
    LogFixture fixture;

    log_setup(&fixture, plain);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "half", 4, SPLIT_WAIT), 0);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, " a line\n", 8, SPLIT_WAIT), 1);
    ck_assert_int_eq(k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END), 0);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_size_limit_that_cannot_be_kept_costs_no_line)
{
    LogFixture fixture;
    GString *joined;
    char *temporary;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .size_max = 100});
    temporary = g_strdup_printf("%s.tmp", fixture.path);
    ck_assert_int_eq(g_mkdir(temporary, 0700), 0); /* no new file can be made */
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "1\n2\n3\n4\n", 8, SPLIT_WAIT), 1);
    ck_assert_ptr_nonnull(strstr(fixture.log.rotation.error.text, temporary));
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "1\n2\n3\n4\n");
    g_string_free(joined, TRUE);

    ck_assert_int_eq(g_rmdir(temporary), 0);
    fixture.log.rotation.retry_at = 1; /* the pause is over */
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "5\n", 2, SPLIT_WAIT), 1);
    ck_assert_str_eq(fixture.log.rotation.error.text, "");
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "5\n");
    g_string_free(joined, TRUE);
    g_free(temporary);
    log_teardown(&fixture);
}
END_TEST

/* As root, /dev/null would become a regular file. */
START_TEST(what_is_no_regular_file_is_never_replaced)
{
    LogFixture fixture;
    static const K8sLimits limits = {.line_max = 256, .partial_flush = -1, .size_max = 100};
    struct stat st;
    int reader;

    log_setup(&fixture, limits);
    k8s_file_deinit(&fixture.log);
    g_remove(fixture.path);
    ck_assert_int_eq(mkfifo(fixture.path, 0600), 0);
    reader = open(fixture.path, O_RDONLY | O_NONBLOCK);
    k8s_file_init(&fixture.log, &fixture.state, k8s_file_open(fixture.path), fixture.path, limits);
    log_feed(&fixture, STREAM_STDOUT, "1\n2\n3\n4\n", 8, SPLIT_WAIT);
    ck_assert_int_lt(k8s_file_reopen(&fixture.log), 0);
    ck_assert_ptr_nonnull(strstr(fixture.log.rotation.error.text, "not a regular file"));
    ck_assert_int_eq(stat(fixture.path, &st), 0);
    ck_assert(S_ISFIFO(st.st_mode));
    close(reader);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_failed_reopen_keeps_the_old_file)
{
    LogFixture fixture;
    GString *joined;
    char *temporary;

    log_setup(&fixture, plain);
    temporary = g_strdup_printf("%s.tmp", fixture.path);
    ck_assert_int_eq(g_mkdir(temporary, 0700), 0); /* cannot be unlinked or created */
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), -EEXIST);
    ck_assert_ptr_nonnull(strstr(fixture.log.rotation.error.text, temporary));
    log_feed(&fixture, STREAM_STDOUT, "still here\n", 11, SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "still here\n");
    g_string_free(joined, TRUE);
    g_free(temporary);
    log_teardown(&fixture);
}
END_TEST

START_TEST(reopen_does_not_write_through_a_planted_link)
{
    LogFixture fixture;
    char *temporary;
    char *victim;
    GString *content;

    log_setup(&fixture, plain);
    temporary = g_strdup_printf("%s.tmp", fixture.path);
    victim = g_build_filename(fixture.dir, "victim", NULL);
    ck_assert(g_file_set_contents(victim, "precious", -1, NULL));
    ck_assert_int_eq(symlink(victim, temporary), 0);
    ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    log_feed(&fixture, STREAM_STDOUT, "text\n", 5, SPLIT_WAIT);
    content = file_content(victim);
    ck_assert_str_eq(content->str, "precious");
    g_string_free(content, TRUE);
    g_free(victim);
    g_free(temporary);
    log_teardown(&fixture);
}
END_TEST

static void limit_file_size(rlim_t size)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* For every size at which the file can be full: what is in the log and what is counted is all. */
START_TEST(a_full_disk_costs_whole_records_and_counts_them)
{
    for (rlim_t size = 40; size < 400; size++) {
        LogFixture fixture;
        const LogCounters *counters;
        GString *joined;
        size_t fed = 0;
        int failures = 0;

        log_setup(&fixture, plain);
        limit_file_size(size);
        for (int i = 0; i < 30; i++) {
            char text[64];
            int length = snprintf(text, sizeof(text), "number %d\nanother %d\nand", i, i);

            failures += log_feed(&fixture, STREAM_STDERR, text, (size_t)length, SPLIT_WAIT) < 0;
            fed += (size_t)length;
            if (i == 20)
                limit_file_size(RLIM_INFINITY);
        }
        k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
        ck_assert_int_gt(failures, 0);
        joined = log_joined(&fixture, STREAM_STDERR); /* no record is torn */
        counters = &state_cursors(&fixture.state)->counters[STREAM_STDERR];
        ck_assert_uint_eq(counters->bytes, joined->len);
        ck_assert_uint_eq(counters->bytes + counters->lost_bytes, fed);
        ck_assert_uint_gt(counters->lost_records, 0);
        ck_assert(g_str_has_suffix(joined->str, "another 29\nand"));
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

START_TEST(a_disk_that_stays_full_leaves_no_torn_record)
{
    for (rlim_t size = 40; size < 240; size++) {
        LogFixture fixture;
        const LogCounters *counters;
        GString *joined;

        log_setup(&fixture, plain);
        limit_file_size(size);
        log_feed(&fixture, STREAM_STDOUT, "number one\n", 11, SPLIT_WAIT);
        log_feed(&fixture, STREAM_STDOUT, "number two\nand", 14, SPLIT_FLUSH);
        log_feed(&fixture, STREAM_STDOUT, "number three\n", 13, SPLIT_WAIT);
        k8s_file_finish(&fixture.log);
        limit_file_size(RLIM_INFINITY); /* Check has a file of its own to write */
        joined = log_joined(&fixture, STREAM_STDOUT);
        counters = &state_cursors(&fixture.state)->counters[STREAM_STDOUT];
        ck_assert_uint_eq(counters->bytes, joined->len);
        ck_assert_uint_eq(counters->bytes + counters->lost_bytes, 38);
        ck_assert_uint_eq(counters->records + counters->lost_records, 4);
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

/* The torn record may be cut off only if it is still the end of the file. */
START_TEST(what_another_writer_has_appended_is_never_cut_off)
{
    static const char foreign[] = "2026-01-01T00:00:00.000000000+00:00 stdout F another writer's\n";

    /* 0: the end comes at once, 1: after a write in vain, 2: after one that got a little further */
    for (int pumps = 0; pumps < 3; pumps++) {
        for (rlim_t size = 56; size < 112; size++) {
            LogFixture fixture;
            GString *before;
            GString *after;
            int other;

            log_setup(&fixture, plain);
            log_feed(&fixture, STREAM_STDOUT, "number one\n", 11, SPLIT_WAIT);
            limit_file_size(size);
            ck_assert_int_lt(log_feed(&fixture, STREAM_STDOUT, "number two\n", 11, SPLIT_WAIT), 0);
            limit_file_size(RLIM_INFINITY);
            other = open(fixture.path, O_WRONLY | O_APPEND | O_CLOEXEC);
            ck_assert_int_eq(write(other, foreign, strlen(foreign)), (ssize_t)strlen(foreign));
            close(other);
            before = file_content(fixture.path);

            limit_file_size(before->len + (pumps == 2 ? 1 : 0));
            if (pumps > 0)
                log_feed(&fixture, STREAM_STDOUT, "number three\n", 13, SPLIT_WAIT);
            k8s_file_finish(&fixture.log);
            limit_file_size(RLIM_INFINITY);
            after = file_content(fixture.path);
            ck_assert_msg(after->len >= before->len &&
                              memcmp(after->str, before->str, before->len) == 0,
                          "the file was cut from %zu to %zu bytes, pumps %d, size %d",
                          (size_t)before->len, (size_t)after->len, pumps, (int)size);
            g_string_free(before, TRUE);
            g_string_free(after, TRUE);
            log_teardown(&fixture);
        }
    }
}
END_TEST

/* Whoever makes room by truncating the log takes the beginning of a torn record away: then its rest
 * alone would be no record. */
START_TEST(a_torn_record_whose_beginning_is_truncated_is_written_as_a_whole)
{
    for (int waits = 0; waits < 2; waits++) {
        for (rlim_t size = 57; size < 112; size++) {
            LogFixture fixture;
            GString *joined;

            log_setup(&fixture,
                      (K8sLimits){.line_max = 256, .partial_flush = -1, .waits = waits != 0});
            log_feed(&fixture, STREAM_STDOUT, "number one\n", 11, SPLIT_WAIT);
            limit_file_size(size);
            ck_assert_int_lt(log_feed(&fixture, STREAM_STDOUT, "number two\n", 11, SPLIT_WAIT), 0);
            limit_file_size(RLIM_INFINITY);
            ck_assert_int_eq(truncate(fixture.path, 0), 0);
            fixture.state.page->log.retry_at = 0;
            log_feed(&fixture, STREAM_STDOUT, "number three\n", 13, SPLIT_WAIT);
            joined = log_joined(&fixture, STREAM_STDOUT);
            ck_assert_str_eq(joined->str, "number two\nnumber three\n");
            ck_assert_int_eq(fixture.state.page->log.retry_at, 0);
            g_string_free(joined, TRUE);
            log_teardown(&fixture);
        }
    }
}
END_TEST

START_TEST(a_fifo_without_a_reader_is_an_error_at_once)
{
    char *dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    char *path = g_build_filename(dir, "fifo", NULL);

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(k8s_file_open(path), -ENXIO);
    g_remove(path);
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
}
END_TEST

START_TEST(without_a_log_everything_is_taken_and_counted)
{
    LogFixture fixture;

    log_setup(&fixture, plain);
    ck_assert_int_eq(write(fixture.pipe[1], "one\ntwo", 7), 7);
    log_read(&fixture, STREAM_STDOUT);
    log_none_pump(&fixture.state, STREAM_STDOUT);
    ck_assert_uint_eq(state_cursors(&fixture.state)->start[STREAM_STDOUT], 7);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].bytes, 7);
    log_teardown(&fixture);
}
END_TEST

/* The contents of a log's records of one stream but for those that tell of a loss; adds up what
 * these tell. */
static GString *log_told(const LogFixture *fixture, StreamId stream, uint64_t *bytes,
                         uint64_t *records)
{
    GString *joined = log_joined(fixture, stream);

    take_losses(joined, bytes, records);
    return joined;
}

/*
 * Feeds 30 times two lines and the beginning of a third; from the 20th time on there is room.
 * Returns how much that was, and at *failures how many pumps failed.
 */
static size_t feed_to_full_disk(LogFixture *fixture, rlim_t size, int *failures)
{
    size_t fed = 0;

    *failures = 0;
    limit_file_size(size);
    for (int i = 0; i < 30; i++) {
        char text[64];
        int length = snprintf(text, sizeof(text), "number %d\nanother %d\nand", i, i);

        *failures += log_feed(fixture, STREAM_STDERR, text, (size_t)length, SPLIT_WAIT) < 0;
        fed += (size_t)length;
        if (i == 20) {
            limit_file_size(RLIM_INFINITY);
            fixture->state.page->log.retry_at = 0;
        }
    }
    k8s_file_pump(&fixture->log, STREAM_STDERR, SPLIT_END);
    return fed;
}

/* For every size at which the file can be full: the log tells all that is missing in it. */
START_TEST(the_log_tells_what_it_has_lost)
{
    for (rlim_t size = 40; size < 400; size++) {
        LogFixture fixture;
        GString *joined;
        uint64_t bytes;
        uint64_t records;
        int failures;
        size_t fed;

        log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .says_losses = true});
        fed = feed_to_full_disk(&fixture, size, &failures);
        ck_assert_int_gt(failures, 0);
        joined = log_told(&fixture, STREAM_STDERR, &bytes, &records);
        ck_assert_uint_eq(joined->len + bytes, fed);
        ck_assert_uint_eq(records,
                          state_cursors(&fixture.state)->counters[STREAM_STDERR].lost_records);
        ck_assert(g_str_has_suffix(joined->str, "another 29\nand"));
        ck_assert_int_eq(fixture.state.page->log.retry_at, 0);
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

/* For every size at which the file can be full: nothing is lost, whenever the rest comes. */
START_TEST(what_waits_for_a_full_disk_is_not_lost)
{
    for (rlim_t size = 0; size < 400; size++) {
        LogFixture fixture;
        GString *joined;
        uint64_t bytes;
        uint64_t records;
        int failures;
        size_t fed;

        log_setup(
            &fixture,
            (K8sLimits){.line_max = 256, .partial_flush = -1, .waits = true, .says_losses = true});
        fed = feed_to_full_disk(&fixture, size, &failures);
        ck_assert_int_eq(failures, 1); /* then it waits, until it may try again */
        joined = log_told(&fixture, STREAM_STDERR, &bytes, &records);
        ck_assert_uint_eq(joined->len, fed);
        ck_assert_uint_eq(bytes + records, 0);
        ck_assert(!k8s_file_waits(&fixture.log));
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

/* Also if the buffers have been trimmed meanwhile: the lines are longer than a page of memory. */
START_TEST(what_waits_goes_to_the_new_file_and_only_there)
{
    static char lines[2 * 6001 + 1];

    memset(lines, 'x', sizeof(lines) - 1);
    lines[6000] = '\n';
    lines[12001] = '\n';
    for (rlim_t size = 0; size < 13000; size += 59) {
        LogFixture fixture;
        GString *joined = g_string_new(NULL);
        GString *content;
        char *moved;

        log_setup(&fixture, (K8sLimits){.line_max = 8192, .partial_flush = -1, .waits = true});
        moved = g_strdup_printf("%s.1", fixture.path);
        limit_file_size(size);
        log_feed(&fixture, STREAM_STDOUT, lines, sizeof(lines) - 1, SPLIT_WAIT);
        log_feed(&fixture, STREAM_STDOUT, "three\nfour\n", 11, SPLIT_WAIT);
        ck_assert_int_eq(rename(fixture.path, moved), 0);
        state_trim(&fixture.state, state_cursors(&fixture.state)->start);
        ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
        content = file_content(moved);
        limit_file_size(RLIM_INFINITY);
        fixture.state.page->log.retry_at = 0;
        k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT);
        ck_assert_msg(join_records(content, STREAM_STDOUT, joined), "torn in the old file, size %d",
                      (int)size);
        g_string_free(content, TRUE);
        content = file_content(fixture.path);
        ck_assert_msg(join_records(content, STREAM_STDOUT, joined), "torn in the new file, size %d",
                      (int)size);
        ck_assert(g_str_has_prefix(joined->str, lines));
        ck_assert_str_eq(joined->str + sizeof(lines) - 1, "three\nfour\n");
        g_string_free(content, TRUE);
        g_string_free(joined, TRUE);
        g_free(moved);
        log_teardown(&fixture);
    }
}
END_TEST

START_TEST(what_waits_in_vain_is_counted_as_lost)
{
    for (rlim_t size = 0; size < 200; size++) {
        LogFixture fixture;
        const LogCounters *counters;
        GString *joined;

        log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .waits = true});
        limit_file_size(size);
        log_feed(&fixture, STREAM_STDOUT, "one\ntwo\n", 8, SPLIT_WAIT);
        log_feed(&fixture, STREAM_STDOUT, "three\nfour\nfive", 15, SPLIT_WAIT);
        k8s_file_give_up(&fixture.log);
        k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
        k8s_file_finish(&fixture.log);
        limit_file_size(RLIM_INFINITY);
        joined = log_joined(&fixture, STREAM_STDOUT);
        counters = &state_cursors(&fixture.state)->counters[STREAM_STDOUT];
        ck_assert_uint_eq(joined->len, counters->bytes);
        ck_assert_uint_eq(counters->bytes + counters->lost_bytes, 23);
        ck_assert_uint_eq(counters->records + counters->lost_records, 5);
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

/* The rest of a line that has lost something would look like a line of its own. */
START_TEST(two_ends_of_a_damaged_line_never_become_one)
{
    LogFixture fixture;
    GString *joined;
    uint64_t bytes;
    uint64_t records;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = 0, .says_losses = true});
    log_feed(&fixture, STREAM_STDOUT, "begins", 6, SPLIT_WAIT);
    limit_file_size(1);
    ck_assert_int_lt(log_feed(&fixture, STREAM_STDOUT, ", goes on", 9, SPLIT_WAIT), 0);
    limit_file_size(RLIM_INFINITY);
    log_feed(&fixture, STREAM_STDOUT, ", and on", 8, SPLIT_WAIT);
    log_feed(&fixture, STREAM_STDOUT, ", and ends\nwhole\n", 17, SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    /* The line's newline is not lost: what tells of the rest is a line of its own. */
    ck_assert(g_str_has_prefix(joined->str,
                               "begins\n[conward] lost 27 bytes in 3 records on stdout, from "));
    ck_assert(g_str_has_suffix(joined->str, ": File too large\nwhole\n"));
    g_string_free(joined, TRUE);
    joined = log_told(&fixture, STREAM_STDOUT, &bytes, &records);
    ck_assert_str_eq(joined->str, "begins\nwhole\n");
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_damaged_line_that_is_not_told_ends_as_well)
{
    LogFixture fixture;
    const LogCounters *counters;
    GString *joined;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = 0});
    log_feed(&fixture, STREAM_STDOUT, "begins", 6, SPLIT_WAIT);
    limit_file_size(1);
    ck_assert_int_lt(log_feed(&fixture, STREAM_STDOUT, ", ends\n", 7, SPLIT_WAIT), 0);
    limit_file_size(RLIM_INFINITY);
    log_feed(&fixture, STREAM_STDOUT, "whole\n", 6, SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "begins\nwhole\n");
    counters = &state_cursors(&fixture.state)->counters[STREAM_STDOUT];
    ck_assert_uint_eq(counters->bytes, 13);
    ck_assert_uint_eq(counters->lost_bytes, 6);
    ck_assert_uint_eq(counters->lost_records, 1);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

/* By the next attempt, also if nothing follows. */
START_TEST(a_newline_alone_is_late_and_not_lost)
{
    for (int says = 0; says < 2; says++) {
        LogFixture fixture;
        const LogCounters *counters;
        GString *joined;

        log_setup(&fixture,
                  (K8sLimits){.line_max = 256, .partial_flush = 0, .says_losses = says != 0});
        log_feed(&fixture, STREAM_STDERR, "whole", 5, SPLIT_WAIT);
        limit_file_size(1);
        ck_assert_int_lt(log_feed(&fixture, STREAM_STDERR, "\n", 1, SPLIT_WAIT), 0);
        limit_file_size(RLIM_INFINITY);
        ck_assert_int_ne(fixture.state.page->log.retry_at, 0);
        k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_WAIT);
        ck_assert_int_eq(fixture.state.page->log.retry_at, 0);
        joined = log_joined(&fixture, STREAM_STDERR);
        ck_assert_str_eq(joined->str, "whole\n");
        counters = &state_cursors(&fixture.state)->counters[STREAM_STDERR];
        ck_assert_uint_eq(counters->bytes, 6);
        ck_assert_uint_eq(counters->lost_bytes + counters->lost_records, 0);
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

/* At the end, of a line whose own end nobody has seen. */
START_TEST(a_damaged_line_without_a_newline_is_ended_by_what_tells_of_it)
{
    LogFixture fixture;
    GString *joined;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = 0, .says_losses = true});
    log_feed(&fixture, STREAM_STDOUT, "begins", 6, SPLIT_WAIT);
    limit_file_size(1);
    ck_assert_int_lt(log_feed(&fixture, STREAM_STDOUT, ", goes on", 9, SPLIT_WAIT), 0);
    limit_file_size(RLIM_INFINITY);
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert(g_str_has_prefix(joined->str, "begins[conward] lost 9 bytes in 1 records on stdout"));
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

/* What both streams wrote in a test, pieces of lines that show at once. */
typedef struct Written {
    GString *of[STREAMS];
} Written;

static int write_piece(LogFixture *fixture, Written *written, StreamId stream, const char *piece)
{
    g_string_append(written->of[stream], piece);
    fixture->state.page->log.retry_at = 0;
    return log_feed(fixture, stream, piece, strlen(piece), SPLIT_WAIT);
}

static void write_pieces(LogFixture *fixture, Written *written, int from, int to)
{
    for (int i = from; i < to; i++) {
        char piece[64];

        snprintf(piece, sizeof(piece), "%d begins", i);
        write_piece(fixture, written, STREAM_STDOUT, piece);
        snprintf(piece, sizeof(piece), "error %d", i);
        write_piece(fixture, written, STREAM_STDERR, piece);
        write_piece(fixture, written, STREAM_STDOUT, ", goes on");
        write_piece(fixture, written, STREAM_STDOUT, " and ends\nthe next\n");
        write_piece(fixture, written, STREAM_STDERR, "\n");
    }
}

static void check_all_told(const LogFixture *fixture, const Written *written)
{
    GString *content = file_content(fixture->path);

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        const LogCounters *counters = &state_cursors(&fixture->state)->counters[i];
        GString *joined = log_joined(fixture, i);
        uint64_t bytes;
        uint64_t records;

        ck_assert_uint_eq(check_told(content, i, written->of[i]), written->of[i]->len);
        take_losses(joined, &bytes, &records);
        ck_assert_uint_eq(counters->bytes, joined->len);
        ck_assert_uint_eq(counters->lost_bytes, bytes);
        ck_assert_uint_eq(counters->lost_records, records);
        g_string_free(joined, TRUE);
    }
    g_string_free(content, TRUE);
}

/* For every size at which the file can be full, with so much room again that what tells of the loss
 * is torn or lost as well, wherever. */
START_TEST(loss_records_stand_alone_whatever_fails)
{
    for (rlim_t size = 40; size < 360; size += 3) {
        for (rlim_t more = 0; more < 400; more += 13) {
            Written written = {{g_string_new(NULL), g_string_new(NULL)}};
            LogFixture fixture;

            log_setup(&fixture,
                      (K8sLimits){.line_max = 256, .partial_flush = 0, .says_losses = true});
            limit_file_size(size);
            write_pieces(&fixture, &written, 0, 2);
            limit_file_size(size + more);
            write_pieces(&fixture, &written, 2, 4);
            limit_file_size(RLIM_INFINITY);
            write_pieces(&fixture, &written, 4, 5);
            check_all_told(&fixture, &written);
            log_teardown(&fixture);
            for (int i = 0; i < STREAMS; i++)
                g_string_free(written.of[i], TRUE);
        }
    }
}
END_TEST

/* A line that the rate limit damages: what follows at once is lost, too. */
START_TEST(a_rate_that_cuts_a_line_does_not_keep_its_newline)
{
    static const K8sLimits limits = {
        .line_max = 256, .partial_flush = 0, .rate = {1, 200}, .says_losses = true};
    Written written = {{g_string_new(NULL), g_string_new(NULL)}};
    LogFixture fixture;
    GString *joined;

    log_setup(&fixture, limits);
    for (int i = 0; i < 4; i++)
        write_piece(&fixture, &written, STREAM_STDERR, "a piece, ");
    write_piece(&fixture, &written, STREAM_STDERR, "the end\n");
    write_piece(&fixture, &written, STREAM_STDERR, "another\nand");
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
    check_all_told(&fixture, &written);
    joined = log_joined(&fixture, STREAM_STDERR);
    ck_assert(g_str_has_prefix(joined->str, "a piece, a piece, a piece, a piece, \n"
                                            "[conward] lost 18 bytes in 3 records on stderr, "));
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDERR].limited_bytes, 18);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
    for (int i = 0; i < STREAMS; i++)
        g_string_free(written.of[i], TRUE);
}
END_TEST

/* A file that has reached its limit takes that newline, too: readers that join the records of one
 * file only would find half a line in it. */
START_TEST(a_damaged_line_ends_in_the_file_where_it_has_begun)
{
    static const K8sLimits limits = {
        .line_max = 512, .partial_flush = 0, .size_max = 400, .backups = 1, .says_losses = true};
    static char filler[400 - 2 * RECORD_HEADER_LENGTH - 20];
    LogFixture fixture;
    GString *content;
    char *old;

    memset(filler, 'x', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\n';
    log_setup(&fixture, limits);
    old = g_strconcat(fixture.path, ".1", NULL);
    log_feed(&fixture, STREAM_STDOUT, filler, sizeof(filler), SPLIT_WAIT);
    log_feed(&fixture, STREAM_STDOUT, "begins", 6, SPLIT_WAIT);
    limit_file_size(1);
    ck_assert_int_lt(log_feed(&fixture, STREAM_STDOUT, ", ends\n", 7, SPLIT_WAIT), 0);
    limit_file_size(RLIM_INFINITY);
    log_feed(&fixture, STREAM_STDOUT, "whole\n", 6, SPLIT_WAIT);
    content = file_content(old);
    ck_assert_msg(g_str_has_suffix(content->str, " stdout F \n"), "%s", content->str);
    g_string_free(content, TRUE);
    content = file_content(fixture.path);
    ck_assert_ptr_nonnull(strstr(content->str, " stdout F [conward] lost 6 bytes in 1 records"));
    ck_assert(g_str_has_suffix(content->str, " stdout F whole\n"));
    g_string_free(content, TRUE);
    g_free(old);
    log_teardown(&fixture);
}
END_TEST

/* The newline that was to be written is lost in the end. */
START_TEST(a_newline_that_waits_in_vain_is_lost)
{
    for (int says = 0; says < 2; says++) {
        LogFixture fixture;
        const LogCounters *counters;
        GString *joined;

        log_setup(&fixture,
                  (K8sLimits){.line_max = 256, .partial_flush = 0, .says_losses = says != 0});
        log_feed(&fixture, STREAM_STDOUT, "begins", 6, SPLIT_WAIT);
        log_feed(&fixture, STREAM_STDERR, "whole", 5, SPLIT_WAIT);
        limit_file_size(1);
        log_feed(&fixture, STREAM_STDOUT, ", ends\n", 7, SPLIT_WAIT);
        log_feed(&fixture, STREAM_STDERR, "\n", 1, SPLIT_WAIT);
        for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
            k8s_file_pump(&fixture.log, i, SPLIT_END);
        k8s_file_finish(&fixture.log);
        k8s_file_finish(&fixture.log); /* it is called until the log is settled */
        limit_file_size(RLIM_INFINITY);
        counters = state_cursors(&fixture.state)->counters;
        ck_assert_uint_eq(counters[STREAM_STDOUT].lost_bytes, 7);
        ck_assert_uint_eq(counters[STREAM_STDOUT].lost_records, 1);
        ck_assert_uint_eq(counters[STREAM_STDERR].lost_bytes, 1);
        ck_assert_uint_eq(counters[STREAM_STDERR].lost_records, 1);
        joined = log_joined(&fixture, STREAM_STDOUT);
        ck_assert_str_eq(joined->str, "begins");
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

static const K8sLimits closes = {
    .line_max = 256, .partial_flush = -1, .says_losses = true, .closes_last_line = true};

/* By a record with the time stamp of the one before it in the log, of whichever stream. */
START_TEST(a_last_line_is_closed_once)
{
    LogFixture fixture;
    GString *content;
    GString *joined = g_string_new(NULL);

    log_setup(&fixture, closes);
    log_feed(&fixture, STREAM_STDOUT, "one\nlast", 8, SPLIT_FLUSH);
    log_feed(&fixture, STREAM_STDERR, "error\n", 6, SPLIT_WAIT);
    for (int i = 0; i < 3; i++) {
        for (StreamId stream = STREAM_STDOUT; stream < STREAMS; stream++)
            k8s_file_pump(&fixture.log, stream, SPLIT_END);
        k8s_file_finish(&fixture.log);
    }
    content = file_content(fixture.path);
    ck_assert(g_str_has_suffix(content->str, " stdout F \n"));
    ck_assert(take_closing(content));
    ck_assert(!take_closing(content));
    ck_assert(g_str_has_suffix(content->str, " stderr F error\n"));
    ck_assert(join_records(content, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, "one\nlast");
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].bytes, 8);
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDOUT].records, 2);
    g_string_free(content, TRUE);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_last_line_that_has_its_newline_is_not_closed)
{
    for (int closes_it = 0; closes_it < 2; closes_it++) {
        LogFixture fixture;
        K8sLimits limits = closes;
        GString *content;

        limits.closes_last_line = closes_it != 0;
        log_setup(&fixture, limits);
        log_feed(&fixture, STREAM_STDOUT, "one\nlast", 8, SPLIT_FLUSH);
        if (closes_it)
            log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_FLUSH);
        k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
        content = file_content(fixture.path);
        ck_assert(!take_closing(content));
        g_string_free(content, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

/* For every size at which the file can be full; what is lost is told, and no such record is. */
START_TEST(a_last_line_is_closed_on_a_full_disk)
{
    for (rlim_t size = 40; size < 260; size++) {
        LogFixture fixture;
        GString *wrote = g_string_new("one\nand the last");
        const LogCounters *counters;
        GString *content;

        log_setup(&fixture, closes);
        limit_file_size(size);
        log_feed(&fixture, STREAM_STDERR, wrote->str, wrote->len, SPLIT_FLUSH);
        k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
        limit_file_size(RLIM_INFINITY);
        fixture.state.page->log.retry_at = 0;
        k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
        k8s_file_finish(&fixture.log);
        content = file_content(fixture.path);
        counters = &state_cursors(&fixture.state)->counters[STREAM_STDERR];
        ck_assert_msg(take_closing(content) == (counters->lost_bytes == 0), "size %d: %s",
                      (int)size, content->str);
        ck_assert_uint_eq(check_told(content, STREAM_STDERR, wrote), wrote->len);
        ck_assert_uint_eq(counters->bytes + counters->lost_bytes, wrote->len);
        g_string_free(content, TRUE);
        g_string_free(wrote, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

START_TEST(what_is_capped_is_not_closed)
{
    LogFixture fixture;
    K8sLimits limits = closes;
    GString *content;

    limits.global_size_max = 70;
    log_setup(&fixture, limits);
    log_feed(&fixture, STREAM_STDOUT, "last", 4, SPLIT_END);
    content = file_content(fixture.path);
    ck_assert(g_str_has_suffix(content->str, " stdout P last\n"));
    g_string_free(content, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_loss_is_said_on_the_stream_that_lost_and_by_the_next_attempt)
{
    LogFixture fixture;
    GString *joined;

    log_setup(&fixture, (K8sLimits){.line_max = 256, .partial_flush = -1, .says_losses = true});
    limit_file_size(1);
    log_feed(&fixture, STREAM_STDERR, "torn\nlost\n", 10, SPLIT_WAIT);
    limit_file_size(RLIM_INFINITY);
    log_feed(&fixture, STREAM_STDOUT, "kept\n", 5, SPLIT_WAIT);
    ck_assert_int_ne(fixture.state.page->log.retry_at, 0);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_WAIT);
    ck_assert_int_eq(fixture.state.page->log.retry_at, 0);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "kept\n");
    g_string_free(joined, TRUE);
    joined = log_joined(&fixture, STREAM_STDERR);
    ck_assert(
        g_str_has_prefix(joined->str, "torn\n[conward] lost 5 bytes in 1 records on stderr, "));
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_size_limit_that_has_no_room_for_the_loss_record_ends)
{
    LogFixture fixture;
    GString *joined;

    log_setup(
        &fixture,
        (K8sLimits){.line_max = 256, .partial_flush = -1, .size_max = 10, .says_losses = true});
    limit_file_size(1);
    log_feed(&fixture, STREAM_STDOUT, "one\ntwo\nthree\n", 14, SPLIT_WAIT);
    log_feed(&fixture, STREAM_STDOUT, "four\n", 5, SPLIT_WAIT);
    limit_file_size(RLIM_INFINITY);
    log_feed(&fixture, STREAM_STDOUT, "five\n", 5, SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_str_eq(joined->str, "five\n");
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

START_TEST(a_rate_that_waits_loses_nothing)
{
    LogFixture fixture;
    GString *joined;
    int64_t *until;

    log_setup(
        &fixture,
        (K8sLimits){.line_max = 256, .partial_flush = -1, .rate = {1, 200}, .rate_waits = true});
    until = &fixture.state.page->log.rate_until;
    for (int i = 0; i < 10; i++)
        log_feed(&fixture, STREAM_STDOUT, "a line\n", 7, SPLIT_WAIT);
    ck_assert(k8s_file_waits(&fixture.log));
    ck_assert_int_gt(*until, clock_boottime_us());
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_uint_eq(joined->len, 28); /* 4 records of 52 bytes are the first to pass 200 */
    g_string_free(joined, TRUE);

    k8s_file_hurry(&fixture.log);
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert_uint_eq(joined->len, 70);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

/* The end of the container is the end of the waiting, also for what is only read then. */
START_TEST(the_end_lifts_a_rate_that_nobody_has_waited_for)
{
    static const K8sLimits limits = {
        .line_max = 256, .partial_flush = -1, .rate = {1, 200}, .rate_waits = true};

    for (int gives_up = 0; gives_up < 2; gives_up++) {
        LogFixture fixture;
        GString *joined;

        log_setup(&fixture, limits);
        if (gives_up)
            k8s_file_give_up(&fixture.log);
        else
            k8s_file_hurry(&fixture.log);
        k8s_file_limit(&fixture.log, limits); /* somebody changes another setting */
        for (int i = 0; i < 10; i++)
            log_feed(&fixture, STREAM_STDOUT, "a line\n", 7, SPLIT_WAIT);
        ck_assert(!k8s_file_waits(&fixture.log));
        joined = log_joined(&fixture, STREAM_STDOUT);
        ck_assert_uint_eq(joined->len, 70);
        g_string_free(joined, TRUE);
        log_teardown(&fixture);
    }
}
END_TEST

START_TEST(a_rate_that_drops_counts_and_says)
{
    LogFixture fixture;
    const LogCounters *counters;
    GString *joined;
    uint64_t bytes;
    uint64_t records;

    log_setup(
        &fixture,
        (K8sLimits){.line_max = 256, .partial_flush = -1, .rate = {1, 200}, .says_losses = true});
    for (int i = 0; i < 10; i++)
        log_feed(&fixture, STREAM_STDOUT, "a line\n", 7, SPLIT_WAIT);
    ck_assert(!k8s_file_waits(&fixture.log));
    k8s_file_hurry(&fixture.log); /* what was to be lost still is */
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    counters = &state_cursors(&fixture.state)->counters[STREAM_STDOUT];
    ck_assert_uint_eq(counters->lost_records, 6);
    ck_assert_uint_eq(counters->limited_bytes, 42);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert(g_str_has_suffix(joined->str, ": more than the limit of 1 bytes per second\n"));
    g_string_free(joined, TRUE);
    joined = log_told(&fixture, STREAM_STDOUT, &bytes, &records);
    ck_assert_uint_eq(bytes, 42);
    ck_assert_uint_eq(records, 6);
    ck_assert_uint_eq(joined->len, 28);
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

/* What was lost before is said nevertheless, but not that nothing at all was allowed. */
START_TEST(a_rate_that_is_lifted_before_its_loss_is_said)
{
    K8sLimits limits = {
        .line_max = 256, .partial_flush = -1, .rate = {1, 200}, .says_losses = true};
    LogFixture fixture;
    GString *joined;

    log_setup(&fixture, limits);
    for (int i = 0; i < 10; i++)
        log_feed(&fixture, STREAM_STDOUT, "a line\n", 7, SPLIT_WAIT);
    limits.rate.bytes = 0;
    k8s_file_limit(&fixture.log, limits);
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT);
    joined = log_joined(&fixture, STREAM_STDOUT);
    ck_assert(g_str_has_suffix(joined->str, ": more than the rate limit that there was\n"));
    g_string_free(joined, TRUE);
    log_teardown(&fixture);
}
END_TEST

/* Checks that the stamps of all files rise, which are given in the order in which they were
 * written, and returns the number of their records. */
static unsigned check_rising(char *const *paths, unsigned count)
{
    char last[RECORD_TIME_LENGTH + 1] = "";
    unsigned records = 0;

    for (unsigned i = 0; i < count; i++) {
        GString *content = file_content(paths[i]);

        for (size_t at = 0; at < content->len; records++) {
            const char *record = content->str + at;
            const char *newline = memchr(record, '\n', content->len - at);

            ck_assert_ptr_nonnull(newline);
            ck_assert_msg(strncmp(last, record, RECORD_TIME_LENGTH) < 0, "%.60s behind %s", record,
                          last);
            memcpy(last, record, RECORD_TIME_LENGTH);
            at += (size_t)(newline - record) + 1;
        }
        g_string_free(content, TRUE);
    }
    return records;
}

/* Over batches, streams, resumes and rotations; however the output is cut into reads. */
START_TEST(stamps_rise_strictly)
{
    enum { ROUNDS = 2000, MOST = 400 };
    static const K8sLimits limits = {
        .line_max = 256, .partial_flush = -1, .size_max = 64 << 10, .backups = 100};
    GRand *random = g_rand_new_with_seed(1);
    LogFixture fixture;
    char *paths[101] = {NULL};
    unsigned count = 0;
    uint64_t records = 0;
    K8sFile next;

    g_setenv("TZ", "UTC0", TRUE);
    tzset();
    log_setup(&fixture, limits);
    for (int i = 0; i < ROUNDS; i++) {
        StreamId stream = (StreamId)g_rand_int_range(random, 0, STREAMS);
        size_t size = (size_t)g_rand_int_range(random, 1, MOST);
        char bytes[MOST];

        for (size_t j = 0; j < size; j++)
            bytes[j] = g_rand_int_range(random, 0, 4) == 0 ? '\n' : 'x';
        log_feed(&fixture, stream, bytes, size, (SplitMode)g_rand_int_range(random, 0, 2));
        if (g_rand_int_range(random, 0, 20) == 0) {
            k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, limits);
            fixture.log = next;
        }
        if (g_rand_int_range(random, 0, 100) == 0)
            ck_assert_int_eq(k8s_file_reopen(&fixture.log), 0);
    }
    for (uint64_t i = state_cursors(&fixture.state)->backups; i > 0; i--)
        paths[count++] = g_strdup_printf("%s.%u", fixture.path, (unsigned)i);
    paths[count++] = g_strdup(fixture.path);
    for (int i = 0; i < STREAMS; i++)
        records += state_cursors(&fixture.state)->counters[i].records;
    ck_assert_uint_gt(count, 10);
    ck_assert_uint_eq(check_rising(paths, count), records);
    for (unsigned i = 0; i < count; i++)
        g_free(paths[i]);
    g_rand_free(random);
    log_teardown(&fixture);
}
END_TEST

/* As if the clock had been set back after the last record: by so many nanoseconds. Returns how much
 * later than that record the next one is. */
static int64_t step_after(int64_t back)
{
    LogFixture fixture;
    int64_t last = clock_realtime_ns() + back;
    int64_t step;

    log_setup(&fixture, plain);
    state_cursors_next(&fixture.state)->stamp = last;
    state_cursors_commit(&fixture.state);
    log_feed(&fixture, STREAM_STDERR, "a line\n", 7, SPLIT_WAIT);
    step = state_cursors(&fixture.state)->stamp - last;
    log_teardown(&fixture);
    return step;
}

START_TEST(stamps_follow_a_clock_that_is_set_back_by_more_than_a_second)
{
    const int64_t second = 1000000000;

    ck_assert_int_eq(step_after(second / 2), 1);
    ck_assert_int_lt(step_after(60 * second), -30 * second);
}
END_TEST

/* What tells of a loss has a stamp between those of its neighbours. */
START_TEST(the_stamp_of_a_loss_record_rises_too)
{
    K8sLimits limits = {
        .line_max = 256, .partial_flush = -1, .rate = {1, 200}, .says_losses = true};
    LogFixture fixture;

    log_setup(&fixture, limits);
    for (int i = 0; i < 10; i++)
        log_feed(&fixture, STREAM_STDOUT, "a line\n", 7, SPLIT_WAIT);
    limits.rate.bytes = 0;
    k8s_file_limit(&fixture.log, limits);
    log_feed(&fixture, STREAM_STDOUT, "two\nlines\n", 10, SPLIT_WAIT);
    ck_assert_uint_eq(check_rising(&fixture.path, 1),
                      state_cursors(&fixture.state)->counters[STREAM_STDOUT].records + 1);
    log_teardown(&fixture);
}
END_TEST

/* Two streams with long lines */

static const K8sLimits turns = {.line_max = 256, .partial_flush = 100};

/* The log as `PeFo`: a letter for each record's tag, and one for its stream's third. */
static char *log_order(const LogFixture *fixture)
{
    GString *content = file_content(fixture->path);
    GString *order = g_string_new(NULL);

    for (size_t at = 0; at < content->len;) {
        const char *record = content->str + at;
        const char *newline = memchr(record, '\n', content->len - at);

        ck_assert_ptr_nonnull(newline);
        g_string_append_c(order, record[RECORD_TAG_AT]);
        g_string_append_c(order, record[RECORD_STREAM_AT + 3]);
        at += (size_t)(newline - record) + 1;
    }
    g_string_free(content, TRUE);
    return g_string_free(order, FALSE);
}

static void check_order(const LogFixture *fixture, const char *order)
{
    char *found = log_order(fixture);

    ck_assert_str_eq(found, order);
    g_free(found);
}

/* So many bytes of a line. */
static void feed_part(LogFixture *fixture, StreamId stream, size_t size)
{
    static const char part[1000] = {[0 ... 999] = 'x'};

    log_feed(fixture, stream, part, size, SPLIT_WAIT);
}

static void feed_text(LogFixture *fixture, StreamId stream, const char *text)
{
    log_feed(fixture, stream, text, strlen(text), SPLIT_WAIT);
}

static int64_t turn_at(const LogFixture *fixture)
{
    return fixture->state.page->log.turn_at;
}

START_TEST(a_stream_waits_for_the_end_of_a_long_line)
{
    int64_t now = clock_boottime_us();
    LogFixture fixture;

    log_setup(&fixture, turns);
    feed_part(&fixture, STREAM_STDOUT, 600);
    ck_assert_int_eq(turn_at(&fixture), 0);
    feed_text(&fixture, STREAM_STDERR, "two\nlines\nand ");
    check_order(&fixture, "PoPo");
    ck_assert_int_ge(turn_at(&fixture), now + 100000);
    ck_assert_int_eq(fixture.state.page->flush_at[STREAM_STDERR], 0);
    feed_part(&fixture, STREAM_STDOUT, 300);
    check_order(&fixture, "PoPoPo");
    feed_text(&fixture, STREAM_STDOUT, "end\nand more\n");
    check_order(&fixture, "PoPoPoFoFeFeFo");
    ck_assert_int_eq(turn_at(&fixture), 0);
    ck_assert_int_gt(fixture.state.page->flush_at[STREAM_STDERR], now);
    log_teardown(&fixture);
}
END_TEST

/* Nor does the deadline count that it had before. */
START_TEST(a_stream_that_waits_for_its_turn_shows_no_unfinished_line)
{
    LogFixture fixture;

    log_setup(&fixture, turns);
    feed_text(&fixture, STREAM_STDERR, "two ");
    ck_assert_int_ne(fixture.state.page->flush_at[STREAM_STDERR], 0);
    feed_part(&fixture, STREAM_STDOUT, 600);
    feed_text(&fixture, STREAM_STDERR, "words");
    ck_assert_int_ne(turn_at(&fixture), 0);
    ck_assert_int_eq(fixture.state.page->flush_at[STREAM_STDERR], 0);
    check_order(&fixture, "PoPo");
    log_teardown(&fixture);
}
END_TEST

START_TEST(long_lines_of_both_streams_take_turns)
{
    LogFixture fixture;

    log_setup(&fixture, turns);
    feed_part(&fixture, STREAM_STDERR, 300);
    feed_part(&fixture, STREAM_STDOUT, 300);
    check_order(&fixture, "Pe");
    feed_text(&fixture, STREAM_STDERR, "end\n");
    check_order(&fixture, "PeFePo");
    feed_part(&fixture, STREAM_STDERR, 600);
    feed_text(&fixture, STREAM_STDERR, "end\n");
    check_order(&fixture, "PeFePo");
    feed_text(&fixture, STREAM_STDOUT, "end\n");
    check_order(&fixture, "PeFePoFoPePeFe");
    ck_assert_int_eq(turn_at(&fixture), 0);
    log_teardown(&fixture);
}
END_TEST

/* It has had its turn, also for what comes later; until its own next line. */
START_TEST(a_long_line_is_waited_for_once)
{
    LogFixture fixture;

    log_setup(&fixture, turns);
    feed_part(&fixture, STREAM_STDOUT, 300);
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    k8s_file_end_turn(&fixture.log);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_WAIT);
    check_order(&fixture, "PoFe");
    ck_assert_int_eq(turn_at(&fixture), 0);
    feed_part(&fixture, STREAM_STDOUT, 300);
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    check_order(&fixture, "PoFePoFe");
    feed_text(&fixture, STREAM_STDOUT, "end\n");
    feed_part(&fixture, STREAM_STDOUT, 300);
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    check_order(&fixture, "PoFePoFeFoPo");
    log_teardown(&fixture);
}
END_TEST

START_TEST(no_more_than_so_many_bytes_wait)
{
    LogFixture fixture;
    static char lines[65536];

    memset(lines, '\n', sizeof(lines));
    log_setup(&fixture, turns);
    feed_part(&fixture, STREAM_STDOUT, 300);
    log_feed(&fixture, STREAM_STDERR, lines, sizeof(lines), SPLIT_WAIT);
    log_feed(&fixture, STREAM_STDERR, lines, sizeof(lines), SPLIT_WAIT);
    check_order(&fixture, "Po");
    ck_assert(k8s_file_holds(&fixture.log, STREAM_STDERR));
    ck_assert(!k8s_file_holds(&fixture.log, STREAM_STDOUT));
    ck_assert_int_le(turn_at(&fixture), clock_boottime_us() + TURN_MOST_FULL * 1000);
    feed_text(&fixture, STREAM_STDERR, "\n");
    ck_assert(!k8s_file_holds(&fixture.log, STREAM_STDERR));
    ck_assert_uint_eq(state_cursors(&fixture.state)->counters[STREAM_STDERR].records,
                      2 * sizeof(lines) + 1);
    ck_assert_int_eq(turn_at(&fixture), 0);
    log_teardown(&fixture);
}
END_TEST

/* Whose line is limited to a rate is waited for no longer than any other. */
START_TEST(a_rate_does_not_make_a_turn_longer)
{
    const K8sLimits limits = {
        .line_max = 256, .partial_flush = 100, .rate = {10000, 1000}, .rate_waits = true};
    LogFixture fixture;
    int64_t at;

    log_setup(&fixture, limits);
    feed_part(&fixture, STREAM_STDOUT, 300);
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    at = turn_at(&fixture);
    ck_assert_int_gt(at, 0);
    for (int i = 0; i < 3; i++)
        feed_part(&fixture, STREAM_STDOUT, 1000);
    ck_assert(k8s_file_waits(&fixture.log));
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_WAIT);
    ck_assert_int_eq(turn_at(&fixture), at);
    log_teardown(&fixture);
}
END_TEST

/* A line that has ended without its end is not waited for, and who waits may end meanwhile. */
START_TEST(the_end_of_a_stream_ends_its_line)
{
    LogFixture fixture;

    log_setup(&fixture, turns);
    feed_part(&fixture, STREAM_STDERR, 300);
    feed_text(&fixture, STREAM_STDOUT, "last words");
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    check_order(&fixture, "Pe");
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
    check_order(&fixture, "PePePo");
    ck_assert_int_eq(turn_at(&fixture), 0);
    log_teardown(&fixture);
}
END_TEST

START_TEST(only_what_is_cut_at_the_limit_is_waited_for)
{
    LogFixture fixture;
    K8sLimits at_once = turns;

    at_once.partial_flush = 0;
    log_setup(&fixture, turns);
    feed_text(&fixture, STREAM_STDOUT, "prompt> ");
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_FLUSH);
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    check_order(&fixture, "PoFe");
    feed_part(&fixture, STREAM_STDOUT, 300); /* it has not begun as one */
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    check_order(&fixture, "PoFePoFe");
    feed_text(&fixture, STREAM_STDOUT, "\n");
    k8s_file_limit(&fixture.log, at_once);
    feed_part(&fixture, STREAM_STDOUT, 300);
    feed_text(&fixture, STREAM_STDERR, "a line\n");
    check_order(&fixture, "PoFePoFeFoPoPoFe");
    log_teardown(&fixture);
}
END_TEST

/* As long as the file takes nothing, nobody says until when a turn is waited for: so it is said
 * when the file takes something again. */
START_TEST(a_turn_is_waited_for_behind_a_full_disk)
{
    K8sLimits keeping = turns;
    LogFixture fixture;
    int64_t now;
    int fd;

    keeping.waits = true;
    log_setup(&fixture, keeping);
    feed_part(&fixture, STREAM_STDERR, 300);
    fd = refuse_writes(&fixture);
    feed_part(&fixture, STREAM_STDERR, 300);
    feed_text(&fixture, STREAM_STDOUT, "a line\n");
    ck_assert(k8s_file_waits(&fixture.log));
    ck_assert_int_eq(turn_at(&fixture), 0);
    allow_writes(&fixture, fd);
    now = clock_boottime_us();
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_WAIT);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_WAIT);
    check_order(&fixture, "PePe");
    ck_assert_int_ge(turn_at(&fixture), now + 100000);
    feed_text(&fixture, STREAM_STDERR, "end\n");
    check_order(&fixture, "PePeFeFo");
    log_teardown(&fixture);
}
END_TEST

/* What waits is no more lost at the end: another image has not seen the end of the long line. */
START_TEST(the_end_behind_a_full_disk_has_all_of_both_streams)
{
    K8sLimits keeping = turns;
    LogFixture fixture;
    K8sFile next;
    int fd;

    keeping.waits = true;
    log_setup(&fixture, keeping);
    feed_part(&fixture, STREAM_STDERR, 300);
    fd = refuse_writes(&fixture);
    feed_part(&fixture, STREAM_STDERR, 300);
    feed_text(&fixture, STREAM_STDOUT, "a line\n");
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
    allow_writes(&fixture, fd);
    k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, keeping);
    fixture.log = next;
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
    check_order(&fixture, "PePePeFo");
    log_teardown(&fixture);
}
END_TEST

/* Whatever pieces come in whatever order, over resumes: who joins by file makes the lines that were
 * written. */
START_TEST(no_two_lines_are_mixed)
{
    enum { ROUNDS = 3000, MOST = 700 };
    GRand *random = g_rand_new_with_seed(2);
    LogFixture fixture;
    GString *joined;
    char *order;
    K8sFile next;

    log_setup(&fixture, turns);
    for (int i = 0; i < ROUNDS; i++) {
        StreamId stream = (StreamId)g_rand_int_range(random, 0, STREAMS);
        size_t size = (size_t)g_rand_int_range(random, 1, MOST);
        char bytes[MOST];

        memset(bytes, 'x', size);
        for (int j = g_rand_int_range(random, 0, 3); j > 0; j--)
            bytes[g_rand_int_range(random, 0, (int)size)] = '\n';
        log_feed(&fixture, stream, bytes, size, SPLIT_WAIT);
        if (g_rand_int_range(random, 0, 10) == 0) {
            k8s_file_init(&next, &fixture.state, fixture.log.to.fd, fixture.path, turns);
            fixture.log = next;
        }
    }
    order = log_order(&fixture);
    for (size_t i = 0; order[i] != '\0' && order[i + 2] != '\0'; i += 2)
        ck_assert(order[i] == 'F' || order[i + 1] == order[i + 3]);
    g_free(order);
    k8s_file_pump(&fixture.log, STREAM_STDOUT, SPLIT_END);
    k8s_file_pump(&fixture.log, STREAM_STDERR, SPLIT_END);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        joined = log_joined(&fixture, i);
        ck_assert_uint_eq(joined->len, fixture.state.page->streams[i].end);
        g_string_free(joined, TRUE);
    }
    g_rand_free(random);
    log_teardown(&fixture);
}
END_TEST

SUITE("k8s-file", both_streams_come_back, what_was_in_the_file_stays_and_the_mode_is_0640,
      an_unfinished_line_gets_a_deadline_and_loses_it, a_zero_deadline_writes_at_every_read,
      a_flood_of_newlines_takes_several_batches, a_size_limit_keeps_the_newest_whole_records,
      a_record_longer_than_the_size_limit_is_written_alone,
      the_global_limit_is_never_exceeded_and_counted,
      what_was_in_the_file_counts_for_the_global_limit, reopen_goes_on_in_a_new_file_at_the_path,
      a_pump_says_whether_it_wrote, a_size_limit_that_cannot_be_kept_costs_no_line,
      what_is_no_regular_file_is_never_replaced, a_failed_reopen_keeps_the_old_file,
      reopen_does_not_write_through_a_planted_link, a_full_disk_costs_whole_records_and_counts_them,
      a_disk_that_stays_full_leaves_no_torn_record,
      what_another_writer_has_appended_is_never_cut_off,
      a_torn_record_whose_beginning_is_truncated_is_written_as_a_whole,
      a_fifo_without_a_reader_is_an_error_at_once, without_a_log_everything_is_taken_and_counted,
      the_log_tells_what_it_has_lost, what_waits_for_a_full_disk_is_not_lost,
      what_waits_goes_to_the_new_file_and_only_there, what_waits_in_vain_is_counted_as_lost,
      two_ends_of_a_damaged_line_never_become_one, a_damaged_line_that_is_not_told_ends_as_well,
      a_newline_alone_is_late_and_not_lost,
      a_damaged_line_without_a_newline_is_ended_by_what_tells_of_it,
      loss_records_stand_alone_whatever_fails, a_rate_that_cuts_a_line_does_not_keep_its_newline,
      a_newline_that_waits_in_vain_is_lost, a_damaged_line_ends_in_the_file_where_it_has_begun,
      a_last_line_is_closed_once, a_last_line_that_has_its_newline_is_not_closed,
      a_last_line_is_closed_on_a_full_disk, what_is_capped_is_not_closed,
      a_loss_is_said_on_the_stream_that_lost_and_by_the_next_attempt,
      a_size_limit_that_has_no_room_for_the_loss_record_ends, a_rate_that_waits_loses_nothing,
      the_end_lifts_a_rate_that_nobody_has_waited_for, a_rate_that_drops_counts_and_says,
      a_rate_that_is_lifted_before_its_loss_is_said, stamps_rise_strictly,
      stamps_follow_a_clock_that_is_set_back_by_more_than_a_second,
      the_stamp_of_a_loss_record_rises_too, a_stream_waits_for_the_end_of_a_long_line,
      a_stream_that_waits_for_its_turn_shows_no_unfinished_line,
      long_lines_of_both_streams_take_turns, a_long_line_is_waited_for_once,
      no_more_than_so_many_bytes_wait, a_rate_does_not_make_a_turn_longer,
      the_end_of_a_stream_ends_its_line, only_what_is_cut_at_the_limit_is_waited_for,
      a_turn_is_waited_for_behind_a_full_disk, the_end_behind_a_full_disk_has_all_of_both_streams,
      no_two_lines_are_mixed)
