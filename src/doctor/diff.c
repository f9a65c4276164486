#include "doctor/diff.h"

#include <stdbool.h>
#include <string.h>

enum { CONTEXT = 3 };

/* The lines of a text with their newlines; the last one may lack it. */
static GPtrArray *lines_of(const char *text)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

    while (*text != 0) {
        const char *newline = strchr(text, '\n');
        size_t length = newline != NULL ? (size_t)(newline - text) + 1 : strlen(text);

        g_ptr_array_add(lines, g_strndup(text, length));
        text += length;
    }
    return lines;
}

static void append_lines(GString *to, char sign, GPtrArray *lines, guint from, guint until)
{
    for (guint i = from; i < until; i++) {
        const char *line = lines->pdata[i];

        g_string_append_printf(to, "%c%s", sign, line);
        if (!g_str_has_suffix(line, "\n"))
            g_string_append(to, "\n\\ No newline at end of file\n");
    }
}

static bool same(GPtrArray *a, guint i, GPtrArray *b, guint j)
{
    return strcmp(a->pdata[i], b->pdata[j]) == 0;
}

void diff_append(GString *to, const char *path, const char *before, const char *after)
{
    g_autoptr(GPtrArray) old = lines_of(before != NULL ? before : "");
    g_autoptr(GPtrArray) new = lines_of(after);
    guint shorter = MIN(old->len, new->len);
    guint head = 0, tail = 0, from, until;

    while (head < shorter && same(old, head, new, head))
        head++;
    while (tail < shorter - head && same(old, old->len - 1 - tail, new, new->len - 1 - tail))
        tail++;
    from = head > CONTEXT ? head - CONTEXT : 0;
    until = MIN(tail, CONTEXT);
    g_string_append_printf(to, "--- %s\n+++ %s\n@@ -%u,%u +%u,%u @@\n",
                           before != NULL ? path : "/dev/null", path, old->len > 0 ? from + 1 : 0,
                           old->len - tail + until - from, from + 1,
                           new->len - tail + until - from);
    append_lines(to, ' ', old, from, head);
    append_lines(to, '-', old, head, old->len - tail);
    append_lines(to, '+', new, head, new->len - tail);
    append_lines(to, ' ', old, old->len - tail, old->len - tail + until);
}
