#include "doctor/toml.h"

#include "doctor/toml-scan.h"

#include <errno.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

typedef struct Toml {
    Scan scan;
    Settings *to;
    GString *path;      /* of what is being read */
    GHashTable *arrays; /* the paths of arrays of tables: [[path]] */
    GHashTable *seen;   /* the paths that have a value */
    unsigned depth;
} Toml;

static bool value(Toml *toml);

/* `at` and `line` are where the value begins. */
static bool add(Toml *toml, SettingKind kind, const char *text, int64_t number, size_t at,
                unsigned line)
{
    Setting setting = {
        .path = toml->path->str,
        .text = (char *)text,
        .number = number,
        .kind = kind,
        .line = line,
        .at = at,
        .length = toml->scan.at - at,
    };

    /* Elements share their path. */
    if (strstr(setting.path, "[]") == NULL && !g_hash_table_add(toml->seen, g_strdup(setting.path)))
        return scan_fail(&toml->scan, "a key is set twice");
    if (!settings_add(toml->to, &setting))
        return scan_fail(&toml->scan, "there are too many settings, or a name is too long");
    return true;
}

/* Reads a key and appends its parts to the path. Parts of a table's name (`header`) may name an
 * array of tables: then its last element is meant. */
static bool key(Toml *toml, bool header)
{
    bool more;

    do {
        scan_blank(&toml->scan);
        if (!scan_key_part(&toml->scan, toml->path))
            return false;
        scan_blank(&toml->scan);
        more = scan_take(&toml->scan, '.');
        if (header && more && g_hash_table_contains(toml->arrays, toml->path->str))
            g_string_append(toml->path, "[]");
    } while (more);
    return true;
}

static bool pair(Toml *toml)
{
    size_t outside = toml->path->len;

    if (!key(toml, false))
        return false;
    if (!scan_take(&toml->scan, '='))
        return scan_fail(&toml->scan, "a key has no '=' after it");
    scan_blank(&toml->scan);
    if (!value(toml))
        return false;
    g_string_truncate(toml->path, outside);
    return true;
}

static bool string(Toml *toml)
{
    g_autoptr(GString) content = g_string_new(NULL);
    size_t at = toml->scan.at;
    unsigned line = toml->scan.line;

    return scan_string(&toml->scan, content) &&
           add(toml, SETTING_STRING, content->str, 0, at, line);
}

static bool array(Toml *toml)
{
    size_t at = toml->scan.at;
    size_t outside = toml->path->len;

    scan_take(&toml->scan, '[');
    if (!add(toml, SETTING_ARRAY, "", 0, at, toml->scan.line))
        return false;
    g_string_append(toml->path, "[]");
    for (;;) {
        if (!scan_space(&toml->scan))
            return false;
        if (scan_take(&toml->scan, ']'))
            break;
        if (!value(toml) || !scan_space(&toml->scan))
            return false;
        if (!scan_take(&toml->scan, ',') && scan_peek(&toml->scan, 0) != ']')
            return scan_fail(&toml->scan, "an array has no end or lacks a comma");
    }
    g_string_truncate(toml->path, outside);
    return true;
}

static bool inline_table(Toml *toml)
{
    size_t at = toml->scan.at;

    scan_take(&toml->scan, '{');
    if (!add(toml, SETTING_OTHER, "", 0, at, toml->scan.line))
        return false;
    scan_blank(&toml->scan);
    if (scan_take(&toml->scan, '}'))
        return true;
    do {
        if (!pair(toml))
            return false;
        scan_blank(&toml->scan);
    } while (scan_take(&toml->scan, ','));
    if (!scan_take(&toml->scan, '}'))
        return scan_fail(&toml->scan, "an inline table has no end in its line");
    return true;
}

/* The digits of an integer, with underscores between them, into `digits`. */
static bool take_digits(const char *word, unsigned base, GString *digits)
{
    for (const char *c = word; *c != 0; c++) {
        int digit = g_ascii_xdigit_value(*c);

        if (*c == '_') {
            if (c == word || c[-1] == '_' || c[1] == 0)
                return false;
        } else if (digit < 0 || digit >= (int)base) {
            return false;
        } else {
            g_string_append_c(digits, *c);
        }
    }
    return digits->len > 0 && (base != 10 || digits->len == 1 || digits->str[0] != '0');
}

/* Returns whether the word is an integer. */
static bool parse_integer(const char *word, int64_t *number)
{
    bool negative = *word == '-';
    const char *after = word + (*word == '-' || *word == '+');
    unsigned base = 10;
    g_autoptr(GString) digits = g_string_new(negative ? "-" : "");
    g_autoptr(GString) plain = g_string_new(NULL);

    if (after == word && word[0] == '0' && word[1] != 0 && strchr("xob", word[1]) != NULL) {
        base = word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : 2;
        after += 2;
    }
    if (!take_digits(after, base, plain))
        return false;
    g_string_append(digits, plain->str);
    errno = 0;
    *number = g_ascii_strtoll(digits->str, NULL, base);
    return errno == 0;
}

/* A fraction, a date or a time: no setting that is looked for has such a value, so it need not be
 * exactly right. */
static bool is_other(const char *word)
{
    const char *unsigned_word = word + (*word == '-' || *word == '+');

    if (strcmp(unsigned_word, "inf") == 0 || strcmp(unsigned_word, "nan") == 0)
        return true;
    /* An integer that is none has no business here. */
    return g_ascii_isdigit(*unsigned_word) &&
           strspn(word, "0123456789+-_.:eETtZz ") == strlen(word) &&
           strpbrk(unsigned_word, ".:eE-") != NULL;
}

static size_t word_length(const Scan *scan, size_t from)
{
    size_t length = from;
    int c = scan_peek(scan, length);

    while (c >= 0 && (g_ascii_isalnum(c) || (c != 0 && strchr("+-_.:", c) != NULL)))
        c = scan_peek(scan, ++length);
    return length;
}

static bool word(Toml *toml)
{
    Scan *scan = &toml->scan;
    size_t at = scan->at;
    size_t length = word_length(scan, 0);
    g_autofree char *text = NULL;
    SettingKind kind;
    int64_t number = 0;

    /* A date may have a space before its time. */
    if (length == 10 && scan_peek(scan, 4) == '-' && scan_peek(scan, 10) == ' ' &&
        scan_peek(scan, 11) >= '0' && scan_peek(scan, 11) <= '9')
        length = word_length(scan, 11);
    text = g_strndup(scan->text + at, length);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        kind = SETTING_BOOLEAN;
    else if (parse_integer(text, &number))
        kind = SETTING_INTEGER;
    else if (is_other(text))
        kind = SETTING_OTHER;
    else
        return scan_fail(scan, "a value is missing or is not valid");
    scan->at += length;
    return add(toml, kind, text, number, at, scan->line);
}

static bool value(Toml *toml)
{
    bool read;

    if (toml->depth == MAX_DEPTH)
        return scan_fail(&toml->scan, "arrays or tables are nested too deep");
    toml->depth++;
    switch (scan_peek(&toml->scan, 0)) {
    case '"':
    case '\'':
        read = string(toml);
        break;
    case '[':
        read = array(toml);
        break;
    case '{':
        read = inline_table(toml);
        break;
    default:
        read = word(toml);
    }
    toml->depth--;
    return read;
}

/* [table] or [[array of tables]]: the path of what follows. */
static bool header(Toml *toml)
{
    bool is_array;

    scan_take(&toml->scan, '[');
    is_array = scan_take(&toml->scan, '[');
    g_string_truncate(toml->path, 0);
    if (!key(toml, true))
        return false;
    if (!scan_take(&toml->scan, ']') || (is_array && !scan_take(&toml->scan, ']')))
        return scan_fail(&toml->scan, "the name of a table has no end");
    if (is_array) {
        g_hash_table_add(toml->arrays, g_strdup(toml->path->str));
        g_string_append(toml->path, "[]");
    }
    return true;
}

static bool document(Toml *toml)
{
    Scan *scan = &toml->scan;

    if (scan->end >= 3 && memcmp(scan->text, "\xef\xbb\xbf", 3) == 0)
        scan->at = 3;
    for (;;) {
        if (!scan_space(scan))
            return false;
        if (scan_peek(scan, 0) < 0)
            return true;
        if (!(scan_peek(scan, 0) == '[' ? header(toml) : pair(toml)) || !scan_line_end(scan))
            return false;
    }
}

bool toml_read(const char *text, size_t length, Settings *to, ReadError *error)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(GHashTable) arrays = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Toml toml = {
        .scan = {.text = text, .end = length, .line = 1, .error = error},
        .to = to,
        .path = path,
        .arrays = arrays,
        .seen = seen,
    };

    return document(&toml);
}
