#include "monitor/monitor.h"

#include "process/cgroup-place.h"

#include <string.h>
#include <unistd.h>

/* The cgroup that the command of `conward run` is in, if it has one of its own. */

int monitor_cgroup_make(Monitor *monitor, int *entry_fd, Error *error)
{
    const Config *config = monitor->config;
    /* The foreground process waits for us. Pid 1 is none: it has only taken us over. */
    const CgroupWish wish = {
        .name = config->cgroup,
        .memory_max = config->memory_max,
        .companion = config->detach && getppid() > 1 ? getppid() : 0,
    };
    CgroupPath path;

    if (config->cgroup == NULL)
        return 0;
    if (cgroup_place_make(&monitor->state, &wish, &path, entry_fd, error) < 0)
        return -1;
    cgroup_oom_watch(&monitor->oom, &path);
    return 0;
}

void monitor_cgroup_unmake(Monitor *monitor)
{
    const Config *config = monitor->config;
    int r = config->cgroup != NULL ? cgroup_place_unmake(&monitor->state, config->cgroup) : 0;

    if (r < 0)
        message(&config->messages, LEVEL_WARNING,
                "The cgroup %s is not removed: %s. The command has left processes in it; end them, "
                "and remove it with rmdir",
                config->cgroup, strerror(-r));
}
