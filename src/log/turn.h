#pragma once

#include "log/k8s-file.h"
#include "state/state.h"

#include <stdbool.h>

/*
 * Whose turn it is to write: while a line of one stream is cut at the limit, the other stream waits
 * for its end. There are readers that join the records of a file without looking at their stream;
 * of two long lines whose records come in turn, they make one wrong line.
 *
 * What waits stays in the stream's input buffer: for as long as an unfinished line may wait for its
 * rest, at most a second. With TURN_FULL bytes there the stream is not read any more, and the
 * rest of the wait is short: who writes to both streams may be the one who has to write the line's
 * end. Then the line has had its turn: it is not waited for any more, however long it goes on. A
 * line is only ever waited for if it is longer than a record at its very beginning: not a prompt,
 * nor a line that has grown slowly.
 */
enum {
    TURN_MOST_FULL = 20,       /* milliseconds */
    TURN_FULL = 65536,         /* bytes: a whole pipe */
    TURN_BYTES = 2 * TURN_FULL /* that are read all the same, at the end: no more wait */
};

/* A line that is longer than a record begins: it is its stream's turn, unless it is the other's. */
static inline void turn_take(LogCursors *next, StreamId stream)
{
    if (next->long_line == 0)
        next->long_line = (uint64_t)stream + 1;
}

/* A line ends. */
static inline void turn_give(LogCursors *next, StreamId stream)
{
    if (next->long_line == (uint64_t)stream + 1)
        next->long_line = 0;
}

/*
 * Whether the stream has to wait for the other's line. If it is over its bounds, the line has had
 * its turn, and that is committed.
 */
bool turn_must_wait(const K8sFile *file, StreamId stream);

/* Notes until when the stream waits, which has to. */
void turn_wait(const K8sFile *file, StreamId stream);

/* Whether the stream waits, and with as much as it may. */
bool turn_is_full(const K8sFile *file, StreamId stream);

/* Whether the line is waited for: its stream has not ended without its end. `cursors` are the live
 * ones, or those behind a batch that is being built; so below. */
static inline bool turn_is_taken(const K8sFile *file, const LogCursors *cursors)
{
    return cursors->long_line != 0 && !file->ended[cursors->long_line - 1];
}

/* Whether the stream that has waited need not wait any more. */
static inline bool turn_is_due(const K8sFile *file, const LogCursors *cursors)
{
    return file->to.state->page->log.turn_at != 0 && !turn_is_taken(file, cursors);
}

/* Nobody waits: because the turn has come, or because what keeps the file from being written has no
 * deadline of its own. */
void turn_forget(const K8sFile *file);

/* The time is over: the line has had its turn. */
void turn_end(const K8sFile *file);
