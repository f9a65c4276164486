#pragma once

#include "state/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The settings that can change while a monitor runs: their names, their values as text, and what
 * may be said. The command line, the control fifo and conwardctl share it.
 */
enum {
    LOG_LINE_MAX_LEAST = 256,
    LOG_LINE_MAX_DEFAULT = 16384,
    LOG_LINE_MAX_MOST = 1048576,
    LOG_PARTIAL_FLUSH_NEVER = -1,
    LOG_PARTIAL_FLUSH_DEFAULT = 100, /* milliseconds */
    LOG_PARTIAL_FLUSH_MOST = 3600000,
};

enum { SETTING_TEXT_MOST = 48 };

#define LOG_RATE_MOST (INT64_C(1) << 40) /* bytes a second, and at once */

typedef enum SettingResult {
    SETTING_OK,
    SETTING_UNKNOWN, /* there is no setting of that name */
    SETTING_WRONG,   /* it cannot have that value */
} SettingResult;

/* Reads `value`, as a person writes it, into the setting of that name. Unless SETTING_OK is
 * returned, nothing has changed. */
SettingResult settings_set(SettingsPage *settings, const char *name, const char *value);

/* The same for `NAME VALUE` with one space in between. */
SettingResult settings_set_line(SettingsPage *settings, const char *line);

/* Writes the setting's value, as a person writes it, into `text`. */
void settings_get(const SettingsPage *settings, const char *name, char text[SETTING_TEXT_MOST]);

/* What the setting's value may be, as the end of "use …"; NULL if there is no such setting. */
const char *settings_values(const char *name);

/*
 * Reads a number of decimal digits and nothing else, within the given limits: no sign, no blanks,
 * and no leading zero that might mean octal. Returns whether *number was set.
 */
bool settings_number(const char *text, int64_t least, int64_t most, int64_t *number);

/* A LogPolicy as a person writes it. */
const char *settings_policy(uint32_t policy);

/* The name of setting number `index`, NULL behind the last one. */
const char *settings_name(size_t index);
