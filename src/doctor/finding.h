#pragma once

#include "doctor/setting.h"

#include <glib.h>

/* How bad it is; the worst first. */
typedef enum Severity {
    SEVERITY_DANGER,  /* one container can take the node down */
    SEVERITY_WARNING, /* it should be mended */
    SEVERITY_UNREAD,  /* nobody can tell: a file was not read or not understood */
    SEVERITY_NOTE,    /* nothing to mend, but good to know */
} Severity;

/* How --fix mends a finding: one value replaced by another, or a new file. */
typedef struct Fix {
    char *path;    /* inside the root */
    char *content; /* the new value, or the new file */
    char *old;     /* the bytes at `at`; NULL: the file is to be made */
    size_t at;
} Fix;

typedef struct Finding {
    Severity severity;
    const char *program; /* static */
    char *what;          /* a sentence without a full stop */
    char *file;          /* as it is shown, or NULL */
    unsigned line;       /* 0: none in particular */
    char *setting;       /* as it stands there, or NULL */
    const char *why;     /* static, sentences, or NULL */
    char *mend;          /* what to put where, or NULL */
    const char *restart; /* static, a command, or NULL */
    Fix *fix;            /* NULL: by hand */
} Finding;

/* A list of findings; freed by g_ptr_array_unref(). */
GPtrArray *findings_new(void);

/* Sorts the worst first, otherwise as they were found. */
void findings_sort(GPtrArray *findings);

const char *severity_name(Severity severity);

/* Adds a finding. `what` becomes its own. Returns it, for what else there is to say. */
Finding *finding_add(GPtrArray *findings, Severity severity, const char *program, char *what);

/* Says that it is about a setting: file, line, and the setting as it stands there. */
void finding_at(Finding *finding, const Setting *setting);
