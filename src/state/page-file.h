#pragma once

#include "state/page.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define PAGE_MEMORY_NAME "conward-page" /* of a memory file that is a page in no directory */

/*
 * Where a page lives so that others can find it: PID-XXXXXXXX.state in /run/conward, or, for who
 * may not write there, in $XDG_RUNTIME_DIR/conward. The directory has mode 0755, the file 0600.
 *
 * Behind the page's PAGE_SIZE_BYTES follows what does not change and is never mapped: texts
 * NAME=VALUE, each with a NUL byte behind it.
 */
#define PAGE_FILE_DIRECTORY "/run/conward"
#define PAGE_FILE_SUFFIX ".state"
#define PAGE_FILE_CTL ".ctl" /* beside it: the control fifo of a monitor that has no bundle */
enum {
    PAGE_TEXTS_MAX = 16384,
    PAGE_SETTINGS_MAX = 4096, /* of these, so much is sure to find room, even on a full disk */
};

/*
 * Makes the file of this process with all its memory, and locks it (flock(2)) for as long as the
 * descriptor lives. Returns the descriptor, or -errno if there is no place for a page: one that
 * nobody can find does its work all the same.
 */
int page_file_create(void);

/* Reads what is behind the page, whole texts only. Returns their length. */
size_t page_file_texts(int fd, char texts[PAGE_TEXTS_MAX]);

/* Fills in the path of what belongs beside the page, and has another suffix. Returns whether the
 * page has a file. */
bool page_file_beside(int fd, const char *suffix, char path[PATH_MAX]);

/* Removes the page's file and what is beside it, if it has one and nothing else has come to its
 * path. */
void page_file_remove(int fd);
