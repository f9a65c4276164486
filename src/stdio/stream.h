#pragma once

#include "state/state.h"
#include "stdio/pace.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Our end of the container's stdout or stderr. It only moves bytes from the pipe into the input
 * buffer; its owner is told when there is something to read, and decides how far the buffer may
 * be overwritten.
 */
typedef struct Stream Stream;
typedef void (*StreamReadable)(Stream *stream, void *owner);

struct Stream {
    State *state;
    StreamId id;
    int fd; /* -1 after its end */
    guint source;
    Pace pace;
    StreamReadable readable;
    void *owner;
};

#define STREAM_NULL \
    {               \
        .fd = -1    \
    }

/* Takes over `fd` (made non-blocking). Nothing is watched until stream_watch(). */
void stream_init(Stream *stream, State *state, StreamId id, int fd, StreamReadable readable,
                 void *owner);

/* Closes the stream: nothing more is read. Safe to repeat. */
void stream_deinit(Stream *stream);

/* Starts or stops calling `readable`. Stopped, the pipe fills and its writers wait. */
void stream_watch(Stream *stream, bool on);

/*
 * Reads once, after a moment if that pays (see stdio/pace.h), and commits the bytes; see
 * input_read() for the result. At the end of the stream (0) or a read error, the stream is closed;
 * that its descriptor is no longer in the table says so.
 */
ssize_t stream_read(Stream *stream, uint64_t keep_from);

static inline bool stream_is_open(const Stream *stream)
{
    return stream->fd >= 0;
}
