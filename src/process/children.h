#pragma once

#include "state/state.h"

#include <sys/types.h>

/* Which of the processes we wait for have ended, as bits of Page.ended. */
typedef enum ChildEnd {
    ENDED_RUNTIME = 1 << 0,
    ENDED_CONTAINER = 1 << 1,
    ENDED_COMMAND = 1 << 2,
} ChildEnd;

/*
 * Reaps what has ended. While the runtime runs, only the runtime is reaped: the container's pid is
 * not known yet, and the kernel keeps its status best. Afterwards every child is, also those that
 * came to us as a subreaper.
 *
 * A status (exit code, or 128 + signal) is looked at, stored on the page, and only then reaped, so
 * that no moment exists at which nobody has it.
 */
void children_reap(State *state);

/* The name of a process, "" if there is no such one. */
void child_comm(pid_t pid, char comm[PAGE_COMM_MAX]);

/*
 * Watches a container that may not be our child (the runtime kept it, or reaped it). Sets *pidfd to
 * a descriptor that becomes readable when it ends, or to -1 if it is our child, whose end
 * children_reap() will see. Returns 0, or -errno: -ESRCH if it is gone already.
 */
int children_watch_foreign(pid_t pid, int *pidfd);
