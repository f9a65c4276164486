#include "ctl/logs-find.h"

#include "ctl/monitors.h"

#include <sys/pidfd.h>

char *logs_find(const char *word, int *writer, Error *error)
{
    g_autoptr(Monitors) monitors = monitors_read(NULL);
    const Snapshot *monitor = monitors_find(monitors, word);
    const char *log = monitor != NULL ? snapshot_text(monitor, "log") : "";

    *writer = -1;
    if (monitor == NULL)
        error_set(error, 0, "There is no file %s either; give the path of a log", word);
    else if (*log == '\0')
        error_set(error, 0, "The container %s has no log, or its page does not say where", word);
    if (*log == '\0')
        return NULL;
    *writer = pidfd_open(monitor->page.monitor_pid, 0);
    return g_strdup(log);
}
