#include "log/loss.h"
#include "log/seam.h"

#include "log-fixture.h"
#include "suite.h"

#include <errno.h>
#include <sys/stat.h>

/* The sizes at which the log acts: one byte below, at and above each. */

enum {
    RECORD = RECORD_HEADER_LENGTH + 2, /* of a line of one byte */
    LINE_MAX_BYTES = 256,
};

static const K8sLimits LIMITS = {.line_max = LINE_MAX_BYTES, .partial_flush = -1};

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);

static int watched_fd = -1;
static unsigned writes;

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    writes += fd == watched_fd;
    return __real_write(fd, bytes, length);
}

static const LogCounters *counters(const LogFixture *fixture)
{
    return &state_cursors(&fixture->state)->counters[STREAM_STDOUT];
}

static uint64_t reopens(const LogFixture *fixture)
{
    return state_cursors(&fixture->state)->reopens;
}

static off_t size_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_size;
}

/* How many lines of one byte a file of that greatest size has before there is a new one. */
static int lines_in(int64_t size_max)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;
    int lines = 0;

    limits.size_max = size_max;
    log_setup(&fixture, limits);
    while (reopens(&fixture) == 0) {
        ck_assert_int_eq(size_of(fixture.path), lines * RECORD);
        ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "x\n", 2, SPLIT_WAIT), 1);
        lines++;
    }
    ck_assert_int_eq(size_of(fixture.path), RECORD); /* the last one begins the new file */
    ck_assert_uint_eq(counters(&fixture)->records, (unsigned)lines);
    log_teardown(&fixture);
    return lines - 1;
}

START_TEST(a_file_is_full_when_the_next_record_would_be_too_much)
{
    ck_assert_int_eq(lines_in(3 * RECORD - 1), 2);
    ck_assert_int_eq(lines_in(3 * RECORD), 3);
    ck_assert_int_eq(lines_in(3 * RECORD + 1), 3);
    ck_assert_int_eq(lines_in(4 * RECORD - 1), 3);
    ck_assert_int_eq(lines_in(4 * RECORD), 4);
    /* One that is longer than the limit has a file of its own. */
    ck_assert_int_eq(lines_in(1), 1);
    ck_assert_int_eq(lines_in(RECORD), 1);
}
END_TEST

/* Several records of one batch are looked at as if each came alone. */
START_TEST(a_file_is_full_in_the_middle_of_a_batch)
{
    for (int more = -1; more <= 1; more++) {
        LogFixture fixture;
        K8sLimits limits = LIMITS;

        limits.size_max = 3 * RECORD + more;
        limits.backups = 9;
        log_setup(&fixture, limits);
        log_feed(&fixture, STREAM_STDOUT, "1\n2\n3\n4\n5\n6\n7\n", 14, SPLIT_WAIT);
        ck_assert_uint_eq(reopens(&fixture), more < 0 ? 3 : 2);
        ck_assert_uint_eq(state_cursors(&fixture.state)->backups, more < 0 ? 3 : 2);
        ck_assert_int_eq(size_of(fixture.path), RECORD);
        ck_assert_uint_eq(counters(&fixture)->records, 7);
        log_teardown(&fixture);
    }
}
END_TEST

/* While a line is open, a file may become longer by one record of the greatest length for each
 * stream, so that the line ends where it has begun. */
static unsigned pieces_in(int64_t size_max)
{
    LogFixture fixture;
    K8sLimits limits = LIMITS;
    unsigned pieces = 0;

    limits.size_max = size_max;
    log_setup(&fixture, limits);
    ck_assert_uint_eq(seam_overrun(&fixture.log), 2 * (RECORD_HEADER_LENGTH + LINE_MAX_BYTES + 1));
    for (; reopens(&fixture) == 0; pieces++)
        log_feed(&fixture, STREAM_STDOUT, "x", 1, SPLIT_FLUSH);
    log_teardown(&fixture);
    return pieces - 1;
}

START_TEST(an_open_line_may_exceed_the_limit_so_far)
{
    const int64_t overrun = 2 * (RECORD_HEADER_LENGTH + LINE_MAX_BYTES + 1);
    const unsigned most = 20;
    const int64_t limit = most * RECORD - overrun;

    ck_assert_uint_eq(pieces_in(limit - 1), most - 1);
    ck_assert_uint_eq(pieces_in(limit), most);
    ck_assert_uint_eq(pieces_in(limit + 1), most);
}
END_TEST

/* Of all that is ever logged: what has no room is left out, and so is all that follows. */
START_TEST(the_limit_of_all_is_reached_exactly)
{
    for (int more = -1; more <= 1; more++) {
        LogFixture fixture;
        K8sLimits limits = LIMITS;
        unsigned logged = more < 0 ? 2 : 3;

        limits.global_size_max = 3 * RECORD + more;
        log_setup(&fixture, limits);
        for (int i = 0; i < 4; i++)
            log_feed(&fixture, STREAM_STDOUT, "x\n", 2, SPLIT_WAIT);
        log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
        ck_assert_uint_eq(counters(&fixture)->records, logged);
        ck_assert_uint_eq(counters(&fixture)->capped_bytes, 2 * (4 - logged) + 1);
        ck_assert_int_eq(size_of(fixture.path), (int)logged * RECORD);
        ck_assert_uint_eq(state_cursors(&fixture.state)->total, logged * RECORD);
        log_teardown(&fixture);
    }
}
END_TEST

/* The records of a line of so many bytes, with its newline and without. */
static void check_line(size_t length, unsigned partials, uint64_t long_lines)
{
    LogFixture fixture;
    char line[4 * LINE_MAX_BYTES];

    memset(line, 'x', sizeof(line));
    log_setup(&fixture, LIMITS);
    log_feed(&fixture, STREAM_STDOUT, line, length, SPLIT_WAIT);
    ck_assert_uint_eq(counters(&fixture)->records, partials);
    log_feed(&fixture, STREAM_STDOUT, "\n", 1, SPLIT_WAIT);
    ck_assert_uint_eq(counters(&fixture)->records, partials + 1);
    ck_assert_uint_eq(counters(&fixture)->partials, partials);
    ck_assert_uint_eq(counters(&fixture)->long_lines, long_lines);
    ck_assert_uint_eq(counters(&fixture)->longest, length);
    ck_assert_uint_eq(counters(&fixture)->bytes, length + 1);
    log_teardown(&fixture);
}

START_TEST(a_line_is_cut_when_it_is_longer_than_a_record)
{
    check_line(LINE_MAX_BYTES - 1, 0, 0);
    check_line(LINE_MAX_BYTES, 0, 0);
    check_line(LINE_MAX_BYTES + 1, 1, 1);
    check_line(2 * LINE_MAX_BYTES, 1, 1);
    check_line(2 * LINE_MAX_BYTES + 1, 2, 1);
}
END_TEST

/* How many writes two lines need that are in the buffer together. */
static unsigned writes_of(size_t first, size_t second)
{
    static char bytes[STATE_READ_SIZE];
    LogFixture fixture;
    K8sLimits limits = LIMITS;

    limits.line_max = STATE_LINE_MAX_MOST;
    memset(bytes, 'x', sizeof(bytes));
    bytes[first] = '\n';
    bytes[first + 1 + second] = '\n';
    log_setup(&fixture, limits);
    watched_fd = fixture.log.to.fd;
    writes = 0;
    log_feed(&fixture, STREAM_STDOUT, bytes, first + second + 2, SPLIT_WAIT);
    watched_fd = -1;
    ck_assert_uint_eq(counters(&fixture)->records, 2);
    log_teardown(&fixture);
    return writes;
}

START_TEST(a_batch_is_closed_at_its_size)
{
    const size_t half = STATE_BATCH_SIZE / 2 - RECORD_HEADER_LENGTH - 1;

    ck_assert_uint_eq(writes_of(half, half - 1), 1);
    ck_assert_uint_eq(writes_of(half, half), 1);
    ck_assert_uint_eq(writes_of(half, half + 1), 2);
    ck_assert_uint_eq(writes_of(1, STATE_BATCH_SIZE), 2);
    ck_assert_uint_eq(writes_of(STATE_BATCH_SIZE, 1), 2); /* a long one is a batch of its own */
}
END_TEST

/* A page of 4096 bytes is what a look at the file compares at once. */
START_TEST(a_batch_that_is_in_the_file_is_known_whatever_its_size)
{
    static char bytes[3 * 4096];

    memset(bytes, 'x', sizeof(bytes));
    for (size_t record = 4095; record <= sizeof(bytes); record += record % 4096 == 1 ? 4094 : 1) {
        LogFixture fixture;
        K8sLimits limits = LIMITS;
        size_t length = record - RECORD_HEADER_LENGTH - 1;
        LogCursors *next;

        limits.line_max = STATE_LINE_MAX_MOST;
        log_setup(&fixture, limits);
        bytes[length] = '\n';
        log_feed(&fixture, STREAM_STDOUT, bytes, length + 1, SPLIT_WAIT);
        bytes[length] = 'x';
        ck_assert_int_eq(size_of(fixture.path), (off_t)record);
        /* As if the commit behind the write had not come. */
        next = state_cursors_next(&fixture.state);
        next->batch_length = record;
        state_cursors_commit(&fixture.state);
        batch_resume(&fixture.log.to);
        ck_assert_uint_eq(state_cursors(&fixture.state)->batch_length, 0);
        ck_assert_int_eq(size_of(fixture.path), (off_t)record);
        log_teardown(&fixture);
    }
}
END_TEST

/* What a log says of a loss, when only a line of one byte was lost and the next one has come. */
static bool is_loss_said(K8sLimits limits)
{
    LogFixture fixture;
    GString *log;
    bool is_said;
    int fd;

    limits.says_losses = true;
    log_setup(&fixture, limits);
    fd = refuse_writes(&fixture);
    ck_assert_int_eq(log_feed(&fixture, STREAM_STDOUT, "x\n", 2, SPLIT_WAIT), -EBADF);
    allow_writes(&fixture, fd);
    log_feed(&fixture, STREAM_STDOUT, "y\n", 2, SPLIT_WAIT);
    log = file_content(fixture.path);
    is_said = strstr(log->str, "[conward] lost 2 bytes in 1 records") != NULL;
    ck_assert_int_eq(strstr(log->str, " F y\n") != NULL, counters(&fixture)->capped_bytes == 0);
    g_string_free(log, TRUE);
    log_teardown(&fixture);
    return is_said;
}

/* The length of such a loss record. */
static int64_t loss_record(void)
{
    const LossPage loss = {.bytes = 2, .records = 1, .reason = EBADF};
    RecordClock clock = RECORD_CLOCK_NULL;
    char text[LOSS_TEXT_MOST];

    return (int64_t)(RECORD_HEADER_LENGTH + loss_text(&loss, STREAM_STDOUT, 0, &clock, text) + 1);
}

/* It is in one file with the record that follows it, or left out if that cannot be; and it counts
 * for the limit of all. */
START_TEST(a_loss_is_said_where_it_has_room)
{
    K8sLimits limits = LIMITS;

    ck_assert(is_loss_said(limits));
    limits.size_max = loss_record() + RECORD;
    ck_assert(is_loss_said(limits));
    limits.size_max--;
    ck_assert(!is_loss_said(limits));
    limits.size_max = 0;
    limits.global_size_max = loss_record();
    ck_assert(is_loss_said(limits));
    limits.global_size_max--;
    ck_assert(!is_loss_said(limits));
}
END_TEST

SUITE("log-bounds", a_loss_is_said_where_it_has_room,
      a_file_is_full_when_the_next_record_would_be_too_much,
      a_file_is_full_in_the_middle_of_a_batch, an_open_line_may_exceed_the_limit_so_far,
      the_limit_of_all_is_reached_exactly, a_line_is_cut_when_it_is_longer_than_a_record,
      a_batch_is_closed_at_its_size, a_batch_that_is_in_the_file_is_known_whatever_its_size)
