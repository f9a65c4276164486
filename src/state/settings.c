#include "state/settings.h"

#include "state/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

_Static_assert((int)LOG_LINE_MAX_MOST == (int)STATE_LINE_MAX_MOST,
               "the buffers are made for other lines");

/* The same as settings_number() for digits up to `end`. */
static bool parse_number(const char *text, const char *end, int64_t least, int64_t most,
                         int64_t *number)
{
    char *behind;
    intmax_t value;

    if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text + 1 != end))
        return false;
    errno = 0;
    value = strtoimax(text, &behind, 10);
    if (errno != 0 || behind != end || value < least || value > most)
        return false;
    *number = value;
    return true;
}

bool settings_number(const char *text, int64_t least, int64_t most, int64_t *number)
{
    return parse_number(text, strchr(text, '\0'), least, most, number);
}

static bool set_line_max(SettingsPage *settings, const char *value)
{
    int64_t number;

    if (!settings_number(value, LOG_LINE_MAX_LEAST, LOG_LINE_MAX_MOST, &number))
        return false;
    settings->log_line_max = (uint32_t)number;
    return true;
}

static bool set_partial_flush(SettingsPage *settings, const char *value)
{
    int64_t number = LOG_PARTIAL_FLUSH_NEVER;

    if (strcmp(value, "never") != 0 && !settings_number(value, 0, LOG_PARTIAL_FLUSH_MOST, &number))
        return false;
    settings->log_partial_flush = (int32_t)number;
    return true;
}

static bool parse_policy(const char *value, uint32_t *policy)
{
    if (strcmp(value, "drop") != 0 && strcmp(value, "wait") != 0)
        return false;
    *policy = value[0] == 'w' ? LOG_WAIT : LOG_DROP;
    return true;
}

static bool set_on_error(SettingsPage *settings, const char *value)
{
    return parse_policy(value, &settings->log_on_error);
}

static bool set_rate_policy(SettingsPage *settings, const char *value)
{
    return parse_policy(value, &settings->log_rate_policy);
}

/* BYTES[:BURST]; without a burst, what a second may bring may come at once. */
static bool set_rate_limit(SettingsPage *settings, const char *value)
{
    const char *end = value + strcspn(value, ":");
    int64_t bytes;
    int64_t burst;

    if (!parse_number(value, end, 0, LOG_RATE_MOST, &bytes))
        return false;
    burst = bytes;
    if (*end == ':' && !settings_number(end + 1, 1, LOG_RATE_MOST, &burst))
        return false;
    settings->log_rate_limit = bytes;
    settings->log_rate_burst = burst;
    return true;
}

static void get_line_max(const SettingsPage *settings, char *text)
{
    snprintf(text, SETTING_TEXT_MOST, "%" PRIu32, settings->log_line_max);
}

static void get_partial_flush(const SettingsPage *settings, char *text)
{
    if (settings->log_partial_flush == LOG_PARTIAL_FLUSH_NEVER)
        snprintf(text, SETTING_TEXT_MOST, "never");
    else
        snprintf(text, SETTING_TEXT_MOST, "%" PRId32, settings->log_partial_flush);
}

const char *settings_policy(uint32_t policy)
{
    return policy == LOG_WAIT ? "wait" : "drop";
}

static void get_on_error(const SettingsPage *settings, char *text)
{
    snprintf(text, SETTING_TEXT_MOST, "%s", settings_policy(settings->log_on_error));
}

static void get_rate_policy(const SettingsPage *settings, char *text)
{
    snprintf(text, SETTING_TEXT_MOST, "%s", settings_policy(settings->log_rate_policy));
}

static void get_rate_limit(const SettingsPage *settings, char *text)
{
    if (settings->log_rate_limit == 0)
        snprintf(text, SETTING_TEXT_MOST, "0"); /* no limit has no burst */
    else
        snprintf(text, SETTING_TEXT_MOST, "%" PRId64 ":%" PRId64, settings->log_rate_limit,
                 settings->log_rate_burst);
}

static const struct {
    const char *name;
    bool (*set)(SettingsPage *settings, const char *value);
    void (*get)(const SettingsPage *settings, char *text);
    const char *values;
} SETTINGS[] = {
    {"log-line-max", set_line_max, get_line_max, "a number of bytes from 256 to 1048576"},
    {"log-partial-flush", set_partial_flush, get_partial_flush,
     "a number of milliseconds from 0 to 3600000, or the word never"},
    {"log-on-error", set_on_error, get_on_error, "the word drop or the word wait"},
    {"log-rate-limit", set_rate_limit, get_rate_limit,
     "a number of bytes per second up to 1099511627776 (0 is no limit), optionally followed by a "
     "colon and the number of bytes that may come at once: 1000000 or 1000000:5000000"},
    {"log-rate-policy", set_rate_policy, get_rate_policy, "the word drop or the word wait"},
};

enum { SETTINGS_COUNT = sizeof(SETTINGS) / sizeof(SETTINGS[0]) };

SettingResult settings_set(SettingsPage *settings, const char *name, const char *value)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (strcmp(name, SETTINGS[i].name) == 0)
            return SETTINGS[i].set(settings, value) ? SETTING_OK : SETTING_WRONG;
    }
    return SETTING_UNKNOWN;
}

SettingResult settings_set_line(SettingsPage *settings, const char *line)
{
    size_t length = strcspn(line, " ");
    char name[32];

    if (length >= sizeof(name) || line[length] == '\0')
        return SETTING_UNKNOWN;
    memcpy(name, line, length);
    name[length] = '\0';
    return settings_set(settings, name, line + length + 1);
}

void settings_get(const SettingsPage *settings, const char *name, char text[SETTING_TEXT_MOST])
{
    text[0] = '\0';
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (strcmp(name, SETTINGS[i].name) == 0)
            SETTINGS[i].get(settings, text);
    }
}

const char *settings_values(const char *name)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (strcmp(name, SETTINGS[i].name) == 0)
            return SETTINGS[i].values;
    }
    return NULL;
}

const char *settings_name(size_t index)
{
    return index < SETTINGS_COUNT ? SETTINGS[index].name : NULL;
}
