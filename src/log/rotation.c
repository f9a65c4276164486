#include "log/rotation.h"

#include "state/fds.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_MODE = 0640,
    LINKS_MOST = 40, /* as the kernel follows */
};

/*
 * The file that the log's path means: a symbolic link stays one, and the file it names is replaced,
 * also if somebody has moved that away.
 */
static int resolve(const char *path, char resolved[PATH_MAX])
{
    char target[PATH_MAX];

    if (snprintf(resolved, PATH_MAX, "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    for (int i = 0; i < LINKS_MOST; i++) {
        ssize_t length = readlink(resolved, target, sizeof(target) - 1);
        char *slash = strrchr(resolved, '/');
        size_t kept;

        if (length < 0)
            return 0; /* no link, or nothing there */
        target[length] = '\0';
        kept = target[0] == '/' || slash == NULL ? 0 : (size_t)(slash + 1 - resolved);
        if (kept + (size_t)length >= PATH_MAX)
            return -ENAMETOOLONG;
        memcpy(resolved + kept, target, (size_t)length + 1);
    }
    return -ELOOP;
}

/* Whether a file may be renamed to `path`: nothing else than a regular file may be there. */
static bool is_replaceable(const char *path)
{
    struct stat st;

    return lstat(path, &st) < 0 ? errno == ENOENT : S_ISREG(st.st_mode);
}

int rotation_replace(State *state, int log_fd, const char *log_path, Error *error)
{
    char path[PATH_MAX];
    char temporary[PATH_MAX + 32];
    CLEANUP_FD int fd = -1;
    int r;

    r = resolve(log_path, path);
    if (r < 0)
        return error_set(error, -r, "Cannot replace the log %s", log_path);
    if (!is_replaceable(path))
        return error_set(error, 0, "Cannot replace the log %s: %s is not a regular file", log_path,
                         path);
    /* Our pid in the name: what lies there is our own, and is neither followed nor written to. */
    snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, (int)getpid());
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, LOG_MODE);
    if (fd < 0)
        return error_set(error, errno, "Cannot reopen the log: failed to create %s", temporary);
    FAULT_POINT();
    if (rename(temporary, path) < 0) {
        int number = errno;

        unlink(temporary);
        return error_set(error, number, "Cannot reopen the log: failed to rename %s to %s",
                         temporary, path);
    }
    FAULT_POINT();
    /* The same number stays the log's: there is no moment without one. */
    if (dup3(fd, log_fd, O_CLOEXEC) < 0)
        return error_set(error, errno, "Cannot reopen the log file %s", log_path);
    FAULT_POINT();
    fds_refresh(state, log_fd);
    return 0;
}
