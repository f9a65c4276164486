#include "stdio/pace.h"

#include <fcntl.h>
#include <time.h>

enum {
    LITTLE = 8192,      /* bytes, for which a read is dear */
    READS = 32,         /* so many of them in a row, */
    WITHIN = 1600,      /* in so many microseconds, are a container that does not stop */
    MOMENT = 50 * 1000, /* nanoseconds, which the kernel makes twice as long */
    GAIN = 2048,        /* bytes: less is not worth the wait */
    PIPE_LEAST = 65536, /* bytes that find room meanwhile; a smaller pipe would be full at once */
    MUCH = 49152,       /* that comes so near to it that the container may have waited for us */
};

void pace_wait(const Pace *pace)
{
    if (pace->waits)
        nanosleep(&(struct timespec){.tv_nsec = MOMENT}, NULL);
}

/* Not a terminal, which gives little at a time, whatever it holds. */
static bool has_room(int fd)
{
    return fcntl(fd, F_GETPIPE_SZ) >= PIPE_LEAST;
}

void pace_note(Pace *pace, int fd, ssize_t n, int64_t now)
{
    bool got_little = n > 0 && n < LITTLE;

    if (pace->waits || !got_little) {
        pace->waits = pace->waits && n >= GAIN && n < MUCH;
        pace->little = 0;
        return;
    }
    if (pace->little++ == 0)
        pace->since = now;
    if (pace->little < READS)
        return;
    pace->waits = now - pace->since <= WITHIN && has_room(fd);
    pace->little = 0;
}
