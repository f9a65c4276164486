#include "log/journald.h"
#include "state/input.h"

#include "own-clock.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The journal as a log: what is sent, in which pieces, and how long one that fails is waited for.
 */

enum { SECOND = 1000000 };

/* The journal, as a sender sees it: it takes what comes, or says why it does not. */
static struct {
    int error;           /* 0 = it takes entries */
    int once;            /* the same, for the next call only */
    unsigned fail_after; /* the one behind so many fails, 0 = none does */
    int connected;       /* how often */
    int connect_error;
    unsigned calls;
    unsigned entries;
    bool is_file; /* the last one came as a memory file */
    char last[STATE_INPUT_SIZE];
    size_t length;
} journal;

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

static void keep_parts(const struct msghdr *message)
{
    journal.length = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const struct iovec *part = &message->msg_iov[i];

        memcpy(journal.last + journal.length, part->iov_base, part->iov_len);
        journal.length += part->iov_len;
    }
}

static void keep_file(const struct msghdr *message)
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(message);
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    ssize_t length;
    int fd;

    memcpy(&fd, CMSG_DATA(control), sizeof(fd));
    ck_assert_int_eq(fcntl(fd, F_GET_SEALS), seals);
    length = pread(fd, journal.last, sizeof(journal.last), 0);
    ck_assert_int_gt(length, 0);
    journal.length = (size_t)length;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int error = journal.once != 0 ? journal.once : journal.error;

    (void)fd;
    ck_assert_int_eq(flags & MSG_NOSIGNAL, MSG_NOSIGNAL);
    journal.calls++;
    journal.once = 0;
    if (journal.fail_after > 0 && --journal.fail_after == 0)
        journal.once = EAGAIN;
    journal.is_file = message->msg_controllen > 0;
    if (error == EMSGSIZE && journal.is_file)
        error = 0;
    if (error != 0) {
        errno = error;
        return -1;
    }
    journal.entries++;
    if (journal.is_file)
        keep_file(message);
    else
        keep_parts(message);
    return 1;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    (void)fd;
    (void)address;
    (void)length;
    journal.connected++;
    errno = journal.connect_error;
    return journal.connect_error != 0 ? -1 : 0;
}

typedef struct Fixture {
    State state;
    Journald journald;
    int pipe[2];
} Fixture;

static void setup(Fixture *fixture, JournaldFormat format, JournaldLimits limits)
{
    const JournalIdentity identity = {.id = "0123456789abcdef"};
    Error error;

    *fixture = (Fixture){.state = STATE_NULL};
    memset(&journal, 0, sizeof(journal));
    ck_assert_int_eq(pipe2(fixture->pipe, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    journald_init(&fixture->journald, &fixture->state, &identity, format, limits);
}

static void teardown(Fixture *fixture)
{
    journald_deinit(&fixture->journald);
    state_deinit(&fixture->state);
    close(fixture->pipe[0]);
    close(fixture->pipe[1]);
}

static int pump(Fixture *fixture)
{
    return journald_pump(&fixture->journald, STREAM_STDOUT, SPLIT_WAIT);
}

static void put(Fixture *fixture, const void *bytes, size_t size)
{
    uint64_t start = state_journal_cursors(&fixture->state)->start[STREAM_STDOUT];

    ck_assert_int_eq(write(fixture->pipe[1], bytes, size), (ssize_t)size);
    ck_assert_int_eq(input_read(&fixture->state, STREAM_STDOUT, fixture->pipe[0], start),
                     (ssize_t)size);
}

static int feed(Fixture *fixture, const char *text)
{
    put(fixture, text, strlen(text));
    return pump(fixture);
}

static const LogCounters *counters(const Fixture *fixture)
{
    return &state_journal_cursors(&fixture->state)->counters[STREAM_STDOUT];
}

/* Whether the last entry has that line, or the field's name and its text. */
static bool has(const char *text)
{
    return memmem(journal.last, journal.length, text, strlen(text)) != NULL;
}

/* Whether the last entry's message is that text. */
static bool says(const char *text)
{
    uint64_t length = strlen(text);
    char field[512] = "MESSAGE\n";
    size_t used = strlen(field);

    memcpy(field + used, &length, sizeof(length));
    used += sizeof(length);
    memcpy(field + used, text, length);
    used += length;
    field[used++] = '\n';
    return memmem(journal.last, journal.length, field, used) != NULL;
}

static const JournaldFormat PLAIN = {.hides_partials = false};
static const JournaldLimits DROP = {.waits = false};
static const JournaldLimits WAIT = {.waits = true};

START_TEST(the_pause_before_a_journal_is_asked_again_grows_and_begins_anew)
{
    static const int64_t pauses[] = {50000,  100000,  200000,  400000,
                                     800000, 1000000, 1000000, 1000000};
    Fixture fixture;
    const JournalPage *page;

    setup(&fixture, PLAIN, WAIT);
    page = &fixture.state.page->journal;
    for (int round = 0; round < 2; round++) {
        int64_t since = own_boottime;

        journal_socket_close(&fixture.journald.sender.socket);
        journal.connect_error = ENOENT;
        feed(&fixture, "line\n");
        for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
            int connected = journal.connected;

            ck_assert_int_eq(page->retry_at, own_boottime + pauses[i]);
            ck_assert_int_eq(page->stalled_since, since);
            ck_assert_int_eq(journald_due_at(&fixture.journald), page->retry_at);
            own_clock_pass(pauses[i] - 1);
            pump(&fixture);
            ck_assert_int_eq(journal.connected, connected);
            own_clock_pass(1);
            pump(&fixture);
            ck_assert_int_eq(journal.connected, connected + 1);
        }
        journal.connect_error = 0;
        own_clock_pass(SECOND);
        ck_assert_int_eq(pump(&fixture), 1);
        ck_assert_int_eq(page->retry_at, 0);
        ck_assert_int_eq(page->stalled_since, 0);
        ck_assert_int_eq(journald_due_at(&fixture.journald), 0);
    }
    ck_assert_uint_eq(journal.entries, 2);
    ck_assert_uint_eq(counters(&fixture)->lost_records, 0);
    teardown(&fixture);
}
END_TEST

START_TEST(what_a_journal_does_not_take_is_kept_for_ten_seconds)
{
    Fixture fixture;
    int64_t since;

    setup(&fixture, PLAIN, DROP);
    journal.error = EAGAIN;
    since = own_boottime;
    ck_assert_int_eq(feed(&fixture, "line\n"), 0);
    ck_assert(journald_waits(&fixture.journald));
    ck_assert(journald_goes_on(&fixture.journald));
    own_boottime = since + JOURNAL_SLOW_FOR - 1;
    ck_assert(journal_sender_is_slow(&fixture.journald.sender));
    own_boottime = since + JOURNAL_SLOW_FOR;
    ck_assert(!journal_sender_is_slow(&fixture.journald.sender));
    ck_assert(!journald_goes_on(&fixture.journald));

    own_boottime = since + JOURNAL_DEAD_AFTER - 1;
    ck_assert_int_eq(pump(&fixture), 0);
    ck_assert(journald_waits(&fixture.journald));
    /* It is due then, and not a pause later. */
    ck_assert_int_eq(journald_due_at(&fixture.journald), since + JOURNAL_DEAD_AFTER);
    own_boottime = since + JOURNAL_DEAD_AFTER;
    ck_assert_int_eq(pump(&fixture), -EAGAIN);
    ck_assert(!journald_waits(&fixture.journald));
    ck_assert_uint_eq(counters(&fixture)->lost_records, 1);
    ck_assert_uint_eq(counters(&fixture)->lost_bytes, 5);
    ck_assert_int_eq(state_journal_cursors(&fixture.state)->loss[0].reason, LOSS_STALLED);

    /* From then on nothing is kept; one that is taken begins that time anew. */
    ck_assert_int_eq(feed(&fixture, "two\n"), -EAGAIN);
    ck_assert_uint_eq(counters(&fixture)->lost_records, 2);
    journal.error = 0;
    own_clock_pass(SECOND);
    ck_assert_int_eq(feed(&fixture, "three\n"), 1);
    journal.error = EAGAIN;
    ck_assert_int_eq(feed(&fixture, "four\n"), 0);
    ck_assert(journald_waits(&fixture.journald));
    ck_assert_uint_eq(counters(&fixture)->lost_records, 2);
    teardown(&fixture);
}
END_TEST

START_TEST(a_journal_that_is_waited_for_loses_nothing)
{
    Fixture fixture;

    setup(&fixture, PLAIN, WAIT);
    journal.error = EAGAIN;
    /* As long as it may only be slow, nobody speaks of it. */
    ck_assert_int_eq(feed(&fixture, "line\n"), 0);
    ck_assert_int_eq(journald_blocked_fd(&fixture.journald), fixture.journald.sender.socket.fd);
    ck_assert_int_ge(journald_blocked_fd(&fixture.journald), 0);
    own_clock_pass(JOURNAL_SLOW_FOR);
    ck_assert_int_eq(pump(&fixture), -EAGAIN);
    own_clock_pass(INT64_C(1000) * SECOND);
    ck_assert_int_eq(pump(&fixture), -EAGAIN);
    ck_assert(journald_waits(&fixture.journald));
    ck_assert_uint_eq(counters(&fixture)->lost_records, 0);
    journald_retry(&fixture.journald);
    journal.error = 0;
    ck_assert_int_eq(pump(&fixture), 1);
    ck_assert(says("line\n"));
    ck_assert_int_eq(journald_blocked_fd(&fixture.journald), -1);

    journal.error = EAGAIN;
    feed(&fixture, "last\n");
    journald_give_up(&fixture.journald);
    ck_assert_int_eq(pump(&fixture), -EAGAIN);
    ck_assert_uint_eq(counters(&fixture)->lost_records, 1);
    teardown(&fixture);
}
END_TEST

/* Others than a journal that does not read have no descriptor that would say when they can go on,
 * and count. */
START_TEST(an_absent_journal_is_an_error_that_counts)
{
    Fixture fixture;

    setup(&fixture, PLAIN, WAIT);
    journal.error = EAGAIN;
    feed(&fixture, "line\n");
    ck_assert_uint_eq(fixture.state.page->journal.send_errors, 0);
    journal.error = ECONNREFUSED;
    own_clock_pass(50000);
    pump(&fixture);
    ck_assert_uint_eq(fixture.state.page->journal.send_errors, 1);
    ck_assert_int_eq(fixture.state.page->journal.last_error, ECONNREFUSED);
    ck_assert_int_eq(journald_blocked_fd(&fixture.journald), -1);
    teardown(&fixture);
}
END_TEST

START_TEST(a_connection_is_made_anew_once)
{
    Fixture fixture;

    setup(&fixture, PLAIN, WAIT);
    ck_assert_int_eq(feed(&fixture, "one\n"), 1);
    ck_assert_int_eq(feed(&fixture, "two\n"), 1);
    ck_assert_int_eq(journal.connected, 1);
    /* What it was connected to is gone; another one is there. */
    journal.once = ECONNREFUSED;
    ck_assert_int_eq(feed(&fixture, "three\n"), 1);
    ck_assert_int_eq(journal.connected, 2);
    ck_assert(says("three\n"));
    journal.error = ECONNREFUSED;
    feed(&fixture, "four\n");
    ck_assert_int_eq(journal.connected, 3);
    /* A new connection is not made twice. */
    journal.calls = 0;
    own_clock_pass(50000);
    pump(&fixture);
    ck_assert_int_eq(journal.connected, 4);
    ck_assert_uint_eq(journal.calls, 1);
    journal.error = 0;
    journal.once = EINTR;
    own_clock_pass(SECOND);
    ck_assert_int_eq(pump(&fixture), 1);
    ck_assert(says("four\n"));
    teardown(&fixture);
}
END_TEST

START_TEST(what_is_too_large_for_a_datagram_goes_as_a_file)
{
    static const int errors[] = {EMSGSIZE, ENOBUFS};
    Fixture fixture;

    setup(&fixture, PLAIN, WAIT);
    ck_assert_int_eq(feed(&fixture, "small\n"), 1);
    ck_assert(!journal.is_file);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        journal.once = errors[i];
        ck_assert_int_eq(feed(&fixture, "large\n"), 1);
        ck_assert(journal.is_file);
        ck_assert(says("large\n"));
        ck_assert(has("CONTAINER_ID_FULL"));
    }
    ck_assert_int_eq(journal.connected, 1);
    teardown(&fixture);
}
END_TEST

/* A line of that many bytes, and its newline, as so many entries of which the last one has `rest`
 * bytes without the newline. */
static void check_line(size_t size, unsigned entries, size_t rest)
{
    static char line[2 * JOURNALD_MESSAGE_MOST];
    Fixture fixture;
    char length[32];
    size_t head = size > 40000 ? 40000 : size; /* a pipe holds no more */

    setup(&fixture, PLAIN, WAIT);
    memset(line, 'x', size);
    put(&fixture, line, head);
    if (size > head)
        put(&fixture, line, size - head);
    ck_assert_int_eq(pump(&fixture), size > JOURNALD_MESSAGE_MOST);
    ck_assert_int_eq(has("CONTAINER_PARTIAL_MESSAGE=true\n"), size > JOURNALD_MESSAGE_MOST);
    feed(&fixture, "\n");
    ck_assert_uint_eq(journal.entries, entries);
    ck_assert(!has("CONTAINER_PARTIAL_MESSAGE=true\n"));
    snprintf(length, sizeof(length), "CONWARD_SEQ=%u\n", entries - 1);
    ck_assert(has(length));
    ck_assert_uint_eq(counters(&fixture)->partials, entries - 1);
    ck_assert_uint_eq(counters(&fixture)->records, entries);
    ck_assert_uint_eq(counters(&fixture)->bytes, size + 1);
    ck_assert_uint_eq(counters(&fixture)->long_lines, entries > 1);
    line[rest] = '\n';
    line[rest + 1] = '\0';
    ck_assert(rest > 100 || says(line));
    teardown(&fixture);
}

START_TEST(an_entry_holds_so_many_bytes_of_a_line)
{
    check_line(5, 1, 5);
    check_line(JOURNALD_MESSAGE_MOST - 1, 1, JOURNALD_MESSAGE_MOST - 1);
    check_line(JOURNALD_MESSAGE_MOST, 1, JOURNALD_MESSAGE_MOST);
    check_line(JOURNALD_MESSAGE_MOST + 1, 2, 1);
    check_line(JOURNALD_MESSAGE_MOST + 100, 2, 100);
}
END_TEST

/* What the priority is that a line's first entry has, and its message. */
static void check_priority(const char *line, unsigned priority, const char *message)
{
    Fixture fixture;
    char field[32];

    setup(&fixture, (JournaldFormat){.reads_priorities = true}, WAIT);
    snprintf(field, sizeof(field), "PRIORITY=%u\n", priority);
    ck_assert_int_eq(feed(&fixture, line), 1);
    ck_assert_msg(has(field) && says(message), "%s", line);
    ck_assert(has("CONWARD_STREAM=stdout\n"));
    teardown(&fixture);
}

START_TEST(a_line_may_say_its_priority)
{
    Fixture fixture;

    check_priority("<0>text\n", 0, "text\n");
    check_priority("<7>text\n", 7, "text\n");
    check_priority("<3>\n", 3, "\n");
    check_priority("<8>text\n", 6, "<8>text\n");
    check_priority("</>text\n", 6, "</>text\n");
    check_priority("<3\n", 6, "<3\n");
    check_priority("(3>text\n", 6, "(3>text\n");
    check_priority("<3)text\n", 6, "<3)text\n");
    check_priority("<33>text\n", 6, "<33>text\n");

    setup(&fixture, PLAIN, WAIT);
    feed(&fixture, "<3>text\n");
    ck_assert(has("PRIORITY=6\n") && says("<3>text\n") && !has("CONWARD_STREAM"));
    teardown(&fixture);
}
END_TEST

/* What follows a part that is sent has that part's priority, whatever it begins with. */
START_TEST(all_entries_of_a_line_have_its_priority)
{
    static char line[JOURNALD_MESSAGE_MOST];
    Fixture fixture;

    setup(&fixture, (JournaldFormat){.reads_priorities = true}, WAIT);
    memset(line, 'x', sizeof(line));
    memcpy(line, "<2>", 3);
    put(&fixture, line, 40000);
    put(&fixture, line + 40000, sizeof(line) - 40000);
    ck_assert_int_eq(feed(&fixture, "<5>rest\n"), 1);
    ck_assert_uint_eq(journal.entries, 2);
    ck_assert(has("PRIORITY=2\n") && says("<5>rest\n"));
    feed(&fixture, "<5>next\n");
    ck_assert(has("PRIORITY=5\n") && says("next\n"));
    teardown(&fixture);
}
END_TEST

/* With so many bytes waiting no more is read. */
START_TEST(no_more_than_so_many_bytes_wait)
{
    static char line[STATE_HOLD_SIZE];
    Fixture fixture;

    setup(&fixture, PLAIN, WAIT);
    journal.error = EAGAIN;
    memset(line, 'x', sizeof(line));
    line[99] = '\n';
    put(&fixture, line, 40000);
    put(&fixture, line, STATE_HOLD_SIZE - 40000 - 1);
    pump(&fixture);
    ck_assert(journald_waits(&fixture.journald));
    ck_assert(!journald_holds(&fixture.journald));
    feed(&fixture, "x");
    ck_assert(journald_holds(&fixture.journald));
    teardown(&fixture);
}
END_TEST

/* A loss is told before what follows it, once, and if it is to be told at all. */
START_TEST(a_loss_is_told_with_what_follows)
{
    Fixture fixture;
    const JournalCursors *live;

    setup(&fixture, PLAIN, (JournaldLimits){.says_losses = true});
    journal.error = ECONNREFUSED;
    ck_assert_int_eq(feed(&fixture, "one\n"), 0);
    own_clock_pass(JOURNAL_DEAD_AFTER);
    ck_assert_int_eq(pump(&fixture), -ECONNREFUSED);
    ck_assert(!journald_tells(&fixture.journald)); /* it is not only slow */
    ck_assert_int_eq(journald_due_at(&fixture.journald), fixture.state.page->journal.retry_at);
    journal.error = 0;
    own_clock_pass(SECOND);
    ck_assert_int_eq(pump(&fixture), 1);
    ck_assert(has("CONWARD_LOST_BYTES=4\nCONWARD_LOST_RECORDS=1\n"));
    ck_assert(has("[conward] lost 4 bytes in 1 records on stdout, from "));
    live = state_journal_cursors(&fixture.state);
    ck_assert_uint_eq(live->loss[STREAM_STDOUT].records, 0);
    ck_assert_uint_eq(live->entries, 1);
    ck_assert_int_eq(journald_due_at(&fixture.journald), 0);
    ck_assert_int_eq(feed(&fixture, "two\n"), 1);
    ck_assert(says("two\n"));
    ck_assert_uint_eq(journal.entries, 2);
    teardown(&fixture);
}
END_TEST

/* A line of which the journal has the beginning, and has not taken the end. */
static void lose_end_of_line(Fixture *fixture)
{
    static char line[JOURNALD_MESSAGE_MOST + 10];

    setup(fixture, PLAIN, (JournaldLimits){.says_losses = true});
    memset(line, 'x', sizeof(line));
    put(fixture, line, 40000);
    put(fixture, line + 40000, sizeof(line) - 40000);
    ck_assert_int_eq(pump(fixture), 1);
    journal.error = EAGAIN;
    ck_assert_int_eq(feed(fixture, "tail\n"), 0);
    own_clock_pass(JOURNAL_DEAD_AFTER);
    ck_assert_int_eq(pump(fixture), -EAGAIN);
    ck_assert_uint_eq(counters(fixture)->lost_bytes, 14); /* its newline is only late */
    ck_assert_uint_eq(counters(fixture)->lost_records, 1);
}

START_TEST(the_newline_of_a_damaged_line_comes_before_what_tells_of_it)
{
    Fixture fixture;
    unsigned before;

    lose_end_of_line(&fixture);
    before = journal.entries;
    journal.error = 0;
    own_clock_pass(SECOND);
    ck_assert_int_eq(pump(&fixture), 1);
    ck_assert_uint_eq(journal.entries, before + 2);
    ck_assert(has("CONWARD_LOST_BYTES=14\nCONWARD_LOST_RECORDS=1\n"));
    ck_assert(has("CONWARD_SEQ=2\n"));
    ck_assert_uint_eq(counters(&fixture)->bytes, JOURNALD_MESSAGE_MOST + 1);
    ck_assert_uint_eq(counters(&fixture)->records, 2);
    ck_assert_uint_eq(counters(&fixture)->lost_bytes, 14);
    ck_assert_int_eq(fixture.state.page->journal.retry_at, 0);
    ck_assert_int_eq(feed(&fixture, "next\n"), 1);
    ck_assert_uint_eq(journal.entries, before + 3);
    ck_assert(says("next\n"));
    teardown(&fixture);
}
END_TEST

/* Where losses are not told, the newline comes all the same. */
START_TEST(the_newline_of_a_damaged_line_comes_alone)
{
    Fixture fixture;
    unsigned before;

    lose_end_of_line(&fixture);
    before = journal.entries;
    journald_limit(&fixture.journald, DROP);
    journal.error = 0;
    own_clock_pass(SECOND);
    ck_assert_int_eq(pump(&fixture), 1);
    ck_assert_uint_eq(journal.entries, before + 1);
    ck_assert(says("\n"));
    ck_assert_int_eq(journald_due_at(&fixture.journald), 0);
    teardown(&fixture);
}
END_TEST

/* What another image has left behind at the end waits still: nothing of the container will say so.
 */
START_TEST(another_image_knows_what_waits_at_the_end)
{
    static const struct {
        uint32_t phase;
        uint32_t failed;
        const char *text;
        bool waits;
    } pages[] = {
        {PHASE_RUNNING, 0, "rest", false},  {PHASE_DRAINING, 0, "rest", true},
        {PHASE_REPORTING, 0, "rest", true}, {PHASE_REPORTING, 1, "rest", false},
        {PHASE_DRAINING, 0, "", false},
    };

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        const JournalIdentity identity = {.id = "id"};
        Fixture fixture;

        setup(&fixture, PLAIN, WAIT);
        if (pages[i].text[0] != '\0')
            put(&fixture, pages[i].text, strlen(pages[i].text));
        journald_deinit(&fixture.journald);
        fixture.state.page->phase = pages[i].phase;
        fixture.state.page->failed = pages[i].failed;
        journald_init(&fixture.journald, &fixture.state, &identity, PLAIN, WAIT);
        ck_assert_msg(journald_waits(&fixture.journald) == pages[i].waits, "page %zu", i);
        teardown(&fixture);
    }
}
END_TEST

/* It is one of two entries only: the other one is tried again. */
START_TEST(what_follows_such_a_newline_may_fail_by_itself)
{
    Fixture fixture;
    unsigned before;

    lose_end_of_line(&fixture);
    before = journal.entries;
    journal.error = 0;
    journal.fail_after = 1;
    own_clock_pass(SECOND);
    pump(&fixture);
    ck_assert_uint_eq(journal.entries, before + 1);
    ck_assert(says("\n"));
    ck_assert_uint_eq(state_journal_cursors(&fixture.state)->loss[STREAM_STDOUT].records, 1);
    own_clock_pass(SECOND);
    ck_assert_int_eq(pump(&fixture), 1);
    ck_assert_uint_eq(journal.entries, before + 2);
    ck_assert(has("CONWARD_LOST_BYTES=14\n"));
    teardown(&fixture);
}
END_TEST

START_TEST(a_newline_that_can_never_be_sent_is_lost)
{
    Fixture fixture;

    lose_end_of_line(&fixture);
    own_clock_pass(SECOND);
    journald_pump(&fixture.journald, STREAM_STDOUT, SPLIT_END);
    ck_assert_uint_eq(counters(&fixture)->lost_bytes, 15);
    ck_assert_uint_eq(counters(&fixture)->lost_records, 1); /* it is of that record */
    journald_pump(&fixture.journald, STREAM_STDOUT, SPLIT_END);
    ck_assert_uint_eq(counters(&fixture)->lost_bytes, 15);
    teardown(&fixture);
}
END_TEST

/* A loss that goes on is said after ten seconds, in the middle of its line. */
START_TEST(an_endless_loss_is_said_in_between)
{
    static char line[JOURNALD_MESSAGE_MOST];
    Fixture fixture;

    setup(&fixture, PLAIN, (JournaldLimits){.says_losses = true});
    memset(line, 'x', sizeof(line));
    journal.error = EAGAIN;
    put(&fixture, line, 40000);
    put(&fixture, line, 20000);
    pump(&fixture);
    own_clock_pass(JOURNAL_DEAD_AFTER);
    ck_assert_int_eq(pump(&fixture), -EAGAIN);
    ck_assert_uint_eq(counters(&fixture)->lost_bytes, JOURNALD_MESSAGE_MOST);
    journal.error = 0;
    own_clock_pass(10 * SECOND);
    pump(&fixture);
    ck_assert_uint_eq(journal.entries, 0); /* not later than that, and not yet */
    own_clock_pass(1);
    pump(&fixture);
    ck_assert_uint_eq(journal.entries, 1);
    ck_assert(has("CONWARD_LOST_BYTES=49152\n"));
    /* Its rest is lost, too, and what follows the line is not. */
    feed(&fixture, "\nnext\n");
    ck_assert(says("next\n"));
    ck_assert_uint_eq(counters(&fixture)->lost_bytes, 60001);
    teardown(&fixture);
}
END_TEST

SUITE("journal", the_newline_of_a_damaged_line_comes_alone,
      another_image_knows_what_waits_at_the_end,
      the_newline_of_a_damaged_line_comes_before_what_tells_of_it,
      what_follows_such_a_newline_may_fail_by_itself, a_newline_that_can_never_be_sent_is_lost,
      an_endless_loss_is_said_in_between,
      the_pause_before_a_journal_is_asked_again_grows_and_begins_anew,
      what_a_journal_does_not_take_is_kept_for_ten_seconds,
      a_journal_that_is_waited_for_loses_nothing, an_absent_journal_is_an_error_that_counts,
      a_connection_is_made_anew_once, what_is_too_large_for_a_datagram_goes_as_a_file,
      an_entry_holds_so_many_bytes_of_a_line, a_line_may_say_its_priority,
      all_entries_of_a_line_have_its_priority, no_more_than_so_many_bytes_wait,
      a_loss_is_told_with_what_follows)
