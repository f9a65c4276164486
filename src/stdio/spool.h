#pragma once

#include "state/state.h"

#include <sys/types.h>

/*
 * The spool: what attach clients have not taken yet and memory shall not hold. Per stream one
 * sparse circular file without a name, in which byte N of all that the container wrote lies at
 * N % capacity; every client has its cursor there, as it has in memory. The files are made when
 * a client begins to stall and are gone when all have caught up.
 *
 * A client whose cursor lies before SpoolPage.end finds its bytes in the file, any other one in
 * memory; so memory has to hold nothing before that offset for the sake of clients.
 */
typedef struct Spool {
    State *state;
    const char *directory; /* where the files are made, borrowed */
    int64_t max;           /* bytes of both streams together, 0 = no spool, -1 = our choice */
    int fds[STREAMS];      /* -1: no file */
    /* errno of a file that could not be made or written: the spool then counts as full until all
     * have caught up, or it would fail once more for every packet. 0 = none. */
    int failure;
    uint64_t given_back[STREAMS]; /* the room of all bytes before that offset */
} Spool;

#define SPOOL_NULL        \
    {                     \
        .fds = { -1, -1 } \
    }

/* Nothing is made yet. */
void spool_init(Spool *spool, State *state, const char *directory, int64_t max);

/* Goes on with the files that another image of this program has left. */
void spool_adopt(Spool *spool, State *state, const char *directory, int64_t max);

/*
 * Takes as much of what the stream has in memory as there is room for, and makes the file if there
 * is none. `slowest` are the cursors of the clients that lag most behind, for each stream; what
 * lies before them is overwritten.
 */
void spool_take(Spool *spool, StreamId stream, const uint64_t slowest[STREAMS]);

/* Whether a client with that cursor must read from the file. */
static inline bool spool_has(const State *state, StreamId stream, uint64_t cursor)
{
    return cursor < state->page->spool.end[stream];
}

/*
 * Reads bytes that the spool has. Returns how many, at least 1, or -errno if they cannot be had any
 * more.
 */
ssize_t spool_read(const Spool *spool, StreamId stream, uint64_t cursor, uint8_t *bytes,
                   size_t size);

/* Gives the disk back what the slowest clients have taken, when it has become worth it. */
void spool_give_back(Spool *spool, const uint64_t slowest[STREAMS]);

/* Nobody needs the files any more. Safe to repeat. */
void spool_end(Spool *spool);
