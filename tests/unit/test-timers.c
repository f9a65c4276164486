#include "monitor/events.h"
#include "monitor/monitor.h"

#include "own-clock.h"
#include "suite.h"

#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/*
 * Each deadline of the monitor by itself: the loop sleeps until then, what is to be done is done
 * once, at that moment and not before, and the loop sleeps again.
 */

enum { SECOND = 1000000, CONTAINER = 123456789 /* no such process */ };

typedef enum Call {
    CALL_PUMP_STDOUT,
    CALL_PUMP_STDERR,
    CALL_TRIM,
    CALL_KILL,
    CALL_KILL_GROUP,
    CALL_END,
    CALL_OOM_LOOK,
    CALL_LOG_GO_ON,
    CALL_SPEAK,
    CALL_ACCEPT,
    CALL_SAY_HELD,
    CALL_REOPEN,
    CALL_DROP_STALLED,
    CALLS,
} Call;

static int calls[CALLS];

/* Deadlines that other parts know, 0 = none. */
static struct {
    int64_t events;
    int64_t reopen;
    int64_t journal;
    int64_t settle;
    int64_t stalled_since;
    AttachLag with; /* of whom that was asked */
} theirs;

void __wrap_monitor_pump(Monitor *monitor, StreamId stream, SplitMode mode);
void __wrap_monitor_trim(Monitor *monitor);
void __wrap_monitor_end(Monitor *monitor);
void __wrap_monitor_oom_look(Monitor *monitor);
void __wrap_monitor_log_go_on(Monitor *monitor);
void __wrap_monitor_service_speak(Monitor *monitor, int64_t now);
int __wrap_kill(pid_t pid, int number);
pid_t __wrap_getpgid(pid_t pid);

static pid_t group; /* of the container, 0 = there is none */

/* These see to their deadlines themselves. */
void __wrap_monitor_pump(Monitor *monitor, StreamId stream, SplitMode mode)
{
    ck_assert_int_eq((int)mode, (int)SPLIT_FLUSH);
    calls[stream == STREAM_STDOUT ? CALL_PUMP_STDOUT : CALL_PUMP_STDERR]++;
    monitor_page(monitor)->flush_at[stream] = 0;
}

void __wrap_monitor_end(Monitor *monitor)
{
    calls[CALL_END]++;
    monitor_page(monitor)->late_at = 0;
    monitor_page(monitor)->command_at = 0;
    theirs.settle = 0;
}

void __wrap_monitor_service_speak(Monitor *monitor, int64_t now)
{
    ck_assert_int_eq(now, own_boottime);
    calls[CALL_SPEAK]++;
    monitor_page(monitor)->service.watchdog_at = 0;
}

void __wrap_monitor_trim(Monitor *monitor)
{
    (void)monitor;
    calls[CALL_TRIM]++;
}

void __wrap_monitor_oom_look(Monitor *monitor)
{
    (void)monitor;
    calls[CALL_OOM_LOOK]++;
}

void __wrap_monitor_log_go_on(Monitor *monitor)
{
    (void)monitor;
    calls[CALL_LOG_GO_ON]++;
    theirs.journal = 0;
}

/* Whatever it is that should be killed, nobody is. */
int __wrap_kill(pid_t pid, int number)
{
    ck_assert_int_eq(number, SIGKILL);
    calls[pid == CONTAINER ? CALL_KILL : CALL_KILL_GROUP]++;
    return 0;
}

pid_t __wrap_getpgid(pid_t pid)
{
    ck_assert_int_eq(pid, CONTAINER);
    return group != 0 ? group : -1;
}

static Config config = CONFIG_NULL;
static Monitor monitor = MONITOR_NULL;

void __wrap_k8s_file_end_turn(K8sFile *file);
void __wrap_attach_retry(Attach *attach);
int64_t __wrap_attach_stalled_since(const Attach *attach, AttachLag which);
unsigned __wrap_attach_drop_stalled(Attach *attach, int64_t before, AttachLag which);
int64_t __wrap_events_due_at(const Monitor *monitor);
void __wrap_events_say_held(Monitor *monitor, int64_t now);
int64_t __wrap_k8s_file_reopen_at(const K8sFile *file);
void __wrap_monitor_reopen_log(Monitor *monitor);
int64_t __wrap_journald_due_at(const Journald *journald);
int64_t __wrap_monitor_log_settle_at(const Monitor *monitor);

void __wrap_k8s_file_end_turn(K8sFile *file)
{
    (void)file;
    monitor_page(&monitor)->log.turn_at = 0;
}

void __wrap_attach_retry(Attach *attach)
{
    (void)attach;
    calls[CALL_ACCEPT]++;
}

int64_t __wrap_attach_stalled_since(const Attach *attach, AttachLag which)
{
    (void)attach;
    theirs.with = which;
    return theirs.stalled_since != 0 ? theirs.stalled_since : INT64_MAX;
}

unsigned __wrap_attach_drop_stalled(Attach *attach, int64_t before, AttachLag which)
{
    (void)attach;
    ck_assert_int_eq((int)which, (int)theirs.with);
    if (theirs.stalled_since == 0 || theirs.stalled_since > before)
        return 0;
    calls[CALL_DROP_STALLED]++;
    theirs.stalled_since = 0;
    return 0;
}

int64_t __wrap_events_due_at(const Monitor *unused)
{
    (void)unused;
    return theirs.events;
}

void __wrap_events_say_held(Monitor *unused, int64_t now)
{
    (void)unused;
    if (theirs.events == 0 || theirs.events > now)
        return;
    calls[CALL_SAY_HELD]++;
    theirs.events = 0;
}

int64_t __wrap_k8s_file_reopen_at(const K8sFile *file)
{
    (void)file;
    return theirs.reopen;
}

void __wrap_monitor_reopen_log(Monitor *unused)
{
    (void)unused;
    calls[CALL_REOPEN]++;
    theirs.reopen = 0;
}

int64_t __wrap_journald_due_at(const Journald *journald)
{
    (void)journald;
    return theirs.journal;
}

int64_t __wrap_monitor_log_settle_at(const Monitor *unused)
{
    (void)unused;
    return theirs.settle != 0 ? theirs.settle : INT64_MAX;
}

static Page *page;

static void setup(void)
{
    Error error;

    config.cid = "id";
    config.timeout = config.stop_timeout = 7;
    config.passthrough = true; /* no events */
    config.messages.level = LEVEL_ERROR;
    monitor.config = &config;
    ck_assert_int_eq(state_create(&monitor.state, &error), 0);
    page = monitor.state.page;
    page->phase = PHASE_RUNNING;
    page->container_pid = CONTAINER;
    monitor_timers_init(&monitor);
}

static void teardown(void)
{
    monitor_timers_deinit(&monitor);
    state_deinit(&monitor.state);
}

/* How many milliseconds the loop would sleep now, -1 = until something else happens. */
static int sleep_time(void)
{
    GMainContext *loop = g_main_context_default();
    GPollFD fds[8];
    int priority;
    int timeout;
    bool is_ready;

    ck_assert(g_main_context_acquire(loop));
    is_ready = g_main_context_prepare(loop, &priority);
    g_main_context_query(loop, priority, &timeout, fds, G_N_ELEMENTS(fds));
    g_main_context_release(loop);
    return is_ready ? 0 : timeout;
}

static bool turn(void)
{
    return g_main_context_iteration(NULL, FALSE);
}

/* The loop sleeps until `*at`, and does that then. */
static void check_deadline(const char *name, int64_t *at, Call call)
{
    memset(calls, 0, sizeof(calls));
    ck_assert_msg(sleep_time() == -1, "%s: it is awake", name);
    *at = own_boottime + 2 * SECOND;
    ck_assert_msg(sleep_time() == 2000, "%s: %d ms", name, sleep_time());
    own_clock_pass(2 * SECOND - 1);
    ck_assert_msg(sleep_time() == 1 && !turn(), "%s comes too early", name);
    own_clock_pass(1);
    ck_assert_msg(turn(), "%s does not come", name);
    for (int i = 0; i < CALLS; i++)
        ck_assert_msg(calls[i] == (i == (int)call), "%s: call %d, %d times", name, i, calls[i]);
    ck_assert_msg(*at == 0, "%s stays", name);
}

#define CHECK_DEADLINE(FIELD, CALL) check_deadline(#FIELD, &(FIELD), CALL)

START_TEST(each_deadline_acts_once_and_at_its_time)
{
    setup();
    CHECK_DEADLINE(page->flush_at[STREAM_STDOUT], CALL_PUMP_STDOUT);
    CHECK_DEADLINE(page->flush_at[STREAM_STDERR], CALL_PUMP_STDERR);
    CHECK_DEADLINE(monitor.trim_at, CALL_TRIM);
    CHECK_DEADLINE(monitor.look_at, CALL_END);
    CHECK_DEADLINE(monitor.service_at, CALL_SPEAK);
    CHECK_DEADLINE(page->service.watchdog_at, CALL_SPEAK);
    CHECK_DEADLINE(page->oom.look_at, CALL_OOM_LOOK);
    CHECK_DEADLINE(page->log.retry_at, CALL_LOG_GO_ON);
    CHECK_DEADLINE(page->log.rate_until, CALL_LOG_GO_ON);
    CHECK_DEADLINE(page->log.turn_at, CALL_LOG_GO_ON);
    CHECK_DEADLINE(page->command_at, CALL_END);
    CHECK_DEADLINE(monitor.attach.retry_at, CALL_ACCEPT);
    CHECK_DEADLINE(theirs.events, CALL_SAY_HELD);
    CHECK_DEADLINE(theirs.reopen, CALL_REOPEN);
    CHECK_DEADLINE(theirs.journal, CALL_LOG_GO_ON);
    CHECK_DEADLINE(page->kill_at, CALL_END);
    page->phase = PHASE_DRAINING;
    CHECK_DEADLINE(page->late_at, CALL_END);
    page->phase = PHASE_REPORTING;
    CHECK_DEADLINE(theirs.settle, CALL_END);
    theirs.settle = own_boottime;
    page->phase = PHASE_DRAINING; /* it is not awaited yet */
    ck_assert_int_eq(sleep_time(), -1);
    teardown();
}
END_TEST

/* A process that does not end after SIGKILL is waited for, for ten seconds. */
START_TEST(a_kill_is_followed_by_ten_seconds)
{
    for (int i = 0; i < 2; i++) {
        setup();
        check_deadline("to kill it", i == 0 ? &page->timeout_at : &page->stop_at, CALL_KILL);
        ck_assert_uint_eq(page->timed_out, i == 0);
        ck_assert_int_eq(page->kill_at, own_boottime + 10 * SECOND);
        ck_assert_int_eq(sleep_time(), 10000);
        ck_assert(!turn());
        own_clock_pass(10 * SECOND - 1);
        ck_assert(!turn());
        own_clock_pass(1);
        ck_assert(turn());
        ck_assert_int_eq(calls[CALL_KILL], 1);
        ck_assert_int_eq(calls[CALL_END], 1);
        ck_assert_int_eq(page->kill_at, 0);
        ck_assert_int_eq(sleep_time(), -1);
        teardown();
    }
}
END_TEST

/* Its whole group is killed, unless that is our own, or everybody's. */
START_TEST(a_group_is_killed_with_its_process)
{
    const struct {
        pid_t group;
        int kills;
    } groups[] = {{0, 0}, {1, 0}, {2, 1}, {CONTAINER - 1, 1}, {getpgrp(), 0}};

    setup();
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        memset(calls, 0, sizeof(calls));
        group = groups[i].group;
        page->stop_at = own_boottime;
        ck_assert(turn());
        ck_assert_int_eq(calls[CALL_KILL], 1);
        ck_assert_msg(calls[CALL_KILL_GROUP] == groups[i].kills, "group %d", (int)group);
    }
    teardown();
}
END_TEST

/* For how long a client that takes nothing is waited for. */
static void check_patience(uint32_t phase, int64_t spool_max, AttachLag with, int seconds)
{
    setup();
    config.attach_spool_max = spool_max;
    config.attach_stall_timeout = 30;
    config.attach_linger = 10;
    page->phase = phase;
    theirs.stalled_since = own_boottime;
    ck_assert_int_eq(sleep_time(), seconds * 1000);
    ck_assert_int_eq((int)theirs.with, (int)with);
    own_clock_pass(seconds * INT64_C(1000000) - 1);
    ck_assert(!turn());
    own_clock_pass(1);
    ck_assert(turn());
    ck_assert_int_eq(calls[CALL_DROP_STALLED], 1);
    ck_assert(!turn());
    calls[CALL_DROP_STALLED] = 0;
    teardown();
}

START_TEST(a_client_is_waited_for_as_long_as_its_user_wants)
{
    check_patience(PHASE_RUNNING, -1, ATTACH_LATE_HOLDERS, 30);
    check_patience(PHASE_RUNNING, 0, ATTACH_HOLDERS, 30);
    check_patience(PHASE_DRAINING, 1, ATTACH_HOLDERS, 30);
    check_patience(PHASE_REPORTING, -1, ATTACH_LAGGARDS, 10);
    check_patience(PHASE_REPORTING, 1, ATTACH_LAGGARDS, 10);
}
END_TEST

/* Of late output's deadline nothing is done while the container runs, or once it is reported. */
START_TEST(late_output_has_its_time_only_while_it_is_awaited)
{
    setup();
    for (uint32_t phase = PHASE_STARTING; phase <= PHASE_GONE; phase++) {
        page->phase = phase;
        page->late_at = own_boottime + SECOND;
        ck_assert_int_eq(sleep_time(), phase == PHASE_DRAINING ? 1000 : -1);
    }
    teardown();
}
END_TEST

/* The earliest one is what the loop sleeps for; all that are due have their turn at once. */
START_TEST(the_earliest_deadline_comes_first)
{
    setup();
    page->timeout_at = own_boottime + 5 * SECOND;
    monitor.trim_at = own_boottime + 3 * SECOND;
    page->flush_at[STREAM_STDERR] = own_boottime + SECOND;
    ck_assert_int_eq(sleep_time(), 1000);
    own_clock_suspend(4 * SECOND); /* a suspend counts */
    ck_assert(turn());
    ck_assert_int_eq(calls[CALL_PUMP_STDERR], 1);
    ck_assert_int_eq(calls[CALL_TRIM], 1);
    ck_assert_int_eq(calls[CALL_KILL], 0);
    ck_assert_int_eq(sleep_time(), 1000);
    teardown();
}
END_TEST

/* Once the container has ended, what the log goes on with may be the last thing that is awaited. */
START_TEST(a_log_that_goes_on_may_be_the_end)
{
    setup();
    page->phase = PHASE_REPORTING;
    page->log.retry_at = own_boottime;
    ck_assert(turn());
    ck_assert_int_eq(calls[CALL_LOG_GO_ON], 1);
    ck_assert_int_eq(calls[CALL_END], 1);
    ck_assert(!turn());
    teardown();
}
END_TEST

SUITE("timers", each_deadline_acts_once_and_at_its_time, a_kill_is_followed_by_ten_seconds,
      a_client_is_waited_for_as_long_as_its_user_wants, a_group_is_killed_with_its_process,
      late_output_has_its_time_only_while_it_is_awaited, the_earliest_deadline_comes_first,
      a_log_that_goes_on_may_be_the_end)
