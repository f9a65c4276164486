#include "stdio/feed.h"

#include "state/fds.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A container's input is a pipe, whose other end is `container`; a client is one end of a socket
 * pair, whose other end is `served`.
 */
typedef struct Fixture {
    State state;
    Feed feed;
    int container;
    int input;
    int client;
    int served;
    int rooms; /* how often there was room again */
} Fixture;

static void on_room(void *owner)
{
    ((Fixture *)owner)->rooms++;
}

static void setup(Fixture *fixture)
{
    Error error;
    int pipe_ends[2];
    int ends[2];
    int size = 4 * STATE_FEED_SIZE;

    *fixture = (Fixture){.state = STATE_NULL, .feed = FEED_NULL};
    signal(SIGPIPE, SIG_IGN); /* as in the monitor */
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    fixture->container = pipe_ends[0];
    fixture->input = pipe_ends[1];
    fixture->client = ends[0];
    fixture->served = ends[1];
    feed_init(&fixture->feed, &fixture->state, on_room, fixture);
}

static void teardown(Fixture *fixture)
{
    feed_deinit(&fixture->feed);
    ck_assert_int_lt(fds_find(&fixture->state, FD_STDIN), 0);
    state_deinit(&fixture->state);
    if (fixture->container >= 0)
        close(fixture->container);
    if (fixture->client >= 0)
        close(fixture->client);
    close(fixture->served);
}

static FeedPage *page_of(Fixture *fixture)
{
    return &fixture->state.page->feed;
}

static void open_input(Fixture *fixture)
{
    feed_open(&fixture->feed, fixture->input, false);
}

/* The byte of the test's input at an offset: does not repeat with the ring's size. */
static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761U >> 13);
}

static void send_bytes(Fixture *fixture, uint64_t from, size_t size)
{
    uint8_t bytes[FEED_RECEIVE_SIZE];

    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(from + i);
    ck_assert_int_eq(send(fixture->client, bytes, size, MSG_DONTWAIT), (ssize_t)size);
}

/* Sends a packet that the feed takes in. */
static void pass(Fixture *fixture, uint64_t from, size_t size)
{
    send_bytes(fixture, from, size);
    ck_assert_int_eq(feed_receive(&fixture->feed, fixture->served), (ssize_t)size);
}

static bool are_bytes_at(const uint8_t *bytes, uint64_t from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(from + i))
            return false;
    }
    return true;
}

static void expect(Fixture *fixture, uint64_t from, size_t size)
{
    uint8_t bytes[FEED_RECEIVE_SIZE];

    while (size > 0) {
        ssize_t n;

        g_main_context_iteration(NULL, FALSE);
        n = read(fixture->container, bytes, MIN(size, sizeof(bytes)));
        ck_assert_int_gt(n, 0);
        ck_assert_msg(are_bytes_at(bytes, from, (size_t)n), "not the bytes from %" PRIu64 " on",
                      from);
        from += (uint64_t)n;
        size -= (size_t)n;
    }
}

static void expect_end(Fixture *fixture)
{
    char byte;

    g_main_context_iteration(NULL, FALSE);
    ck_assert_int_eq(fcntl(fixture->container, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(read(fixture->container, &byte, sizeof(byte)), 0);
    ck_assert_int_eq(page_of(fixture)->state, FEED_CLOSED);
    ck_assert(!g_main_context_pending(NULL));
}

static void expect_nothing(Fixture *fixture)
{
    char byte;

    g_main_context_iteration(NULL, FALSE);
    ck_assert_int_eq(fcntl(fixture->container, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(read(fixture->container, &byte, sizeof(byte)), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(fcntl(fixture->container, F_SETFL, 0), 0);
}

/* As many packets of the largest size as are taken; returns how many bytes. */
static size_t fill(Fixture *fixture)
{
    size_t size = 0;
    ssize_t n;

    do {
        send_bytes(fixture, size, FEED_RECEIVE_SIZE);
        n = feed_receive(&fixture->feed, fixture->served);
        size += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    ck_assert_int_eq(n, -ENOBUFS);
    return size;
}

/* The image that has this feed dies: its sources go, its descriptors and the state stay. */
static void die(Fixture *fixture)
{
    if (fixture->feed.source != 0)
        g_source_remove(fixture->feed.source);
    fixture->feed = (Feed)FEED_NULL;
}

static void adopt(Fixture *fixture)
{
    int fd = fds_find(&fixture->state, FD_STDIN);

    feed_adopt(&fixture->feed, &fixture->state, fd, false, on_room, fixture);
}

START_TEST(bytes_pass_at_every_place_of_the_ring)
{
    Fixture fixture;

    setup(&fixture);
    open_input(&fixture);
    for (uint64_t at = 0; at <= 2 * STATE_FEED_SIZE; at += 997) {
        pass(&fixture, at, FEED_RECEIVE_SIZE);
        expect(&fixture, at, FEED_RECEIVE_SIZE);
        page_of(&fixture)->start = page_of(&fixture)->end = at + 997;
    }
    teardown(&fixture);
}
END_TEST

START_TEST(a_packet_wraps_around_at_each_of_its_bytes)
{
    enum { SIZE = 301 };
    Fixture fixture;

    setup(&fixture);
    open_input(&fixture);
    for (uint64_t at = STATE_FEED_SIZE - SIZE - 1; at <= STATE_FEED_SIZE + 1; at++) {
        page_of(&fixture)->start = page_of(&fixture)->end = at;
        pass(&fixture, at, SIZE);
        expect(&fixture, at, SIZE);
    }
    teardown(&fixture);
}
END_TEST

START_TEST(what_is_kept_wraps_around_too)
{
    Fixture fixture;
    size_t size = FEED_RECEIVE_SIZE - 1;

    setup(&fixture);
    for (uint64_t at = 0; at <= STATE_FEED_SIZE; at += 4093) {
        page_of(&fixture)->start = page_of(&fixture)->end = at;
        pass(&fixture, 0, 1);
        pass(&fixture, 1, size);
        fixture.feed.fd = -1;
        feed_open(&fixture.feed, dup(fixture.input), false);
        expect(&fixture, 0, size + 1);
        fds_remove(&fixture.state, fixture.feed.fd);
        close(fixture.feed.fd);
        fixture.feed.fd = -1;
    }
    close(fixture.input);
    teardown(&fixture);
}
END_TEST

START_TEST(who_finds_no_room_is_told_of_it_later)
{
    Fixture fixture;
    size_t size;

    setup(&fixture);
    open_input(&fixture);
    size = fill(&fixture);
    ck_assert_uint_ge(size, STATE_FEED_SIZE - FEED_RECEIVE_SIZE);
    ck_assert_int_eq(fixture.rooms, 0);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), -ENOBUFS);
    ck_assert(!g_main_context_pending(NULL));

    expect(&fixture, 0, size);
    g_main_context_iteration(NULL, FALSE);
    ck_assert_int_eq(fixture.rooms, 1);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), FEED_RECEIVE_SIZE);
    expect(&fixture, size, FEED_RECEIVE_SIZE);
    ck_assert_int_eq(fixture.rooms, 1);
    ck_assert(!g_main_context_pending(NULL));
    teardown(&fixture);
}
END_TEST

START_TEST(the_input_that_opens_makes_room)
{
    Fixture fixture;
    size_t size;

    setup(&fixture);
    size = fill(&fixture);
    ck_assert_uint_eq(size, STATE_FEED_SIZE);
    fcntl(fixture.input, F_SETPIPE_SZ, 2 * STATE_FEED_SIZE);
    open_input(&fixture);
    ck_assert_int_eq(fixture.rooms, 1);
    expect(&fixture, 0, size);
    teardown(&fixture);
}
END_TEST

START_TEST(an_end_comes_after_what_was_before_it)
{
    Fixture fixture;
    size_t size;

    setup(&fixture);
    open_input(&fixture);
    size = fill(&fixture);
    feed_end(&fixture.feed);
    feed_end(&fixture.feed);
    expect(&fixture, 0, size);
    expect_end(&fixture);
    ck_assert_int_eq(fixture.rooms, 1);
    /* Whoever still sends does not have to wait. */
    ck_assert_int_gt(feed_receive(&fixture.feed, fixture.served), 0);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), -EAGAIN);
    teardown(&fixture);
}
END_TEST

START_TEST(an_end_before_the_input_opens)
{
    Fixture fixture;

    setup(&fixture);
    pass(&fixture, 0, 1000);
    feed_end(&fixture.feed);
    open_input(&fixture);
    expect(&fixture, 0, 1000);
    expect_end(&fixture);
    teardown(&fixture);
}
END_TEST

START_TEST(an_end_and_nothing_before_it)
{
    Fixture fixture;

    setup(&fixture);
    feed_end(&fixture.feed);
    open_input(&fixture);
    expect_end(&fixture);
    teardown(&fixture);
}
END_TEST

START_TEST(a_container_that_reads_no_more_makes_nobody_wait)
{
    Fixture fixture;

    setup(&fixture);
    open_input(&fixture);
    fill(&fixture);
    close(fixture.container);
    fixture.container = -1;
    g_main_context_iteration(NULL, FALSE);
    ck_assert_int_eq(page_of(&fixture)->state, FEED_CLOSED);
    ck_assert_int_eq(fixture.rooms, 1);
    ck_assert_int_gt(feed_receive(&fixture.feed, fixture.served), 0);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), -EAGAIN);
    ck_assert(!g_main_context_pending(NULL));
    teardown(&fixture);
}
END_TEST

START_TEST(a_client_that_leaves_is_seen)
{
    Fixture fixture;
    Feed none = FEED_NULL;

    setup(&fixture);
    open_input(&fixture);
    pass(&fixture, 0, 10);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), -EAGAIN);
    send_bytes(&fixture, 10, 10);
    shutdown(fixture.client, SHUT_WR);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), 10);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), 0);
    ck_assert_int_eq(feed_receive(&none, fixture.served), 0);
    expect(&fixture, 0, 20);
    expect_nothing(&fixture);
    teardown(&fixture);
}
END_TEST

START_TEST(a_container_without_input_takes_everything)
{
    Fixture fixture;
    Feed none = FEED_NULL;

    setup(&fixture);
    for (int i = 0; i < 10; i++) {
        send_bytes(&fixture, 0, FEED_RECEIVE_SIZE);
        ck_assert_int_gt(feed_receive(&none, fixture.served), 0);
    }
    ck_assert_int_eq(feed_receive(&none, fixture.served), -EAGAIN);
    feed_end(&none);
    feed_deinit(&none);
    open_input(&fixture);
    teardown(&fixture);
}
END_TEST

START_TEST(an_input_that_has_ended_leaves_no_descriptor)
{
    Fixture fixture;

    setup(&fixture);
    open_input(&fixture);
    fill(&fixture);
    feed_deinit(&fixture.feed);
    feed_deinit(&fixture.feed);
    ck_assert_int_eq(fcntl(fixture.input, F_GETFD), -1);
    ck_assert(!g_main_context_pending(NULL));
    teardown(&fixture);
}
END_TEST

START_TEST(a_shared_descriptor_is_not_closed)
{
    Fixture fixture;

    setup(&fixture);
    feed_open(&fixture.feed, fixture.input, true);
    ck_assert_int_lt(fds_find(&fixture.state, FD_STDIN), 0);
    pass(&fixture, 0, 100);
    feed_deinit(&fixture.feed);
    expect(&fixture, 0, 100);
    expect_nothing(&fixture);
    close(fixture.input);
    teardown(&fixture);
}
END_TEST

START_TEST(a_shared_descriptor_that_is_closed_is_used_no_more)
{
    Fixture fixture;

    setup(&fixture);
    feed_open(&fixture.feed, fixture.input, true);
    fill(&fixture);
    close(fixture.input);
    feed_stop(&fixture.feed);
    ck_assert_int_eq(fixture.rooms, 1);
    ck_assert(!g_main_context_pending(NULL));
    ck_assert_int_eq(dup2(STDERR_FILENO, fixture.input), fixture.input);
    ck_assert_int_gt(feed_receive(&fixture.feed, fixture.served), 0);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), -EAGAIN);
    close(fixture.input);
    teardown(&fixture);
}
END_TEST

/* Deaths: what the next image finds, and goes on with. */

START_TEST(a_death_before_the_input_opens)
{
    Fixture fixture;

    setup(&fixture);
    pass(&fixture, 0, 1000);
    die(&fixture);
    adopt(&fixture);
    pass(&fixture, 1000, 1000);
    open_input(&fixture);
    expect(&fixture, 0, 2000);
    teardown(&fixture);
}
END_TEST

START_TEST(a_death_while_the_container_does_not_read)
{
    Fixture fixture;
    size_t size;

    setup(&fixture);
    open_input(&fixture);
    size = fill(&fixture);
    die(&fixture);
    adopt(&fixture);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), -ENOBUFS);
    expect(&fixture, 0, size);
    g_main_context_iteration(NULL, FALSE);
    ck_assert_int_eq(fixture.rooms, 1);
    ck_assert_int_eq(feed_receive(&fixture.feed, fixture.served), FEED_RECEIVE_SIZE);
    ck_assert_int_eq(page_of(&fixture)->state, FEED_OPEN);
    teardown(&fixture);
}
END_TEST

START_TEST(a_death_while_the_end_waits)
{
    Fixture fixture;
    size_t size;

    setup(&fixture);
    open_input(&fixture);
    size = fill(&fixture);
    feed_end(&fixture.feed);
    die(&fixture);
    adopt(&fixture);
    expect(&fixture, 0, size);
    expect_end(&fixture);
    teardown(&fixture);
}
END_TEST

START_TEST(a_death_before_an_end_takes_effect)
{
    Fixture fixture;

    setup(&fixture);
    open_input(&fixture);
    page_of(&fixture)->state = FEED_ENDING;
    die(&fixture);
    adopt(&fixture);
    expect_end(&fixture);
    teardown(&fixture);
}
END_TEST

START_TEST(a_death_between_two_writes)
{
    Fixture fixture;

    setup(&fixture);
    open_input(&fixture);
    pass(&fixture, 0, 500);
    fixture.feed.fd = -1; /* what comes now is kept, as between commit and write */
    pass(&fixture, 500, 500);
    die(&fixture);
    adopt(&fixture);
    expect(&fixture, 0, 1000);
    expect_nothing(&fixture);
    teardown(&fixture);
}
END_TEST

/* give_up(): the state first, then what waits, then the descriptor's entry, then itself. */
START_TEST(a_death_while_the_input_is_given_up)
{
    for (int step = 0; step < 3; step++) {
        Fixture fixture;

        setup(&fixture);
        open_input(&fixture);
        fill(&fixture);
        page_of(&fixture)->state = FEED_CLOSED;
        if (step > 0)
            page_of(&fixture)->start = page_of(&fixture)->end;
        if (step > 1) {
            fds_remove(&fixture.state, fixture.input);
            close(fixture.input); /* by execve: it is not in the table any more */
        }
        die(&fixture);
        adopt(&fixture);
        ck_assert_int_eq(fcntl(fixture.input, F_GETFD), -1);
        ck_assert_int_gt(feed_receive(&fixture.feed, fixture.served), 0);
        ck_assert(!g_main_context_pending(NULL));
        teardown(&fixture);
    }
}
END_TEST

SUITE("feed", bytes_pass_at_every_place_of_the_ring, a_packet_wraps_around_at_each_of_its_bytes,
      what_is_kept_wraps_around_too, who_finds_no_room_is_told_of_it_later,
      the_input_that_opens_makes_room, an_end_comes_after_what_was_before_it,
      an_end_before_the_input_opens, an_end_and_nothing_before_it,
      a_container_that_reads_no_more_makes_nobody_wait, a_client_that_leaves_is_seen,
      a_container_without_input_takes_everything, an_input_that_has_ended_leaves_no_descriptor,
      a_shared_descriptor_is_not_closed, a_shared_descriptor_that_is_closed_is_used_no_more,
      a_death_before_the_input_opens, a_death_while_the_container_does_not_read,
      a_death_while_the_end_waits, a_death_before_an_end_takes_effect, a_death_between_two_writes,
      a_death_while_the_input_is_given_up)
