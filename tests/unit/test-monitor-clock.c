#include "monitor/events.h"
#include "monitor/monitor.h"

#include "own-clock.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the monitor says and gives up, and when. */

enum { SECOND = 1000000, MINUTE = 60 * SECOND };

static struct {
    int result; /* of the next entries */
    unsigned entries;
    char last[4096];
    size_t length;
    bool has_room; /* the service manager */
    unsigned words;
    char word[512];
} outside;

int __wrap_journal_socket_send(JournalSocket *journal, const struct iovec *parts, size_t count);
bool __wrap_service_manager_send(ServiceManager *manager, const char *lines, int patience);

int __wrap_journal_socket_send(JournalSocket *journal, const struct iovec *parts, size_t count)
{
    (void)journal;
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_le(parts[0].iov_len, sizeof(outside.last));
    outside.length = parts[0].iov_len;
    memcpy(outside.last, parts[0].iov_base, outside.length);
    outside.entries += outside.result == 0;
    return outside.result;
}

bool __wrap_service_manager_send(ServiceManager *manager, const char *lines, int patience)
{
    (void)manager;
    ck_assert_int_eq(patience, 0);
    outside.words += outside.has_room;
    snprintf(outside.word, sizeof(outside.word), "%s", lines);
    return outside.has_room;
}

typedef struct Fixture {
    Config config;
    Monitor monitor;
    Page *page;
} Fixture;

static void setup(Fixture *fixture)
{
    const Config config = CONFIG_NULL;
    const Monitor monitor = MONITOR_NULL;
    Error error;

    *fixture = (Fixture){.config = config, .monitor = monitor};
    fixture->config.cid = "0123456789";
    fixture->config.messages = (Messages)MESSAGES_NULL;
    fixture->config.messages.level = LEVEL_ERROR;
    fixture->monitor.config = &fixture->config;
    ck_assert_int_eq(state_create(&fixture->monitor.state, &error), 0);
    fixture->page = fixture->monitor.state.page;
    fixture->page->settings = fixture->config.log;
    memset(&outside, 0, sizeof(outside));
    outside.has_room = true;
}

static void teardown(Fixture *fixture)
{
    state_deinit(&fixture->monitor.state);
}

static bool has(const char *text)
{
    return memmem(outside.last, outside.length, text, strlen(text)) != NULL;
}

/* Whether the last entry is of the event with that name. */
static bool is_event(const char *name)
{
    return has("CONWARD_EVENT\n") && has(name);
}

static bool has_held(unsigned count)
{
    char line[64];

    snprintf(line, sizeof(line), "CONWARD_HELD_BACK=%u\n", count);
    return has(count == 0 ? "CONWARD_HELD_BACK" : line);
}

START_TEST(each_kind_of_event_is_said_once_a_minute)
{
    Fixture fixture;
    const EventPage *event;

    setup(&fixture);
    event = &fixture.page->events[EVENT_READERS_DROPPED];
    event_readers_dropped(&fixture.monitor, 1, 30);
    ck_assert_uint_eq(outside.entries, 1);
    ck_assert(!has_held(0));
    ck_assert(is_event("readers-dropped"));
    ck_assert_int_eq(event->next_at, own_boottime + MINUTE);
    ck_assert_int_eq(events_due_at(&fixture.monitor), 0);

    own_clock_pass(MINUTE - 1);
    event_readers_dropped(&fixture.monitor, 1, 30);
    event_readers_dropped(&fixture.monitor, 1, 30);
    ck_assert_uint_eq(outside.entries, 1);
    ck_assert_uint_eq(event->held, 2);
    ck_assert_int_eq(events_due_at(&fixture.monitor), own_boottime + 1);
    /* Another kind has its own minute. */
    event_rate_limited(&fixture.monitor);
    ck_assert_uint_eq(outside.entries, 2);
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.entries, 2);

    own_clock_pass(1);
    event_readers_dropped(&fixture.monitor, 1, 30);
    ck_assert_uint_eq(outside.entries, 3);
    ck_assert(has_held(2));
    ck_assert_uint_eq(event->told, 2);
    ck_assert_int_eq(events_due_at(&fixture.monitor), 0);
    teardown(&fixture);
}
END_TEST

/* Nothing else happens in the container: the count is said when the minute is over, once. */
START_TEST(what_was_held_back_is_said_in_an_idle_container)
{
    Fixture fixture;
    const EventPage *event;
    int64_t due;

    setup(&fixture);
    event = &fixture.page->events[EVENT_FLOOD];
    for (int i = 0; i < 4; i++)
        event_flood(&fixture.monitor, STREAM_STDOUT, 1, 1);
    own_clock_pass(SECOND);
    for (int i = 0; i < 2; i++)
        event_long_line(&fixture.monitor, STREAM_STDOUT, 1, 1);
    ck_assert_uint_eq(outside.entries, 2);
    /* The earliest of all is what the timer sleeps for. */
    due = own_boottime + MINUTE - SECOND;
    ck_assert_int_eq(events_due_at(&fixture.monitor), due);
    own_boottime = due - 1;
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.entries, 2);
    own_boottime = due;
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.entries, 3);
    ck_assert(has_held(3));
    ck_assert(is_event("flood"));
    ck_assert(has("3 more, not reported one by one: reports of a flood"));
    ck_assert_int_eq(event->next_at, own_boottime + MINUTE);
    ck_assert_int_eq(events_due_at(&fixture.monitor), due + SECOND);
    own_clock_pass(SECOND);
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert(has_held(1) && is_event("long-line"));
    own_clock_pass(10 * INT64_C(60) * SECOND);
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.entries, 4);
    ck_assert_int_eq(events_due_at(&fixture.monitor), 0);
    teardown(&fixture);
}
END_TEST

/* A journal that takes none is told with the next one; one that is not there never is. */
START_TEST(an_event_that_cannot_be_sent_now_counts_as_held_back)
{
    Fixture fixture;
    const EventPage *event;

    setup(&fixture);
    event = &fixture.page->events[EVENT_OOM_KILL];
    outside.result = -EAGAIN;
    event_oom_kill(&fixture.monitor);
    ck_assert_uint_eq(event->held, 1);
    ck_assert_uint_eq(event->told, 0);
    ck_assert_int_eq(events_due_at(&fixture.monitor), own_boottime + MINUTE);
    own_clock_pass(MINUTE);
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(event->held, 1); /* no more than there were */
    ck_assert_int_eq(events_due_at(&fixture.monitor), own_boottime + MINUTE);
    own_clock_pass(MINUTE);
    outside.result = 0;
    events_say_held(&fixture.monitor, own_boottime);
    ck_assert(has_held(1));
    ck_assert_uint_eq(event->told, 1);

    event = &fixture.page->events[EVENT_LOG_FAILS];
    outside.result = -ENOENT;
    fixture.config.log_path = "log";
    event_log_fails(&fixture.monitor, LOG_DRIVER_FILE, "why", false);
    ck_assert_uint_eq(event->held, 0);
    ck_assert_int_eq(event->next_at, own_boottime + MINUTE);
    teardown(&fixture);
}
END_TEST

START_TEST(some_events_are_said_once_for_all)
{
    Fixture fixture;

    setup(&fixture);
    for (int i = 0; i < 3; i++) {
        event_started(&fixture.monitor);
        event_exited(&fixture.monitor, 0);
        event_log_incomplete(&fixture.monitor, 1, 1, "text");
        own_clock_pass(2 * INT64_C(60) * SECOND);
    }
    ck_assert_uint_eq(outside.entries, 3);
    teardown(&fixture);
}
END_TEST

static bool is_flood(int64_t passed, uint64_t bytes)
{
    Fixture fixture;
    bool is_said;

    setup(&fixture);
    fixture.page->streams[STREAM_STDOUT].end = 100 << 20;
    monitor_warn(&fixture.monitor, STREAM_STDOUT); /* that is where it begins to look */
    ck_assert_uint_eq(outside.entries, 0);
    own_clock_pass(passed);
    fixture.page->streams[STREAM_STDOUT].end += bytes;
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    is_said = outside.entries == 1;
    teardown(&fixture);
    return is_said;
}

START_TEST(a_flood_is_so_many_bytes_in_ten_seconds)
{
    ck_assert(is_flood(10 * SECOND, 100 << 20));
    ck_assert(!is_flood(10 * SECOND, (100 << 20) - 1));
    ck_assert(!is_flood(10 * SECOND + 1, 100 << 20));
    ck_assert(is_flood(1, 100 << 20));
}
END_TEST

/* What came in too long a time is the beginning of the next look. */
START_TEST(a_slow_stream_may_become_a_flood)
{
    Fixture fixture;
    StreamPage *stream;

    setup(&fixture);
    stream = &fixture.page->streams[STREAM_STDERR];
    for (int i = 0; i < 4; i++) {
        stream->end += 100 << 20;
        own_clock_pass(11 * SECOND);
        monitor_warn(&fixture.monitor, STREAM_STDERR);
    }
    ck_assert_uint_eq(outside.entries, 0);
    stream->end += 100 << 20;
    own_clock_pass(5 * SECOND);
    monitor_warn(&fixture.monitor, STREAM_STDERR);
    ck_assert_uint_eq(outside.entries, 1);
    ck_assert(has("CONWARD_BYTES_PER_SECOND=20971520\n"));
    ck_assert(has("stderr"));
    teardown(&fixture);
}
END_TEST

/* A line is spoken of beyond sixteen times its limit, and again a minute later while it grows. */
START_TEST(an_endless_line_is_spoken_of_again_while_it_grows)
{
    Fixture fixture;
    LogCounters *counters;
    const EventPage *event;

    setup(&fixture);
    fixture.config.log_path = "log";
    fixture.monitor.log.to.fd = STDERR_FILENO; /* there is a file */
    fixture.page->has_file = 1;
    fixture.page->settings.log_line_max = 1000;
    event = &fixture.page->events[EVENT_LONG_LINE];
    counters = &fixture.page->log.set[0].counters[STREAM_STDOUT];
    *counters = (LogCounters){.line = 16000, .long_lines = 1, .line_since = own_realtime};
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    ck_assert_uint_eq(outside.entries, 0);
    counters->line = 16001;
    own_clock_pass(2 * SECOND);
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    ck_assert_uint_eq(outside.entries, 1);
    ck_assert(has("CONWARD_BYTES_PER_SECOND=8000\n"));
    own_clock_pass(MINUTE - 1);
    counters->line = 20000;
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    ck_assert_uint_eq(event->held, 0); /* the same one */
    own_clock_pass(1);
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    ck_assert_uint_eq(outside.entries, 2);
    counters->long_lines++; /* another one counts */
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    ck_assert_uint_eq(event->held, 1);
    monitor_warn(&fixture.monitor, STREAM_STDOUT);
    ck_assert_uint_eq(event->held, 1);
    teardown(&fixture);
}
END_TEST

/* How long what waits for a log is kept after the end, if it takes nothing. */
static void check_settle(uint32_t policy, int64_t time)
{
    Fixture fixture;
    int64_t *at;

    setup(&fixture);
    fixture.page->settings.log_on_error = policy;
    fixture.page->report_at = own_boottime;
    at = &fixture.page->log.settle_at;
    monitor_log_moved(&fixture.monitor, at);
    ck_assert_int_eq(*at, 0); /* nothing waits yet */
    ck_assert(monitor_log_may_wait(&fixture.monitor, at));
    ck_assert_int_eq(*at, own_boottime + time);
    own_clock_pass(time - 1);
    ck_assert(monitor_log_may_wait(&fixture.monitor, at));
    monitor_log_moved(&fixture.monitor, at); /* progress puts it off */
    ck_assert_int_eq(*at, own_boottime + time);
    own_clock_pass(time - 1);
    ck_assert(monitor_log_may_wait(&fixture.monitor, at));
    own_clock_pass(1);
    ck_assert(!monitor_log_may_wait(&fixture.monitor, at));
    teardown(&fixture);
}

START_TEST(what_waits_for_a_log_is_given_up_after_a_time_without_progress)
{
    check_settle(LOG_DROP, 10 * SECOND);
    check_settle(LOG_WAIT, 300 * SECOND);
}
END_TEST

/* However slowly it goes on, and at once if somebody wants an end, or a command's output is over.
 */
START_TEST(what_waits_for_a_log_is_given_up_after_an_hour)
{
    Fixture fixture;
    int64_t *at;
    int64_t most;

    setup(&fixture);
    fixture.page->settings.log_on_error = LOG_WAIT;
    monitor_log_hurry(&fixture.monitor);
    ck_assert_int_eq(fixture.page->report_at, own_boottime + 10 * SECOND);
    own_clock_pass(SECOND);
    monitor_log_hurry(&fixture.monitor); /* again, after a crash */
    ck_assert_int_eq(fixture.page->report_at, own_boottime + 9 * SECOND);
    most = fixture.page->report_at + INT64_C(3600) * SECOND;
    at = &fixture.page->journal.settle_at;
    ck_assert(monitor_log_may_wait(&fixture.monitor, at));
    own_boottime = most - 300 * SECOND;
    monitor_log_moved(&fixture.monitor, at);
    ck_assert_int_eq(*at, most);
    own_clock_pass(1);
    monitor_log_moved(&fixture.monitor, at);
    ck_assert_int_eq(*at, most);
    ck_assert(monitor_log_may_wait(&fixture.monitor, at));
    fixture.page->hurried = 1;
    ck_assert(!monitor_log_may_wait(&fixture.monitor, at));
    fixture.page->hurried = 0;
    fixture.config.kind = KIND_EXEC;
    ck_assert(!monitor_log_may_wait(&fixture.monitor, at));
    teardown(&fixture);
    own_boottime = INT64_C(1000000000);
}
END_TEST

START_TEST(signs_of_life_have_their_interval)
{
    Fixture fixture;
    ServiceManager manager = {.address_length = 1, .watchdog = 5 * SECOND};
    const int64_t *at;

    setup(&fixture);
    at = &fixture.page->service.watchdog_at;
    monitor_service_init(&fixture.monitor, &manager);
    ck_assert_int_eq(*at, own_boottime + 5 * SECOND);
    own_clock_pass(5 * SECOND - 1);
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.words, 0);
    own_clock_pass(1);
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.words, 1);
    ck_assert_str_eq(outside.word, "WATCHDOG=1\nSTATUS=0 bytes logged");
    ck_assert_int_eq(*at, own_boottime + 5 * SECOND);

    /* One for which there is no room is given soon, and not only an interval later. */
    outside.has_room = false;
    own_clock_pass(5 * SECOND);
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_int_eq(*at, own_boottime + 100000);
    ck_assert_int_eq(fixture.monitor.service_at, own_boottime + 100000);
    outside.has_room = true;
    own_clock_pass(100000);
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.words, 2);
    ck_assert_int_eq(*at, own_boottime + 5 * SECOND);
    teardown(&fixture);
}
END_TEST

START_TEST(without_an_interval_no_sign_of_life_is_given)
{
    Fixture fixture;
    ServiceManager manager = {.address_length = 1};

    setup(&fixture);
    monitor_service_init(&fixture.monitor, &manager);
    own_clock_pass(MINUTE);
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.words, 0);
    ck_assert_int_eq(fixture.page->service.watchdog_at, 0);
    teardown(&fixture);
}
END_TEST

/* Each word is said once, and again if there was no room for it. */
START_TEST(a_word_is_owed_until_it_is_said)
{
    Fixture fixture;
    ServiceManager manager = {.address_length = 1};

    setup(&fixture);
    monitor_service_tell(&fixture.monitor, SERVICE_READY); /* nobody is there */
    ck_assert_uint_eq(outside.words, 0);
    monitor_service_init(&fixture.monitor, &manager);
    outside.has_room = false;
    monitor_service_tell(&fixture.monitor, SERVICE_READY);
    monitor_service_tell(&fixture.monitor, SERVICE_STOPPING);
    ck_assert_uint_eq(fixture.page->service.owed, SERVICE_READY | SERVICE_STOPPING);
    ck_assert_int_eq(fixture.monitor.service_at, own_boottime + 100000);
    outside.has_room = true;
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.words, 2);
    ck_assert_str_eq(outside.word, "STOPPING=1\nSTATUS=0 bytes logged");
    ck_assert_uint_eq(fixture.page->service.owed, 0);
    monitor_service_speak(&fixture.monitor, own_boottime);
    ck_assert_uint_eq(outside.words, 2);
    teardown(&fixture);
}
END_TEST

SUITE("monitor-clock", each_kind_of_event_is_said_once_a_minute,
      what_was_held_back_is_said_in_an_idle_container,
      an_event_that_cannot_be_sent_now_counts_as_held_back, some_events_are_said_once_for_all,
      a_flood_is_so_many_bytes_in_ten_seconds, a_slow_stream_may_become_a_flood,
      an_endless_line_is_spoken_of_again_while_it_grows,
      what_waits_for_a_log_is_given_up_after_a_time_without_progress,
      what_waits_for_a_log_is_given_up_after_an_hour, signs_of_life_have_their_interval,
      without_an_interval_no_sign_of_life_is_given, a_word_is_owed_until_it_is_said)
