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

void console_init(Console *console, State *state, OutletMoved moved, void *owner);
void console_deinit(Console *console);
