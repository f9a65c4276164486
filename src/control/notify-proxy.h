#pragma once

#include "state/state.h"
#include "util/error.h"
#include "util/message.h"

#include <glib.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The container's way to the host's service manager (sd_notify): a datagram socket in the bundle,
 * <bundle>/notify/notify.sock. What a container may say about itself is passed on; what would
 * speak about other processes or hand over descriptors (MAINPID, FDSTORE, BARRIER) is not.
 *
 * One datagram at a time: while the host's socket is full, it waits in the state's buffer and the
 * next ones in the kernel's queue, where the container's own sends then wait. A host that cannot be
 * reached costs this one datagram; the next one is tried anew.
 *
 * On NOTIFY_PROXY_NULL, which has no socket, everything below is harmless.
 */
typedef struct NotifyProxy {
    State *state;
    const Messages *messages;
    int inside; /* the container sends to it */
    int host_fd;
    struct sockaddr_un host;
    socklen_t host_length;
    guint source;  /* waits for a datagram, or with one that waits for room at the host */
    int said;      /* errno of the failure that has been spoken of, 0 = none */
    bool said_cut; /* that a datagram was too long */
} NotifyProxy;

#define NOTIFY_PROXY_NULL           \
    {                               \
        .inside = -1, .host_fd = -1 \
    }

/*
 * Makes the socket in `bundle`, whose directory notify/ must be there already, and passes on to
 * `host`: a path, or @ and an abstract name. `messages` is kept by reference. Returns 0, or
 * negative with *error filled.
 */
int notify_proxy_init(NotifyProxy *proxy, State *state, const char *bundle, const char *host,
                      const Messages *messages, Error *error);

/* Goes on with the sockets and the datagram that another image of this program has left. */
void notify_proxy_adopt(NotifyProxy *proxy, State *state, const char *host,
                        const Messages *messages);

/* Passes on what has been sent until now, as far as the host takes it. */
void notify_proxy_drain(NotifyProxy *proxy);

/* The socket's file stays: engines remove it. */
void notify_proxy_deinit(NotifyProxy *proxy);

/*
 * Copies those lines of a datagram that are passed on to `passed`, which has room for `length`
 * bytes, with newlines between them. Returns their length.
 */
size_t notify_filter(const char *bytes, size_t length, char *passed);
