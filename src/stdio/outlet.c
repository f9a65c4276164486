#include "stdio/outlet.h"

#include "state/input.h"
#include "util/clock.h"
#include "util/watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* The most that one turn of the main loop sends of a stream: others have their turn too. */
enum { TURN_SIZE = 2 * STATE_HOLD_SIZE };

/* Stream ids of the attach protocol: 2 is stdout, 3 is stderr. Any other ends a Podman session. */
static const uint8_t packet_ids[STREAMS] = {2, 3};

void outlet_init(Outlet *outlet, State *state, OutletPage *page, const Spool *spool,
                 OutletMoved moved, void *owner)
{
    *outlet =
        (Outlet){.state = state, .page = page, .spool = spool, .moved = moved, .owner = owner};
    outlet->moved_at = clock_boottime_us();
}

void outlet_deinit(Outlet *outlet)
{
    for (size_t i = 0; i < STREAMS; i++) {
        if (outlet->sources[i] != 0)
            g_source_remove(outlet->sources[i]);
        outlet->sources[i] = 0;
    }
}

/* What the kernel counts for them: more than was sent. */
static int unread(const Outlet *outlet)
{
    int bytes = 0;

    if (outlet->spool != NULL)
        ioctl(outlet->page->fd[STREAM_STDOUT], SIOCOUTQ, &bytes);
    return bytes;
}

void outlet_touch(Outlet *outlet)
{
    outlet->moved_at = clock_boottime_us();
    outlet->unread = unread(outlet);
}

bool outlet_was_read(Outlet *outlet)
{
    if (unread(outlet) >= outlet->unread)
        return false;
    outlet_touch(outlet);
    return true;
}

void outlet_skip(Outlet *outlet)
{
    for (size_t i = 0; i < STREAMS; i++)
        state_commit(&outlet->page->cursor[i], outlet->state->page->streams[i].end);
    outlet->moved_at = clock_boottime_us();
}

static ssize_t send_packet(int fd, StreamId stream, const uint8_t *bytes, size_t size)
{
    struct iovec parts[2] = {
        {.iov_base = (void *)&packet_ids[stream], .iov_len = 1},
        {.iov_base = (void *)bytes, .iov_len = size},
    };
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = sendmsg(fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL);

    return n < 0 ? n : (ssize_t)size; /* a packet goes whole or not at all */
}

static ssize_t write_ready(int fd, const uint8_t *bytes, size_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    ssize_t n = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0 || errno != ENOTSOCK)
        return n;
    if (poll(&ready, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    /* A pipe that poll(2) calls writable takes this much at once; a regular file takes anything. */
    return write(fd, bytes, size < PIPE_BUF ? size : PIPE_BUF);
}

static ssize_t send_some(const Outlet *outlet, StreamId stream, const uint8_t *bytes, size_t size)
{
    int fd = outlet->page->fd[stream];

    if (outlet->spool != NULL)
        return send_packet(fd, stream, bytes, size < OUTLET_PACKET_MAX ? size : OUTLET_PACKET_MAX);
    if (outlet->blocking[stream])
        return write_ready(fd, bytes, size);
    return write(fd, bytes, size);
}

/* Out of line: its buffer would make the stack deeper for who never needs it. */
static __attribute__((noinline)) ssize_t send_spooled(const Outlet *outlet, StreamId stream,
                                                      uint64_t cursor)
{
    uint8_t bytes[OUTLET_PACKET_MAX];
    ssize_t n = spool_read(outlet->spool, stream, cursor, bytes, sizeof(bytes));

    if (n < 0) {
        /* Nothing can come after this in order: the client sees an end, and not a gap. */
        shutdown(outlet->page->fd[stream], SHUT_RDWR);
        errno = EIO;
        return -1;
    }
    return send_packet(outlet->page->fd[stream], stream, bytes, (size_t)n);
}

static ssize_t send_next(const Outlet *outlet, StreamId stream, size_t backlog)
{
    uint64_t cursor = outlet->page->cursor[stream];

    if (outlet->spool != NULL && spool_has(outlet->state, stream, cursor))
        return send_spooled(outlet, stream, cursor);
    return send_some(outlet, stream, input_at(outlet->state, stream, cursor), backlog);
}

/*
 * Sends one stream's backlog. Returns false if something is left: the descriptor takes no more now,
 * or it is the turn of somebody else.
 */
static bool pump_stream(Outlet *outlet, StreamId stream)
{
    uint64_t *cursor = &outlet->page->cursor[stream];
    uint64_t first = *cursor;
    uint64_t backlog;

    while ((backlog = outlet_backlog(outlet, stream)) > 0) {
        ssize_t n;

        if (*cursor - first >= TURN_SIZE)
            return false;
        n = send_next(outlet, stream, (size_t)backlog);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN || errno == ENOBUFS)
                return false;
            /* The two streams of a client are one socket. */
            state_commit(&outlet->page->dead,
                         outlet->page->dead | (outlet->spool != NULL ? 3U : 1U << stream));
            return true;
        }
        state_commit(cursor, *cursor + (uint64_t)n);
        outlet->moved_at = clock_boottime_us();
    }
    return true;
}

static void watch(Outlet *outlet, StreamId stream);

static gboolean on_writable(Outlet *outlet, StreamId stream)
{
    outlet->sources[stream] = 0;
    if (!pump_stream(outlet, stream)) {
        outlet->unread = unread(outlet);
        watch(outlet, stream);
    }
    outlet->moved(outlet, outlet->owner); /* may free the outlet */
    return G_SOURCE_REMOVE;
}

static gboolean on_stdout_writable(gint fd, GIOCondition condition, gpointer data)
{
    (void)fd;
    (void)condition;
    return on_writable(data, STREAM_STDOUT);
}

static gboolean on_stderr_writable(gint fd, GIOCondition condition, gpointer data)
{
    (void)fd;
    (void)condition;
    return on_writable(data, STREAM_STDERR);
}

static void watch(Outlet *outlet, StreamId stream)
{
    outlet->sources[stream] =
        watch_fd(outlet->page->fd[stream], G_IO_OUT,
                 stream == STREAM_STDOUT ? on_stdout_writable : on_stderr_writable, outlet);
}

void outlet_pump(Outlet *outlet)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (outlet->sources[i] != 0 || outlet_backlog(outlet, i) == 0)
            continue;
        if (!pump_stream(outlet, i)) {
            outlet_touch(outlet);
            watch(outlet, i);
        }
    }
}
