#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* A directory in a cgroup file system. */
typedef struct CgroupPath {
    char text[PATH_MAX];
    size_t mount; /* so much of it is where that file system is mounted */
    bool unified; /* cgroup v2 */
} CgroupPath;

/*
 * Where the memory cgroup of a process is, as this process sees it: on whatever hierarchy has its
 * memory, cgroup v1 or v2, wherever that is mounted, and with whatever part of it.
 *
 * Returns 0, or -errno: -ENOENT if there is none that can be seen, -EBUSY if it is the root of all
 * or that of this process, too, so that what happens in it may be about others.
 */
int cgroup_path_of(pid_t pid, CgroupPath *path);

/*
 * Climbs to the topmost cgroup whose name has the container's ID in it, as all engines name them:
 * a process may sit in one below. Returns whether that is another one.
 */
bool cgroup_path_climb(const CgroupPath *path, const char *id, CgroupPath *top);

/*
 * Where a memory cgroup is that somebody names: "" is that of this process, "a/b" is below it,
 * "/a/b" is counted from the root of the hierarchy; its directory will do, too. It need not be
 * there.
 *
 * Returns 0, or -errno: -ENOENT if it would be where nothing can be seen from here.
 */
int cgroup_path_find(const char *name, CgroupPath *path);

/*
 * The same as cgroup_path_of(), of what /proc says: `cgroups` is a process's /proc/PID/cgroup,
 * `own` that of this process, `mounts` our mountinfo.
 */
int cgroup_path_parse(FILE *cgroups, FILE *own, FILE *mounts, CgroupPath *path);

/* And as cgroup_path_find(). */
int cgroup_path_parse_name(const char *name, FILE *own, FILE *mounts, CgroupPath *path);
