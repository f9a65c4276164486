#pragma once

#include "stdio/outlet.h"

/*
 * The copy of the output on our own stdout and stderr (`conward run` without --quiet). A reader
 * that is slow makes the process wait, as it would without us; one that goes away ends only its
 * copy.
 */
typedef struct Console {
    Outlet outlet;
    int fds[STREAMS]; /* -1: the descriptor of the same stream is ours to use but not to close */
} Console;

/*
 * Begins the copy. Returns false if one of the two streams is left out: a terminal that is neither
 * ours to open nor our controlling one could stop the monitor whenever it is stopped itself.
 */
bool console_init(Console *console, State *state, OutletMoved moved, void *owner);

/* Goes on with the copy that another image of this program has begun. */
void console_adopt(Console *console, State *state, OutletMoved moved, void *owner);

/* Ends it. */
void console_deinit(Console *console);
