#pragma once

#include "util/error.h"

#include <stddef.h>
#include <stdint.h>

enum { SYNC_LINE_MAX = 4096 }; /* Podman reads its packet through a buffer of this size */

/*
 * Takes a descriptor that the engine passed by number in the environment (`_OCI_SYNCPIPE` and the
 * like) and makes it close-on-exec. Returns it, -1 if the variable is not set, or -2 with *error
 * filled.
 */
int engine_pipe(const char *variable, Error *error);

/* The pipes of an engine; -1 where it gave none. */
typedef struct EnginePipes {
    int sync_fd;   /* `_OCI_SYNCPIPE`: reports go there */
    int start_fd;  /* `_OCI_STARTPIPE`: it says there when to go on */
    int attach_fd; /* `_OCI_ATTACHPIPE`: it is told there when it can attach */
} EnginePipes;

#define ENGINE_PIPES_NULL                              \
    {                                                  \
        .sync_fd = -1, .start_fd = -1, .attach_fd = -1 \
    }

/*
 * Waits for the engine's word on its start pipe, whatever that is, and takes all of it: the next
 * wait is for another word. The end of a fifo is such a word too, as conmon's own tests have it;
 * that of a socket means that the engine is gone. Async-signal-safe. Returns 0, -EPIPE if the
 * engine is gone, or -errno.
 */
int start_pipe_wait(int fd);

/*
 * Sends the line in one piece, and does not wait: whoever leaves so little a message unread is
 * gone. Returns 0 or -errno.
 */
int sync_send(int fd, const char *line, size_t length);

/*
 * Formats `{"KEY": NUMBER, "message": "TEXT"}\n` into `line`, without the message if the text is
 * empty. The line has at most SYNC_LINE_MAX bytes: of a longer text the end is kept, where
 * runtimes say what went wrong, and LEFT_OUT says how much of it is missing, with the `before`
 * bytes that came before the text. Bytes that are not UTF-8 are replaced. Returns the line's
 * length.
 */
size_t sync_line(char line[SYNC_LINE_MAX], const char *key, int number, const char *text,
                 size_t text_length, uint64_t before);

/* What stands before the end of a text, with the number of bytes that are not there. */
#define LEFT_OUT "[%" PRIu64 " bytes left out] "
