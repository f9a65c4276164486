#pragma once

#include <glib.h>
#include <stdbool.h>

/* Lines of words in columns as wide as their widest word. A column whose name begins with '>' is
 * aligned at its right side. Words are escaped here. */
typedef struct Table Table;

/* `columns`: their names, NULL at the end; kept by reference. */
Table *table_new(const char *const *columns);

void table_free(Table *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/* Adds the next word; as many as there are columns make a line. */
void table_add(Table *table, const char *word);

/* The lines as text, with the columns' names before them unless `header` is false. */
void table_append(const Table *table, GString *to, bool header);
