#pragma once

#include "ctl/journal-find.h"
#include "ctl/log-choice.h"

/* What of a log is to be shown, and how. */
typedef struct LogWish {
    const char *path;                  /* with no symbolic link in it, or NULL: */
    const JournalContainer *container; /* whose entries in the journal are the log */
    int writer;                        /* a pidfd of who writes it, or -1 */
    int page;                          /* the open page of that, or -1 */
    LogChoice choice;
    bool rotated;  /* also what the log was before it was rotated */
    bool has_tail; /* only the last `tail` lines */
    uint64_t tail;
    bool follow; /* and what comes, until there is a reason to end */
    bool raw;
    bool stamps;
} LogWish;

/*
 * Shows a log on standard output and standard error. Returns a CtlStatus: CTL_FAILED after saying
 * what could not be read or written; who stops reading what we write, or asks us to end, is obeyed.
 */
int log_read(const LogWish *wish);
