#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Closes *fd if it is open and makes it -1. errno is kept. */
void fd_close(int *fd);

#define CLEANUP_FD __attribute__((cleanup(fd_close)))

/* Hands the descriptor over to the caller: returns *fd and makes it -1. */
static inline int fd_steal(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/*
 * Writes all of `bytes`, waiting where the descriptor waits; one that does not block and is full
 * gives -EAGAIN. Returns 0 or -errno.
 */
int fd_write_all(int fd, const void *bytes, size_t length);

/*
 * Reads until `size` bytes are there or the file ends. Returns how many there are, or -errno.
 */
ssize_t fd_read_all(int fd, void *bytes, size_t size);

/* Sets or clears FD_CLOEXEC. Returns 0 or -errno. */
int fd_set_cloexec(int fd, bool on);

/* Sets or clears O_NONBLOCK. Returns 0 or -errno. */
int fd_set_nonblock(int fd, bool on);

/*
 * Opens /dev/null in the place of those of fds 0 to 2 that the caller has closed. Otherwise a file
 * of ours would get such a number, and be overwritten or handed to a child as its stdin. Returns 0
 * or -errno.
 */
int fd_fill_stdio(void);

/* Opens /dev/null as it shall be as fd `number`, which is 0 to 2: standard input is only for
 * reading, so that who writes to it by mistake is told, and the others only for writing. */
int fd_open_null(int number);

/* Makes fds 0 to 2, all of them open, refer to /dev/null. Returns 0 or -errno. */
int fd_null_stdio(void);

/*
 * Closes what the caller of this program left open for us: every descriptor above 2 without
 * FD_CLOEXEC. An inherited descriptor cannot have that flag, or it would not have survived our
 * execve; all of our own have it. So no list of numbers is needed that could have been reused.
 */
void fd_close_inherited(void);

/*
 * Makes a file that is to be at `path`, with the given content and mode (whatever the umask), under
 * another name in the same directory. Returns 0 or -errno; nothing is left behind on failure.
 */
int file_prepare(const char *path, const char *content, mode_t mode);

/*
 * Renames the file made by file_prepare() to `path`, so that a reader sees all of it or nothing.
 * Returns 0 or -errno; nothing is left behind on failure. -ENOENT: it was not prepared, or has been
 * published already.
 */
int file_publish(const char *path);

/* Both. Returns 0 or -errno. */
int file_replace(const char *path, const char *content, mode_t mode);
