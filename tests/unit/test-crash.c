#include "control/crash.h"

#include "suite.h"

#include <errno.h>
#include <glib.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What is counted of crashes, and what a signal that somebody sends does. No other image takes
 * over: the program goes on where the test wants it to.
 */

static struct {
    int executed;
    int alarms;
    unsigned seconds; /* of the last one */
    int lost;         /* for that reason */
} seen;

static sigjmp_buf after_fault;

int __wrap_image_execute(const Image *image);
unsigned __wrap_alarm(unsigned seconds);

int __wrap_image_execute(const Image *image)
{
    ck_assert_ptr_nonnull(image);
    seen.executed++;
    return -ENOEXEC;
}

unsigned __wrap_alarm(unsigned seconds)
{
    seen.alarms++;
    seen.seconds = seconds;
    return 0;
}

static void on_lost(int number, void *owner)
{
    (void)owner;
    seen.lost = number;
    siglongjmp(after_fault, 1);
}

static State state;
static Image image = {.state = &state};

static void setup(void)
{
    Error error;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(crash_init(&image, false, on_lost, NULL, &error), 0);
    ck_assert(!crash_asked());
    ck_assert_uint_eq(seen.seconds, 0);
    seen.alarms = 0;
}

/* Two places in the program. */
__attribute__((noinline)) static void fault_here(void)
{
    __asm__ volatile("");
    __builtin_trap();
}

__attribute__((noinline)) static void fault_there(void)
{
    __asm__ volatile("nop");
    __builtin_trap();
}

static void fault(void (*where)(void))
{
    if (sigsetjmp(after_fault, 1) == 0)
        where();
}

/* Another process sends it. Returns that one's pid. */
static pid_t send_signal(int number)
{
    pid_t child = fork();

    if (child == 0) {
        kill(getppid(), number);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    return child;
}

START_TEST(faults_at_one_place_in_a_row_are_counted)
{
    const CrashPage *report;

    setup();
    report = &state.page->crash;
    for (uint32_t i = 1; i <= 3; i++) {
        fault(fault_here);
        ck_assert_uint_eq(report->alike, i);
        ck_assert_uint_eq(state.page->crashes, i);
        ck_assert_uint_eq(report->is_our_own, 1);
        ck_assert_uint_ne(report->instruction, 0);
        ck_assert_int_eq(seen.executed, (int)i);
        ck_assert_int_eq(seen.lost, ENOEXEC);
    }
    fault(fault_there);
    ck_assert_uint_eq(report->alike, 1);
    fault(fault_there);
    ck_assert_uint_eq(report->alike, 2);
    /* What somebody sends comes between them, and is not at any place. */
    send_signal(SIGSEGV);
    ck_assert_uint_eq(report->alike, 0);
    fault(fault_there);
    ck_assert_uint_eq(report->alike, 1);
    state_deinit(&state);
}
END_TEST

START_TEST(faults_without_progress_are_counted)
{
    setup();
    for (uint32_t i = 1; i <= 7; i++) {
        fault(i % 2 == 0 ? fault_here : fault_there); /* wherever they are */
        ck_assert_uint_eq(state.page->crashes_stuck, i);
    }
    crash_quiet(state.page);
    ck_assert_uint_eq(state.page->crashes_stuck, 0);
    fault(fault_here);
    ck_assert_uint_eq(state.page->crashes_stuck, 1);
    fault(fault_here);
    ck_assert_uint_eq(state.page->crashes_stuck, 2);
    state_deinit(&state);
}
END_TEST

#define FIELD(NAME)                                        \
    {                                                      \
        offsetof(Page, NAME), sizeof(((Page *)NULL)->NAME) \
    }

/* Whatever has been done between two faults: they are not the same one again. */
START_TEST(any_progress_begins_the_count_anew)
{
    static const struct {
        size_t at;
        size_t size;
    } fields[] = {
        FIELD(phase),
        FIELD(reported),
        FIELD(ended),
        FIELD(finished),
        FIELD(feed.start),
        FIELD(feed.end),
        FIELD(journal.live),
        FIELD(streams[0].end),
        FIELD(streams[1].end),
        FIELD(log.set[0].start[0]),
        FIELD(log.set[0].start[1]),
        FIELD(spool.end[0]),
        FIELD(spool.end[1]),
        FIELD(clients[0].cursor[0]),
        FIELD(clients[PAGE_CLIENTS_MAX - 1].cursor[1]),
    };

    setup();
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        uint8_t *field = (uint8_t *)state.page + fields[i].at;

        fault(fault_here);
        fault(fault_here);
        ck_assert_uint_ge(state.page->crashes_stuck, 2);
        if (fields[i].size == sizeof(uint32_t))
            ++*(uint32_t *)(void *)field;
        else
            ++*(uint64_t *)(void *)field;
        fault(fault_here);
        ck_assert_msg(state.page->crashes_stuck == 1, "field %zu", i);
    }
    /* The live set counts, and not the other one. */
    fault(fault_here);
    state.page->log.set[1].start[0]++;
    fault(fault_here);
    ck_assert_uint_eq(state.page->crashes_stuck, 3);
    state_deinit(&state);
}
END_TEST

START_TEST(a_signal_that_is_sent_only_asks)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

    setup();
    for (size_t i = 0; i < G_N_ELEMENTS(fatal); i++) {
        pid_t sender = send_signal(fatal[i]);

        ck_assert_int_eq(state.page->crash.signal, fatal[i]);
        ck_assert_uint_eq(state.page->crash.address, (uint64_t)sender);
        ck_assert_uint_eq(state.page->crash.is_our_own, 0);
        ck_assert_uint_eq(state.page->crashes, i + 1);
        ck_assert(crash_asked());
        ck_assert_int_eq(seen.alarms, (int)i + 1);
        ck_assert_uint_eq(seen.seconds, 5);
    }
    ck_assert_int_eq(seen.executed, 0);
    ck_assert_uint_eq(state.page->crashes_stuck, 0);
    ck_assert(g_main_context_iteration(NULL, FALSE)); /* the loop is woken */
    ck_assert(!g_main_context_iteration(NULL, FALSE));

    ck_assert_int_eq(crash_take_over(), -ENOEXEC);
    ck_assert_int_eq(seen.executed, 1);
    ck_assert(!crash_asked());
    ck_assert_uint_eq(seen.seconds, 0);
    state_deinit(&state);
}
END_TEST

/* The clock's own signal, not one that anybody sends. */
static void let_clock_ring(void)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 1}};
    sigset_t rings;
    sigset_t before;
    int number;

    sigemptyset(&rings);
    sigaddset(&rings, SIGALRM);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &rings, &before), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    do {
        sigpending(&rings);
        number = sigismember(&rings, SIGALRM);
    } while (number == 0);
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

START_TEST(a_loop_that_does_not_come_round_is_interrupted_by_the_clock_alone)
{
    setup();
    let_clock_ring(); /* nobody has asked */
    ck_assert_int_eq(seen.executed, 0);
    send_signal(SIGABRT);
    seen.seconds = 0;
    raise(SIGALRM);
    ck_assert_int_eq(seen.executed, 0);
    ck_assert_uint_eq(seen.seconds, 5); /* it is set again */
    ck_assert_uint_eq(state.page->crashes_stuck, 0);
    let_clock_ring();
    ck_assert_int_eq(seen.executed, 1);
    ck_assert_uint_eq(state.page->crashes_stuck, 1);
    ck_assert(!crash_asked());
    state_deinit(&state);
}
END_TEST

START_TEST(abort_is_a_fault_of_our_own)
{
    setup();
    if (sigsetjmp(after_fault, 1) == 0)
        raise(SIGABRT); /* as abort(3) does */
    ck_assert_uint_eq(state.page->crash.is_our_own, 1);
    ck_assert_int_eq(seen.executed, 1);
    ck_assert_uint_eq(state.page->crashes_stuck, 1);
    state_deinit(&state);
}
END_TEST

/* How a process ends that does `what` and then has a fault. */
static int end_of(void (*what)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        what();
        fault_here();
        _exit(99);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void do_nothing(void)
{
}

static void finish_with_300(void)
{
    setup();
    crash_finish(300);
}

START_TEST(a_child_dies_of_its_fault)
{
    setup();
    ck_assert(WIFSIGNALED(end_of(do_nothing)));
    ck_assert_uint_eq(state.page->crashes, 0);
    state_deinit(&state);
}
END_TEST

START_TEST(what_is_finished_ends_with_its_status)
{
    int status = end_of(finish_with_300);

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 300 & 0xff);
}
END_TEST

START_TEST(what_is_a_crash_is_never_blocked)
{
    sigset_t mask;
    int left = 0;

    sigfillset(&mask);
    crash_unblock(&mask);
    for (int number = 1; number < SIGRTMIN; number++)
        left += sigismember(&mask, number) == 1;
    ck_assert_int_eq(sigismember(&mask, SIGALRM), 0);
    ck_assert_int_eq(sigismember(&mask, SIGABRT), 0);
    ck_assert_int_eq(left, 31 - 8);
}
END_TEST

SUITE("crash", faults_at_one_place_in_a_row_are_counted, faults_without_progress_are_counted,
      any_progress_begins_the_count_anew, a_signal_that_is_sent_only_asks,
      a_loop_that_does_not_come_round_is_interrupted_by_the_clock_alone,
      abort_is_a_fault_of_our_own, a_child_dies_of_its_fault, what_is_finished_ends_with_its_status,
      what_is_a_crash_is_never_blocked)
