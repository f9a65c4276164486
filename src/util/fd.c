#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;

        close(*fd);
        errno = saved;
    }
    *fd = -1;
}

int fd_write_all(int fd, const void *bytes, size_t length)
{
    const char *next = bytes;

    while (length > 0) {
        ssize_t n = write(fd, next, length);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        next += n;
        length -= (size_t)n;
    }
    return 0;
}

static int change_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);

    if (flags < 0)
        return -errno;
    if (fcntl(fd, set, on ? flags | flag : flags & ~flag) < 0)
        return -errno;
    return 0;
}

ssize_t fd_read_all(int fd, void *bytes, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t n = read(fd, (char *)bytes + length, size - length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

int fd_set_cloexec(int fd, bool on)
{
    return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_set_nonblock(int fd, bool on)
{
    return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_fill_stdio(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int fd_open_null(int number)
{
    return open("/dev/null", (number == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
}

int fd_null_stdio(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        CLEANUP_FD int null_fd = fd_open_null(fd);

        if (null_fd < 0 || dup2(null_fd, fd) < 0)
            return -errno;
    }
    return 0;
}

void fd_close_inherited(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name); /* "." and ".." give 0 */
        int flags;

        if (fd <= 2)
            continue;
        flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            close(fd);
    }
    closedir(dir);
}

/* Our pid in the name: whoever repeats a step after a crash meets its own file only. */
static int temporary_name(const char *path, char temporary[PATH_MAX])
{
    int length = snprintf(temporary, PATH_MAX, "%s.%d.tmp", path, (int)getpid());

    return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int file_prepare(const char *path, const char *content, mode_t mode)
{
    char temporary[PATH_MAX];
    CLEANUP_FD int fd = -1;
    int r = temporary_name(path, temporary);

    if (r < 0)
        return r;
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, content, strlen(content));
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}

int file_publish(const char *path)
{
    char temporary[PATH_MAX];
    int r = temporary_name(path, temporary);

    if (r == 0 && rename(temporary, path) < 0) {
        r = -errno;
        unlink(temporary);
    }
    return r;
}

int file_replace(const char *path, const char *content, mode_t mode)
{
    int r = file_prepare(path, content, mode);

    return r < 0 ? r : file_publish(path);
}
