#pragma once

#include "stdio/spool.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A reader of the container's raw output: an attach client, or our own stdout and stderr under
 * `conward run`. Each has a cursor per stream on the same input buffers as the log, and on the
 * spool if it has one; nothing is queued for it anywhere else, and no call ever waits for it.
 */
enum { OUTLET_PACKET_MAX = 8192 }; /* content of an attach packet; engines read 8193 bytes */

typedef struct Outlet Outlet;

/* Called when an outlet that was blocked has taken something, or has failed (outlet_is_dead). */
typedef void (*OutletMoved)(Outlet *outlet, void *owner);

struct Outlet {
    State *state;
    OutletPage *page;       /* in the state: descriptors and cursors */
    const Spool *spool;     /* of an attach client; NULL: everything it needs stays in memory */
    bool blocking[STREAMS]; /* the descriptor may block: see write_ready() */
    guint sources[STREAMS]; /* waiting for the descriptor to take more */
    int64_t moved_at; /* CLOCK_BOOTTIME microseconds: last progress, or when it began to lag */
    int unread;       /* bytes in its socket then */
    OutletMoved moved;
    void *owner;
};

/*
 * `page` must have its descriptors and cursors; outlet_skip() sets the cursors of a new one. With a
 * spool it is an attach client, and gets packets.
 */
void outlet_init(Outlet *outlet, State *state, OutletPage *page, const Spool *spool,
                 OutletMoved moved, void *owner);

/* Stops watching; the descriptors are the owner's. Safe to repeat. */
void outlet_deinit(Outlet *outlet);

/* Passes over everything read so far. */
void outlet_skip(Outlet *outlet);

/* It counts as having made progress now. */
void outlet_touch(Outlet *outlet);

/*
 * Whether somebody has read of a client's socket since it last made progress, which is progress,
 * too: a socket that was full takes nothing until most of it has been read. Only for a client.
 */
bool outlet_was_read(Outlet *outlet);

/* Sends what can be sent now; if something is left, `moved` will be called when it goes on. */
void outlet_pump(Outlet *outlet);

/* How many bytes of the stream it still has to take. */
static inline uint64_t outlet_backlog(const Outlet *outlet, StreamId stream)
{
    if (outlet->page->dead & 1U << stream)
        return 0;
    return outlet->state->page->streams[stream].end - outlet->page->cursor[stream];
}

/* How many bytes of the stream must stay in memory for it. */
static inline uint64_t outlet_held(const Outlet *outlet, StreamId stream)
{
    const Page *page = outlet->state->page;
    uint64_t backlog = outlet_backlog(outlet, stream);
    uint64_t in_memory = page->streams[stream].end - page->spool.end[stream];

    return backlog < in_memory ? backlog : in_memory;
}

static inline bool outlet_is_behind(const Outlet *outlet)
{
    return outlet_backlog(outlet, STREAM_STDOUT) > 0 || outlet_backlog(outlet, STREAM_STDERR) > 0;
}

static inline bool outlet_is_dead(const Outlet *outlet)
{
    return outlet->page->dead == (1U << STREAMS) - 1;
}
