/*
 * The log's counters, after trouble: what is written, lost and limited is computed anew from what
 * the container wrote and what is in the log, after each of many random steps. Writes fail, write
 * nothing or a part, the program crashes within them, the file is replaced, or truncated by others.
 */
#include "log-counters.h"
#include "log-fixture.h"
#include "suite.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/syscall.h>

enum {
    NO_LIMIT = -1,
    WALKS = 60,
    STEPS = 60,
    LINE_MAX_BYTES = 256,
    MANY_BACKUPS = 1000,
};

/* --- The log's disk, and the clock --- */

static int log_fd = -1;
static int64_t room = NO_LIMIT; /* bytes that the log still takes */
static int disk_error;          /* of a write without any room, 0 = it writes nothing */
static bool crashes;            /* the program does, as soon as there is no room */
static bool crashes_before_cut; /* it does as soon as it cuts off a torn record */
static unsigned failures;
static jmp_buf crash;
static int64_t boottime = 1000000; /* microseconds */

ssize_t write(int fd, const void *bytes, size_t length)
{
    size_t most = room >= 0 && (size_t)room < length ? (size_t)room : length;
    ssize_t n = 0;

    if (fd != log_fd || room < 0)
        return syscall(SYS_write, fd, bytes, length);
    if (most > 0) {
        n = syscall(SYS_write, fd, bytes, most);
        ck_assert_int_eq(n, (ssize_t)most);
        room -= n;
    }
    if (room == 0 && crashes)
        longjmp(crash, 1);
    if (most > 0)
        return n;
    failures++;
    if (disk_error == 0)
        return 0;
    errno = disk_error;
    return -1;
}

/* Of the log only, and at most once. */
int ftruncate(int fd, off_t length)
{
    if (fd == log_fd && crashes_before_cut) {
        crashes_before_cut = false;
        longjmp(crash, 1);
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_BOOTTIME)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){boottime / 1000000, boottime % 1000000 * 1000};
    return 0;
}

static void give_room(int64_t bytes, int error)
{
    room = bytes;
    disk_error = error;
}

/* --- What there must be --- */

/* A log, what the container wrote, and what has left the log's path since. */
typedef struct Walk {
    LogFixture fixture;
    K8sLimits limits;
    GString *wrote[STREAMS];
    GString *moved; /* whole records, of older files and of truncated ones */
    uint64_t backups;
    bool changes; /* the policy does, now and then */
} Walk;

static void walk_begin(Walk *walk, K8sLimits limits)
{
    *walk = (Walk){.limits = limits, .moved = g_string_new(NULL)};
    for (int i = 0; i < STREAMS; i++)
        walk->wrote[i] = g_string_new(NULL);
    give_room(NO_LIMIT, 0);
    failures = 0;
    log_setup(&walk->fixture, limits);
    log_fd = walk->fixture.log.to.fd;
}

static void walk_end(Walk *walk)
{
    log_fd = -1;
    log_teardown(&walk->fixture);
    for (int i = 0; i < STREAMS; i++)
        g_string_free(walk->wrote[i], TRUE);
    g_string_free(walk->moved, TRUE);
}

static const LogCursors *cursors(const Walk *walk)
{
    return state_cursors(&walk->fixture.state);
}

static void append_whole_records(GString *to, GString *content)
{
    const char *last = g_strrstr_len(content->str, (gssize)content->len, "\n");

    g_string_append_len(to, content->str, last == NULL ? 0 : last + 1 - content->str);
    g_string_free(content, TRUE);
}

/* Takes the older files away, the oldest first. */
static void take_backups(Walk *walk)
{
    for (uint64_t i = cursors(walk)->backups - walk->backups; i > 0; i--) {
        char *path = g_strdup_printf("%s.%d", walk->fixture.path, (int)i);

        append_whole_records(walk->moved, file_content(path));
        ck_assert_int_eq(g_remove(path), 0);
        walk->backups++;
        g_free(path);
    }
}

/* All that is in the log, with what waits to be written to it: whole records. */
static GString *whole_log(const Walk *walk)
{
    const LogCursors *live = cursors(walk);
    GString *content = file_content(walk->fixture.path);
    GString *all = g_string_new_len(walk->moved->str, (gssize)walk->moved->len);

    g_string_append_len(all, content->str, (gssize)content->len);
    g_string_append_len(all, (const char *)walk->fixture.state.output + live->batch_offset,
                        (gssize)live->batch_length);
    g_string_free(content, TRUE);
    return all;
}

static void check_stream(const Walk *walk, StreamId stream, const GString *log)
{
    const LogCursors *live = cursors(walk);
    const LogCounters *counters = &live->counters[stream];
    const Counted counted = {
        .counters = counters,
        .loss = &live->loss[stream],
        .open = live->open[stream],
        .start = live->start[stream],
        .line_max = LINE_MAX_BYTES,
        .wrote = walk->wrote[stream],
    };
    Seen seen = see(log, stream);

    check_written(&counted, &seen);
    if (!walk->limits.closes_last_line)
        ck_assert_uint_eq(live->open[stream], seen.is_open);
    if (walk->limits.global_size_max == 0) {
        check_lost(&counted, &seen);
        ck_assert_uint_eq(counters->capped_bytes, 0);
    }
    if (walk->limits.rate.bytes == 0) {
        ck_assert(counted.loss->records == 0 || counted.loss->reason > 0);
        ck_assert_uint_eq(counters->limited_bytes, 0);
        ck_assert_uint_eq(counters->limited_records, 0);
    } else {
        ck_assert(counted.loss->records == 0 || counted.loss->reason == LOSS_RATE);
        ck_assert_uint_eq(counters->limited_bytes, counters->lost_bytes);
        ck_assert_uint_eq(counters->limited_records, counters->lost_records);
    }
    g_string_free(seen.open, TRUE);
}

/* What ends a line at the end takes the time of the last record, whatever was lost behind it. */
static void check_time(const Walk *walk, const GString *log)
{
    size_t last = 0;
    LogRecord record;

    for (size_t at = 0, from = 0; next_record(log, &at, &record); from = at)
        last = from;
    if (log->len > 0)
        ck_assert_mem_eq(cursors(walk)->time.text, log->str + last, RECORD_TIME_LENGTH);
}

static void check(Walk *walk)
{
    const LogPage *page = &walk->fixture.state.page->log;
    GString *joined = g_string_new(NULL);
    GString *whole;
    GString *log;

    take_backups(walk);
    whole = whole_log(walk);
    ck_assert(join_records(whole, STREAM_STDOUT, joined));
    check_time(walk, whole);
    log = without_closings(whole);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        check_stream(walk, i, log);
    ck_assert_uint_eq(cursors(walk)->total, whole->len);
    ck_assert_uint_eq(cursors(walk)->backups, walk->backups);
    ck_assert_uint_eq(page->write_errors, failures);
    if (failures > 0)
        ck_assert_int_eq(page->last_error, disk_error == 0 ? EIO : disk_error);
    if (walk->limits.global_size_max > 0)
        ck_assert_uint_le(cursors(walk)->total, (uint64_t)walk->limits.global_size_max);
    g_string_free(joined, TRUE);
    g_string_free(whole, TRUE);
    g_string_free(log, TRUE);
}

/* --- Steps --- */

/* Another image of the program goes on. */
static void resume(Walk *walk)
{
    K8sFile *log = &walk->fixture.log;

    crashes = false;
    k8s_file_init(log, &walk->fixture.state, log_fd, walk->fixture.path, walk->limits);
}

/* A pump that says nothing has not failed, and one that has written has written something. */
static void pump_whole(Walk *walk, StreamId stream, SplitMode mode)
{
    uint64_t written = walk->fixture.log.to.written;
    unsigned before = failures;
    int r = k8s_file_pump(&walk->fixture.log, stream, mode);

    ck_assert(r <= 0 || walk->fixture.log.to.written > written);
    ck_assert(r != 0 || failures == before);
    ck_assert(r >= 0 || failures > before);
}

static void pump(Walk *walk, StreamId stream, SplitMode mode)
{
    walk->fixture.state.page->log.retry_at = 0; /* it is time */
    if (setjmp(crash) == 0)
        pump_whole(walk, stream, mode);
    else
        resume(walk);
}

static void feed(Walk *walk, StreamId stream, const char *text)
{
    size_t length = strlen(text);

    ck_assert_int_eq(syscall(SYS_write, walk->fixture.pipe[1], text, length), (ssize_t)length);
    log_read(&walk->fixture, stream);
    g_string_append(walk->wrote[stream], text);
    pump(walk, stream, SPLIT_WAIT);
}

/* Pieces of lines and several lines, each different. */
static void feed_random(Walk *walk, GRand *random)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    GString *text = g_string_new(NULL);
    int lines = g_rand_int_range(random, 0, 4);

    for (int i = 0; i <= lines; i++) {
        int length = g_rand_int_range(random, 0, g_rand_int_range(random, 0, 8) == 0 ? 700 : 40);

        if (i > 0)
            g_string_append_c(text, '\n');
        for (int j = 0; j < length; j++)
            g_string_append_c(text, letters[g_rand_int_range(random, 0, 26)]);
    }
    if (text->len > 0)
        feed(walk, g_rand_boolean(random) ? STREAM_STDOUT : STREAM_STDERR, text->str);
    g_string_free(text, TRUE);
}

static void reopen(Walk *walk)
{
    if (setjmp(crash) == 0)
        k8s_file_reopen(&walk->fixture.log);
    else
        resume(walk);
}

static void pump_both(Walk *walk, SplitMode mode)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        pump(walk, i, mode);
}

/* By somebody else. What is torn then waits as a whole, as soon as that is seen. */
static void truncate_log(Walk *walk)
{
    append_whole_records(walk->moved, file_content(walk->fixture.path));
    ck_assert_int_eq(truncate(walk->fixture.path, 0), 0);
    pump_both(walk, SPLIT_WAIT); /* one may wait for its turn */
}

static void change_policy(Walk *walk)
{
    walk->limits.waits = !walk->limits.waits;
    k8s_file_limit(&walk->fixture.log, walk->limits);
}

static void step(Walk *walk, GRand *random)
{
    int what = g_rand_int_range(random, 0, 24);

    boottime += g_rand_int_range(random, 0, 500000);
    if (what == 0)
        reopen(walk);
    else if (what == 1)
        truncate_log(walk);
    else if (what == 2)
        pump(walk, g_rand_boolean(random) ? STREAM_STDOUT : STREAM_STDERR, SPLIT_FLUSH);
    else if (what < 6 && walk->limits.rate.bytes == 0)
        give_room(g_rand_int_range(random, 0, what == 3 ? 40 : 400), disk_error);
    else if (what < 10)
        give_room(NO_LIMIT, disk_error);
    else if (what == 10 && room > 0)
        crashes = true;
    else if (what == 11 && walk->changes)
        change_policy(walk);
    else
        feed_random(walk, random);
    check(walk);
}

/* Everything is told, and in its place. */
static void check_all_told(Walk *walk)
{
    GString *whole = whole_log(walk);
    GString *log = without_closings(whole);

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        ck_assert_uint_eq(cursors(walk)->start[i], walk->wrote[i]->len);
        if (!walk->limits.says_losses || walk->limits.global_size_max > 0)
            continue;
        ck_assert_uint_eq(cursors(walk)->loss[i].records, 0);
        ck_assert_uint_eq(check_told(log, i, walk->wrote[i]), walk->wrote[i]->len);
    }
    g_string_free(whole, TRUE);
    g_string_free(log, TRUE);
}

static void finish(Walk *walk)
{
    if (setjmp(crash) == 0) {
        k8s_file_finish(&walk->fixture.log);
    } else {
        resume(walk);
        pump_both(walk, SPLIT_END);
        k8s_file_finish(&walk->fixture.log);
    }
}

/* Without room, the last record is torn, at any of its bytes. */
static void end(Walk *walk, bool has_room, int64_t rest)
{
    crashes = false;
    give_room(has_room ? NO_LIMIT : rest, disk_error);
    feed(walk, STREAM_STDOUT, "what comes last\nand has no end");
    check(walk);
    k8s_file_hurry(&walk->fixture.log);
    for (int i = 0; i < 3; i++)
        pump_both(walk, SPLIT_END);
    check(walk);
    if (has_room)
        check_all_told(walk);
    walk->limits.waits = false; /* for another image, too */
    k8s_file_give_up(&walk->fixture.log);
    pump_both(walk, SPLIT_END);
    check(walk);
    finish(walk);
    check(walk);
    ck_assert_uint_eq(cursors(walk)->batch_length, 0);
    for (int i = 0; i < STREAMS; i++)
        ck_assert(!loss_owes_newline(&cursors(walk)->loss[i], cursors(walk)->open[i]));
}

/* The seeds are the numbers of the walks. */
static void go(K8sLimits limits, bool changes)
{
    static const int errors[] = {ENOSPC, EIO, EFBIG, EDQUOT, 0};

    for (uint32_t seed = 0; seed < WALKS; seed++) {
        GRand *random = g_rand_new_with_seed(seed);
        Walk walk;

        if (limits.global_size_max > 0)
            limits.global_size_max = 300 + 60 * seed;
        walk_begin(&walk, limits);
        walk.changes = changes;
        disk_error = errors[seed % G_N_ELEMENTS(errors)];
        for (int i = 0; i < STEPS; i++)
            step(&walk, random);
        end(&walk, seed % 3 != 0 || limits.rate.bytes > 0, g_rand_int_range(random, 0, 100));
        walk_end(&walk);
        g_rand_free(random);
    }
}

#define USUAL .line_max = LINE_MAX_BYTES, .backups = MANY_BACKUPS

START_TEST(what_is_dropped_is_counted_and_told)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .says_losses = true}, false);
}
END_TEST

START_TEST(what_is_dropped_is_counted_where_nothing_is_told)
{
    go((K8sLimits){USUAL, .partial_flush = -1}, false);
}
END_TEST

START_TEST(what_waits_is_counted_once)
{
    go((K8sLimits){USUAL, .partial_flush = 100, .waits = true, .says_losses = true}, false);
}
END_TEST

START_TEST(what_waits_before_it_is_dropped_is_counted)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .says_losses = true}, true);
}
END_TEST

START_TEST(what_closes_a_line_is_not_counted)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .waits = true, .closes_last_line = true}, false);
}
END_TEST

START_TEST(what_closes_a_line_is_known_though_records_are_lost)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .closes_last_line = true}, false);
    go((K8sLimits){USUAL, .partial_flush = 0, .says_losses = true, .closes_last_line = true}, true);
}
END_TEST

/* What is lost, as a whole or behind a part that is written, is not the record before it. */
START_TEST(what_closes_a_line_has_the_time_of_a_record_that_is_there)
{
    static const K8sLimits closes = {USUAL, .partial_flush = 0, .closes_last_line = true};
    GString *log;
    Walk walk;

    for (int64_t bytes = 0; bytes < 120; bytes++) {
        walk_begin(&walk, closes);
        feed(&walk, STREAM_STDOUT, "aaa");
        give_room(bytes, EIO);
        feed(&walk, STREAM_STDERR, "bbb\nccc\nddd\n");
        give_room(NO_LIMIT, EIO);
        pump(&walk, STREAM_STDOUT, SPLIT_END);
        check(&walk);
        log = file_content(walk.fixture.path);
        ck_assert(take_closing(log));
        g_string_free(log, TRUE);
        walk_end(&walk);
    }
}
END_TEST

START_TEST(files_of_a_limited_size_are_counted)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .says_losses = true, .size_max = 2000}, false);
}
END_TEST

START_TEST(what_is_capped_is_counted_apart)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .says_losses = true, .global_size_max = 3000}, false);
}
END_TEST

START_TEST(what_a_rate_costs_is_limited)
{
    go((K8sLimits){USUAL, .partial_flush = 0, .says_losses = true, .rate = {200, 400}}, false);
}
END_TEST

static void check_lost_and_limited(const Walk *walk, uint64_t lost, uint64_t lost_records,
                                   uint64_t limited, uint64_t limited_records)
{
    const LogCounters *counters = &cursors(walk)->counters[STREAM_STDOUT];

    ck_assert_uint_eq(counters->lost_bytes, lost);
    ck_assert_uint_eq(counters->lost_records, lost_records);
    ck_assert_uint_eq(counters->limited_bytes, limited);
    ck_assert_uint_eq(counters->limited_records, limited_records);
}

/* Whatever the rate is then: the line was damaged before. */
START_TEST(the_rest_of_a_line_that_a_failure_has_damaged_is_not_limited)
{
    Walk walk;

    walk_begin(&walk, (K8sLimits){USUAL, .partial_flush = 0, .says_losses = true, .rate = {1, 90}});
    feed(&walk, STREAM_STDOUT, "aaa");
    give_room(0, EIO);
    feed(&walk, STREAM_STDOUT, "bbb");
    check_lost_and_limited(&walk, 3, 1, 0, 0);
    give_room(NO_LIMIT, EIO);
    ck_assert_int_le(cursors(&walk)->rate_tokens, 0);
    feed(&walk, STREAM_STDOUT, "ccc");
    feed(&walk, STREAM_STDOUT, "\n");
    check_lost_and_limited(&walk, 6, 2, 0, 0);
    feed(&walk, STREAM_STDOUT, "ddd\n");
    check_lost_and_limited(&walk, 10, 3, 4, 1);
    walk_end(&walk);
}
END_TEST

START_TEST(the_rest_of_a_line_that_a_rate_has_damaged_is_limited)
{
    Walk walk;

    walk_begin(&walk,
               (K8sLimits){USUAL, .partial_flush = 0, .says_losses = true, .rate = {1, 400}});
    while (cursors(&walk)->rate_tokens > 0)
        feed(&walk, STREAM_STDOUT, "aaa");
    feed(&walk, STREAM_STDOUT, "ccc");
    check_lost_and_limited(&walk, 3, 1, 3, 1);
    boottime += INT64_C(1000000000);
    feed(&walk, STREAM_STDOUT, "ddd");
    check_lost_and_limited(&walk, 6, 2, 6, 2);
    give_room(0, EIO);
    feed(&walk, STREAM_STDOUT, "\neee\n");
    check_lost_and_limited(&walk, 10, 3, 6, 2);
    walk_end(&walk);
}
END_TEST

/* At the end, when nothing will complete it. */
START_TEST(a_torn_record_is_cut_off_after_a_crash)
{
    GString *log;
    Walk walk;

    walk_begin(&walk, (K8sLimits){USUAL, .partial_flush = 0, .says_losses = true});
    feed(&walk, STREAM_STDOUT, "aaa\n");
    give_room(RECORD_HEADER_LENGTH + 10, EIO);
    feed(&walk, STREAM_STDOUT, "bbb\nccc\n");
    ck_assert_uint_gt(cursors(&walk)->rest_length, 0);
    crashes_before_cut = true;
    finish(&walk);
    ck_assert(!crashes_before_cut);
    log = file_content(walk.fixture.path);
    ck_assert_int_eq(log->str[log->len - 1], '\n');
    check(&walk);
    g_string_free(log, TRUE);
    walk_end(&walk);
}
END_TEST

SUITE("counters", a_torn_record_is_cut_off_after_a_crash,
      the_rest_of_a_line_that_a_failure_has_damaged_is_not_limited,
      the_rest_of_a_line_that_a_rate_has_damaged_is_limited, what_is_dropped_is_counted_and_told,
      what_is_dropped_is_counted_where_nothing_is_told, what_waits_is_counted_once,
      what_waits_before_it_is_dropped_is_counted, what_closes_a_line_is_not_counted,
      what_closes_a_line_is_known_though_records_are_lost,
      what_closes_a_line_has_the_time_of_a_record_that_is_there,
      files_of_a_limited_size_are_counted, what_is_capped_is_counted_apart,
      what_a_rate_costs_is_limited)
