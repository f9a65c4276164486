#pragma once

#include "state/state.h"
#include "util/error.h"

/*
 * Which file the log goes to: replacing the one at the path.
 */

/*
 * Makes a new, empty file at `log_path` and goes on there, under the same descriptor number
 * `log_fd`. On failure the old file stays in use. Returns 0, or negative with *error filled.
 */
int rotation_replace(State *state, int log_fd, const char *log_path, Error *error);
