#pragma once

#include <glib.h>

/*
 * Appends the difference of two texts as a unified diff of one hunk, which is enough where one
 * place has changed. NULL for `before`: the file is new.
 */
void diff_append(GString *to, const char *path, const char *before, const char *after);
