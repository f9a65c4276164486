#include "ctl/request.h"

#include "state/page-file.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ANSWER_LOOK = 5000, /* between two looks at the page: nothing tells that it has changed */
};

static char *fifo_of(const Snapshot *monitor)
{
    const char *bundle = snapshot_text(monitor, "bundle");
    size_t kept = strlen(monitor->path) - strlen(PAGE_FILE_SUFFIX);

    if (*bundle == '/')
        return g_build_filename(bundle, "ctl", NULL);
    return g_strdup_printf("%.*s%s", (int)kept, monitor->path, PAGE_FILE_CTL);
}

/* Only a fifo of the monitor's own user is written to, whatever its page says. */
static int open_fifo(const Snapshot *monitor, const char *path, Error *error)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return error_set(error, errno,
                         "Cannot open the control fifo %s of the monitor %d (with the log driver "
                         "passthrough there is none)",
                         path, monitor->page.monitor_pid);
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) || st.st_uid != monitor->owner)
        return error_set(error, 0, "%s is not a control fifo of the monitor %d", path,
                         monitor->page.monitor_pid);
    return fd_steal(&fd);
}

/* The page now; what is not there any more is an answer, too. */
static bool look_again(const Snapshot *monitor, Page *page)
{
    CLEANUP_FD int fd = open(monitor->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 && pread(fd, page, sizeof(*page), 0) == (ssize_t)sizeof(*page) &&
           page->monitor_pid == monitor->page.monitor_pid;
}

int request_send(const Snapshot *monitor, const char *line, Error *error)
{
    g_autofree char *path = fifo_of(monitor);
    CLEANUP_FD int fd = open_fifo(monitor, path, error);
    /* A newline before it, too: somebody may have left an unfinished line. */
    g_autofree char *text = g_strdup_printf("\n%s\n", line);
    size_t length = strlen(text);

    if (fd < 0)
        return fd;
    if (write(fd, text, length) != (ssize_t)length)
        return error_set(error, errno, "Cannot write to the control fifo %s", path);
    return 0;
}

int request_wait(const Snapshot *monitor, RequestLook look, const void *asked, int64_t until,
                 Error *error)
{
    Page now;

    while (look_again(monitor, &now)) {
        RequestState state = look(&monitor->page, &now, asked, error);

        if (state == REQUEST_DONE) {
            *error = (Error)ERROR_NULL;
            return 0;
        }
        if (snapshot_now() >= until && state == REQUEST_OVERTAKEN)
            return -1;
        if (snapshot_now() >= until)
            return error_set(error, 0,
                             "The monitor %d has not answered in time; conwardctl stats shows "
                             "whether it has answered since",
                             now.monitor_pid);
        g_usleep(ANSWER_LOOK);
    }
    return error_set(error, 0, "The monitor %d has ended", monitor->page.monitor_pid);
}
