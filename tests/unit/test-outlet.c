#include "state/fds.h"
#include "stdio/attach.h"
#include "stdio/outlet.h"

#include "own-clock.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Readers of the raw output: our own standard output, and clients that another image has left. */

enum { TURN = 2 * STATE_HOLD_SIZE }; /* bytes that one turn of the loop sends */

typedef struct Fixture {
    State state;
    Outlet outlet;
    OutletPage *page;
    int moved;
} Fixture;

static void on_moved(Outlet *outlet, void *owner)
{
    (void)outlet;
    ((Fixture *)owner)->moved++;
}

static void setup(Fixture *fixture, int out, int err)
{
    Error error;

    *fixture = (Fixture){.state = STATE_NULL};
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    fixture->page = &fixture->state.page->console;
    fixture->page->fd[STREAM_STDOUT] = out;
    fixture->page->fd[STREAM_STDERR] = err;
    outlet_init(&fixture->outlet, &fixture->state, fixture->page, NULL, on_moved, fixture);
}

static void teardown(Fixture *fixture)
{
    outlet_deinit(&fixture->outlet);
    state_deinit(&fixture->state);
}

static void put(Fixture *fixture, StreamId stream, size_t size)
{
    StreamPage *page = &fixture->state.page->streams[stream];

    for (size_t i = 0; i < size; i++)
        fixture->state.input[stream][page->end + i] = (uint8_t)(page->end + i);
    page->end += size;
}

static void turn_loop(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* How much of so many bytes is left when a descriptor that takes everything has had its turn. */
static uint64_t left_of(size_t size)
{
    Fixture fixture;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    uint64_t left;

    setup(&fixture, null, null);
    fixture.outlet.blocking[STREAM_STDOUT] = true; /* a little at a time */
    put(&fixture, STREAM_STDOUT, size);
    outlet_pump(&fixture.outlet);
    left = outlet_backlog(&fixture.outlet, STREAM_STDOUT);
    ck_assert_int_eq(fixture.outlet.sources[STREAM_STDOUT] != 0, left > 0);
    ck_assert_int_eq(outlet_is_behind(&fixture.outlet), left > 0);
    teardown(&fixture);
    close(null);
    return left;
}

START_TEST(a_turn_is_of_so_many_bytes)
{
    ck_assert_uint_eq(left_of(0), 0);
    ck_assert_uint_eq(left_of(TURN - 1), 0);
    ck_assert_uint_eq(left_of(TURN), 0);
    ck_assert_uint_eq(left_of(TURN + 1), 1);
    ck_assert_uint_eq(left_of(TURN + 5000), 5000);
}
END_TEST

/* Nobody reads: it waits for room, and goes on when there is some. */
START_TEST(a_full_pipe_is_waited_for)
{
    for (int is_blocking = 0; is_blocking <= 1; is_blocking++) {
        for (StreamId stream = STREAM_STDOUT; stream < STREAMS; stream++) {
            Fixture fixture;
            static uint8_t bytes[65536];
            uint64_t taken = 0;
            int ends[2];
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

            ck_assert_int_eq(pipe2(ends, is_blocking ? 0 : O_NONBLOCK), 0);
            ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
            setup(&fixture, stream == STREAM_STDOUT ? ends[1] : null,
                  stream == STREAM_STDOUT ? null : ends[1]);
            fixture.outlet.blocking[stream] = is_blocking != 0;
            put(&fixture, stream, 100000);
            outlet_pump(&fixture.outlet);
            ck_assert_uint_eq(fixture.page->cursor[stream], 65536);
            ck_assert_uint_ne(fixture.outlet.sources[stream], 0);
            outlet_pump(&fixture.outlet); /* it is waited for already */
            turn_loop();
            ck_assert_int_eq(fixture.moved, 0);
            while (taken < 100000) {
                ssize_t n = read(ends[0], bytes, sizeof(bytes));

                ck_assert_int_gt(n, 0);
                for (ssize_t i = 0; i < n; i++)
                    if (bytes[i] != (uint8_t)(taken + (uint64_t)i))
                        ck_abort_msg("another byte at %zd", i);
                taken += (uint64_t)n;
                turn_loop();
            }
            ck_assert_int_gt(fixture.moved, 0);
            ck_assert_uint_eq(fixture.outlet.sources[stream], 0);
            ck_assert_uint_eq(fixture.page->dead, 0);
            teardown(&fixture);
            close(ends[0]);
            close(ends[1]);
            close(null);
        }
    }
}
END_TEST

/* Into a pipe that may block goes what it surely has room for, once poll(2) says so. */
START_TEST(a_pipe_that_may_block_gets_as_much_as_has_room)
{
    static char fill[65536];
    Fixture fixture;
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    setup(&fixture, ends[1], ends[1]);
    fixture.outlet.blocking[STREAM_STDOUT] = true;
    ck_assert_int_eq(write(ends[1], fill, sizeof(fill) - PIPE_BUF), sizeof(fill) - PIPE_BUF);
    put(&fixture, STREAM_STDOUT, 2 * PIPE_BUF);
    outlet_pump(&fixture.outlet);
    ck_assert_uint_eq(fixture.page->cursor[STREAM_STDOUT], PIPE_BUF);
    teardown(&fixture);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_socket_is_never_waited_in)
{
    Fixture fixture;
    int ends[2];
    int there = 0;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    setup(&fixture, ends[1], ends[1]);
    fixture.outlet.blocking[STREAM_STDOUT] = true;
    for (int i = 0; i < 100 && fixture.outlet.sources[STREAM_STDOUT] == 0; i++) {
        if (fixture.state.page->streams[STREAM_STDOUT].end < STATE_INPUT_SIZE - 65536)
            put(&fixture, STREAM_STDOUT, 65536);
        errno = ENOTSOCK; /* of some call before */
        outlet_pump(&fixture.outlet);
    }
    ck_assert_uint_ne(fixture.outlet.sources[STREAM_STDOUT], 0);
    ck_assert_int_eq(ioctl(ends[0], FIONREAD, &there), 0);
    ck_assert_int_gt(there, 0);
    ck_assert_uint_eq(fixture.page->cursor[STREAM_STDOUT], (uint64_t)there);
    teardown(&fixture);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* One that is slow is not stalled: what it takes is progress. */
START_TEST(whoever_takes_something_has_moved)
{
    static uint8_t bytes[65536];
    Fixture fixture;
    int64_t begun;
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    setup(&fixture, ends[1], ends[1]);
    put(&fixture, STREAM_STDOUT, 100000);
    outlet_pump(&fixture.outlet);
    begun = fixture.outlet.moved_at;
    own_clock_pass(1000);
    turn_loop();
    ck_assert_int_eq(fixture.outlet.moved_at, begun);
    ck_assert_int_eq(read(ends[0], bytes, 8192), 8192);
    turn_loop();
    ck_assert(outlet_is_behind(&fixture.outlet));
    ck_assert_int_eq(fixture.outlet.moved_at, begun + 1000);
    teardown(&fixture);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* Each of the two by itself. */
START_TEST(a_reader_that_goes_away_is_dead)
{
    Fixture fixture;
    int ends[2];
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    close(ends[0]);
    setup(&fixture, null, ends[1]);
    put(&fixture, STREAM_STDOUT, 10);
    put(&fixture, STREAM_STDERR, 10);
    outlet_pump(&fixture.outlet);
    ck_assert_uint_eq(fixture.page->dead, 1U << STREAM_STDERR);
    ck_assert_uint_eq(fixture.page->cursor[STREAM_STDOUT], 10);
    ck_assert_uint_eq(outlet_backlog(&fixture.outlet, STREAM_STDERR), 0);
    ck_assert(!outlet_is_dead(&fixture.outlet));
    ck_assert_int_eq(dup2(ends[1], null), null);
    put(&fixture, STREAM_STDOUT, 10);
    outlet_pump(&fixture.outlet);
    ck_assert(outlet_is_dead(&fixture.outlet));
    teardown(&fixture);
    close(ends[1]);
    close(null);
}
END_TEST

START_TEST(what_is_passed_over_is_not_sent)
{
    Fixture fixture;
    int ends[2];
    char bytes[16];

    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    setup(&fixture, ends[1], ends[1]);
    put(&fixture, STREAM_STDOUT, 10);
    put(&fixture, STREAM_STDERR, 20);
    outlet_skip(&fixture.outlet);
    ck_assert(!outlet_is_behind(&fixture.outlet));
    put(&fixture, STREAM_STDERR, 1);
    ck_assert(outlet_is_behind(&fixture.outlet));
    outlet_pump(&fixture.outlet);
    ck_assert_int_eq(read(ends[0], bytes, sizeof(bytes)), 1);
    ck_assert_int_eq(bytes[0], 20);
    teardown(&fixture);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void on_changed(void *owner)
{
    (void)owner;
}

static bool has_started(void *owner)
{
    (void)owner;
    return false;
}

/* A client's socket on the page, in a slot, as another image has left it. Returns its other end. */
static int leave_client(State *state, size_t slot, uint64_t cursor)
{
    OutletPage *page = &state->page->clients[slot];
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    fds_add(state, FD_ATTACH_CLIENT, ends[0]);
    *page = (OutletPage){.used = 1, .fd = {ends[0], ends[0]}, .cursor = {cursor, cursor}};
    return ends[1];
}

/* One goes on, one has lost its descriptor, one its spool, and one was only half made. */
START_TEST(another_image_goes_on_with_the_clients_that_are_whole)
{
    State state;
    Attach attach;
    Error error;
    Feed feed = FEED_NULL;
    const Page *page;
    int whole;
    int half[2];
    int lost;
    int behind;
    int gone;

    ck_assert_int_eq(state_create(&state, &error), 0);
    page = state.page;
    state.page->streams[STREAM_STDOUT].end = 100;
    state.page->spool.capacity = 1000;
    state.page->spool.end[STREAM_STDOUT] = 50;
    whole = leave_client(&state, 2, 50);
    behind = leave_client(&state, 3, 49);
    lost = leave_client(&state, PAGE_CLIENTS_MAX - 1, 50);
    gone = page->clients[PAGE_CLIENTS_MAX - 1].fd[0];
    fds_remove(&state, gone);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, half), 0);
    fds_add(&state, FD_ATTACH_CLIENT, half[0]);

    attach_adopt(&attach, &state,
                 &(AttachSetup){.bundle = "/nonexistent",
                                .feed = &feed,
                                .spool_max = -1,
                                .calls = {on_changed, has_started, NULL}});
    ck_assert_ptr_nonnull(attach.clients[2]);
    ck_assert_ptr_null(attach.clients[3]);
    ck_assert_uint_eq(page->clients[3].used, 0);
    ck_assert_uint_eq(page->clients[PAGE_CLIENTS_MAX - 1].used, 0);
    ck_assert_ptr_nonnull(attach.clients[0]);
    ck_assert_int_eq(page->clients[0].fd[STREAM_STDERR], half[0]);
    ck_assert_uint_eq(page->clients[0].cursor[STREAM_STDOUT], 100);
    ck_assert_uint_eq(page->clients[0].early, 1);
    ck_assert_uint_eq(page->clients[0].input, CLIENT_BEFORE_START);
    ck_assert_uint_eq(attach.slots, 3);

    /* Those without backlog go first. */
    ck_assert_uint_eq(attach_backlog(&attach, STREAM_STDOUT), 50);
    attach_close_clients(&attach, false);
    ck_assert(attach.clients[0] == NULL && attach.clients[2] != NULL);
    attach_close_clients(&attach, true);
    ck_assert(!attach_has_clients(&attach));
    ck_assert_uint_eq(attach.slots, 0);
    attach_deinit(&attach);
    close(whole);
    close(behind);
    close(lost);
    close(gone);
    close(half[1]);
    state_deinit(&state);
}
END_TEST

SUITE("outlet", a_turn_is_of_so_many_bytes, a_full_pipe_is_waited_for,
      a_pipe_that_may_block_gets_as_much_as_has_room, a_socket_is_never_waited_in,
      whoever_takes_something_has_moved, a_reader_that_goes_away_is_dead,
      what_is_passed_over_is_not_sent, another_image_goes_on_with_the_clients_that_are_whole)
