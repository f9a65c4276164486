#pragma once

#include "state/state.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * The way to the container's standard input, from attach clients to the pipe or terminal: a ring of
 * bytes in the state, filled by what clients send in the order in which it comes. Nothing is read
 * from them that has no room, so whoever sends too much waits.
 *
 * Before there is a pipe or a terminal (feed_open()), and while it is full, the bytes wait. Once
 * the container does not read any more, they are dropped.
 */
typedef struct Feed Feed;

/* Called when there is room again after there was none. */
typedef void (*FeedRoom)(void *owner);

struct Feed {
    State *state;
    int fd;      /* -1: see `page` */
    bool shared; /* the descriptor is a stream's too, and closed by it */
    guint source;
    bool full; /* somebody was turned away */
    FeedRoom room;
    void *owner;
};

#define FEED_NULL \
    {             \
        .fd = -1  \
    }

enum { FEED_RECEIVE_SIZE = 65536 }; /* the largest packet that a client may send */

/*
 * Begins to keep what clients send; `room` is called with `owner`. A Feed that is still FEED_NULL
 * is one of a container without input: everything is dropped.
 */
void feed_init(Feed *feed, State *state, FeedRoom room, void *owner);

/*
 * The way is open now: `fd`, made non-blocking; with `shared` a terminal's, which the stream of its
 * output closes. Where nobody can send anything (FEED_NULL) it ends at once.
 */
void feed_open(Feed *feed, int fd, bool shared);

/* Goes on with what another image of this program has left. */
void feed_adopt(Feed *feed, State *state, int fd, bool shared, FeedRoom room, void *owner);

/*
 * Receives one packet from a client's socket and passes it on. Returns its size, 0 at the client's
 * end, or -errno; -ENOBUFS if there is no room: wait for `room`.
 */
ssize_t feed_receive(Feed *feed, int client_fd);

/* The same from a descriptor that is no socket. */
ssize_t feed_read(Feed *feed, int fd);

/* Closes the container's input after all that has been received until now. */
void feed_end(Feed *feed);

/* The shared descriptor is closed, or about to be: what waits and what will come is dropped. */
void feed_stop(Feed *feed);

/* The container has ended, or the input is closed: what waits is dropped. Safe to repeat. */
void feed_deinit(Feed *feed);
