#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

/* One open log file, plain or compressed with gzip, which its name tells. */
typedef struct LogSource {
    int fd;
    bool compressed;
    gzFile gz; /* NULL while nothing is read */
    dev_t device;
    ino_t inode;
    uint64_t position; /* of the next byte to read, in what was compressed */
} LogSource;

#define LOG_SOURCE_NULL \
    {                   \
        .fd = -1        \
    }

/*
 * Opens a log. Only a regular file is one: what else lies at the path is neither waited for nor
 * read, and symbolic links are not followed. Returns 0, or fills `error` and returns -1 or -errno.
 */
int log_source_open(LogSource *source, const char *path, Error *error);

bool log_source_is_same(const LogSource *a, const LogSource *b);

/* Its size now, and 0 for a compressed one. */
uint64_t log_source_size(const LogSource *source);

/*
 * Goes to a byte of the content. A compressed file can only be read from its beginning, and is
 * whatever the place.
 */
void log_source_seek(LogSource *source, uint64_t position);

/*
 * Reads on. Returns the number of bytes, 0 at the end, or -1 after filling `error`; what a damaged
 * compressed file still holds has then been read.
 */
ssize_t log_source_read(LogSource *source, void *bytes, size_t length, Error *error);

/* Gives back what reading needs; the file stays open. */
void log_source_rest(LogSource *source);

/* Leaves nothing to close behind, and may be called again. */
void log_source_close(LogSource *source);
