#include "monitor/monitor.h"

#include "monitor/events.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What follows when the kernel has killed a process of the container for want of memory. */

/* Engines look once for an empty file, together with the exit file. Once it is there, it stays. */
static void leave_file(const Monitor *monitor, const char *directory)
{
    g_autofree char *path = NULL;
    CLEANUP_FD int fd = -1;

    if (directory == NULL)
        return;
    path = g_strdup_printf("%s/oom", directory);
    fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) < 0)
        message(&monitor->config->messages, LEVEL_ERROR,
                "Failed to write the file %s: %s. The engine will not learn from it that the "
                "container ran out of memory",
                path, strerror(errno));
}

void monitor_oom_look(Monitor *monitor)
{
    OomPage *page = &monitor_page(monitor)->oom;

    cgroup_oom_look(&monitor->oom);
    if (page->told == page->kills)
        return;
    leave_file(monitor, monitor->config->persist_dir);
    FAULT_POINT();
    leave_file(monitor, monitor->config->bundle);
    FAULT_POINT();
    /* A command in a container is watched there, too: its container's monitor tells of the kill. */
    if (monitor->config->kind != KIND_EXEC)
        event_oom_kill(monitor);
    monitor_say_oom(monitor);
    state_commit(&page->told, page->kills);
}

static void on_moved(void *owner)
{
    monitor_oom_look(owner);
}

void monitor_oom_init(Monitor *monitor)
{
    cgroup_oom_init(&monitor->oom, &monitor->state, &monitor->config->messages, on_moved, monitor);
}
