#pragma once

#include "ctl/journal-find.h"

/* Where the log of a container is. */
typedef struct LogFound {
    char *path;                 /* of the file, or NULL: it is in the journal */
    JournalContainer container; /* and whose entries are meant there */
    int writer;                 /* a pidfd of who writes it, or -1 */
    int page;                   /* the open page of that, or -1 */
    bool has_ended;             /* nobody writes it any more */
} LogFound;

#define LOG_FOUND_NULL           \
    {                            \
        .writer = -1, .page = -1 \
    }

/*
 * Finds the log of the container with this id or name: the file, or with `journal` or without a
 * file the journal. One that no monitor watches is looked for in the journal. Returns 0, or -1
 * after filling `error`. If a file is another user's, this process has the rights of that user from
 * then on.
 */
int logs_find(LogFound *found, const char *word, bool journal, Error *error);

void logs_found_deinit(LogFound *found);
