#pragma once

#include "util/amount.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What conwardctl prints. Names, paths and log contents come from strangers: whatever goes to a
 * terminal as a word of ours is escaped.
 */

/* Appends `length` bytes of text as they may be shown: control characters, what turns the direction
 * of writing or cannot be seen, and what is not valid UTF-8 as \xNN, the backslash as \\. */
void text_append_shown(GString *to, const char *text, size_t length);

/* The same for a name among others: what is longer than `most` bytes is cut there and gets "...".
 */
enum { TEXT_NAME_MOST = 128, TEXT_PATH_MOST = 4096 };
void text_append_name(GString *to, const char *name, size_t most);

/* Appends a JSON string, with its quotation marks. What would not be shown is written as \uNNNN,
 * and bytes that are not valid UTF-8 become U+FFFD. */
void text_append_json(GString *to, const char *text, size_t length);

/* Appends the value of a label in the Prometheus text format, without its quotation marks. Newline,
 * quotation mark and backslash are escaped as the format asks; what else would not be shown, and
 * bytes that are not valid UTF-8, become U+FFFD. */
void text_append_label(GString *to, const char *text, size_t length);

/* A time in microseconds for people, such as "850 ms", "12 s", "3 min", "5 h" or "9 d", into a
 * buffer of TEXT_AMOUNT bytes, as util/amount.h has amounts of bytes. */
enum { TEXT_AMOUNT = AMOUNT_TEXT };
const char *text_duration(int64_t microseconds, char *buffer);

/* Says one line on standard error: "conwardctl: TEXT". The text is escaped. */
void ctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Parses a command's options with GLib; what is left in argv are its arguments. `usage` names
 * those, `about` is the paragraph below the usage line. Returns false after saying what is wrong;
 * the status is then CTL_WRONG. --help prints and exits.
 */
bool ctl_options(int *argc, char ***argv, const char *usage, const char *about,
                 const GOptionEntry *entries);

/*
 * Flushes standard output. Returns `status`, or CTL_FAILED after saying why if what was printed did
 * not get out; a reader that has gone away (EPIPE, as of `| head`) is no failure.
 */
int ctl_finish(int status);
