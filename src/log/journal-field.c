#include "log/journal-field.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* The value's length stands before it, in 64 bits, the lowest first. */
void journal_field(GString *to, const char *name, const void *value, size_t length)
{
    uint64_t size = htole64(length);

    g_string_append(to, name);
    g_string_append_c(to, '\n');
    g_string_append_len(to, (const char *)&size, sizeof(size));
    g_string_append_len(to, value, (gssize)length);
    g_string_append_c(to, '\n');
}

void journal_text(GString *to, const char *name, const char *value)
{
    if (value != NULL)
        journal_field(to, name, value, strlen(value));
}

void journal_number(GString *to, const char *name, int64_t value)
{
    g_string_append_printf(to, "%s=%" PRId64 "\n", name, value);
}
