#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * How often a pipe is read. A container that writes a little at a time, and does not stop, would
 * have it read after every few writes: writer and reader wake each other, and get in each other's
 * way in the kernel, at a cost that exceeds that of the bytes. While this goes on, and only then, a
 * read waits for a moment first, and gets many writes at once. The moment is too short to be seen,
 * and for the pipe to become full.
 */
typedef struct Pace {
    int64_t since;   /* of the first of these reads, microseconds */
    unsigned little; /* so many in a row have got little */
    bool waits;      /* the next one waits first */
} Pace;

/* To be called before a read. */
void pace_wait(const Pace *pace);

/* To be called after it: what it has got of `fd`, in bytes, and when. */
void pace_note(Pace *pace, int fd, ssize_t n, int64_t now);
