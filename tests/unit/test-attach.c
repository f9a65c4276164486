#include "stdio/attach.h"

#include "suite.h"
#include "util/clock.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Fixture {
    State state;
    Attach attach;
    char *bundle;
    Feed feed; /* the container has no input */
    int changes;
} Fixture;

static void on_changed(void *owner)
{
    ((Fixture *)owner)->changes++;
}

static bool has_started(void *owner)
{
    return ((Fixture *)owner)->state.page->first_output;
}

static void setup(Fixture *fixture)
{
    Error error;

    *fixture = (Fixture){.state = STATE_NULL, .feed = FEED_NULL};
    fixture->bundle = g_dir_make_tmp("conward-XXXXXX", NULL);
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    ck_assert_int_eq(attach_init(&fixture->attach, &fixture->state,
                                 &(AttachSetup){.bundle = fixture->bundle,
                                                .feed = &fixture->feed,
                                                .spool_max = -1,
                                                .calls = {on_changed, has_started, fixture}},
                                 &error),
                     0);
}

static void teardown(Fixture *fixture)
{
    attach_deinit(&fixture->attach);
    state_deinit(&fixture->state);
    ck_assert_int_eq(g_rmdir(fixture->bundle), 0); /* so the socket is gone, too */
    g_free(fixture->bundle);
}

/* A client that has connected; nobody has accepted it yet. */
static int connect_client(const Fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_lt(
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/attach", fixture->bundle),
        (int)sizeof(address.sun_path));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static unsigned count_clients(const Fixture *fixture)
{
    unsigned count = 0;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++)
        count += fixture->attach.clients[i] != NULL;
    return count;
}

/*
 * A time in which this process can open no further descriptor. A child sets the limit: to a process
 * that sets its own, valgrind only plays it, and loses connections then.
 */
typedef struct Shortage {
    pid_t child;
    int ours;
    int theirs; /* stays open, so that its number is not free */
} Shortage;

static _Noreturn void limit_parent(int end, rlim_t number)
{
    pid_t parent = getppid();
    struct rlimit before;
    struct rlimit limit;
    char done;

    done = prlimit(parent, RLIMIT_NOFILE, NULL, &before) == 0;
    limit = (struct rlimit){number, before.rlim_max};
    done = done && prlimit(parent, RLIMIT_NOFILE, &limit, NULL) == 0;
    if (write(end, &done, 1) != 1 || read(end, &done, 1) != 1)
        _exit(1);
    _exit(prlimit(parent, RLIMIT_NOFILE, &before, NULL) == 0 ? 0 : 1);
}

static Shortage begin_shortage(void)
{
    Shortage shortage;
    int ends[2];
    int next;
    char done;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    next = dup(STDERR_FILENO);
    ck_assert_int_ge(next, 0);
    close(next);
    shortage = (Shortage){.child = fork(), .ours = ends[0], .theirs = ends[1]};
    ck_assert_int_ge(shortage.child, 0);
    if (shortage.child == 0) {
        close(shortage.ours);
        limit_parent(shortage.theirs, (rlim_t)next);
    }
    ck_assert_int_eq(read(shortage.ours, &done, 1), 1);
    ck_assert_msg(done, "the limit on descriptors cannot be set");
    return shortage;
}

static void end_shortage(const Shortage *shortage)
{
    int status;

    ck_assert_int_eq(write(shortage->ours, "", 1), 1);
    ck_assert_int_eq(waitpid(shortage->child, &status, 0), shortage->child);
    ck_assert_int_eq(status, 0);
    close(shortage->ours);
    close(shortage->theirs);
}

/* Handles what there is; a loop that is always ready for more is found by the tests. */
static void handle_events(void)
{
    for (int i = 0; i < 100 && g_main_context_pending(NULL); i++)
        g_main_context_iteration(NULL, FALSE);
}

START_TEST(a_connection_that_cannot_be_accepted_makes_no_busy_loop)
{
    Fixture fixture;
    gboolean is_ready;
    Shortage shortage;
    int client;

    setup(&fixture);
    client = connect_client(&fixture);
    shortage = begin_shortage();
    handle_events();
    is_ready = g_main_context_pending(NULL);
    end_shortage(&shortage);
    ck_assert_msg(!is_ready, "the listener is still polled");
    ck_assert_uint_eq(count_clients(&fixture), 0);
    ck_assert_int_ne(fixture.attach.retry_at, 0);

    attach_retry(&fixture.attach);
    ck_assert_int_eq(fixture.attach.retry_at, 0);
    handle_events();
    ck_assert_uint_eq(count_clients(&fixture), 1);
    ck_assert(!g_main_context_pending(NULL));
    close(client);
    teardown(&fixture);
}
END_TEST

START_TEST(a_retry_in_vain_is_repeated_later)
{
    Fixture fixture;
    gboolean is_ready;
    int64_t first;
    int64_t second;
    Shortage shortage;
    int client;

    setup(&fixture);
    client = connect_client(&fixture);
    shortage = begin_shortage();
    handle_events();
    first = fixture.attach.retry_at;
    attach_retry(&fixture.attach);
    handle_events();
    second = fixture.attach.retry_at;
    is_ready = g_main_context_pending(NULL);
    end_shortage(&shortage);
    ck_assert_msg(!is_ready, "the listener is still polled");
    ck_assert_int_ne(first, 0);
    ck_assert_int_ge(second, first);
    close(client);
    teardown(&fixture);
}
END_TEST

START_TEST(a_client_that_goes_makes_the_retry_due)
{
    Fixture fixture;
    int staying;
    int leaving;
    Shortage shortage;

    setup(&fixture);
    leaving = connect_client(&fixture);
    handle_events();
    ck_assert_uint_eq(count_clients(&fixture), 1);
    staying = connect_client(&fixture);
    shortage = begin_shortage();
    handle_events();
    end_shortage(&shortage);
    ck_assert_uint_eq(count_clients(&fixture), 1);
    ck_assert_int_ne(fixture.attach.retry_at, 0);

    close(leaving);
    handle_events();
    ck_assert_uint_eq(count_clients(&fixture), 0);
    ck_assert_int_ne(fixture.attach.retry_at, 0);
    ck_assert_int_le(fixture.attach.retry_at, clock_boottime_us());
    attach_retry(&fixture.attach);
    handle_events();
    ck_assert_uint_eq(count_clients(&fixture), 1);
    close(staying);
    teardown(&fixture);
}
END_TEST

START_TEST(an_end_of_listening_ends_the_retries)
{
    Fixture fixture;
    Shortage shortage;
    int client;

    setup(&fixture);
    client = connect_client(&fixture);
    shortage = begin_shortage();
    handle_events();
    attach_stop_listening(&fixture.attach); /* tries once more, in vain */
    end_shortage(&shortage);
    ck_assert_int_eq(fixture.attach.retry_at, 0);
    attach_retry(&fixture.attach);
    handle_events();
    ck_assert(!g_main_context_pending(NULL));
    ck_assert_uint_eq(count_clients(&fixture), 0);
    close(client);
    teardown(&fixture);
}
END_TEST

/* A hang-up while output is sent may be noticed by the sending first. */
START_TEST(a_client_found_dead_by_a_pump_holds_nothing)
{
    Fixture fixture;
    Page *page;
    int client;

    setup(&fixture);
    page = fixture.state.page;
    client = connect_client(&fixture);
    handle_events();
    ck_assert_uint_eq(count_clients(&fixture), 1);
    memset(fixture.state.input[STREAM_STDERR], 'x', STATE_INPUT_SIZE);
    state_commit(&page->streams[STREAM_STDERR].end, STATE_INPUT_SIZE);
    attach_pump(&fixture.attach);
    ck_assert_uint_gt(attach_backlog(&fixture.attach, STREAM_STDERR), 0);

    close(client);
    state_commit(&page->streams[STREAM_STDOUT].end, 1);
    attach_pump(&fixture.attach);
    ck_assert_uint_eq(attach_backlog(&fixture.attach, STREAM_STDERR), 0);
    handle_events();
    ck_assert_uint_eq(count_clients(&fixture), 0);
    ck_assert(!g_main_context_pending(NULL));
    teardown(&fixture);
}
END_TEST

SUITE("attach", a_connection_that_cannot_be_accepted_makes_no_busy_loop,
      a_retry_in_vain_is_repeated_later, a_client_that_goes_makes_the_retry_due,
      an_end_of_listening_ends_the_retries, a_client_found_dead_by_a_pump_holds_nothing)
