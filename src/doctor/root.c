#include "doctor/root.h"

#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_NAMES = 1000 };

int root_init(Root *root, const char *directory)
{
    size_t length = strlen(directory);

    *root = (Root)ROOT_NULL;
    root->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0)
        return -errno;
    while (length > 0 && directory[length - 1] == '/')
        length--;
    root->prefix = g_strndup(directory, length);
    return 0;
}

void root_deinit(Root *root)
{
    fd_close(&root->fd);
    g_clear_pointer(&root->prefix, g_free);
}

char *root_shown(const Root *root, const char *path)
{
    return g_strconcat(root->prefix, path, NULL);
}

int root_open(const Root *root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT,
    };
    int fd;

    /* The node itself needs no Linux 5.6. */
    if (*root->prefix == 0)
        fd = open(path, flags | O_CLOEXEC);
    else
        fd = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

bool root_has(const Root *root, const char *path)
{
    CLEANUP_FD int fd = root_open(root, path, O_PATH);

    return fd >= 0;
}

bool root_has_program(const Root *root, const char *name)
{
    static const char *const PLACES[] = {"/usr/bin", "/usr/sbin", "/usr/local/bin",
                                         "/usr/local/sbin"};

    for (size_t i = 0; i < G_N_ELEMENTS(PLACES); i++) {
        g_autofree char *path = g_strconcat(PLACES[i], "/", name, NULL);

        if (root_has(root, path))
            return true;
    }
    return false;
}

static char *failure(const char *doing, int error)
{
    return g_strdup_printf("%s it failed: %s", doing, g_strerror(error));
}

char *root_read_fd(int fd, size_t *length, char **trouble)
{
    g_autofree char *text = NULL;
    struct stat st;
    ssize_t n;

    *trouble = NULL;
    if (fstat(fd, &st) < 0) {
        *trouble = failure("looking at", errno);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        *trouble = g_strdup("it is not a regular file");
        return NULL;
    }
    /* One byte more than may be, as the size in `st` may be out of date. */
    text = g_malloc(ROOT_FILE_MAX + 1);
    n = fd_read_all(fd, text, ROOT_FILE_MAX + 1);
    if (n < 0)
        *trouble = failure("reading", (int)-n);
    else if (n > ROOT_FILE_MAX)
        *trouble = g_strdup("it is larger than 1 MiB");
    if (*trouble != NULL)
        return NULL;
    text[n] = '\0';
    *length = (size_t)n;
    return g_steal_pointer(&text);
}

char *root_read(const Root *root, const char *path, size_t *length, char **trouble)
{
    /* O_NONBLOCK: a fifo opens at once, and is then refused. */
    CLEANUP_FD int fd = root_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

    *trouble = NULL;
    if (fd >= 0)
        return root_read_fd(fd, length, trouble);
    if (fd != -ENOENT && fd != -ENOTDIR)
        *trouble = failure("opening", -fd);
    return NULL;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *root_list(const Root *root, const char *directory, const char *pattern)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    CLEANUP_FD int fd = root_open(root, directory, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL)
        return names;
    fd_steal(&fd);
    while (names->len < MAX_NAMES && (entry = readdir(dir)) != NULL)
        if (fnmatch(pattern, entry->d_name, FNM_PERIOD) == 0)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    closedir(dir);
    g_ptr_array_sort(names, compare_names);
    return names;
}
