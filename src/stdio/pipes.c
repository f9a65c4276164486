#include "stdio/pipes.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* `their_end` is the index of the container's end. */
static int make(int their_end, int *ours, int *theirs, Error *error)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(error, errno, "Cannot make a pipe to the container");
    *ours = ends[!their_end];
    *theirs = ends[their_end];
    /* So that a process without our rights can open /dev/stdout once more. */
    fchmod(*theirs, 0777);
    return 0;
}

int pipes_init(Pipes *pipes, bool terminal, bool input, Error *error)
{
    int r = make(1, &pipes->ours[STREAM_STDERR], &pipes->theirs[STREAM_STDERR], error);

    if (r == 0 && !terminal)
        r = make(1, &pipes->ours[STREAM_STDOUT], &pipes->theirs[STREAM_STDOUT], error);
    if (r == 0 && !terminal && input)
        r = make(0, &pipes->our_input, &pipes->their_input, error);
    return r;
}

void pipes_deinit(Pipes *pipes)
{
    for (int i = 0; i < STREAMS; i++) {
        fd_close(&pipes->ours[i]);
        fd_close(&pipes->theirs[i]);
    }
    fd_close(&pipes->our_input);
    fd_close(&pipes->their_input);
}
