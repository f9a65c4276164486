#pragma once

#include "util/error.h"

/*
 * The path of the log of the container with this id or name, newly allocated, or NULL after filling
 * `error`. *writer becomes a pidfd of who writes it, or -1. If it is another user's, this process
 * has the rights of that user from then on.
 */
char *logs_find(const char *word, int *writer, Error *error);
