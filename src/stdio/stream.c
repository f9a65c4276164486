#include "stdio/stream.h"

#include "state/fds.h"
#include "state/input.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>

void stream_init(Stream *stream, State *state, StreamId id, int fd, StreamReadable readable,
                 void *owner)
{
    *stream = (Stream){.state = state, .id = id, .fd = fd, .readable = readable, .owner = owner};
    /* First: it may be a terminal, which cannot be had again. */
    fds_add(state, id == STREAM_STDOUT ? FD_STDOUT : FD_STDERR, fd);
    fd_set_nonblock(fd, true);
}

void stream_deinit(Stream *stream)
{
    stream_watch(stream, false);
    if (stream->fd >= 0)
        fds_remove(stream->state, stream->fd);
    fd_close(&stream->fd);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    Stream *stream = data;

    (void)fd;
    (void)condition;
    stream->readable(stream, stream->owner);
    return G_SOURCE_CONTINUE;
}

void stream_watch(Stream *stream, bool on)
{
    if (on && stream->source == 0 && stream->fd >= 0) {
        stream->source = watch_fd(stream->fd, G_IO_IN, on_readable, stream);
    } else if (!on && stream->source != 0) {
        g_source_remove(stream->source);
        stream->source = 0;
    }
}

ssize_t stream_read(Stream *stream, uint64_t keep_from)
{
    ssize_t n;

    pace_wait(&stream->pace);
    n = input_read(stream->state, stream->id, stream->fd, keep_from);
    pace_note(&stream->pace, stream->fd, n, clock_boottime_us());
    if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR && n != -ENOBUFS))
        stream_deinit(stream);
    return n;
}
