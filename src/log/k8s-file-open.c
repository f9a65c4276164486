#include "log/k8s-file.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
    MODE = 0640,
    LINKS_MOST = 40, /* as the kernel's own limit */
};

/* Whether the kernel would follow it with fs.protected_symlinks = 1. */
static bool is_trusted(const struct stat *directory, const struct stat *link)
{
    return !(directory->st_mode & S_ISVTX) || !(directory->st_mode & S_IWOTH) ||
           link->st_uid == geteuid() || link->st_uid == directory->st_uid;
}

/* The links in /proc/PID/fd lead to open files; what they say need not be a path. */
static bool is_magic(int link)
{
    struct statfs fs;

    return fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* What the link says, newly allocated, or NULL and errno. */
static char *read_target(int link)
{
    char *target = malloc(PATH_MAX);
    ssize_t length = target != NULL ? readlinkat(link, "", target, PATH_MAX - 1) : -1;

    if (length < 0) {
        free(target);
        return NULL;
    }
    target[length] = '\0';
    return target;
}

/*
 * Looks at the link `name` in the directory `at`. Returns 1 and where it leads, relative to the
 * directory, newly allocated; 0 if it is one that only the kernel can follow; or -errno.
 */
static int look_at_link(int at, const char *name, char **target)
{
    CLEANUP_FD int link = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat directory, st;

    if (link < 0 || fstat(at, &directory) < 0 || fstat(link, &st) < 0)
        return -errno;
    if (!S_ISLNK(st.st_mode))
        return -EACCES;
    if (!is_trusted(&directory, &st))
        return -EMLINK;
    if (is_magic(link))
        return 0;
    *target = read_target(link);
    return *target != NULL ? 1 : -errno;
}

/* Opens the directory of a path that is relative to `at`. Returns the descriptor or -errno. */
static int open_parent(int at, const char *path, const char *name)
{
    char *directory = name == path ? strdup(".") : strndup(path, (size_t)(name - path));
    int fd = directory != NULL ? openat(at, directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int r = fd < 0 ? -errno : fd;

    free(directory);
    return r;
}

/* Opens what `*path` names, seen from the directory `*at`; if that is a link, returns -ELOOP, and
 * both tell of where it leads. */
static int step(int *at, char **path)
{
    const char *slash = strrchr(*path, '/');
    const char *name = slash == NULL ? *path : slash + 1;
    int parent = open_parent(*at, *path, name);
    char *target = NULL;
    int fd, number, r;

    if (parent < 0)
        return parent;
    fd_close(at);
    *at = parent;
    if (*name == '\0')
        return -EISDIR;
    fd = openat(parent, name, FLAGS | O_NOFOLLOW, MODE);
    /* In a sticky directory, some kernels say EACCES of another user's link when O_CREAT is given.
     */
    number = errno;
    if (fd >= 0 || (number != ELOOP && number != EACCES))
        return fd < 0 ? -number : fd;
    r = look_at_link(parent, name, &target);
    if (r == 0) {
        fd = openat(parent, name, FLAGS, MODE);
        return fd < 0 ? -errno : fd;
    }
    if (r < 0)
        return r == -EMLINK ? r : -number;
    free(*path);
    *path = target;
    return -ELOOP;
}

int k8s_file_open(const char *path)
{
    CLEANUP_FD int at = AT_FDCWD;
    char *next = strdup(path);
    int r = next == NULL ? -ENOMEM : -ELOOP;

    for (int i = 0; r == -ELOOP && i < LINKS_MOST; i++)
        r = step(&at, &next);
    free(next);
    return r;
}

int k8s_file_stand_in(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}
