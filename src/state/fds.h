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
 * Takes over the table of another image. Makes its descriptors close-on-exec again. One that is not
 * open any more, or refers to another file than it must, is closed and taken out of the table, and
 * its role is in State.refused from then on: each owner can do without. One that is open and cannot
 * be looked at, as its file system has died, stays: whatever is done with it fails as it may.
 *
 * Returns false if it is no table of ours: nothing in it can be believed.
 */
bool fds_adopt(State *state);

/* Whether another image has left a descriptor with that role that was refused. */
static inline bool fds_refused(const State *state, FdRole role)
{
    return state->refused & UINT64_C(1) << role;
}

/*
 * Notes that the descriptor now refers to another file (dup2 onto the same number). Not atomic:
 * during a rotation, the log's entry may name the old file.
 */
void fds_refresh(State *state, int fd);
