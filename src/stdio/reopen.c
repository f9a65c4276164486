#include "stdio/reopen.h"

#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The device behind a terminal's descriptor; /dev/tty is only another name for it. */
static int terminal_device(int fd, unsigned *device)
{
    return ioctl(fd, TIOCGDEV, device);
}

/* Our controlling terminal, if that is what `fd` is: it may be opened whoever owns it. */
static int reopen_terminal(int fd, int access)
{
    CLEANUP_FD int own = open("/dev/tty", access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    unsigned ours;
    unsigned wanted;

    if (own < 0 || terminal_device(own, &ours) < 0 || terminal_device(fd, &wanted) < 0 ||
        ours != wanted)
        return -1;
    return fd_steal(&own);
}

int reopen(int fd, int access)
{
    char name[32];
    struct stat st;
    int again;

    if (fstat(fd, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)))
        return -1;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    again = open(name, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return again < 0 && S_ISCHR(st.st_mode) ? reopen_terminal(fd, access) : again;
}
