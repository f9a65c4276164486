#pragma once

#include <stddef.h>

/*
 * Writes the build id that the linker has given this program, in hexadecimal, as `file` and
 * debuggers show it; "" if there is none. `size` is that of `text`.
 */
void build_id(char *text, size_t size);
