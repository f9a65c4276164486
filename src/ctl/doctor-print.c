#include "ctl/doctor-print.h"

#include "ctl/text.h"

#include <stdio.h>
#include <string.h>

void doctor_print_lines(const char *text, const char *indent)
{
    while (*text != 0) {
        size_t length = strcspn(text, "\n");
        g_autoptr(GString) shown = g_string_new(indent);

        text_append_shown(shown, text, length);
        puts(shown->str);
        text += length + (text[length] == '\n');
    }
}

static void print_part(const char *label, const char *text)
{
    g_autoptr(GString) shown = g_string_new(NULL);
    size_t length;

    if (text == NULL)
        return;
    length = strcspn(text, "\n");
    text_append_shown(shown, text, length);
    printf("  %-9s%s\n", label, shown->str);
    if (text[length] != 0)
        doctor_print_lines(text + length + 1, "           ");
}

static void print_place(const Finding *finding)
{
    g_autoptr(GString) place = g_string_new(finding->file);

    if (finding->file == NULL)
        return;
    if (finding->line > 0)
        g_string_append_printf(place, ":%u", finding->line);
    if (finding->setting != NULL)
        g_string_append_printf(place, ": %s", finding->setting);
    print_part("where:", place->str);
}

void doctor_print(const Finding *finding, bool colours)
{
    static const char *const COLOURS[] = {
        [SEVERITY_DANGER] = "\033[1;31m",
        [SEVERITY_WARNING] = "\033[1;33m",
        [SEVERITY_UNREAD] = "\033[1;35m",
        [SEVERITY_NOTE] = "\033[1m",
    };
    g_autoptr(GString) what = g_string_new(NULL);

    text_append_shown(what, finding->what, strlen(finding->what));
    printf("%s%s%s: %s.\n", colours ? COLOURS[finding->severity] : "",
           severity_name(finding->severity), colours ? "\033[0m" : "", what->str);
    print_place(finding);
    print_part("why:", finding->why);
    print_part("fix:", finding->mend);
    print_part("restart:", finding->restart);
}

static void append_member(GString *json, const char *name, const char *value)
{
    if (value == NULL)
        return;
    g_string_append_printf(json, ",\"%s\":", name);
    text_append_json(json, value, strlen(value));
}

void doctor_print_json(const Finding *finding, bool mended)
{
    g_autoptr(GString) json = g_string_new("{");

    g_string_append_printf(json, "\"severity\":\"%s\"", severity_name(finding->severity));
    append_member(json, "program", finding->program);
    append_member(json, "what", finding->what);
    append_member(json, "file", finding->file);
    if (finding->line > 0)
        g_string_append_printf(json, ",\"line\":%u", finding->line);
    append_member(json, "setting", finding->setting);
    append_member(json, "why", finding->why);
    append_member(json, "mend", finding->mend);
    append_member(json, "restart", finding->restart);
    g_string_append_printf(json, ",\"mended\":%s}", mended ? "true" : "false");
    puts(json->str);
}
