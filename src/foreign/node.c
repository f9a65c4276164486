#include "foreign/node.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int node_init(Node *node, const char *root)
{
    char path[PATH_MAX];

    *node = (Node){-1, root};
    if (snprintf(path, sizeof(path), "%s/proc", root) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    node->proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return node->proc < 0 ? -errno : 0;
}

void node_deinit(Node *node)
{
    fd_close(&node->proc);
}

ssize_t node_read(const Node *node, pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    ssize_t length;
    CLEANUP_FD int fd = -1;

    snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
    fd = openat(node->proc, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    length = fd_read_all(fd, text, size - 1);
    if (length < 0)
        return length;
    text[length] = '\0';
    return length;
}

int node_open(const Node *node, const char *path)
{
    char full[PATH_MAX];
    char again[32];
    struct stat st;
    CLEANUP_FD int place = -1;
    int fd;

    if (snprintf(full, sizeof(full), "%s%s", node->root, path) >= (int)sizeof(full))
        return -ENAMETOOLONG;
    place = open(full, O_PATH | O_CLOEXEC);
    if (place < 0 || fstat(place, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    snprintf(again, sizeof(again), "/proc/self/fd/%d", place);
    fd = open(again, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}
