#include "ctl/json.h"

#include "ctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void member(GString *line, const char *name)
{
    if (line->len > 0 && line->str[line->len - 1] != '{')
        g_string_append_c(line, ',');
    g_string_append_printf(line, "\"%s\":", name);
}

void json_begin(GString *line)
{
    g_string_assign(line, "{");
}

void json_text(GString *line, const char *name, const char *value)
{
    member(line, name);
    text_append_json(line, value, strlen(value));
}

void json_number(GString *line, const char *name, uint64_t value)
{
    member(line, name);
    g_string_append_printf(line, "%" PRIu64, value);
}

void json_signed(GString *line, const char *name, int64_t value)
{
    member(line, name);
    g_string_append_printf(line, "%" PRId64, value);
}

void json_object(GString *line, const char *name)
{
    member(line, name);
    g_string_append_c(line, '{');
}

void json_end_object(GString *line)
{
    g_string_append_c(line, '}');
}

void json_end(GString *line)
{
    g_string_append(line, "}\n");
    fputs(line->str, stdout);
    g_string_truncate(line, 0);
}
