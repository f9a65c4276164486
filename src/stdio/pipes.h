#pragma once

#include "state/page.h"
#include "util/error.h"

#include <stdbool.h>

/*
 * The pipes between a container's standard streams and its monitor. Real pipes: through a socket
 * or a terminal, open("/dev/stderr") in the container would fail.
 */
typedef struct Pipes {
    int ours[STREAMS];
    int theirs[STREAMS];
    int our_input; /* we write there */
    int their_input;
} Pipes;

#define PIPES_NULL                  \
    {                               \
        {-1, -1}, {-1, -1}, -1, -1, \
    }

/*
 * Makes them, all ends close-on-exec: that of stderr always, that of stdout unless a terminal is
 * in its place, that of stdin if there shall be one. Returns 0, or negative with *error filled.
 */
int pipes_init(Pipes *pipes, bool terminal, bool input, Error *error);

/* Closes the ends that nobody has taken. */
void pipes_deinit(Pipes *pipes);

#define CLEANUP_PIPES __attribute__((cleanup(pipes_deinit)))
