#include "stdio/attach.h"

#include "own-clock.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Sizes of packets, of what a client may hold back, and of names; and when a client is stalled. */

enum { SECOND = 1000000 };

static int accept_error; /* 0 = connections are accepted */

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    if (accept_error == 0)
        return __real_accept4(fd, address, length, flags);
    errno = accept_error;
    return -1;
}

typedef struct Fixture {
    State state;
    Attach attach;
    char *bundle;
    Feed feed;
} Fixture;

static void on_changed(void *owner)
{
    (void)owner;
}

static bool has_started(void *owner)
{
    (void)owner;
    return true;
}

static int init(Fixture *fixture, const char *socket_dir, const char *cuuid, Error *error)
{
    return attach_init(&fixture->attach, &fixture->state,
                       &(AttachSetup){.bundle = fixture->bundle,
                                      .socket_dir = socket_dir,
                                      .cuuid = cuuid,
                                      .feed = &fixture->feed,
                                      .calls = {on_changed, has_started, fixture}},
                       error);
}

static void setup(Fixture *fixture)
{
    Error error;

    *fixture = (Fixture){.state = STATE_NULL, .feed = FEED_NULL};
    fixture->bundle = g_dir_make_tmp("conward-XXXXXX", NULL);
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
}

static void teardown(Fixture *fixture)
{
    attach_deinit(&fixture->attach);
    state_deinit(&fixture->state);
    ck_assert_int_eq(g_rmdir(fixture->bundle), 0);
    g_free(fixture->bundle);
}

static int connect_client(Fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/attach", fixture->bundle);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    attach_accept_waiting(&fixture->attach);
    return fd;
}

/* The container has written so much more. */
static void put(Fixture *fixture, StreamId stream, size_t size)
{
    StreamPage *page = &fixture->state.page->streams[stream];

    memset(fixture->state.input[stream] + page->end, 'a' + (int)stream, size);
    page->end += size;
}

/* The size of the client's next packet, 0 if there is none, with its stream's number. */
static ssize_t next_packet(int fd, uint8_t id)
{
    uint8_t bytes[OUTLET_PACKET_MAX + 2];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    if (n < 0)
        return 0;
    if (n == 0)
        return 0; /* the end */
    ck_assert_uint_eq(bytes[0], id);
    ck_assert_uint_eq(bytes[n - 1], id == 2 ? 'a' : 'b');
    return n - 1;
}

START_TEST(a_packet_has_so_many_bytes_at_most)
{
    Fixture fixture;
    Error error;
    int fd;

    setup(&fixture);
    ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
    fd = connect_client(&fixture);
    for (ssize_t size = OUTLET_PACKET_MAX - 1; size <= OUTLET_PACKET_MAX + 1; size++) {
        put(&fixture, STREAM_STDERR, (size_t)size);
        attach_pump(&fixture.attach);
        ck_assert_int_eq(next_packet(fd, 3), MIN(size, OUTLET_PACKET_MAX));
        ck_assert_int_eq(next_packet(fd, 3), size > OUTLET_PACKET_MAX ? 1 : 0);
        ck_assert_int_eq(next_packet(fd, 3), 0);
        ck_assert_uint_eq(attach_backlog(&fixture.attach, STREAM_STDERR), 0);
    }
    put(&fixture, STREAM_STDOUT, 1);
    attach_pump(&fixture.attach);
    ck_assert_int_eq(next_packet(fd, 2), 1);
    close(fd);
    teardown(&fixture);
}
END_TEST

/* Lets a client's socket be full, with so many bytes behind what it has taken. */
static void stall(Fixture *fixture, size_t size)
{
    AttachClient *client = fixture->attach.clients[0];

    do {
        put(fixture, STREAM_STDOUT, OUTLET_PACKET_MAX);
        attach_pump(&fixture->attach);
    } while (attach_backlog(&fixture->attach, STREAM_STDOUT) == 0);
    size -= attach_backlog(&fixture->attach, STREAM_STDOUT);
    put(fixture, STREAM_STDOUT, size);
    attach_pump(&fixture->attach);
    ck_assert_uint_ne(client->outlet.sources[STREAM_STDOUT], 0);
}

START_TEST(a_client_that_takes_nothing_is_dropped_at_its_time)
{
    Fixture fixture;
    Error error;
    int64_t since;
    int fd;

    setup(&fixture);
    ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
    fd = connect_client(&fixture);
    ck_assert_int_eq(attach_stalled_since(&fixture.attach, ATTACH_LAGGARDS), INT64_MAX);
    own_clock_pass(SECOND);
    since = own_boottime;
    stall(&fixture, STATE_HOLD_SIZE);
    own_clock_pass(SECOND);
    attach_pump(&fixture.attach); /* in vain */
    ck_assert_int_eq(attach_stalled_since(&fixture.attach, ATTACH_LAGGARDS), since);
    ck_assert_uint_eq(attach_drop_stalled(&fixture.attach, since - 1, ATTACH_LAGGARDS), 0);

    /* It has read something: that is progress, though not enough for the next packet. */
    ck_assert_int_gt(next_packet(fd, 2), 0);
    ck_assert_uint_eq(attach_drop_stalled(&fixture.attach, since, ATTACH_LAGGARDS), 0);
    ck_assert_int_eq(attach_stalled_since(&fixture.attach, ATTACH_LAGGARDS), own_boottime);
    since = own_boottime;
    own_clock_pass(SECOND);
    ck_assert_uint_eq(attach_drop_stalled(&fixture.attach, since - 1, ATTACH_LAGGARDS), 0);
    ck_assert(attach_has_clients(&fixture.attach));
    ck_assert_uint_eq(attach_drop_stalled(&fixture.attach, since, ATTACH_LAGGARDS), 1);
    ck_assert(!attach_has_clients(&fixture.attach));
    close(fd);
    teardown(&fixture);
}
END_TEST

/* Whom the container waits for: it is so many bytes behind, and came early or not. */
START_TEST(a_stream_is_held_from_so_many_bytes_on)
{
    for (size_t size = STATE_HOLD_SIZE - 1; size <= STATE_HOLD_SIZE; size++) {
        for (uint32_t early = 0; early <= 1; early++) {
            bool is_holder = size == STATE_HOLD_SIZE;
            Fixture fixture;
            Error error;
            int64_t none = INT64_MAX;
            int fd;

            setup(&fixture);
            fixture.state.page->first_output = !early;
            ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
            fd = connect_client(&fixture);
            ck_assert_uint_eq(fixture.state.page->clients[0].early, early);
            stall(&fixture, size);
            ck_assert_uint_eq(attach_held(&fixture.attach, STREAM_STDOUT), size);
            ck_assert_int_eq(attach_stalled_since(&fixture.attach, ATTACH_HOLDERS),
                             is_holder ? own_boottime : none);
            ck_assert_int_eq(attach_stalled_since(&fixture.attach, ATTACH_LATE_HOLDERS),
                             is_holder && !early ? own_boottime : none);
            ck_assert_int_eq(attach_stalled_since(&fixture.attach, ATTACH_LAGGARDS), own_boottime);
            close(fd);
            teardown(&fixture);
        }
    }
}
END_TEST

/* Reads all that a client is sent. Returns how many bytes it was. */
static uint64_t read_all(int fd)
{
    uint64_t all = 0;
    uint64_t before;

    do {
        ssize_t n;

        before = all;
        while ((n = next_packet(fd, 2)) > 0)
            all += (uint64_t)n;
        while (g_main_context_iteration(NULL, FALSE))
            ;
    } while (all != before);
    return all;
}

/* What is behind the bound goes to the spool, and comes back from there, in order; when all have
 * caught up, there is none. */
START_TEST(a_stalled_client_is_served_from_the_spool)
{
    Fixture fixture;
    Error error;
    const SpoolPage *spool;
    uint64_t end;
    int fd;

    setup(&fixture);
    ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
    fixture.attach.spool.max = 1 << 20;
    spool = &fixture.state.page->spool;
    fd = connect_client(&fixture);
    stall(&fixture, STATE_HOLD_SIZE - 1);
    attach_balance(&fixture.attach);
    ck_assert_uint_eq(spool->end[STREAM_STDOUT], 0);
    put(&fixture, STREAM_STDOUT, 1);
    attach_balance(&fixture.attach);
    end = fixture.state.page->streams[STREAM_STDOUT].end;
    ck_assert_uint_eq(spool->end[STREAM_STDOUT], end);
    ck_assert_uint_eq(attach_held(&fixture.attach, STREAM_STDOUT), 0);
    ck_assert_uint_eq(attach_backlog(&fixture.attach, STREAM_STDOUT), STATE_HOLD_SIZE);
    memset(fixture.state.input[STREAM_STDOUT], '?', end); /* it is not in memory any more */
    put(&fixture, STREAM_STDOUT, 100);
    ck_assert_uint_eq(attach_held(&fixture.attach, STREAM_STDOUT), 100);
    ck_assert_uint_eq(read_all(fd), end + 100);
    attach_balance(&fixture.attach);
    ck_assert_int_eq(fixture.attach.spool.fds[STREAM_STDOUT], -1);
    close(fd);
    teardown(&fixture);
}
END_TEST

/* Nothing can come after a gap: the client sees an end. */
START_TEST(a_spool_that_somebody_has_cut_ends_its_clients)
{
    Fixture fixture;
    Error error;
    int fd;

    setup(&fixture);
    ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
    fixture.attach.spool.max = 1 << 20;
    fd = connect_client(&fixture);
    stall(&fixture, STATE_HOLD_SIZE);
    attach_balance(&fixture.attach);
    ck_assert_int_eq(ftruncate(fixture.attach.spool.fds[STREAM_STDOUT], 0), 0);
    read_all(fd);
    ck_assert(!attach_has_clients(&fixture.attach) ||
              outlet_is_dead(&fixture.attach.clients[0]->outlet));
    close(fd);
    teardown(&fixture);
}
END_TEST

START_TEST(no_more_clients_than_there_are_places)
{
    Fixture fixture;
    Error error;
    int fds[PAGE_CLIENTS_MAX + 1];
    char byte;

    setup(&fixture);
    ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        fds[i] = connect_client(&fixture);
        ck_assert_uint_eq(fixture.attach.slots, i + 1);
    }
    ck_assert_uint_eq(fixture.attach.refused, 0);
    fds[PAGE_CLIENTS_MAX] = connect_client(&fixture);
    ck_assert_uint_eq(fixture.attach.refused, 1);
    ck_assert_int_eq(recv(fds[PAGE_CLIENTS_MAX], &byte, 1, 0), 0); /* it sees an end */
    ck_assert_int_eq(recv(fds[PAGE_CLIENTS_MAX - 1], &byte, 1, 0), -1);
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
    teardown(&fixture);
}
END_TEST

START_TEST(a_pause_follows_a_connection_that_cannot_be_accepted)
{
    static const int harmless[] = {EAGAIN, EINTR, ECONNABORTED};
    static const int lasting[] = {EMFILE, ENFILE, ENOMEM};
    Fixture fixture;
    Error error;

    setup(&fixture);
    ck_assert_int_eq(init(&fixture, NULL, NULL, &error), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(harmless); i++) {
        accept_error = harmless[i];
        attach_accept_waiting(&fixture.attach);
        ck_assert_int_eq(fixture.attach.retry_at, 0);
        ck_assert_uint_ne(fixture.attach.source, 0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(lasting); i++) {
        accept_error = lasting[i];
        own_clock_pass(SECOND);
        attach_accept_waiting(&fixture.attach);
        ck_assert_int_eq(fixture.attach.retry_at, own_boottime + SECOND);
        ck_assert_uint_eq(fixture.attach.source, 0);
        attach_retry(&fixture.attach);
        ck_assert_int_eq(fixture.attach.retry_at, 0);
        ck_assert_uint_ne(fixture.attach.source, 0);
    }
    accept_error = 0;
    teardown(&fixture);
}
END_TEST

/* Engines cut the name of a link that is just too long for an address: it is made as they look for
 * it, and a longer or shorter one is what it is. */
START_TEST(a_link_has_the_name_that_engines_look_for)
{
    for (size_t total = 105; total <= 109; total++) {
        Fixture fixture;
        Error error;
        g_autofree char *directory = g_dir_make_tmp("conward-XXXXXX", NULL);
        size_t length = total - strlen(directory) - 1;
        g_autofree char *cuuid = g_strnfill(length, 'x');
        g_autofree char *link = g_strdup_printf("%s/%s", directory, cuuid);
        g_autofree char *target = NULL;

        if (total == 107)
            link[106] = '\0';
        setup(&fixture);
        ck_assert_int_eq(init(&fixture, directory, cuuid, &error), 0);
        target = g_file_read_link(link, NULL);
        ck_assert_msg(target != NULL && strcmp(target, fixture.bundle) == 0, "%zu", total);
        teardown(&fixture);
        ck_assert_int_eq(g_rmdir(directory), 0); /* so the link is gone, too */
    }
}
END_TEST

SUITE("attach-bounds", a_packet_has_so_many_bytes_at_most,
      a_client_that_takes_nothing_is_dropped_at_its_time, a_stream_is_held_from_so_many_bytes_on,
      a_stalled_client_is_served_from_the_spool, a_spool_that_somebody_has_cut_ends_its_clients,
      no_more_clients_than_there_are_places, a_pause_follows_a_connection_that_cannot_be_accepted,
      a_link_has_the_name_that_engines_look_for)
