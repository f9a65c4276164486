#pragma once

#include "util/error.h"

/*
 * The path of the log of the container with this id or name, newly allocated, or NULL after filling
 * `error`.
 */
char *logs_find(const char *word, Error *error);
