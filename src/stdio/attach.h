#pragma once

#include "stdio/outlet.h"
#include "util/error.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * The attach socket and its clients (on ATTACH_NULL, which has none, everything below is harmless):
 * SOCK_SEQPACKET at <bundle>/attach, raw output in packets of one byte of stream id and up to 8192
 * bytes. Clients get what comes after they have connected. Their input is not taken by this
 * version; it is read and dropped.
 */
typedef struct Attach Attach;

/* Called after a client has come, gone, or taken something that it lagged behind with. */
typedef void (*AttachChanged)(void *owner);

typedef struct AttachClient {
    Attach *attach;
    Outlet outlet;
    guint source; /* its input and its hang-up */
} AttachClient;

struct Attach {
    State *state;
    int listener;
    guint source;
    char *bundle;
    char *symlink;    /* <socket-dir>/<cuuid>, NULL with --full-attach */
    unsigned refused; /* connections beyond the most there may be, closed at once */
    int64_t retry_at; /* CLOCK_BOOTTIME microseconds, 0 = none: see attach_retry() */
    AttachChanged changed;
    void *owner;
    AttachClient
        *clients[PAGE_CLIENTS_MAX]; /* NULL: free; else state page's client of that index */
};

#define ATTACH_NULL    \
    {                  \
        .listener = -1 \
    }

/*
 * Makes the socket in `bundle`, and, if `socket_dir` is not NULL, the symbolic link
 * <socket_dir>/<cuuid> to the bundle. Returns 0, or negative with *error filled.
 */
int attach_init(Attach *attach, State *state, const char *bundle, const char *socket_dir,
                const char *cuuid, AttachChanged changed, void *owner, Error *error);

/* Goes on with the listener and the clients that another image of this program has left. */
void attach_adopt(Attach *attach, State *state, const char *bundle, const char *socket_dir,
                  const char *cuuid, AttachChanged changed, void *owner);

/* Removes the socket and the link, if they are still ours, and takes no further clients. */
void attach_stop_listening(Attach *attach);

/*
 * Takes the clients that have connected but not been seen yet. To be called before the first
 * output is read, so that who came before it is known as early.
 */
void attach_accept_waiting(Attach *attach);

/*
 * Watches the listener again. A connection that cannot be accepted for want of descriptors or
 * memory would be announced without end: the listener is left alone until `retry_at`, or until a
 * client goes.
 */
void attach_retry(Attach *attach);

/* Sends every client what it can take now. */
void attach_pump(Attach *attach);

/* Passes over what was read until now, for all clients. */
void attach_skip(Attach *attach);

/* Closes the connection of every client that has all output (all = false), or of every client. */
void attach_close_clients(Attach *attach, bool all);

/*
 * Drops the clients that have taken nothing since `before` (CLOCK_BOOTTIME microseconds), those
 * that came before the first output only with `early`. Returns how many.
 */
unsigned attach_drop_stalled(Attach *attach, int64_t before, bool early);

/* The time at which the client that has waited longest began to; INT64_MAX if none lags behind. */
int64_t attach_stalled_since(const Attach *attach, bool early);

/* How many bytes of the stream the client that lags most still has to take. */
uint64_t attach_backlog(const Attach *attach, StreamId stream);

bool attach_has_clients(const Attach *attach);

void attach_deinit(Attach *attach);
