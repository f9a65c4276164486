#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Where to look: the node's /proc and its file system. Tests bring their own. */
typedef struct Node {
    int proc;
    const char *root; /* what stands before absolute paths: "" for the node itself */
} Node;

#define NODE_NULL \
    {             \
        -1, ""    \
    }

/* Opens /proc below `root`, which must outlive the node. Returns 0 or -errno. */
int node_init(Node *node, const char *root);
void node_deinit(Node *node);

/*
 * Reads /proc/PID/NAME, at most `size` - 1 bytes, and ends it with a NUL. Returns the length or
 * -errno; -ENOENT or -ESRCH if the process has ended. Only `cmdline` and `environ` wait where the
 * process' memory is locked: keep away from those of containers.
 */
ssize_t node_read(const Node *node, pid_t pid, const char *name, char *text, size_t size);

/*
 * Opens a regular file of the node for reading. Nothing but a regular file is ever opened, so that
 * no fifo is waited for and no device awakes. Returns a descriptor or -errno.
 */
int node_open(const Node *node, const char *path);
