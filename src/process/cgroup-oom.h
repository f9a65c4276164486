#pragma once

#include "process/cgroup-path.h"
#include "state/state.h"
#include "util/message.h"

#include <glib.h>
#include <sys/types.h>

/*
 * Counts the processes of a container that the kernel has killed because its memory was used up.
 *
 * The kernel counts them itself, before it sends the signal: `oom_kill` in memory.events (cgroup
 * v2), and in memory.oom_control (v1). So nothing that is no kill is taken for one, however often
 * a limit is hit; and whoever looks after the death of a process sees whether it was one. On v1,
 * which has a count for each cgroup alone, what containers inside of this one suffer is their own.
 * The descriptors stay open, for systemd removes the cgroup as soon as its last process has ended,
 * and then nothing can be read any more: what was seen last counts. So whatever the end of a
 * container begins with is a reason to look.
 *
 * News come by poll(2), which a cgroup's files support: unlike inotify it is limited by nobody
 * (128 instances for each user, by default), and the kernel does it first. On v1, an eventfd tells
 * of a cgroup without memory, before the kill: so there is another look a moment later.
 */
typedef struct CgroupOom {
    State *state;
    const Messages *messages;
    int counts[OOM_COUNTS]; /* files that hold a count, -1 = none */
    int event_fd;           /* v1 only */
    guint sources[OOM_COUNTS];
    guint event_source;
    void (*moved)(void *owner);
    void *owner;
} CgroupOom;

#define CGROUP_OOM_NULL                    \
    {                                      \
        .counts = {-1, -1}, .event_fd = -1 \
    }

/* Goes on with what another image of this program has left; if that is nothing, there is nothing to
 * watch until cgroup_oom_begin(). `moved` is called when it is worth it to look. */
void cgroup_oom_init(CgroupOom *oom, State *state, const Messages *messages,
                     void (*moved)(void *owner), void *owner);

/*
 * Begins to watch the cgroup of the process `pid` of the container `id`; what was killed there
 * before does not count. If that is not possible there is a message, and nothing is counted. May be
 * repeated after a crash.
 */
void cgroup_oom_begin(CgroupOom *oom, pid_t pid, const char *id);

/* The same for a cgroup that nothing of the container is in yet. */
void cgroup_oom_watch(CgroupOom *oom, const CgroupPath *path);

/* Brings OomPage.kills up to date. */
void cgroup_oom_look(CgroupOom *oom);

/*
 * The last look, after the process `pid` has ended by SIGKILL. If its cgroup was removed before
 * anybody could look, the kernel's log tells.
 */
void cgroup_oom_look_behind(CgroupOom *oom, pid_t pid);

void cgroup_oom_deinit(CgroupOom *oom);
