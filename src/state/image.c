#include "state/image.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_SIZE = 1 << 20 };

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

/* Our environment and the variable. */
static char **make_environment(int page_fd)
{
    size_t count = 0;
    char **copy;

    while (environ[count] != NULL)
        count++;
    copy = calloc(count + 2, sizeof(*copy));
    if (copy == NULL ||
        asprintf(&copy[count], IMAGE_VARIABLE "=%d:%d", page_fd, (int)getpid()) < 0) {
        free(copy);
        return NULL;
    }
    memcpy(copy, environ, count * sizeof(*copy));
    return copy;
}

int image_init(Image *image, State *state, char **argv, Error *error)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    struct stat st;

    *image = (Image){.state = state, .argv = argv};
    if (state->page_fd < 0)
        return error_set(error, 0,
                         "Cannot survive a crash: the limit on file sizes allows no "
                         "memory files");
    if (length < 0)
        return error_set(error, errno, "Cannot survive a crash: /proc/self/exe is not readable");
    path[length] = '\0';
    if (stat("/proc/self/exe", &st) < 0)
        return error_set(error, errno, "Cannot survive a crash: %s", path);
    image->device = st.st_dev;
    image->inode = st.st_ino;
    image->path = strdup(path);
    image->environment = make_environment(state->page_fd);
    if (image->path == NULL || image->environment == NULL)
        return error_set(error, ENOMEM, "Cannot survive a crash");
    return 0;
}

void image_deinit(Image *image)
{
    size_t last = 0;

    if (image->environment != NULL) {
        while (image->environment[last + 1] != NULL)
            last++;
        free(image->environment[last]);
    }
    free(image->environment);
    free(image->path);
    *image = (Image){0};
}

/* Whether the next image gets the descriptors that it must find open. */
static void set_inherited(const Image *image, bool inherited)
{
    const Page *page = image->state->page;

    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        if (page->fds[i].role != FD_FREE)
            fd_set_cloexec(page->fds[i].fd, !inherited);
    }
    fd_set_cloexec(image->state->page_fd, !inherited);
}

/* Returns a descriptor of a copy of our program in memory, or -errno. */
static int copy_program(const Image *image)
{
    CLEANUP_FD int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CLEANUP_FD int copy = memfd_create(image->state->page->comm, MFD_CLOEXEC | MFD_EXEC);
    ssize_t n;

    if (copy < 0 && errno == EINVAL) /* an older kernel, where all of them may be executed */
        copy = memfd_create(image->state->page->comm, MFD_CLOEXEC);
    do
        n = sendfile(copy, program, NULL, COPY_SIZE);
    while (n > 0);
    return n < 0 ? -errno : fd_steal(&copy);
}

/*
 * Where nothing may be executed on the file system of the program (noexec), a copy in memory may
 * be. /proc/PID/exe then names that.
 */
static void execute_copy(const Image *image)
{
    CLEANUP_FD int copy = copy_program(image);

    if (copy >= 0)
        fexecve(copy, image->argv, image->environment);
}

int image_execute(const Image *image)
{
    const char *path = image->path;
    struct stat st;
    int error;

    if (path == NULL)
        return -ENOENT;
    /* Another program has come to that path meanwhile (an upgrade): then the one that runs. */
    if (stat(path, &st) < 0 || st.st_dev != image->device || st.st_ino != image->inode)
        path = "/proc/self/exe";
    set_inherited(image, true);
    execve(path, image->argv, image->environment);
    error = errno;
    execute_copy(image);
    set_inherited(image, false);
    return -error;
}

bool image_is_resumed(Resumed *resumed)
{
    const char *value = getenv(IMAGE_VARIABLE);
    int fd = -1;
    int pid = 0;
    Page page;

    /* The pid says that the variable is of this process: execve keeps it. Nothing else counts,
     * whatever has become of the page: to begin again would be to run the container twice. */
    if (value != NULL && sscanf(value, "%d:%d", &fd, &pid) != 2)
        pid = 0;
    unsetenv(IMAGE_VARIABLE);
    if (pid != getpid() || fd <= STDERR_FILENO || fcntl(fd, F_GETFD) < 0)
        return false;
    fd_set_cloexec(fd, true);
    *resumed = (Resumed){.page_fd = fd};
    if (pread(fd, &page, sizeof(page), 0) == (ssize_t)sizeof(page) && page.magic == PAGE_MAGIC &&
        page.version == PAGE_VERSION)
        snprintf(resumed->id, PAGE_ID_MAX, "%.*s", PAGE_ID_MAX - 1, page.id);
    return true;
}
