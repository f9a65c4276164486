#pragma once

#include <stdint.h>

/*
 * The caller's soft limit on file sizes (RLIMIT_FSIZE) is meant for the container: the monitor has
 * exit files, memory files and a log to write. It raises its own to the hard limit and gives its
 * children the soft one back.
 */

/* Raises the soft limit as far as it may be. Returns what it was. */
uint64_t file_limit_raise(void);

/* Sets the soft limit. Async-signal-safe. */
void file_limit_set(uint64_t soft);
