#pragma once

#include <stddef.h>
#include <sys/uio.h>

/*
 * The way to systemd's journal: its native protocol, one datagram per entry, without its library.
 * Nothing here ever waits.
 */
typedef struct JournalSocket {
    int fd; /* connected, or -1 */
} JournalSocket;

#define JOURNAL_SOCKET_NULL \
    {                       \
        .fd = -1            \
    }

/*
 * Sends one entry, in `count` parts, and connects before if that has not been done; an entry that
 * is too large for a datagram goes as a memory file. Returns 0, or -errno:
 *
 * -EAGAIN: the journal has not read enough of what it has got. poll(2) says when it can be sent to
 * again.
 * Others: nobody listens there now (-ENOENT, -ECONNREFUSED), or the system has no memory or no
 * descriptors for it.
 */
int journal_socket_send(JournalSocket *journal, const struct iovec *parts, size_t count);

/* The next entry makes a new connection. */
void journal_socket_close(JournalSocket *journal);
