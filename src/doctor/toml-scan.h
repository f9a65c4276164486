#pragma once

#include "doctor/setting.h"

/* The words of TOML 1.0 (toml.io): blanks, comments, strings and keys. Whatever is not surely right
 * is an error. */

typedef struct Scan {
    const char *text;
    size_t at;
    size_t end;
    unsigned line;
    ReadError *error;
} Scan;

/* The byte `ahead` of the place, or -1 beyond the end. */
static inline int scan_peek(const Scan *scan, size_t ahead)
{
    return scan->end - scan->at > ahead ? (unsigned char)scan->text[scan->at + ahead] : -1;
}

/* Sets the error to this line. Returns false. */
bool scan_fail(Scan *scan, const char *what);

/* Goes on if `byte` is next. Returns whether it was. */
bool scan_take(Scan *scan, char byte);

/* Skips blanks; scan_space() also skips comments and line ends. */
void scan_blank(Scan *scan);
bool scan_space(Scan *scan);

/* Skips blanks and a comment up to the end of the line or of the text, and that, too. Returns false
 * if something else is there. */
bool scan_line_end(Scan *scan);

/* Reads a string of any of the four kinds, appended to `content`. */
bool scan_string(Scan *scan, GString *content);

/* Reads one part of a key, appended to `path`. */
bool scan_key_part(Scan *scan, GString *path);
