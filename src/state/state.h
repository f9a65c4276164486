#pragma once

#include "state/page.h"
#include "util/error.h"
#include "util/fault-point.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The two mappings that outlive a crash: the page, and the buffers (an input buffer per stream, the
 * output buffer, the ring of the container's input, and one for a notification, at their maximum
 * size, touched as needed). Both are in one memory file, which nobody can shorten.
 *
 * A third one is the file in which others see a copy of the page. It is only written to: whatever
 * becomes of that file, nothing of it comes back.
 *
 * Children do not have them (MADV_DONTFORK).
 */
enum {
    STATE_READ_SIZE = 65536,       /* one read takes at most a whole pipe */
    STATE_LINE_MAX_MOST = 1048576, /* the longest content a record may have */
    STATE_RECORD_OVERHEAD = 64,    /* at least a record's header and added newline */

    /*
     * A stream is not read while a reader of its raw output lags this far behind. (The log takes
     * all but an unfinished line at once.)
     */
    STATE_HOLD_SIZE = 65536,

    /* Twice what can be pending, so that moving it down never overlaps, and room to read. */
    STATE_PENDING_MAX = STATE_LINE_MAX_MOST + STATE_HOLD_SIZE + STATE_READ_SIZE,
    STATE_INPUT_SIZE = 2 * STATE_PENDING_MAX + STATE_READ_SIZE,

    /* A batch is closed at this size, unless its first record is longer. What a read of an endless
     * line brings fits; of shorter lines, two batches hold a read. More would save a write now and
     * then, and cost its memory. */
    STATE_BATCH_SIZE = 53248,

    /* The rest of a torn record, and a batch. There are two such areas: see log/builder.c. */
    STATE_BATCH_AREA = 2 * (STATE_LINE_MAX_MOST + STATE_RECORD_OVERHEAD) + STATE_BATCH_SIZE,
    STATE_OUTPUT_SIZE = (2 * STATE_BATCH_AREA + 4095) / 4096 * 4096,

    STATE_FEED_SIZE = 131072, /* what waits for the container's input */
    STATE_NOTIFY_SIZE = 4096, /* service managers take no longer datagrams */

    STATE_QUIET_SIZE = 16384, /* buffers in use up to this size are left alone */
};

typedef struct State {
    int page_fd;  /* -1: see state_create() */
    int shown_fd; /* the page's file, -1: there is none */
    Page *page;
    Page *shown;             /* the copy there, NULL: nobody sees one */
    volatile bool is_unseen; /* that file has lost its memory, and this is not yet said */
    unsigned shown_clients;  /* so many of the page's have been copied */
    uint8_t *input[STREAMS];
    uint8_t *output;
    uint8_t *feed;
    uint8_t *notify;  /* a datagram on its way: see control/notify-proxy.h */
    size_t fd_room;   /* the entry of the table of descriptors that is used next */
    uint64_t refused; /* descriptors of another image, bit N = FdRole N: see fds_adopt() */
    size_t touched;   /* the most of a buffer that has been in use since the last state_trim() */
} State;

#define STATE_NULL                    \
    {                                 \
        .page_fd = -1, .shown_fd = -1 \
    }

/*
 * Makes a new page and its buffers. Under a limit on file sizes that is smaller than they are
 * (RLIMIT_FSIZE) they have no descriptors: the container can be watched all the same, but no other
 * image of this program could take over.
 * Returns 0, or a negative value with *error filled.
 */
int state_create(State *state, Error *error);

/*
 * Maps the page that another image of this program left in a descriptor, with the buffers, and
 * takes over its table of descriptors, as fds_adopt() says; the state owns it from then on. Returns
 * 0, or a negative value with *error filled if they are not a page of ours that can be true.
 */
int state_adopt(State *state, int page_fd, Error *error);

void state_deinit(State *state);

/*
 * Keeps texts, as page-file.h has them behind a page, behind the page itself, for the next image of
 * the program: there nobody else can change them. At most PAGE_TEXTS_MAX bytes.
 */
void state_keep_texts(const State *state, const char *texts, size_t length);

/* Takes the page's file away, if it has one: nobody will need it any more. */
void state_discard(State *state);

/*
 * Makes the page's file, complete with its texts, in `count` parts: see page-file.h. Returns 0, or
 * a negative value with *error filled if it cannot be made where others would look for it. A state
 * without descriptors has none, and without a place where others look it is no error, either.
 */
int state_publish(State *state, const struct iovec *texts, int count, Error *error);

/* Brings the copy up to date. Returns false once if it has lost its memory since the last time:
 * nobody sees this page any more. */
bool state_show(State *state);

/* The log's write has not returned since then (CLOCK_BOOTTIME microseconds, 0 = it has): the one
 * thing that others must see at once. */
static inline void state_show_blocked(State *state, int64_t since)
{
    state->page->log.blocked_since = since;
    if (state->shown != NULL)
        state->shown->log.blocked_since = since;
}

/*
 * For the handler of SIGBUS: whether the address is in the copy, whose file somebody has cut short,
 * or whose disk is full. Memory of our own is there from now on. Async-signal-safe.
 */
bool state_repair_shown(State *state, const void *address);

/* Whether a burst has left more memory in the buffers than a quiet container needs. */
static inline bool state_is_swollen(const State *state)
{
    return state->touched > STATE_QUIET_SIZE;
}

/*
 * Gives the memory around the bytes in use back to the system (MADV_REMOVE: with MADV_DONTNEED the
 * pages of a memory file would only vanish from the figures). In use are a stream's bytes from
 * keep_from on, and a batch that is not written.
 */
void state_trim(State *state, const uint64_t keep_from[STREAMS]);

/*
 * The one aligned store of a commit. Release order: whoever looks at memory after a death sees
 * every store that was made before it. A test can make us crash after any of them.
 */
#define state_commit(field, value)                            \
    do {                                                      \
        __atomic_store_n((field), (value), __ATOMIC_RELEASE); \
        FAULT_POINT();                                        \
    } while (0)

/* The log's cursors that count. */
static inline const LogCursors *state_cursors(const State *state)
{
    return page_cursors(state->page);
}

/* The idle set as a copy of the live one, to be changed and then committed. */
LogCursors *state_cursors_next(State *state);

/* The same for the journal's cursors. */
static inline const JournalCursors *state_journal_cursors(const State *state)
{
    return page_journal_cursors(state->page);
}

JournalCursors *state_journal_cursors_next(State *state);

/* Notes that a buffer is in use up to `size` bytes. */
static inline void state_touch(State *state, size_t size)
{
    if (size > state->touched)
        state->touched = size;
}

/* Makes the idle set the live one: the commit of everything that was changed in it. */
#define state_cursors_commit(state) \
    state_commit(&(state)->page->log.live, (state)->page->log.live + 1)

#define state_journal_cursors_commit(state) \
    state_commit(&(state)->page->journal.live, (state)->page->journal.live + 1)
