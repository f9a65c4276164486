#pragma once

#include <glib.h>
#include <stdint.h>

/* One JSON object on a line, built member by member:
 *
 *     json_begin(line); json_text(line, "name", "web"); json_number(line, "bytes", 5);
 * json_end(line);
 *
 * Names are ours, in lower case with underscores; values are escaped. */
void json_begin(GString *line);
void json_text(GString *line, const char *name, const char *value);
void json_number(GString *line, const char *name, uint64_t value);
void json_signed(GString *line, const char *name, int64_t value);

/* A member that is an object: what follows until json_end_object() is in it. */
void json_object(GString *line, const char *name);
void json_end_object(GString *line);

/* Ends the line, prints it, and makes it empty. */
void json_end(GString *line);
