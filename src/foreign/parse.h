#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Readers of what the kernel says of a process in /proc. The texts end with a NUL. Names of
 * processes and cgroups come from strangers: whatever does not look as it should is no match.
 */

enum {
    ID_LENGTH = 64,   /* hexadecimal digits of a container id */
    COMM_LENGTH = 64, /* of a process name; the kernel has 15 bytes, some workers have more */
};

/* Whose container it is, as far as its cgroup tells: who is to be asked to end it. */
typedef enum Engine {
    ENGINE_UNKNOWN,
    ENGINE_PODMAN,
    ENGINE_DOCKER,
    ENGINE_CRI, /* containerd or CRI-O below a kubelet */
} Engine;

/* A container as a cgroup's path names it. */
typedef struct Owner {
    char id[ID_LENGTH + 1];
    Engine engine;
} Owner;

/* Finds the container in /proc/PID/cgroup, the innermost one if they are nested. Returns false for
 * a process of the host's own, and for a monitor in a cgroup that only bears its container's id. */
bool parse_cgroup(const char *text, Owner *owner);

/* The number in a line "NAME: NUMBER" of /proc/PID/io or /proc/PID/status. */
bool parse_number(const char *text, const char *name, uint64_t *number);

/* The name, and the start in clock ticks since boot, in /proc/PID/stat: a pid that is used again
 * has another one. */
bool parse_stat(const char *text, char comm[COMM_LENGTH + 1], uint64_t *start);

/* The inode in what a link in /proc/PID/fd says of a pipe, or 0. */
uint64_t parse_pipe(const char *link);

/* Whether these ID_LENGTH bytes are all hexadecimal digits, as engines write ids. */
bool is_container_id(const char *text);
