#include "stdio/feed.h"

#include "state/fds.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(STATE_FEED_SIZE >= 2 * FEED_RECEIVE_SIZE, "a packet would wait for an empty ring");

static FeedPage *page_of(const Feed *feed)
{
    return &feed->state->page->feed;
}

static uint64_t pending(const Feed *feed)
{
    return page_of(feed)->end - page_of(feed)->start;
}

/* The ring from stream offset `from` on for `size` bytes: one part, or two. Returns how many. */
static int ring_parts(const Feed *feed, uint64_t from, size_t size, struct iovec parts[2])
{
    size_t at = (size_t)(from % STATE_FEED_SIZE);
    size_t first = MIN(size, STATE_FEED_SIZE - at);

    parts[0] = (struct iovec){feed->state->feed + at, first};
    parts[1] = (struct iovec){feed->state->feed, size - first};
    return size > first ? 2 : 1;
}

/* From a socket, a whole packet; from anything else, what there is. */
static ssize_t take(int fd, bool is_socket, struct iovec *parts, int count)
{
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    ssize_t n = is_socket ? recvmsg(fd, &packet, MSG_DONTWAIT) : readv(fd, parts, count);

    return n < 0 ? -errno : n;
}

/* A container without input, or one that has closed it. */
static ssize_t drop(int fd, bool is_socket)
{
    char bytes[4096];

    return take(fd, is_socket, &(struct iovec){bytes, sizeof(bytes)}, 1);
}

static void close_now(Feed *feed)
{
    if (feed->source != 0)
        g_source_remove(feed->source);
    feed->source = 0;
    if (feed->fd >= 0 && !feed->shared) {
        fds_remove(feed->state, feed->fd);
        fd_close(&feed->fd);
    }
    feed->fd = -1;
}

static void make_room(Feed *feed)
{
    if (!feed->full || STATE_FEED_SIZE - pending(feed) < FEED_RECEIVE_SIZE)
        return;
    feed->full = false;
    feed->room(feed->owner);
}

/* The container does not read any more: neither what waits nor what may come. */
static void give_up(Feed *feed)
{
    FeedPage *page = page_of(feed);

    state_commit(&page->state, FEED_CLOSED);
    state_commit(&page->start, page->end);
    close_now(feed);
}

/* Writes what can be written. Returns false when the container takes no more now. */
static bool write_some(Feed *feed)
{
    FeedPage *page = page_of(feed);

    while (pending(feed) > 0) {
        struct iovec parts[2];
        int count = ring_parts(feed, page->start, (size_t)pending(feed), parts);
        ssize_t n = writev(feed->fd, parts, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0) {
            give_up(feed);
            return true;
        }
        state_commit(&page->start, page->start + (uint64_t)n);
    }
    if (page->state == FEED_ENDING)
        give_up(feed);
    return true;
}

static void pump(Feed *feed);

static gboolean on_writable(gint fd, GIOCondition condition, gpointer data)
{
    Feed *feed = data;

    (void)fd;
    (void)condition;
    feed->source = 0;
    pump(feed);
    make_room(feed);
    return G_SOURCE_REMOVE;
}

static void pump(Feed *feed)
{
    if (feed->fd < 0 || feed->source != 0)
        return;
    if (!write_some(feed))
        feed->source = watch_fd(feed->fd, G_IO_OUT, on_writable, feed);
}

void feed_init(Feed *feed, State *state, FeedRoom room, void *owner)
{
    *feed = (Feed){.state = state, .fd = -1, .room = room, .owner = owner};
    state_commit(&page_of(feed)->state, FEED_OPEN);
}

void feed_open(Feed *feed, int fd, bool shared)
{
    if (feed->state == NULL) {
        if (!shared)
            close(fd); /* nobody will ever send anything */
        return;
    }
    feed->fd = fd;
    feed->shared = shared;
    fd_set_nonblock(fd, true);
    if (!shared)
        fds_add(feed->state, FD_STDIN, fd);
    pump(feed);
    make_room(feed);
}

void feed_adopt(Feed *feed, State *state, int fd, bool shared, FeedRoom room, void *owner)
{
    *feed = (Feed){.state = state, .fd = -1, .room = room, .owner = owner};
    if (page_of(feed)->state == FEED_CLOSED && !shared && fd >= 0) {
        fds_remove(state, fd);
        close(fd);
    } else if (page_of(feed)->state != FEED_CLOSED && fd >= 0) {
        feed_open(feed, fd, shared);
    }
}

static ssize_t take_in(Feed *feed, int fd, bool is_socket)
{
    struct iovec parts[2];
    FeedPage *page;
    ssize_t n;

    if (feed->state == NULL || page_of(feed)->state != FEED_OPEN)
        return drop(fd, is_socket);
    page = page_of(feed);
    if (STATE_FEED_SIZE - pending(feed) < FEED_RECEIVE_SIZE) {
        feed->full = true;
        return -ENOBUFS;
    }
    n = take(fd, is_socket, parts, ring_parts(feed, page->end, FEED_RECEIVE_SIZE, parts));
    if (n <= 0)
        return n;
    state_commit(&page->end, page->end + (uint64_t)n);
    state_touch(feed->state, (size_t)n);
    pump(feed);
    return n;
}

ssize_t feed_receive(Feed *feed, int client_fd)
{
    return take_in(feed, client_fd, true);
}

ssize_t feed_read(Feed *feed, int fd)
{
    return take_in(feed, fd, false);
}

void feed_end(Feed *feed)
{
    if (feed->state == NULL || page_of(feed)->state != FEED_OPEN)
        return;
    state_commit(&page_of(feed)->state, FEED_ENDING);
    if (feed->fd >= 0 && pending(feed) == 0)
        give_up(feed);
}

void feed_stop(Feed *feed)
{
    if (feed->state == NULL)
        return;
    give_up(feed);
    make_room(feed);
}

void feed_deinit(Feed *feed)
{
    if (feed->state == NULL)
        return;
    give_up(feed);
    *feed = (Feed)FEED_NULL;
}
