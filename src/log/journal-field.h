#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* Fields of an entry, in the form of the journal's native protocol. */

/* Adds a field whose value may be anything. */
void journal_field(GString *to, const char *name, const void *value, size_t length);

/* The same for a text; NULL: no field. */
void journal_text(GString *to, const char *name, const char *value);

void journal_number(GString *to, const char *name, int64_t value);
