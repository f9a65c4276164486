#pragma once

#include "ctl/snapshot.h"

#include <glib.h>

/*
 * All monitors that can be seen: the pages in /run/conward, in $XDG_RUNTIME_DIR/conward, and for
 * root in those of all users.
 */
typedef struct Monitors {
    GPtrArray *list; /* of Snapshot, those that began first at first */
    guint unread;    /* of our own: pages that could not be read; standard error has told of them */
    guint hidden;    /* pages that other users, and root, may read and we may not */
} Monitors;

/* Looks at all pages, in `directory` alone if it is not NULL. To be freed with monitors_free(). */
Monitors *monitors_read(const char *directory);

void monitors_free(Monitors *monitors);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Monitors, monitors_free)

/* {path of the page: Snapshot}, for finding a monitor in an earlier or later look. It refers to
 * `monitors`; to be freed with g_hash_table_unref(). */
GHashTable *monitors_by_path(const Monitors *monitors);

/*
 * The container or `conward run` that a word means: its name, its whole ID or, from four characters
 * on, the beginning of an ID. Exec monitors are not meant. Returns NULL if there is none, or more
 * than one; *count becomes how many.
 */
const Snapshot *monitors_look_up(const Monitors *monitors, const char *word, guint *count);

/* What to say of those that are hidden, with their number. */
#define MONITORS_HIDDEN \
    "monitors of other users that cannot be read: %u; run it as root to see them"

/* What to say of several, with the word and their number. */
#define MONITORS_AMBIGUOUS                                                                     \
    "'%s' is the name, or the beginning of the ID, of %u containers, maybe of several users: " \
    "give "                                                                                    \
    "more of the ID"

/* The same, after saying on standard error why there is none. */
const Snapshot *monitors_find(const Monitors *monitors, const char *word);
