#pragma once

#include "process/cgroup-path.h"
#include "state/state.h"
#include "util/error.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * A cgroup for one command, so that its memory can be limited, and what the kernel does about it
 * there is about this command alone; while we, who watch it, stay outside.
 *
 * On cgroup v2, a cgroup that hands its memory down to others cannot have processes itself. If that
 * is the one we were started in, and nobody else is in it, as in a unit of systemd with Delegate=,
 * we move to one below it first. At the end all that is undone.
 */
typedef struct CgroupWish {
    const char *name; /* as cgroup_path_find() has it; its last part is made if it is not there */
    uint64_t memory_max; /* bytes, 0 = no other limit than it has */
    pid_t companion;     /* 0, or another process of this program, that moves with us */
} CgroupWish;

/* Why a text cannot be the name of a cgroup for a command, the end of a sentence; NULL if it can.
 */
const char *cgroup_name_problem(const char *name);

/*
 * Makes it, and limits its memory. Returns 0 and where it is in *path and, in *entry_fd, where a
 * process writes "0" to enter it; or negative with *error filled. Then, too, what was done until
 * then is to be undone.
 */
int cgroup_place_make(State *state, const CgroupWish *wish, CgroupPath *path, int *entry_fd,
                      Error *error);

/*
 * Undoes what was done, also by another image of this program. A cgroup that was there before
 * stays. Returns 0, or -errno if the cgroup of that name cannot be removed, as it is in use:
 * -EBUSY.
 */
int cgroup_place_unmake(State *state, const char *name);
