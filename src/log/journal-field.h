#pragma once

#include <stddef.h>
#include <stdio.h>

/* Fields of an entry, in the form of the journal's native protocol. */

/* Writes a field whose value may be anything. */
void journal_field(FILE *to, const char *name, const void *value, size_t length);

/* The same for a text; NULL: no field. */
void journal_text(FILE *to, const char *name, const char *value);
