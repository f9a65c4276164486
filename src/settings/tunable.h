#pragma once

#include "monitor/config.h"
#include "util/error.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The settings that a whole node can have, because engines do not pass them: each is one line of
 * one table. It says how a value is read, so that this is the same wherever the value comes from:
 * the command line (--log-line-max 4096), the environment (CONWARD_LOG_LINE_MAX=4096), or a file
 * (log-line-max = 4096); settings/take.h says which of them holds.
 */
typedef enum TunableWhere {
    TUNABLE_ENGINE = 1 << 0, /* `conward run` has no such option */
    TUNABLE_FLAG = 1 << 1,   /* on the command line, it has no value */
    /* Environment and files count for exec processes, too. Not what decides what is in their log:
     * it is the answer of an ExecSync, which the engine reads. */
    TUNABLE_EXEC = 1 << 2,
} TunableWhere;

typedef struct Tunable {
    const char *name;

    /*
     * Reads `text` into *config. Returns false, with *config as it was and *error filled, if that
     * cannot be: with the rest of a sentence that begins with the setting's name, and says what to
     * use.
     */
    bool (*set)(const char *text, Config *config, Error *error);
    unsigned where; /* TunableWhere bits */

    /* For --help; NULL if the command line has this option from conmon and reads it itself. */
    const char *help;
    const char *argument;
} Tunable;

enum { TUNABLES_MAX = 32 };

/* All of them; the last one has no name. There are fewer than TUNABLES_MAX. */
extern const Tunable TUNABLES[];

/* The number of that setting in the table, or -1. */
int tunable_find(const char *name);
