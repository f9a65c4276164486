#pragma once

#include "state/state.h"

/*
 * The table of descriptors that another image of this program must find open. Adding commits after
 * the entry is complete; removing commits before the descriptor is closed, so that the table never
 * names a number that has been given to something else.
 *
 * What came over a socket cannot be had again: it is added at once. Nothing is done between the
 * system call and the commit that could fail; where the entry goes is known before.
 */
void fds_add(State *state, FdRole role, int fd);
void fds_remove(State *state, int fd);

/* The descriptor with that role, -1 if there is none. */
int fds_find(const State *state, FdRole role);

/*
 * Whether every descriptor of the table is open and refers to the file it must. Makes them
 * close-on-exec again. While the log is being replaced, its own entry may name the old file.
 */
bool fds_adopt(State *state);

/*
 * Notes that the descriptor now refers to another file (dup2 onto the same number). Not atomic:
 * during a rotation, the log's entry may name the old file.
 */
void fds_refresh(State *state, int fd);
