/*
 * What the next image of the program makes of a batch that was on its way into the log: by what is
 * in the file, whoever has written it, and when the file cannot be looked at.
 */
#include "log-fixture.h"
#include "suite.h"

#include <errno.h>

static const K8sLimits limits = {
    .line_max = 256, .partial_flush = 100, .says_losses = true, .waits = true};

/* A batch that waits, as a write has failed before anything of it was in the file. The log can be
 * written again. Returns the batch. */
static GString *begin_with(LogFixture *fixture, const char *lines)
{
    const LogCursors *live;
    int fd;

    log_setup(fixture, limits);
    ck_assert_int_eq(log_feed(fixture, STREAM_STDOUT, "before\n", 7, SPLIT_WAIT), 1);
    fd = refuse_writes(fixture);
    ck_assert_int_eq(log_feed(fixture, STREAM_STDOUT, lines, strlen(lines), SPLIT_WAIT), -EBADF);
    allow_writes(fixture, fd);
    fixture->state.page->log.last_error = 0;
    live = state_cursors(&fixture->state);
    ck_assert_uint_gt(live->batch_length, 0);
    return g_string_new_len((const char *)fixture->state.output + live->batch_offset,
                            (gssize)live->batch_length);
}

static GString *begin(LogFixture *fixture)
{
    return begin_with(fixture, "one\ntwo\n");
}

/* Bytes get into the log by another way than batch_write(). */
static void append(const LogFixture *fixture, const char *bytes, size_t length)
{
    ck_assert_int_eq(write(fixture->log.to.fd, bytes, length), (ssize_t)length);
}

/* All that the log's records hold. */
static void check_log(LogFixture *fixture, const char *expected)
{
    GString *log = file_content(fixture->path);
    GString *joined = g_string_new(NULL);

    ck_assert(join_records(log, STREAM_STDOUT, joined));
    ck_assert_str_eq(joined->str, expected);
    g_string_free(joined, TRUE);
    g_string_free(log, TRUE);
}

static void end(LogFixture *fixture, GString *batch)
{
    g_string_free(batch, TRUE);
    log_teardown(fixture);
}

START_TEST(test_each_part_that_is_written_is_not_written_again)
{
    LogFixture fixture;
    GString *batch = begin(&fixture);
    size_t length = batch->len;

    end(&fixture, batch);
    for (size_t done = 0; done <= length; done++) {
        batch = begin(&fixture);
        append(&fixture, batch->str, done);
        batch_resume(&fixture.log.to);
        ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, length - done);
        ck_assert_uint_eq(state_cursors(&fixture.state)->log_before,
                          batch_file_size(&fixture.log.to) - (done == length ? done : 0));
        ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
        ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, 0);
        check_log(&fixture, "before\none\ntwo\n");
        end(&fixture, batch);
    }
}
END_TEST

/* Somebody else has appended, before the next image of the program looks. */
START_TEST(test_what_follows_the_batch_is_not_of_it)
{
    LogFixture fixture;
    GString *batch = begin(&fixture);

    append(&fixture, batch->str, batch->len);
    append(&fixture, batch->str, batch->len);
    batch_resume(&fixture.log.to);
    ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, 0);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    check_log(&fixture, "before\none\ntwo\none\ntwo\n");
    end(&fixture, batch);
}
END_TEST

/* More than is compared at once. */
START_TEST(test_long_batch)
{
    char *lines = g_strnfill(16384, 'x');
    LogFixture fixture;
    GString *batch;

    for (size_t at = 99; at < 16384; at += 100) {
        char number[9];

        snprintf(number, sizeof(number), "%08zu", at);
        memcpy(lines + at - 8, number, 8);
        lines[at] = '\n';
    }
    lines[16383] = '\n';
    for (size_t different = 4095; different < 16384; different += 4096) {
        batch = begin_with(&fixture, lines);
        ck_assert_uint_gt(batch->len, 16384);
        append(&fixture, batch->str, different);
        batch_resume(&fixture.log.to);
        ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, batch->len - different);
        end(&fixture, batch);

        batch = begin_with(&fixture, lines);
        batch->str[different]++;
        append(&fixture, batch->str, different + 1);
        batch_resume(&fixture.log.to);
        ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, batch->len);
        end(&fixture, batch);
    }
    g_free(lines);
}
END_TEST

START_TEST(test_what_others_have_written_is_not_of_the_batch)
{
    LogFixture fixture;
    GString *batch = begin(&fixture);

    for (size_t different = 0; different < batch->len; different += batch->len - 1) {
        char *other = g_memdup2(batch->str, batch->len);
        uint64_t size;

        other[different] = (char)(other[different] + 1);
        append(&fixture, other, batch->len);
        size = batch_file_size(&fixture.log.to);
        batch_resume(&fixture.log.to);
        ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, batch->len);
        ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
        ck_assert_uint_eq(batch_file_size(&fixture.log.to), size + batch->len);
        g_free(other);
        end(&fixture, batch);
        batch = begin(&fixture);
    }
    end(&fixture, batch);
}
END_TEST

/* Others have written, or truncated the file, while the batch waited. */
START_TEST(test_batch_that_has_waited_goes_to_the_end)
{
    LogFixture fixture;
    GString *batch = begin(&fixture);
    uint64_t size;

    append(&fixture, batch->str, batch->len);
    size = batch_file_size(&fixture.log.to);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    ck_assert_uint_eq(state_cursors(&fixture.state)->log_before, size);
    check_log(&fixture, "before\none\ntwo\none\ntwo\n");
    end(&fixture, batch);

    /* A record that was there in part is then written as a whole. */
    batch = begin(&fixture);
    append(&fixture, batch->str, 5);
    batch_resume(&fixture.log.to);
    ck_assert_uint_gt(state_cursors(&fixture.state)->rest_length, 0);
    ck_assert_int_eq(ftruncate(fixture.log.to.fd, 0), 0);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    check_log(&fixture, "one\ntwo\n");
    end(&fixture, batch);
}
END_TEST

/* That a batch is written with success costs nothing, and one that is not there is not written. */
START_TEST(test_nothing_to_write)
{
    LogFixture fixture;
    GString *batch = begin(&fixture);
    uint64_t errors = fixture.state.page->log.write_errors;
    int fd;

    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    fd = refuse_writes(&fixture);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    allow_writes(&fixture, fd);
    batch_resume(&fixture.log.to);
    ck_assert_uint_eq(fixture.state.page->log.write_errors, errors);
    end(&fixture, batch);

    /* All of it is in a file that can be looked at only now. */
    batch = begin(&fixture);
    fd = fixture.log.to.fd;
    fixture.log.to.fd = -1;
    batch_resume(&fixture.log.to);
    fixture.log.to.fd = fd;
    append(&fixture, batch->str, batch->len);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    ck_assert_uint_eq(state_cursors(&fixture.state)->log_before,
                      batch_file_size(&fixture.log.to) - batch->len);
    end(&fixture, batch);
}
END_TEST

/* The file's file system has died when the program goes on, and comes back later. */
static void look_in_vain(LogFixture *fixture)
{
    uint64_t errors = fixture->state.page->log.write_errors;
    int fd = fixture->log.to.fd;

    fixture->log.to.fd = -1;
    batch_resume(&fixture->log.to);
    ck_assert(fixture->log.to.unchecked);
    ck_assert_int_eq(batch_write_again(&fixture->log.to), -EBADF);
    ck_assert_uint_eq(fixture->state.page->log.write_errors, errors + 1);
    ck_assert_int_eq(fixture->state.page->log.last_error, EBADF);
    fixture->log.to.fd = fd;
}

START_TEST(test_file_that_cannot_be_looked_at)
{
    LogFixture fixture;
    GString *batch = begin(&fixture);

    append(&fixture, batch->str, batch->len);
    look_in_vain(&fixture);
    ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, batch->len);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    ck_assert(!fixture.log.to.unchecked);
    check_log(&fixture, "before\none\ntwo\n");
    end(&fixture, batch);

    /* The same with half of it. */
    batch = begin(&fixture);
    append(&fixture, batch->str, batch->len / 2);
    look_in_vain(&fixture);
    ck_assert_int_eq(batch_write_again(&fixture.log.to), 1);
    check_log(&fixture, "before\none\ntwo\n");
    end(&fixture, batch);
}
END_TEST

START_TEST(test_file_that_cannot_be_looked_at_may_lose_the_batch)
{
    const LogCursors *live;
    LogFixture fixture;
    GString *batch = begin(&fixture);

    fixture.log.to.keeps = false;
    look_in_vain(&fixture);
    live = state_cursors(&fixture.state);
    ck_assert_uint_eq(live->batch_length, 0);
    ck_assert_uint_eq(live->counters[STREAM_STDOUT].lost_bytes, strlen("one\ntwo\n"));
    ck_assert_uint_eq(live->counters[STREAM_STDOUT].lost_records, 2);
    ck_assert_uint_eq(live->counters[STREAM_STDOUT].bytes, strlen("before\n"));
    end(&fixture, batch);
}
END_TEST

/* A crash has come between the decision to cut a torn record off and the cut. */
static void crash_before_cut(LogFixture *fixture, uint64_t torn_end, uint64_t cut_to)
{
    LogCursors *next = state_cursors_next(&fixture->state);

    next->cutting = 1;
    next->torn_end = torn_end;
    next->cut_to = cut_to;
    state_cursors_commit(&fixture->state);
    batch_resume(&fixture->log.to);
    ck_assert_uint_eq(state_cursors(&fixture->state)->cutting, 0);
}

START_TEST(test_the_next_image_cuts_a_torn_record_off)
{
    LogFixture fixture;
    GString *batch;
    uint64_t size;

    log_setup(&fixture, limits);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "before\n", 7, SPLIT_WAIT), 1);
    size = batch_file_size(&fixture.log.to);
    append(&fixture, "2026-", 5);
    crash_before_cut(&fixture, size + 5, size);
    check_log(&fixture, "before\n");

    /* Somebody else's bytes are behind it. */
    append(&fixture, "2026-", 5);
    crash_before_cut(&fixture, size + 4, size);
    ck_assert_uint_eq(batch_file_size(&fixture.log.to), size + 5);
    log_teardown(&fixture);

    /* A torn record that is not to be cut off stays. */
    batch = begin(&fixture);
    append(&fixture, batch->str, 5);
    size = batch_file_size(&fixture.log.to);
    batch_resume(&fixture.log.to);
    batch_resume(&fixture.log.to);
    ck_assert_uint_eq(batch_file_size(&fixture.log.to), size);
    end(&fixture, batch);
}
END_TEST

SUITE("batch", test_each_part_that_is_written_is_not_written_again,
      test_what_follows_the_batch_is_not_of_it, test_long_batch,
      test_batch_that_has_waited_goes_to_the_end, test_nothing_to_write,
      test_what_others_have_written_is_not_of_the_batch, test_file_that_cannot_be_looked_at,
      test_file_that_cannot_be_looked_at_may_lose_the_batch,
      test_the_next_image_cuts_a_torn_record_off)
