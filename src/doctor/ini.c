#include "doctor/ini.h"

#include <string.h>

typedef struct Line {
    size_t at;
    size_t length; /* without blanks around it and the line end */
    unsigned number;
    bool joined; /* a backslash at its end: the next line belongs to it */
} Line;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char *text, size_t *at, size_t *length)
{
    while (*length > 0 && is_blank(text[*at])) {
        (*at)++;
        (*length)--;
    }
    while (*length > 0 && is_blank(text[*at + *length - 1]))
        (*length)--;
}

/* The line from `at` on. Returns where the next one begins. */
static size_t next_line(const char *text, size_t end, size_t at, Line *line)
{
    const char *newline = memchr(text + at, '\n', end - at);
    size_t stop = newline != NULL ? (size_t)(newline - text) : end;

    line->at = at;
    line->length = stop - at;
    line->number++;
    trim(text, &line->at, &line->length);
    line->joined = line->length > 0 && text[line->at + line->length - 1] == '\\';
    return newline != NULL ? stop + 1 : end;
}

static bool add(Settings *to, const char *section, const char *text, const Line *line,
                const char *equals)
{
    size_t begin = line->at, length = (size_t)(equals - text) - line->at;
    size_t at = (size_t)(equals - text) + 1, size = line->at + line->length - at;
    g_autoptr(GString) path = g_string_new(section);
    g_autofree char *value = NULL;
    Setting setting = {.kind = SETTING_STRING, .line = line->number};

    trim(text, &begin, &length);
    trim(text, &at, &size);
    path_append_key(path, text + begin, length);
    value = g_strndup(text + at, size);
    if (number_parse(value, &setting.number))
        setting.kind = SETTING_INTEGER;
    setting.path = path->str;
    setting.text = value;
    setting.at = at;
    setting.length = size;
    return settings_add(to, &setting);
}

static bool read_lines(const char *text, size_t end, Settings *to, ReadError *error, bool sections)
{
    g_autoptr(GString) section = g_string_new(NULL);
    Line line = {0};
    bool after_joined = false;

    if (memchr(text, 0, end) != NULL) {
        *error = (ReadError){.line = 1, .what = "it contains NUL bytes, so it is not a text file"};
        return false;
    }
    for (size_t at = 0; at < end;) {
        const char *first, *equals;
        bool part = after_joined;

        at = next_line(text, end, at, &line);
        first = text + line.at;
        if (line.length == 0 || *first == '#' || *first == ';')
            continue; /* it does not end a joined line either */
        after_joined = line.joined;
        if (part)
            continue;
        if (sections && *first == '[' && first[line.length - 1] == ']') {
            g_string_truncate(section, 0);
            path_append_key(section, first + 1, line.length - 2);
            continue;
        }
        equals = memchr(first, '=', line.length);
        if (equals == NULL || (sections && section->len == 0))
            continue;
        if (!add(to, section->str, text, &line, equals)) {
            *error = (ReadError){line.number, "there are too many settings, or a name is too long"};
            return false;
        }
    }
    return true;
}

bool ini_read(const char *text, size_t length, Settings *to, ReadError *error)
{
    return read_lines(text, length, to, error, true);
}

bool environment_read(const char *text, size_t length, Settings *to, ReadError *error)
{
    return read_lines(text, length, to, error, false);
}
