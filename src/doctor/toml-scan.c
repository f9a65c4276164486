#include "doctor/toml-scan.h"

#include <string.h>

bool scan_fail(Scan *scan, const char *what)
{
    scan->error->line = scan->line;
    scan->error->what = what;
    return false;
}

bool scan_take(Scan *scan, char byte)
{
    if (scan_peek(scan, 0) != (unsigned char)byte)
        return false;
    scan->at++;
    return true;
}

void scan_blank(Scan *scan)
{
    while (scan_peek(scan, 0) == ' ' || scan_peek(scan, 0) == '\t')
        scan->at++;
}

static bool line_end(Scan *scan)
{
    size_t length = scan_peek(scan, 0) == '\r' && scan_peek(scan, 1) == '\n' ? 2 : 1;

    if (scan_peek(scan, length - 1) != '\n')
        return false;
    scan->at += length;
    scan->line++;
    return true;
}

/* A carriage return alone, or another control character, could hide from people what programs read.
 */
static bool is_control(int c)
{
    return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

static void comment(Scan *scan)
{
    if (scan_peek(scan, 0) != '#')
        return;
    while (scan_peek(scan, 0) >= 0 && !is_control(scan_peek(scan, 0)))
        scan->at++;
}

bool scan_line_end(Scan *scan)
{
    scan_blank(scan);
    comment(scan);
    if (line_end(scan) || scan_peek(scan, 0) < 0)
        return true;
    return scan_fail(scan, "there is something behind the value in this line");
}

bool scan_space(Scan *scan)
{
    do {
        scan_blank(scan);
        comment(scan);
    } while (line_end(scan));
    if (is_control(scan_peek(scan, 0)))
        return scan_fail(scan, "a control character stands between the words");
    return true;
}

/* \uXXXX and \UXXXXXXXX. */
static bool escaped_character(Scan *scan, size_t digits, GString *content)
{
    gunichar value = 0;

    for (size_t i = 0; i < digits; i++, scan->at++) {
        int c = scan_peek(scan, 0);

        if (c < 0 || !g_ascii_isxdigit(c))
            return scan_fail(scan, "an escape sequence has too few digits");
        value = value << 4 | (gunichar)g_ascii_xdigit_value((char)c);
    }
    if (value == 0 || !g_unichar_validate(value))
        return scan_fail(scan, "an escape sequence does not stand for a character");
    g_string_append_unichar(content, value);
    return true;
}

/* A backslash at the end of a line joins it with the next text. Returns whether it did. */
static bool joined_line(Scan *scan)
{
    Scan ahead = *scan;

    scan_blank(&ahead);
    if (!line_end(&ahead))
        return false;
    do
        scan_blank(&ahead);
    while (line_end(&ahead));
    *scan = ahead;
    return true;
}

static bool escape(Scan *scan, bool many_lines, GString *content)
{
    static const char NAMES[] = "btnfr\"\\";
    static const char VALUES[] = "\b\t\n\f\r\"\\";
    int c = scan_peek(scan, 0);
    const char *name = c > 0 ? strchr(NAMES, c) : NULL;

    if (many_lines && joined_line(scan))
        return true;
    if (c >= 0)
        scan->at++;
    if (name != NULL) {
        g_string_append_c(content, VALUES[name - NAMES]);
        return true;
    }
    if (c == 'u' || c == 'U')
        return escaped_character(scan, c == 'u' ? 4 : 8, content);
    return scan_fail(scan, "a string has a backslash without a valid escape sequence");
}

static size_t count_quotes(const Scan *scan, int quote)
{
    size_t count = 0;

    while (scan_peek(scan, count) == quote)
        count++;
    return count;
}

static bool one_line_string(Scan *scan, int quote, GString *content)
{
    for (;;) {
        int c = scan_peek(scan, 0);

        if (c < 0 || is_control(c))
            return scan_fail(scan, "a string has no end in its line");
        scan->at++;
        if (c == quote)
            return true;
        if (c != '\\' || quote != '"')
            g_string_append_c(content, (char)c);
        else if (!escape(scan, false, content))
            return false;
    }
}

static bool many_line_string(Scan *scan, int quote, GString *content)
{
    line_end(scan); /* right after the opening it is no part of the string */
    for (;;) {
        int c = scan_peek(scan, 0);
        size_t quotes = count_quotes(scan, quote);

        /* One or two quotation marks may stand before the three that close. */
        if (quotes > 5)
            return scan_fail(scan, "a string ends with too many quotation marks");
        if (quotes >= 3) {
            for (size_t i = 0; i < quotes - 3; i++)
                g_string_append_c(content, (char)quote);
            scan->at += quotes;
            return true;
        }
        if (line_end(scan)) {
            g_string_append_c(content, '\n');
            continue;
        }
        if (c < 0 || is_control(c))
            return scan_fail(scan, "a string of several lines has no end");
        scan->at++;
        if (c != '\\' || quote != '"')
            g_string_append_c(content, (char)c);
        else if (!escape(scan, true, content))
            return false;
    }
}

bool scan_string(Scan *scan, GString *content)
{
    int quote = scan_peek(scan, 0);

    if (scan_peek(scan, 1) == quote && scan_peek(scan, 2) == quote) {
        scan->at += 3;
        return many_line_string(scan, quote, content);
    }
    scan->at++;
    return one_line_string(scan, quote, content);
}

bool scan_key_part(Scan *scan, GString *path)
{
    int c = scan_peek(scan, 0);
    size_t begin = scan->at;

    if (c == '"' || c == '\'') {
        g_autoptr(GString) key = g_string_new(NULL);

        if (scan_peek(scan, 1) == c && scan_peek(scan, 2) == c)
            return scan_fail(scan, "a key cannot be a string of several lines");
        if (!scan_string(scan, key))
            return false;
        path_append_key(path, key->str, key->len);
        return true;
    }
    while (c >= 0 && (g_ascii_isalnum(c) || c == '_' || c == '-')) {
        scan->at++;
        c = scan_peek(scan, 0);
    }
    if (scan->at == begin)
        return scan_fail(scan, "a key is missing or has a character that keys cannot have");
    path_append_key(path, scan->text + begin, scan->at - begin);
    return true;
}
