#include "stdio/pipes.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int pipes_init(Pipes *pipes, Error *error)
{
    for (int i = 0; i < STREAMS; i++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
            return error_set(error, errno, "Cannot make a pipe for the container's output");
        pipes->ours[i] = ends[0];
        pipes->theirs[i] = ends[1];
        /* So that a process without our rights can open /dev/stdout once more. */
        fchmod(ends[1], 0777);
    }
    return 0;
}

void pipes_deinit(Pipes *pipes)
{
    for (int i = 0; i < STREAMS; i++) {
        fd_close(&pipes->ours[i]);
        fd_close(&pipes->theirs[i]);
    }
}
