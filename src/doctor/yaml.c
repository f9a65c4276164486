#include "doctor/yaml.h"

#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 32 };

/* A mapping or sequence that has begun. */
typedef struct Level {
    bool mapping;
    bool has_key;   /* of a mapping: the next event is its value */
    size_t outside; /* the length of the path without the key */
} Level;

typedef struct Yaml {
    Settings *to;
    GString *path;
    ReadError *error;
    Level levels[MAX_DEPTH];
    size_t depth;
    unsigned documents;
} Yaml;

static bool fail(Yaml *yaml, const yaml_event_t *event, const char *what)
{
    yaml->error->line = (unsigned)event->start_mark.line + 1;
    yaml->error->what = what;
    return false;
}

static Level *inside(Yaml *yaml)
{
    return yaml->depth > 0 ? &yaml->levels[yaml->depth - 1] : NULL;
}

/* A value is complete: a mapping goes on with a key. */
static void value_done(Yaml *yaml)
{
    Level *level = inside(yaml);

    if (level != NULL && level->mapping) {
        level->has_key = false;
        g_string_truncate(yaml->path, level->outside);
    }
}

static bool add(Yaml *yaml, const yaml_event_t *event, SettingKind kind, const char *text,
                int64_t number)
{
    Setting setting = {
        .path = yaml->path->str,
        .text = (char *)text,
        .number = number,
        .kind = kind,
        .line = (unsigned)event->start_mark.line + 1,
    };

    if (settings_add(yaml->to, &setting))
        return true;
    return fail(yaml, event, "there are too many settings, or a name is too long");
}

static bool scalar(Yaml *yaml, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    Level *level = inside(yaml);
    SettingKind kind = SETTING_STRING;
    int64_t number = 0;

    if (memchr(text, 0, length) != NULL)
        return fail(yaml, event, "a string contains a NUL byte");
    if (level != NULL && level->mapping && !level->has_key) {
        if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0)
            return fail(yaml, event, "it merges mappings, which is not understood here");
        path_append_key(yaml->path, text, length);
        level->has_key = true;
        return true;
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            kind = SETTING_BOOLEAN;
        else if (strcmp(text, "null") == 0 || strcmp(text, "~") == 0 || length == 0)
            kind = SETTING_OTHER;
        else if (number_parse(text, &number))
            kind = SETTING_INTEGER;
    }
    if (!add(yaml, event, kind, text, number))
        return false;
    value_done(yaml);
    return true;
}

static bool begin(Yaml *yaml, const yaml_event_t *event, bool mapping)
{
    Level *outer = inside(yaml);

    if (outer != NULL && outer->mapping && !outer->has_key)
        return fail(yaml, event, "a key is a mapping or a list, which is not understood here");
    if (yaml->depth == MAX_DEPTH)
        return fail(yaml, event, "it is nested too deep");
    if (!mapping && !add(yaml, event, SETTING_ARRAY, "", 0))
        return false;
    if (!mapping)
        g_string_append(yaml->path, "[]");
    yaml->levels[yaml->depth++] = (Level){.mapping = mapping, .outside = yaml->path->len};
    return true;
}

static void end(Yaml *yaml)
{
    Level *level = inside(yaml);

    if (!level->mapping)
        g_string_truncate(yaml->path, level->outside - strlen("[]"));
    yaml->depth--;
    value_done(yaml);
}

static bool take(Yaml *yaml, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (yaml->documents++ > 0)
            return fail(yaml, event, "it has more than one document");
        return true;
    case YAML_SCALAR_EVENT:
        return scalar(yaml, event);
    case YAML_MAPPING_START_EVENT:
        return begin(yaml, event, true);
    case YAML_SEQUENCE_START_EVENT:
        return begin(yaml, event, false);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        end(yaml);
        return true;
    case YAML_ALIAS_EVENT:
        return fail(yaml, event, "it uses an alias, which is not understood here");
    default:
        return true;
    }
}

/* Returns false at an error, which is set. */
static bool read_events(Yaml *yaml, yaml_parser_t *parser)
{
    for (;;) {
        yaml_event_t event;
        bool last, taken;

        if (!yaml_parser_parse(parser, &event)) {
            yaml->error->line = (unsigned)parser->problem_mark.line + 1;
            yaml->error->what = "it is not well-formed";
            return false;
        }
        last = event.type == YAML_STREAM_END_EVENT;
        taken = take(yaml, &event);
        yaml_event_delete(&event);
        if (!taken || last)
            return taken;
    }
}

static unsigned count_lines(const char *text, size_t length)
{
    unsigned lines = length > 0 && text[length - 1] != '\n';

    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    return lines;
}

bool yaml_read(const char *text, size_t length, Settings *to, ReadError *error)
{
    g_autoptr(GString) path = g_string_new(NULL);
    Yaml yaml = {.to = to, .path = path, .error = error};
    yaml_parser_t parser;
    bool read;

    if (!yaml_parser_initialize(&parser)) {
        *error = (ReadError){.line = 1, .what = "there is not enough memory to read it"};
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    read = read_events(&yaml, &parser);
    yaml_parser_delete(&parser);
    /* libyaml tells of a missing end in the line after the last. */
    if (!read)
        error->line = MIN(error->line, count_lines(text, length));
    return read;
}
