#pragma once

#include "stdio/feed.h"
#include "stdio/outlet.h"
#include "util/error.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * The attach socket and its clients (on ATTACH_NULL, which has none, everything below is harmless):
 * SOCK_SEQPACKET at <bundle>/attach, raw output in packets of one byte of stream id and up to 8192
 * bytes. Clients get what comes after they have connected. What they send goes to the feed, in the
 * order in which it comes.
 *
 * When does a client's end close the container's input for everybody? A client that only watches
 * must not do that, and engines do not say which one does: Podman half-closes at once when it
 * watches, just as it does when its own input is empty; CRI-O half-closes only after input. So:
 *
 *   - a client that has sent something, or that came before the container's program was executed
 *     (`podman run -i`, `start -ai`, exec: its input is the container's), closes it with its end;
 *   - any other client does so by half-closing, and only where the engine is CRI-O: where the
 *     socket has its link.
 */
typedef struct Attach Attach;

typedef struct AttachCalls {
    /* A client has come, gone, or taken something that it lagged behind with. */
    void (*changed)(void *owner);
    /* Whether the container's program has been executed. */
    bool (*has_started)(void *owner);
    void *owner;
} AttachCalls;
/* Which of the clients that lag behind. */
typedef enum AttachLag {
    ATTACH_LATE_HOLDERS, /* that make the container wait, and came after its first output */
    ATTACH_HOLDERS,      /* that make the container wait */
    ATTACH_LAGGARDS,     /* all */
} AttachLag;

typedef struct AttachClient {
    Attach *attach;
    Outlet outlet;
    guint source; /* its input and its hang-up; 0 while the feed has no room for more */
} AttachClient;

struct Attach {
    State *state;
    Feed *feed;
    Spool spool;
    int listener;
    guint source;
    char *bundle;
    char *symlink;    /* <socket-dir>/<cuuid>, NULL with --full-attach */
    unsigned refused; /* connections beyond the most there may be, closed at once */
    int64_t retry_at; /* CLOCK_BOOTTIME microseconds, 0 = none: see attach_retry() */
    bool closes_feed; /* the end of the clients' input is that of the container's */
    AttachCalls calls;
    AttachClient
        *clients[PAGE_CLIENTS_MAX]; /* NULL: free; else state page's client of that index */
    size_t slots;                   /* all from this index on are free */
};

#define ATTACH_NULL                         \
    {                                       \
        .spool = SPOOL_NULL, .listener = -1 \
    }

/* Where the socket is, and what it is for. Strings are copied, `feed` is kept by reference. */
typedef struct AttachSetup {
    const char *bundle;
    const char *socket_dir; /* not NULL: a symbolic link <socket_dir>/<cuuid> leads to the bundle */
    const char *cuuid;
    Feed *feed;
    bool closes_feed;  /* else the container's input stays open, whoever leaves */
    int64_t spool_max; /* as in Spool */
    AttachCalls calls;
} AttachSetup;

/* Makes the socket, and the link. Returns 0, or negative with *error filled. */
int attach_init(Attach *attach, State *state, const AttachSetup *setup, Error *error);

/* Goes on with the listener and the clients that another image of this program has left. */
void attach_adopt(Attach *attach, State *state, const AttachSetup *setup);

/* The feed has room again: whoever was turned away is read again. */
void attach_read_again(Attach *attach);

/* Takes the socket that is there for our own, where the page does not know any more. */
void attach_claim_files(State *state, const AttachSetup *setup);

/* Removes the socket and the link, if they are still ours, and takes no further clients. */
void attach_stop_listening(Attach *attach);

/* Removes the socket and the link to the bundle, if they are still there and ours. Safe to repeat,
 * also by who has no Attach. */
void attach_remove_files(State *state, const AttachSetup *setup);

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

/*
 * Brings to the spool what the clients have left in memory too long, and ends it when all have
 * caught up.
 */
void attach_balance(Attach *attach);

/* Passes over what was read until now, for all clients. */
void attach_skip(Attach *attach);

/* Closes the connection of every client that has all output (all = false), or of every client. */
void attach_close_clients(Attach *attach, bool all);

/* The time in which nobody has read counts from now on. */
void attach_begin_linger(Attach *attach);

/*
 * Drops those clients that have taken nothing since `before` (CLOCK_BOOTTIME microseconds). Returns
 * how many.
 */
unsigned attach_drop_stalled(Attach *attach, int64_t before, AttachLag which);

/* Since when the one of those clients that has waited longest has taken nothing; INT64_MAX if
 * there is none. */
int64_t attach_stalled_since(const Attach *attach, AttachLag which);

/* How many bytes of the stream the client that lags most still has to take. */
uint64_t attach_backlog(const Attach *attach, StreamId stream);

/* How many bytes of the stream must stay in memory for the clients. */
uint64_t attach_held(const Attach *attach, StreamId stream);

bool attach_has_clients(const Attach *attach);

void attach_deinit(Attach *attach);
