#pragma once

#include "state/state.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A reader of the container's raw output: an attach client, or our own stdout and stderr under
 * `conward run`. Each has a cursor per stream on the same input buffers as the log; nothing is
 * queued for it anywhere else, and no call ever waits for it.
 */
enum { OUTLET_PACKET_MAX = 8192 }; /* content of an attach packet; engines read 8193 bytes */

typedef struct Outlet Outlet;

/* Called when an outlet that was blocked has taken something, or has failed (outlet_is_dead). */
typedef void (*OutletMoved)(Outlet *outlet, void *owner);

struct Outlet {
    State *state;
    OutletPage *page;       /* in the state: descriptors and cursors */
    bool packets;           /* attach client: a packet with a stream id per chunk */
    bool blocking[STREAMS]; /* the descriptor may block: see write_ready() */
    guint sources[STREAMS]; /* waiting for the descriptor to take more */
    int64_t moved_at; /* CLOCK_BOOTTIME microseconds: last progress, or when it began to lag */
    OutletMoved moved;
    void *owner;
};

/* `page` must have its descriptors and cursors; outlet_skip() sets the cursors of a new one. */
void outlet_init(Outlet *outlet, State *state, OutletPage *page, bool packets, OutletMoved moved,
                 void *owner);

/* Stops watching; the descriptors are the owner's. Safe to repeat. */
void outlet_deinit(Outlet *outlet);

/* Passes over everything read so far. */
void outlet_skip(Outlet *outlet);

/* Sends what can be sent now; if something is left, `moved` will be called when it goes on. */
void outlet_pump(Outlet *outlet);

/* How many bytes of the stream it still has to take. */
static inline uint64_t outlet_backlog(const Outlet *outlet, StreamId stream)
{
    if (outlet->page->dead & 1U << stream)
        return 0;
    return outlet->state->page->streams[stream].end - outlet->page->cursor[stream];
}

static inline bool outlet_is_behind(const Outlet *outlet)
{
    return outlet_backlog(outlet, STREAM_STDOUT) > 0 || outlet_backlog(outlet, STREAM_STDERR) > 0;
}

static inline bool outlet_is_dead(const Outlet *outlet)
{
    return outlet->page->dead == (1U << STREAMS) - 1;
}
