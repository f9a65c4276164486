#pragma once

#include "state/state.h"

#include <sys/types.h>

/*
 * A stream's input buffer, addressed by stream offsets: byte N of all that the container wrote to
 * this stream lies at input_at(N) while base <= N < end.
 */
static inline const uint8_t *input_at(const State *state, StreamId stream, uint64_t offset)
{
    return state->input[stream] + (offset - state->page->streams[stream].base);
}

/*
 * Reads once from `fd`, at most STATE_READ_SIZE bytes, straight into the buffer, and commits them.
 * `keep_from` is the offset of the first byte that somebody still needs; what lies before it may
 * be overwritten.
 *
 * Returns the number of bytes, 0 at the end of the stream, or -errno: -EAGAIN if nothing is
 * there, -ENOBUFS if the buffer is full because `keep_from` lags behind.
 */
ssize_t input_read(State *state, StreamId stream, int fd, uint64_t keep_from);
