#pragma once

#include "foreign/node.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_MARK = 128,
    LOG_TAIL = 65536,
};

/* A container's log file at one time. */
typedef struct LogFile {
    char *path; /* NULL: nobody says where it is, or there is none */
    bool there; /* it could be read; what follows is valid */
    uint64_t device, inode;
    uint64_t size;
    /* Its last bytes: if other bytes are in that place later, it has not only grown. */
    char mark[LOG_MARK];
    size_t mark_length;
} LogFile;

typedef enum Growth {
    GROWTH_UNKNOWN, /* there is no file, or it cannot be read */
    GROWTH_ROTATED, /* another file is there, or another content */
    GROWTH_KNOWN,
} Growth;

/* Notes what there is at the log's path now. */
void log_file_look(LogFile *log, const Node *node);

/* Compares two looks at a log; *grown is by how many bytes it has grown if that is known. Reads the
 * file. */
Growth log_file_growth(const LogFile *before, const LogFile *after, const Node *node,
                       uint64_t *grown);

/*
 * Whether the last LOG_TAIL bytes of the log, of which there must be so many, do not hold the end
 * of any line of one stream: no newline at all, or records of that stream and all of them partial.
 * Returns what is to be said of it, a static string, or NULL. Reads the file.
 */
const char *log_file_endless(const LogFile *log, const Node *node);
