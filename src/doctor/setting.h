#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What configuration files of any format come down to: a list of settings, in the order of the
 * files and of the lines in them, so that the last one of a name is the one in force.
 *
 * A path is the keys from the outside in, joined by dots, with those in quotation marks that are
 * not bare words: plugins."io.containerd.grpc.v1.cri".max_container_log_line_size. The elements of
 * an array have its path and "[]".
 */

typedef enum SettingKind {
    SETTING_STRING,
    SETTING_INTEGER,
    SETTING_BOOLEAN,
    SETTING_ARRAY, /* its elements follow */
    SETTING_OTHER, /* a table, a date, a fraction, nothing */
} SettingKind;

typedef struct Setting {
    char *path;
    char *text;     /* a string without its quotation marks, anything else as it is written */
    int64_t number; /* of SETTING_INTEGER */
    SettingKind kind;
    char *file; /* as it is shown; a GRefString */
    unsigned line;
    size_t at;     /* where the value stands in the file, with its quotation marks, in bytes */
    size_t length; /* 0: the reader cannot tell */
} Setting;

typedef struct Settings {
    GPtrArray *all;
    char *file;      /* the one that is being read; a GRefString */
    guint begin;     /* the number of settings before it */
    unsigned read;   /* files */
    unsigned unread; /* files that are there but could not be read */
} Settings;

/* Where and why a reader gave up. */
typedef struct ReadError {
    unsigned line;
    const char *what; /* the end of a sentence; static */
} ReadError;

/*
 * A reader of one format: appends the settings of a text to `to`. Returns false if the text is
 * wrong or beyond it: it never guesses. The text need not end with a NUL and may be anything.
 */
typedef bool Reader(const char *text, size_t length, Settings *to, ReadError *error);

Settings *settings_new(void);
void settings_free(Settings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Settings, settings_free)

/* What is added from now on comes from `file`. */
void settings_begin_file(Settings *settings, const char *file);

/* Takes back what was added since: half a file would mislead. */
void settings_drop_file(Settings *settings);

/*
 * Adds a copy of `setting`, but for `file`, which is the one begun. Returns false when the file has
 * more settings, or longer names, than any true one.
 */
bool settings_add(Settings *settings, const Setting *setting);

/* The last setting of that path, the one in force, or NULL. */
const Setting *settings_find(const Settings *settings, const char *path);

/* The same if it is an integer; otherwise NULL. */
const Setting *settings_find_integer(const Settings *settings, const char *path);

/* Appends one key to a path. */
void path_append_key(GString *path, const char *key, size_t length);

/* Reads a whole number, with a sign if need be. Returns false if `text` is none or it is too large.
 */
bool number_parse(const char *text, int64_t *number);

/*
 * Reads an amount such as 10m, 10Mi, 1G, 512kB or -1 as Docker, Kubernetes and systemd write them.
 * All units are taken as powers of 1024: nobody needs the difference here. Returns false if `text`
 * is no amount.
 */
bool amount_parse(const char *text, double *amount);
