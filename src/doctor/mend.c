#include "doctor/mend.h"

#include "doctor/diff.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BACKUPS = 100 };

static char *failure(const char *doing, const char *name)
{
    return g_strdup_printf("%s %s: %s", doing, name, g_strerror(errno));
}

/* Makes a file of that content, owner and mode that is on the disk for good; a set-user-ID,
 * set-group-ID or sticky bit means nothing on a file of settings, and is not given to a new one.
 * Returns 0 or -1 and errno, and then nothing is left behind. */
static int make(int dir, const char *name, const char *content, size_t length,
                const struct stat *like)
{
    CLEANUP_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return -1;
    r = fd_write_all(fd, content, length);
    if (r == 0 && fchown(fd, like->st_uid, like->st_gid) < 0)
        r = -errno;
    if (r == 0 && fchmod(fd, like->st_mode & 0777) < 0)
        r = -errno;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0)
        return 0;
    unlinkat(dir, name, 0);
    errno = -r;
    return -1;
}

/* Keeps the content under a name that nothing has. Returns the name, which the caller frees, or
 * NULL and errno. */
static char *keep_backup(int dir, const char *name, const char *content, size_t length,
                         const struct stat *like)
{
    for (unsigned i = 0; i < MAX_BACKUPS; i++) {
        g_autofree char *backup = i == 0 ? g_strconcat(name, ".conward-backup", NULL)
                                         : g_strdup_printf("%s.conward-backup.%u", name, i);

        if (make(dir, backup, content, length, like) == 0)
            return g_steal_pointer(&backup);
        if (errno != EEXIST)
            return NULL;
    }
    return NULL;
}

/* Puts a file of that content in place, whole. `flags` are those of renameat2(2). Returns 0 or -1
 * and errno. */
static int publish(int dir, const char *name, const char *content, size_t length,
                   const struct stat *like, unsigned flags)
{
    g_autofree char *temporary = g_strdup_printf("%s.%d.tmp", name, (int)getpid());

    if (make(dir, temporary, content, length, like) < 0)
        return -1;
    if (renameat2(dir, temporary, dir, name, flags) < 0) {
        int saved = errno;

        unlinkat(dir, temporary, 0);
        errno = saved;
        return -1;
    }
    return fsync(dir);
}

static char *replace(const Root *root, const Fix *fix, int dir, const char *name, GString *report)
{
    CLEANUP_FD int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    g_autoptr(GString) after = NULL;
    g_autofree char *before = NULL;
    g_autofree char *backup = NULL;
    g_autofree char *shown = root_shown(root, fix->path);
    char *trouble = NULL;
    size_t length = 0, old = strlen(fix->old);
    struct stat st;

    if (fd < 0 && errno == ELOOP)
        return g_strdup("it is a symbolic link; change the file that it points to yourself");
    if (fd < 0 || fstat(fd, &st) < 0)
        return failure("opening", name);
    before = root_read_fd(fd, &length, &trouble);
    if (before == NULL)
        return trouble;
    if (fix->at > length || length - fix->at < old || memcmp(before + fix->at, fix->old, old) != 0)
        return g_strdup("it has changed in the meantime; run conwardctl doctor again");
    after = g_string_new_len(before, (gssize)length);
    g_string_erase(after, (gssize)fix->at, (gssize)old);
    g_string_insert(after, (gssize)fix->at, fix->content);
    backup = keep_backup(dir, name, before, length, &st);
    if (backup == NULL)
        return failure("keeping a backup of", name);
    if (publish(dir, name, after->str, after->len, &st, 0) < 0)
        return failure("writing", name);
    diff_append(report, shown, before, after->str);
    g_string_append_printf(report, "The old content is in %.*s%s\n",
                           (int)(strlen(shown) - strlen(name)), shown, backup);
    return NULL;
}

static char *create(const Root *root, const Fix *fix, int dir, const char *name, GString *report)
{
    struct stat like = {.st_uid = geteuid(), .st_gid = getegid(), .st_mode = 0644};
    g_autofree char *shown = root_shown(root, fix->path);

    if (publish(dir, name, fix->content, strlen(fix->content), &like, RENAME_NOREPLACE) < 0)
        return failure("making", name);
    diff_append(report, shown, NULL, fix->content);
    return NULL;
}

/* Opens the directory of a file; one that is missing is made, but none above it. Returns a
 * descriptor or -1 and errno. */
static int open_directory(const Root *root, const char *directory, bool may_make)
{
    g_autofree char *above = g_path_get_dirname(directory);
    g_autofree char *name = g_path_get_basename(directory);
    int fd = root_open(root, directory, O_RDONLY | O_DIRECTORY);

    if (fd == -ENOENT && may_make) {
        CLEANUP_FD int parent = root_open(root, above, O_RDONLY | O_DIRECTORY);

        if (parent >= 0 && mkdirat(parent, name, 0755) == 0)
            fd = root_open(root, directory, O_RDONLY | O_DIRECTORY);
    }
    if (fd < 0)
        errno = -fd;
    return fd;
}

char *mend_apply(const Root *root, const Fix *fix, GString *report)
{
    g_autofree char *directory = g_path_get_dirname(fix->path);
    g_autofree char *name = g_path_get_basename(fix->path);
    CLEANUP_FD int dir = open_directory(root, directory, fix->old == NULL);

    if (dir < 0)
        return failure("opening", directory);
    return fix->old != NULL ? replace(root, fix, dir, name, report)
                            : create(root, fix, dir, name, report);
}
