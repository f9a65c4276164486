#include "process/kernel-log.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECORD_SIZE = 8192, /* the kernel's own maximum: a smaller buffer gets an error */
};

/* What comes from the kernel has the facility 0: whoever else writes to /dev/kmsg gets another one
 * (printk(): the prefix is 8 * facility + priority). */
static bool is_of_kernel(const char *record)
{
    char *end;
    unsigned long prefix = strtoul(record, &end, 10);

    return end != record && *end == ',' && prefix >> 3 == 0;
}

/* "6,1234,98765,-;TEXT": texts are printed after the signal has been sent, and, but not more than
 * ten of these in five seconds, before. */
bool kernel_log_is_kill(const char *record, pid_t pid)
{
    const char *text = strchr(record, ';');
    const char *chosen;
    char killed[64];

    if (text == NULL || !is_of_kernel(record))
        return false;
    text++;
    snprintf(killed, sizeof(killed), "ut of memory: Killed process %d ", (int)pid);
    if (strstr(text, killed) != NULL)
        return true;
    if (strncmp(text, "oom-kill:", strlen("oom-kill:")) != 0)
        return false;
    chosen = g_strrstr(text, ",pid="); /* what is before it may be of the process's own choice */
    return chosen != NULL && atoi(chosen + strlen(",pid=")) == pid;
}

/* The first pid namespace there is has a number of its own: the kernel's pids are those in it. */
static bool pids_are_the_kernels(void)
{
    static const char FIRST[] = "pid:[4026531836]";
    char link[sizeof(FIRST)];
    ssize_t length = readlink("/proc/self/ns/pid", link, sizeof(link));

    return length == (ssize_t)strlen(FIRST) && memcmp(link, FIRST, strlen(FIRST)) == 0;
}

bool kernel_log_tells_of_kill(pid_t pid)
{
    CLEANUP_FD int fd = -1;
    char record[RECORD_SIZE + 1];

    if (!pids_are_the_kernels())
        return false;
    fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    while (fd >= 0) {
        ssize_t n = read(fd, record, RECORD_SIZE);

        if (n < 0 && errno == EPIPE)
            continue; /* what comes next was overwritten */
        if (n <= 0)
            break;
        record[n] = '\0';
        if (kernel_log_is_kill(record, pid))
            return true;
    }
    return false;
}
