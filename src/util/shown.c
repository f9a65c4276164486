#include "util/shown.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

enum { ESCAPE_SIZE = 4 }; /* of \xNN */

size_t shown_character(const char *text, size_t length)
{
    gunichar value;

    if (length > 0 && text[0] != '\0' && (unsigned char)text[0] < 0x80)
        return 1;
    value = g_utf8_get_char_validated(text, (gssize)length);
    if (value == (gunichar)-1 || value == (gunichar)-2)
        return 0;
    return (size_t)(g_utf8_next_char(text) - text);
}

/* Of letters and marks: what shows nothing all the same. */
static bool is_filler(gunichar value)
{
    static const struct {
        gunichar first, last;
    } FILLERS[] = {
        {0x34f, 0x34f},   {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},   {0x2800, 0x2800},
        {0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xffa0, 0xffa0}, {0xe0100, 0xe01ef},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(FILLERS); i++)
        if (value >= FILLERS[i].first && value <= FILLERS[i].last)
            return true;
    return false;
}

bool shown_as_is(const char *character)
{
    gunichar value = g_utf8_get_char(character);

    if (value < 0x80)
        return value >= 0x20 && value != 0x7f;
    switch (g_unichar_type(value)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT: /* directions, joiners, zero-width spaces, the byte order mark */
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
        return false;
    default:
        return !is_filler(value);
    }
}

/* The next piece of the text, as it may be shown, which is `piece` or in the text itself. Sets how
 * much of the text it is for, and returns its own size. */
static size_t next_piece(const char *text, size_t length, char piece[ESCAPE_SIZE + 1],
                         const char **shown, size_t *taken)
{
    size_t size = shown_character(text, length);

    *taken = 1;
    if (size > 0 && shown_as_is(text)) {
        *shown = text;
        *taken = size;
        return size;
    }
    *shown = piece;
    if (text[0] == '\n' || text[0] == '\t') {
        piece[0] = ' ';
        return 1;
    }
    /* The next bytes of an escaped character are invalid by themselves, and escaped, too. */
    return (size_t)snprintf(piece, ESCAPE_SIZE + 1, "\\x%02x", (unsigned char)text[0]);
}

bool shown_line(char *to, size_t size, const char *text)
{
    size_t length = strlen(text);
    size_t used = 0;
    size_t at = 0;

    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        length--;
    while (at < length) {
        char piece[ESCAPE_SIZE + 1];
        const char *shown;
        size_t taken;
        size_t more = next_piece(text + at, length - at, piece, &shown, &taken);

        if (used + more >= size)
            break;
        memcpy(to + used, shown, more);
        used += more;
        at += taken;
    }
    to[used] = '\0';
    return at == length;
}

char *shown_line_new(const char *text)
{
    size_t size = ESCAPE_SIZE * strlen(text) + 1;
    char *line = g_malloc(size);

    shown_line(line, size, text);
    return line;
}
