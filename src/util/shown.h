#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * What may be shown of a text that a stranger has chosen: names, ids, paths, a runtime's words.
 * A terminal acts on control characters (C0, DEL and C1, whether as UTF-8 or as single bytes);
 * what turns the direction of writing, separates lines, or is not seen could make a text look like
 * another one. The one rule for everything that is printed, in messages, events and conwardctl.
 */

/* The size of the character at `text` in bytes, 0 if it is not valid UTF-8 within `length`. */
size_t shown_character(const char *text, size_t length);

/* Whether that character, which is valid, may be shown as it is. */
bool shown_as_is(const char *character);

/*
 * Writes `text` into `to`, whose size is in bytes, as it may be shown: newlines and tabs as blanks,
 * without those at the end, and each byte of what may not be shown as \xNN. Returns whether there
 * was room for all of it; otherwise, as many whole characters as fit.
 */
bool shown_line(char *to, size_t size, const char *text);

/* All of it, newly allocated with GLib. */
char *shown_line_new(const char *text);
