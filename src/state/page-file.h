#pragma once

#include "state/page.h"
#include "util/error.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define PAGE_MEMORY_NAME "conward-page" /* of the memory file of the page itself */

/*
 * Where others find a copy of the page: PID-XXXXXXXX.state in /run/conward, or, for who may not
 * write there, in $XDG_RUNTIME_DIR/conward. The directory has mode 0755, the file 0600.
 *
 * Behind the page's PAGE_SIZE_BYTES follows what does not change and is never mapped: texts
 * NAME=VALUE, each with a NUL byte behind it, PAGE_TEXTS_MAX bytes at most.
 */
#define PAGE_FILE_DIRECTORY "/run/conward"
#define PAGE_FILE_SUFFIX ".state"
#define PAGE_FILE_CTL ".ctl" /* beside it: the control fifo of a monitor that has no bundle */
enum {
    PAGE_TEXTS_MAX = 16384,
    PAGE_SETTINGS_MAX = 4096, /* of these, settings take no more */
};

/*
 * Makes the file of this process with all its memory, `size` bytes, and locks it (flock(2)) for as
 * long as the descriptor lives. Returns the descriptor, or a negative value: with *error filled if
 * there should be a place for it (root has one, and who has a $XDG_RUNTIME_DIR), else with none.
 */
int page_file_create(off_t size, Error *error);

/* Reads what is behind the page, whole texts only. Returns their length. */
size_t page_file_texts(int fd, char texts[PAGE_TEXTS_MAX]);

/* Fills in the path of what belongs beside the page, and has another suffix. Returns whether the
 * page has a file. */
bool page_file_beside(int fd, const char *suffix, char path[PATH_MAX]);

/* Removes the page's file and what is beside it, if it has one and nothing else has come to its
 * path. */
void page_file_remove(int fd);

/* The same for all that this process has left where it may make one, when it has lost the
 * descriptor. */
void page_file_remove_lost(void);
