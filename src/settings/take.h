#pragma once

#include "monitor/config.h"
#include "settings/tunable.h"

#include <stdbool.h>

/*
 * Which value of each setting holds: that of the command line, else that of the environment, else
 * that of the last file that has one, else the default. A value that makes no sense counts as none.
 *
 * The next image of the program, after a crash, asks neither the environment nor the files, which
 * may have changed: it takes the values that are written down behind the page.
 */
typedef struct TakeOptions {
    char *const *given; /* values of the command line by number in TUNABLES, NULL = not given */
    bool exec;          /* an exec process: see TUNABLE_EXEC */
    bool strict;        /* what makes no sense elsewhere is an error, too */
    const Messages *messages;
} TakeOptions;

/*
 * Takes all of them into *config, which has the defaults, and writes down in config->settings where
 * they came from. Says what makes no sense: on the command line, or if `strict` also elsewhere,
 * that is an error, and it returns false; otherwise a warning, but of an exec process for debugging
 * only: health checks are many, and its container has said it.
 */
bool settings_take(const TakeOptions *options, Config *config);

/* The same for the next image, from what is written down behind the page of this descriptor. */
bool settings_take_again(const TakeOptions *options, int page_fd, Config *config);

/* Where a value came from. */
typedef struct SettingOrigin {
    const char *name;  /* of the setting */
    const char *value; /* as it was given; NULL: the default */
    const char *where; /* "option", "environment", the path of a file, or "default" */
} SettingOrigin;

/*
 * What is written down of a setting in the texts behind a page, in `texts`, of which nothing needs
 * to be true: `text` finds one of them by its name, "" if it is not there.
 */
SettingOrigin setting_origin(const Tunable *tunable,
                             const char *(*text)(const void *texts, const char *name),
                             const void *texts);
