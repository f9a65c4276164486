#pragma once

#include <stddef.h>

/* What a monitor's command line says of its container. The strings are parts of it; NULL: it does
 * not say. */
typedef struct ConmonLine {
    const char *id;
    const char *name;
    const char *log; /* the absolute path of a log file */
} ConmonLine;

/*
 * Reads the command line of a conmon, or of what has taken its place: words that each end with a
 * NUL, `length` bytes. That of an exec session says nothing, as its log is not the container's.
 */
ConmonLine conmon_line_read(const char *words, size_t length);
