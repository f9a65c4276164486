/*
 * The journal's counters, after trouble: what is sent and lost is computed anew from what the
 * container wrote and what the journal has got, after each of many random steps. The journal is
 * full, or not there, for a while or for ever; the program crashes before it has sent an entry, or
 * before it has noted that it has.
 */
#include "log-counters.h"
#include "suite.h"

#include "log/journald.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum {
    NO_LIMIT = -1,
    WALKS = 40,
    STEPS = 60,
};

/* --- The journal, and the clock --- */

typedef enum Crash {
    CRASH_NEVER,
    CRASH_BEFORE, /* an entry is sent */
    CRASH_AFTER,
} Crash;

static GPtrArray *entries; /* of GString: for each number the latest one, as a record */
static bool is_absent;
static int64_t room = NO_LIMIT; /* entries that it still takes */
static unsigned failures;       /* because it was absent */
static Crash crashes;
static jmp_buf crash;
static int64_t boottime = 1000000; /* microseconds */

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    (void)fd;
    (void)address;
    (void)length;
    if (!is_absent)
        return 0;
    failures++;
    errno = ENOENT;
    return -1;
}

/* Where the name is in an entry, which has NUL bytes, or NULL. */
static const char *find(const GString *entry, const char *name)
{
    return memmem(entry->str, entry->len, name, strlen(name));
}

static uint64_t number_after(const GString *entry, const char *name)
{
    const char *field = find(entry, name);

    return field == NULL ? 0 : g_ascii_strtoull(field + strlen(name), NULL, 10);
}

/* As a record of a file, for what reads those. */
static GString *record_of(const GString *entry)
{
    static const char begin[] = "MESSAGE\n";
    const char *field = find(entry, begin) + strlen(begin);
    GString *record = g_string_new(NULL);
    uint64_t length;

    memcpy(&length, field, sizeof(length));
    length = le64toh(length);
    field += sizeof(length);
    ck_assert_ptr_eq(field + length + 1, entry->str + entry->len);
    g_string_printf(record, "2026-01-01T00:00:00.%09u+00:00 %s %c ", entries->len,
                    number_after(entry, "PRIORITY=") == 3 ? "stderr" : "stdout",
                    field[length - 1] == '\n' ? 'F' : 'P');
    ck_assert_int_eq(field[length - 1] != '\n',
                     find(entry, "CONTAINER_PARTIAL_MESSAGE=true\n") != NULL);
    g_string_append_len(record, field, (gssize)length - (field[length - 1] == '\n'));
    g_string_append_c(record, '\n');
    if (number_after(entry, "CONWARD_LOST_BYTES=") > 0) {
        char *told = g_strdup_printf("[conward] lost %lu bytes in %lu records on ",
                                     number_after(entry, "CONWARD_LOST_BYTES="),
                                     number_after(entry, "CONWARD_LOST_RECORDS="));

        ck_assert(strstr(record->str, told) != NULL);
        g_free(told);
    }
    return record;
}

static void free_string(gpointer string)
{
    g_string_free(string, TRUE);
}

static void keep(const GString *entry)
{
    uint64_t number = number_after(entry, "CONWARD_SEQ=");

    ck_assert_uint_le(number, entries->len);
    if (number < entries->len) {
        ck_assert_uint_eq(number + 1, entries->len); /* it was sent once more */
        g_ptr_array_set_size(entries, (int)number);
    }
    g_ptr_array_add(entries, record_of(entry));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    GString *entry;

    (void)fd;
    (void)flags;
    if (is_absent || room == 0) {
        errno = is_absent ? ECONNREFUSED : EAGAIN;
        return -1;
    }
    if (crashes == CRASH_BEFORE)
        longjmp(crash, 1);
    entry = g_string_new(NULL);
    for (size_t i = 0; i < message->msg_iovlen; i++)
        g_string_append_len(entry, message->msg_iov[i].iov_base,
                            (gssize)message->msg_iov[i].iov_len);
    keep(entry);
    g_string_free(entry, TRUE);
    room -= room > 0;
    if (crashes == CRASH_AFTER)
        longjmp(crash, 1);
    return 1;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_BOOTTIME)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){boottime / 1000000, boottime % 1000000 * 1000};
    return 0;
}

/* --- What there must be --- */

typedef struct Walk {
    State state;
    Journald journald;
    JournaldLimits limits;
    int pipe[2];
    GString *wrote[STREAMS];
    bool changes; /* the policy does, now and then */
} Walk;

static const JournalIdentity identity = {.id = "0123456789abcdef"};
static const JournaldFormat plain = {.hides_partials = false};

static void walk_begin(Walk *walk, JournaldFormat format, JournaldLimits limits)
{
    Error error;

    *walk = (Walk){.state = STATE_NULL, .limits = limits};
    entries = g_ptr_array_new_with_free_func(free_string);
    is_absent = false;
    room = NO_LIMIT;
    failures = 0;
    crashes = CRASH_NEVER;
    ck_assert_int_eq(pipe2(walk->pipe, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(state_create(&walk->state, &error), 0);
    journald_init(&walk->journald, &walk->state, &identity, format, limits);
    for (int i = 0; i < STREAMS; i++)
        walk->wrote[i] = g_string_new(NULL);
}

static void walk_end(Walk *walk)
{
    journald_deinit(&walk->journald);
    state_deinit(&walk->state);
    for (int i = 0; i < STREAMS; i++) {
        close(walk->pipe[i]);
        g_string_free(walk->wrote[i], TRUE);
    }
    g_ptr_array_free(entries, TRUE);
}

/* All entries that count, as records. */
static GString *whole_log(const Walk *walk)
{
    uint64_t count = state_journal_cursors(&walk->state)->entries;
    GString *log = g_string_new(NULL);

    ck_assert_uint_le(count, entries->len);
    ck_assert_uint_le(entries->len, count + 1); /* one that was not noted before a crash */
    for (uint64_t i = 0; i < count; i++) {
        const GString *record = g_ptr_array_index(entries, i);

        g_string_append_len(log, record->str, (gssize)record->len);
    }
    return log;
}

static bool is_a_reason(int32_t reason)
{
    return reason == LOSS_STALLED || reason == ENOENT || reason == ECONNREFUSED;
}

static void check(const Walk *walk)
{
    const JournalCursors *live = state_journal_cursors(&walk->state);
    const JournalPage *page = &walk->state.page->journal;
    GString *log = whole_log(walk);

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        const Counted counted = {
            .counters = &live->counters[i],
            .loss = &live->loss[i],
            .open = live->open[i],
            .start = live->start[i],
            .line_max = JOURNALD_MESSAGE_MOST,
            .wrote = walk->wrote[i],
        };
        Seen seen = see(log, i);

        check_written(&counted, &seen);
        check_lost(&counted, &seen);
        ck_assert_uint_eq(live->open[i], seen.is_open);
        ck_assert_uint_eq(counted.counters->limited_bytes + counted.counters->capped_bytes, 0);
        ck_assert(counted.loss->records == 0 || is_a_reason(counted.loss->reason));
        g_string_free(seen.open, TRUE);
    }
    ck_assert_uint_eq(page->send_errors, failures);
    ck_assert(page->retry_at == 0 || page->stalled_since != 0);
    g_string_free(log, TRUE);
}

/* --- Steps --- */

/* Another image of the program goes on. */
static void resume(Walk *walk)
{
    crashes = CRASH_NEVER;
    journald_deinit(&walk->journald);
    journald_init(&walk->journald, &walk->state, &identity, plain, walk->limits);
}

static void pump(Walk *walk, StreamId stream, SplitMode mode)
{
    if (setjmp(crash) == 0)
        journald_pump(&walk->journald, stream, mode);
    else
        resume(walk);
}

static void pump_both(Walk *walk, SplitMode mode)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        pump(walk, i, mode);
}

static void feed(Walk *walk, StreamId stream, const char *text, size_t length)
{
    g_string_append_len(walk->wrote[stream], text, (gssize)length);
    ck_assert_int_eq(write(walk->pipe[1], text, length), (ssize_t)length);
    while (length > 0) { /* a read takes less if something waits */
        ssize_t n = input_read(&walk->state, stream, walk->pipe[0],
                               state_journal_cursors(&walk->state)->start[stream]);

        ck_assert_int_gt(n, 0);
        length -= (size_t)n;
        pump(walk, stream, SPLIT_WAIT);
    }
}

/* Pieces of lines and several lines, each different; now and then one that takes several entries.
 */
static void feed_random(Walk *walk, GRand *random)
{
    bool is_long = g_rand_int_range(random, 0, 6) == 0;
    int lines = is_long ? 0 : g_rand_int_range(random, 0, 4);
    GString *text = g_string_new(NULL);

    for (int i = 0; i <= lines; i++) {
        int length = is_long ? 50000 : g_rand_int_range(random, 0, 40);

        if (i > 0)
            g_string_append_c(text, '\n');
        for (int j = 0; j < length; j++)
            g_string_append_c(text, (char)('a' + (j * 7 + (int)walk->wrote[0]->len) % 26));
    }
    if (text->len > 0)
        feed(walk, g_rand_boolean(random) ? STREAM_STDOUT : STREAM_STDERR, text->str, text->len);
    g_string_free(text, TRUE);
}

static void change_policy(Walk *walk)
{
    walk->limits.waits = !walk->limits.waits;
    journald_limit(&walk->journald, walk->limits);
}

static void step(Walk *walk, GRand *random)
{
    int what = g_rand_int_range(random, 0, 24);

    if (what == 0)
        boottime += JOURNAL_DEAD_AFTER;
    else
        boottime += g_rand_int_range(random, 0, 2000000);
    if (what == 1)
        is_absent = true;
    else if (what < 4)
        room = g_rand_int_range(random, 0, 8);
    else if (what == 4)
        crashes = g_rand_boolean(random) ? CRASH_BEFORE : CRASH_AFTER;
    else if (what == 5)
        journald_retry(&walk->journald);
    else if (what == 6 && walk->changes)
        change_policy(walk);
    else if (what < 9)
        pump_both(walk, SPLIT_WAIT);
    else if (what < 12) {
        is_absent = false;
        room = NO_LIMIT;
    } else if (!journald_holds(&walk->journald)) {
        feed_random(walk, random);
    }
    check(walk);
}

static void end(Walk *walk, bool is_there)
{
    if (is_there) {
        is_absent = false;
        room = NO_LIMIT;
        journald_retry(&walk->journald);
    } else {
        is_absent = true;
    }
    crashes = CRASH_NEVER;
    pump_both(walk, SPLIT_END);
    check(walk);
    journald_give_up(&walk->journald);
    pump_both(walk, SPLIT_END);
    check(walk);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        const JournalCursors *live = state_journal_cursors(&walk->state);
        GString *log = whole_log(walk);

        ck_assert_uint_eq(live->start[i], walk->wrote[i]->len);
        ck_assert(!loss_owes_newline(&live->loss[i], live->open[i]));
        if (is_there && walk->limits.says_losses) {
            ck_assert_uint_eq(live->loss[i].records, 0);
            ck_assert_uint_eq(check_told(log, i, walk->wrote[i]), walk->wrote[i]->len);
        }
        g_string_free(log, TRUE);
    }
}

/* The seeds are the numbers of the walks. */
static void go(JournaldLimits limits, bool changes)
{
    for (uint32_t seed = 0; seed < WALKS; seed++) {
        GRand *random = g_rand_new_with_seed(seed);
        Walk walk;

        walk_begin(&walk, plain, limits);
        walk.changes = changes;
        for (int i = 0; i < STEPS; i++)
            step(&walk, random);
        end(&walk, seed % 3 != 0);
        walk_end(&walk);
        g_rand_free(random);
    }
}

START_TEST(what_is_lost_is_counted_and_told)
{
    go((JournaldLimits){.says_losses = true}, false);
}
END_TEST

START_TEST(what_is_lost_is_counted_where_nothing_is_told)
{
    go((JournaldLimits){.says_losses = false}, false);
}
END_TEST

START_TEST(what_waits_is_counted_once)
{
    go((JournaldLimits){.waits = true, .says_losses = true}, false);
}
END_TEST

START_TEST(what_waits_before_it_is_lost_is_counted)
{
    go((JournaldLimits){.says_losses = true}, true);
}
END_TEST

/* A policy that changes is heard of at once. */
START_TEST(what_does_not_wait_any_more_is_lost)
{
    const LogCounters *counters;
    Walk walk;

    walk_begin(&walk, plain, (JournaldLimits){.waits = true});
    is_absent = true;
    feed(&walk, STREAM_STDOUT, "one\ntwo", 7);
    boottime += JOURNAL_DEAD_AFTER;
    pump(&walk, STREAM_STDOUT, SPLIT_WAIT);
    ck_assert_uint_eq(state_journal_cursors(&walk.state)->counters[STREAM_STDOUT].lost_bytes, 0);
    change_policy(&walk);
    pump(&walk, STREAM_STDOUT, SPLIT_WAIT);
    counters = state_journal_cursors(&walk.state)->counters;
    ck_assert_uint_eq(counters[STREAM_STDOUT].lost_bytes, 4);
    ck_assert_uint_eq(counters[STREAM_STDOUT].lost_records, 1);
    check(&walk);
    walk_end(&walk);
}
END_TEST

/* Not even as lost. */
START_TEST(what_is_not_the_containers_is_not_counted)
{
    static const char words[] = "a runtime's words";
    const JournalCursors *live;
    Walk walk;

    walk_begin(&walk, plain, (JournaldLimits){.says_losses = true});
    ck_assert_int_eq(write(walk.pipe[1], words, strlen(words)), (ssize_t)strlen(words));
    ck_assert_int_eq(input_read(&walk.state, STREAM_STDERR, walk.pipe[0], 0),
                     (ssize_t)strlen(words));
    journald_skip(&walk.journald, STREAM_STDERR, strlen(words));
    feed(&walk, STREAM_STDERR, "its own\n", 8);
    live = state_journal_cursors(&walk.state);
    ck_assert_uint_eq(live->start[STREAM_STDERR], strlen(words) + 8);
    ck_assert_uint_eq(live->counters[STREAM_STDERR].bytes, 8);
    ck_assert_uint_eq(live->counters[STREAM_STDERR].records, 1);
    ck_assert_uint_eq(live->counters[STREAM_STDERR].lost_bytes, 0);
    ck_assert_uint_eq(entries->len, 1);
    walk_end(&walk);
}
END_TEST

/* They are of the container, though no entry has them. */
START_TEST(the_bytes_of_a_priority_are_counted)
{
    const LogCounters *counters;
    Walk walk;

    walk_begin(&walk, (JournaldFormat){.reads_priorities = true}, (JournaldLimits){0});
    feed(&walk, STREAM_STDOUT, "<6>one\n<6>two", 13);
    pump(&walk, STREAM_STDOUT, SPLIT_END);
    counters = &state_journal_cursors(&walk.state)->counters[STREAM_STDOUT];
    ck_assert_uint_eq(counters->bytes, 13);
    ck_assert_uint_eq(counters->records, 2);
    ck_assert_uint_eq(counters->partials, 1);
    ck_assert_uint_eq(counters->longest, 6);
    walk_end(&walk);
}
END_TEST

SUITE("journal-counters", what_is_lost_is_counted_and_told,
      what_is_lost_is_counted_where_nothing_is_told, what_waits_is_counted_once,
      what_waits_before_it_is_lost_is_counted, what_does_not_wait_any_more_is_lost,
      what_is_not_the_containers_is_not_counted, the_bytes_of_a_priority_are_counted)
