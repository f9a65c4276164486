#include "state/page-file.h"

#include "util/fault-point.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes the directory if need be. Others may look into it, whatever the umask; links are not
 * followed. Returns a descriptor or -errno. */
static int open_directory(const char *path)
{
    bool made = mkdir(path, 0755) == 0;
    /* For fchmod(): who may write beside it could put a link in its place. */
    int flags = made ? O_RDONLY : O_PATH;
    int fd = open(path, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (made && fchmod(fd, 0755) < 0) {
        /* Only its owner finds the page then. */
    }
    return fd;
}

static int create_in(const char *directory, off_t size)
{
    CLEANUP_FD int at = open_directory(directory);
    CLEANUP_FD int fd = -1;
    uint32_t number;
    char name[40];
    int r;

    if (at < 0)
        return at;
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return -EAGAIN;
    snprintf(name, sizeof(name), "%d-%08" PRIx32 PAGE_FILE_SUFFIX, (int)getpid(), number);
    fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    /* Held for life, through every image of the program: so others know that it is not left over.
     */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r = errno;
        unlinkat(at, name, 0);
        return -r;
    }
    /* On a full file system it would lack some of its texts, and be a SIGBUS later. */
    r = posix_fallocate(fd, 0, size);
    if (r != 0) {
        unlinkat(at, name, 0);
        return -r;
    }
    return fd_steal(&fd);
}

/* Newly allocated; NULL if there is none. */
static char *directory_of_user(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *directory;

    if (runtime == NULL || runtime[0] != '/' || asprintf(&directory, "%s/conward", runtime) < 0)
        return NULL;
    return directory;
}

int page_file_create(off_t size, Error *error)
{
    char *directory = NULL;
    bool is_expected = geteuid() == 0;
    int fd = create_in(PAGE_FILE_DIRECTORY, size);

    *error = (Error)ERROR_NULL;
    if (fd < 0)
        directory = directory_of_user();
    if (directory != NULL) {
        is_expected = true;
        fd = create_in(directory, size);
    }
    if (fd < 0 && is_expected)
        error_set(error, -fd, "Cannot make the monitor's page in %s",
                  directory != NULL ? directory : PAGE_FILE_DIRECTORY);
    free(directory);
    return fd;
}

size_t page_file_texts(int fd, char texts[PAGE_TEXTS_MAX])
{
    ssize_t length = pread(fd, texts, PAGE_TEXTS_MAX, PAGE_SIZE_BYTES);

    while (length > 0 && texts[length - 1] != '\0')
        length--;
    return length > 0 ? (size_t)length : 0;
}

/* The kernel's name of what is open. Returns whether there is one that fits. */
static bool name_of(int fd, char name[PATH_MAX])
{
    char link[32];
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, name, PATH_MAX - 1);
    if (length < 0)
        return false;
    name[length] = '\0';
    return true;
}

static bool is_page_name(const char *path)
{
    size_t length = strlen(path);
    size_t suffix = strlen(PAGE_FILE_SUFFIX);

    return length > suffix && strcmp(path + length - suffix, PAGE_FILE_SUFFIX) == 0;
}

/* Whether the page's file is still at its path, which is filled in. */
static bool is_there(int fd, char path[PATH_MAX])
{
    struct stat there;
    struct stat ours;

    return fd >= 0 && name_of(fd, path) && is_page_name(path) && lstat(path, &there) == 0 &&
           fstat(fd, &ours) == 0 && there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

bool page_file_beside(int fd, const char *suffix, char path[PATH_MAX])
{
    size_t kept;

    if (!is_there(fd, path))
        return false;
    kept = strlen(path) - strlen(PAGE_FILE_SUFFIX);
    return snprintf(path + kept, PATH_MAX - kept, "%s", suffix) < (int)(PATH_MAX - kept);
}

void page_file_remove(int fd)
{
    char path[PATH_MAX];

    if (page_file_beside(fd, PAGE_FILE_CTL, path))
        unlink(path);
    FAULT_POINT();
    if (is_there(fd, path))
        unlink(path);
}

static void remove_lost_in(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char prefix[16];
    int length = snprintf(prefix, sizeof(prefix), "%d-", (int)getpid());

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        CLEANUP_FD int fd = -1;

        if (strncmp(entry->d_name, prefix, (size_t)length) != 0 || !is_page_name(entry->d_name))
            continue;
        fd =
            openat(dirfd(directory), entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        /* A process of another namespace may have our pid, too; its page is locked. */
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            page_file_remove(fd);
    }
    if (directory != NULL)
        closedir(directory);
}

void page_file_remove_lost(void)
{
    char *of_user = directory_of_user();

    remove_lost_in(PAGE_FILE_DIRECTORY);
    if (of_user != NULL)
        remove_lost_in(of_user);
    free(of_user);
}
