#include "state/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PIPE_PAGE = 4096 };

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

/*
 * How much to read at once. What is pending of a long line counts: with a whole pipe behind it, the
 * buffer and the batch made of it would take a quarter more memory, for fewer reads of lines that
 * are long. Whole pages of it, for part of a page left in a pipe takes the room of one.
 */
static size_t read_size(uint64_t used)
{
    uint64_t pages = used / PIPE_PAGE * PIPE_PAGE;
    uint64_t room = STATE_INPUT_SIZE - used;

    if (pages < STATE_READ_SIZE)
        return (size_t)(STATE_READ_SIZE - pages);
    return (size_t)(room < STATE_READ_SIZE ? room : STATE_READ_SIZE);
}

ssize_t input_read(State *state, StreamId stream, int fd, uint64_t keep_from)
{
    StreamPage *page = &state->page->streams[stream];
    uint64_t used;
    ssize_t n;

    move_down(state, stream, keep_from);
    used = page->end - page->base;
    if (used == STATE_INPUT_SIZE)
        return -ENOBUFS;

    n = read(fd, state->input[stream] + used, read_size(used));
    if (n < 0)
        return -errno;
    state_commit(&page->end, page->end + (uint64_t)n);
    state_touch(state, used + (uint64_t)n);
    return n;
}
