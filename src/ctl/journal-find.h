#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <systemd/sd-journal.h>

/* What journalctl reads: the files of this machine that we may read, whoever's they are. */
enum { JOURNAL_FLAGS = SD_JOURNAL_LOCAL_ONLY };

/* Whose entries are meant. */
typedef struct JournalContainer {
    char *id;
    unsigned user; /* who has sent them: what others send in the name of the container is not its */
    int sender;    /* the pid of who has sent the latest, or 0 if that was before this boot */
    char comm[16]; /* and what that was called */
} JournalContainer;

/* Whether there is a journal that this user may not read, and what to do then. */
#define JOURNAL_ADVICE "become a member of the group systemd-journal or adm, or root"
bool journal_is_barred(void);

/*
 * Finds the container with this name, whole ID, or beginning of an ID. The newest of a name is
 * meant; this user's come first, then root's, as anybody may send entries with any name. Returns 1,
 * 0 if there is none, or -1 or -errno after filling `error`: several IDs begin so, or the journal
 * cannot be read. container->id is to be freed.
 */
int journal_find(const char *word, JournalContainer *container, Error *error);

/* Only entries of this container count from here on. Returns 0 or -errno. */
int journal_choose(sd_journal *journal, const char *id, unsigned user, Error *error);
