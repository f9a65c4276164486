#pragma once

#include "state/state.h"

#include <stdbool.h>
#include <sys/types.h>

/* Of the environment that the next image begins with, and no child ever sees. */
#define IMAGE_VARIABLE "CONWARD_STATE"

/*
 * The program that takes over when this image of it can not go on: itself, executed once more in
 * the same process, with the original arguments, the descriptors of the table, and one more
 * variable in the environment that names the page. Everything is prepared at the start, because
 * nothing can be allocated any more when it is needed.
 */
typedef struct Image {
    State *state;
    char *path; /* of our executable, absolute */
    dev_t device;
    ino_t inode;
    char **argv;
    char **environment;
} Image;

/*
 * Prepares. argv is kept by reference; /proc/PID/cmdline must stay what engines know. Returns 0, or
 * negative with *error filled, in particular if the state has no descriptors.
 */
int image_init(Image *image, State *state, char **argv, Error *error);

void image_deinit(Image *image);

/*
 * Takes over: the program that runs, wherever its file has gone, or a copy of it in memory where
 * the file may not be executed any more. Async-signal-safe. Returns only if it could not be done,
 * with -errno.
 */
int image_execute(const Image *image);

/* What this image of the program has from the one before it. */
typedef struct Resumed {
    int page_fd;
    char id[PAGE_ID_MAX]; /* of the container, empty if the page is damaged */
} Resumed;

/*
 * Whether this image has been executed by another one in the same process; then *resumed is filled.
 * Damaged or not, what has been started once must not be started again. The variable is taken out
 * of the environment, so that no child ever sees it; one that names no memory file of ours means
 * nothing.
 */
bool image_is_resumed(Resumed *resumed);
