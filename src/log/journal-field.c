#include "log/journal-field.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* The value's length stands before it, in 64 bits, the lowest first. */
void journal_field(FILE *to, const char *name, const void *value, size_t length)
{
    uint64_t size = htole64(length);

    fprintf(to, "%s\n", name);
    fwrite(&size, sizeof(size), 1, to);
    fwrite(value, length, 1, to);
    fputc('\n', to);
}

void journal_text(FILE *to, const char *name, const char *value)
{
    if (value != NULL)
        journal_field(to, name, value, strlen(value));
}
