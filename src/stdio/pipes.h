#pragma once

#include "state/page.h"
#include "util/error.h"

/*
 * The pipes between a container's stdout and stderr and its monitor. Real pipes: through a socket
 * or a terminal, open("/dev/stderr") in the container would fail.
 */
typedef struct Pipes {
    int ours[STREAMS];
    int theirs[STREAMS];
} Pipes;

#define PIPES_NULL          \
    {                       \
        {-1, -1}, {-1, -1}, \
    }

/* Makes both, all ends close-on-exec. Returns 0, or negative with *error filled. */
int pipes_init(Pipes *pipes, Error *error);

/* Closes the ends that nobody has taken. */
void pipes_deinit(Pipes *pipes);

#define CLEANUP_PIPES __attribute__((cleanup(pipes_deinit)))
