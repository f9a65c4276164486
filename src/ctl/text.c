#include "ctl/text.h"

#include "ctl/command.h"
#include "util/shown.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append_u(GString *to, gunichar value)
{
    if (value >= 0x10000) {
        append_u(to, 0xd800 + ((value - 0x10000) >> 10));
        append_u(to, 0xdc00 + ((value - 0x10000) & 0x3ff));
        return;
    }
    g_string_append_printf(to, "\\u%04x", value);
}

void text_append_shown(GString *to, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t size = shown_character(text + at, length - at);

        if (size == 0 || !shown_as_is(text + at)) {
            g_string_append_printf(to, "\\x%02x", (unsigned char)text[at]);
            at++;
            /* The next bytes of an escaped character are invalid by themselves, and escaped, too.
             */
            continue;
        }
        if (text[at] == '\\')
            g_string_append_c(to, '\\');
        g_string_append_len(to, text + at, (gssize)size);
        at += size;
    }
}

void text_append_name(GString *to, const char *name, size_t most)
{
    size_t length = strlen(name);
    size_t kept = MIN(length, most);

    /* No character is cut in two. */
    while (kept < length && kept > most - 4 && ((unsigned char)name[kept] & 0xc0) == 0x80)
        kept--;
    text_append_shown(to, name, kept);
    if (kept < length)
        g_string_append(to, "...");
}

void text_append_json(GString *to, const char *text, size_t length)
{
    g_string_append_c(to, '"');
    for (size_t at = 0; at < length;) {
        size_t size = shown_character(text + at, length - at);

        if (size == 0) {
            g_string_append(to, "\xef\xbf\xbd");
            at++;
        } else if (!shown_as_is(text + at)) {
            append_u(to, g_utf8_get_char(text + at));
            at += size;
        } else {
            if (text[at] == '"' || text[at] == '\\')
                g_string_append_c(to, '\\');
            g_string_append_len(to, text + at, (gssize)size);
            at += size;
        }
    }
    g_string_append_c(to, '"');
}

void text_append_label(GString *to, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t size = shown_character(text + at, length - at);

        if (text[at] == '\n')
            g_string_append(to, "\\n");
        else if (size == 0 || !shown_as_is(text + at))
            g_string_append(to, "\xef\xbf\xbd");
        else if (text[at] == '"' || text[at] == '\\')
            g_string_append_printf(to, "\\%c", text[at]);
        else
            g_string_append_len(to, text + at, (gssize)size);
        at += MAX(size, 1);
    }
}

const char *text_duration(int64_t microseconds, char *buffer)
{
    int64_t seconds = microseconds / G_USEC_PER_SEC;

    if (seconds < 1)
        snprintf(buffer, TEXT_AMOUNT, "%" PRId64 " ms", microseconds / 1000);
    else if (seconds < 120)
        snprintf(buffer, TEXT_AMOUNT, "%" PRId64 " s", seconds);
    else if (seconds < 120 * 60)
        snprintf(buffer, TEXT_AMOUNT, "%" PRId64 " min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(buffer, TEXT_AMOUNT, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(buffer, TEXT_AMOUNT, "%" PRId64 " d", seconds / 86400);
    return buffer;
}

void ctl_say(const char *format, ...)
{
    g_autoptr(GString) line = g_string_new("conwardctl: ");
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    text_append_shown(line, text, strlen(text));
    fprintf(stderr, "%s\n", line->str);
}

bool ctl_options(int *argc, char ***argv, const char *usage, const char *about,
                 const GOptionEntry *entries)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new(usage);
    g_autofree char *program = g_strconcat("conwardctl ", (*argv)[0], NULL);

    g_set_prgname(program);
    g_option_context_set_summary(context, about);
    g_option_context_add_main_entries(context, entries, NULL);
    if (g_option_context_parse(context, argc, argv, &error))
        return true;
    ctl_say("%s; conwardctl %s --help lists its options", error->message, (*argv)[0]);
    return false;
}

int ctl_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno == EPIPE)
        return status;
    ctl_say("standard output: %s", g_strerror(errno));
    return CTL_FAILED;
}
