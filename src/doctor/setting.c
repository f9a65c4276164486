#include "doctor/setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* True files have some hundreds of settings. */
enum {
    MAX_SETTINGS = 4000,
    MAX_PATH = 512,
};

static void setting_free(gpointer pointer)
{
    Setting *setting = pointer;

    g_ref_string_release(setting->file);
    g_free(setting->path);
    g_free(setting->text);
    g_free(setting);
}

Settings *settings_new(void)
{
    Settings *settings = g_new0(Settings, 1);

    settings->all = g_ptr_array_new_with_free_func(setting_free);
    settings->file = g_ref_string_new("");
    return settings;
}

void settings_free(Settings *settings)
{
    g_ptr_array_unref(settings->all);
    g_ref_string_release(settings->file);
    g_free(settings);
}

void settings_begin_file(Settings *settings, const char *file)
{
    g_ref_string_release(settings->file);
    settings->file = g_ref_string_new(file);
    settings->begin = settings->all->len;
}

void settings_drop_file(Settings *settings)
{
    g_ptr_array_set_size(settings->all, (int)settings->begin);
}

bool settings_add(Settings *settings, const Setting *setting)
{
    Setting *added;

    if (settings->all->len - settings->begin >= MAX_SETTINGS || strlen(setting->path) > MAX_PATH)
        return false;
    added = g_new(Setting, 1);
    *added = *setting;
    added->path = g_strdup(setting->path);
    added->text = g_strdup(setting->text);
    added->file = g_ref_string_acquire(settings->file);
    g_ptr_array_add(settings->all, added);
    return true;
}

const Setting *settings_find(const Settings *settings, const char *path)
{
    for (guint i = settings->all->len; i > 0; i--) {
        const Setting *setting = settings->all->pdata[i - 1];

        if (strcmp(setting->path, path) == 0)
            return setting;
    }
    return NULL;
}

const Setting *settings_find_integer(const Settings *settings, const char *path)
{
    const Setting *setting = settings_find(settings, path);

    return setting != NULL && setting->kind == SETTING_INTEGER ? setting : NULL;
}

static bool is_bare(const char *key, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!g_ascii_isalnum(key[i]) && key[i] != '_' && key[i] != '-')
            return false;
    return length > 0;
}

void path_append_key(GString *path, const char *key, size_t length)
{
    if (path->len > 0)
        g_string_append_c(path, '.');
    if (is_bare(key, length)) {
        g_string_append_len(path, key, (gssize)length);
        return;
    }
    g_string_append_c(path, '"');
    for (size_t i = 0; i < length; i++) {
        if (key[i] == '"' || key[i] == '\\')
            g_string_append_c(path, '\\');
        g_string_append_c(path, key[i]);
    }
    g_string_append_c(path, '"');
}

bool number_parse(const char *text, int64_t *number)
{
    const char *digits = text + (*text == '-' || *text == '+');
    char *end;

    if (!g_ascii_isdigit(*digits))
        return false;
    errno = 0;
    *number = g_ascii_strtoll(text, &end, 10);
    return errno == 0 && *end == 0;
}

bool amount_parse(const char *text, double *amount)
{
    static const char UNITS[] = "kmgtpe";
    const char *digits = text + (*text == '-' || *text == '+');
    const char *unit;
    char *end;

    if (!g_ascii_isdigit(*digits))
        return false;
    *amount = g_ascii_strtod(text, &end);
    while (*end == ' ')
        end++;
    unit = *end != 0 ? strchr(UNITS, g_ascii_tolower(*end)) : NULL;
    if (unit != NULL) {
        for (const char *u = UNITS; u <= unit; u++)
            *amount *= 1024;
        end++;
        if (*end == 'i')
            end++;
    }
    if (*end == 'b' || *end == 'B')
        end++;
    return *end == 0;
}
