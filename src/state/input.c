#include "state/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * Moves the bytes that are still needed to the buffer's beginning, if they do not overlap that
 * place: until the commit of the new base they must be intact where they are. Moving whenever it
 * is possible keeps the buffer small and in the cache; it is possible whenever room is short,
 * because the buffer is more than twice as large as what can be pending.
 */
static void move_down(State *state, StreamId stream, uint64_t keep_from)
{
    StreamPage *page = &state->page->streams[stream];
    uint64_t pending = page->end - keep_from;
    uint64_t place = keep_from - page->base;

    if (place == 0 || place < pending)
        return;
    memcpy(state->input[stream], state->input[stream] + place, pending);
    state_commit(&page->base, keep_from);
}

ssize_t input_read(State *state, StreamId stream, int fd, uint64_t keep_from)
{
    StreamPage *page = &state->page->streams[stream];
    uint64_t used;
    size_t room;
    ssize_t n;

    move_down(state, stream, keep_from);
    used = page->end - page->base;
    room = STATE_INPUT_SIZE - used;
    if (room == 0)
        return -ENOBUFS;

    n = read(fd, state->input[stream] + used, room < STATE_READ_SIZE ? room : STATE_READ_SIZE);
    if (n < 0)
        return -errno;
    state_commit(&page->end, page->end + (uint64_t)n);
    state_touch(state, used + (uint64_t)n);
    return n;
}
