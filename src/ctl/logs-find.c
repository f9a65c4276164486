#include "ctl/logs-find.h"

#include "ctl/monitors.h"

char *logs_find(const char *word, Error *error)
{
    g_autoptr(Monitors) monitors = monitors_read(NULL);
    const Snapshot *monitor = monitors_find(monitors, word);
    const char *log = monitor != NULL ? snapshot_text(monitor, "log") : "";

    if (monitor == NULL)
        error_set(error, 0, "There is no file %s either; give the path of a log", word);
    else if (*log == '\0')
        error_set(error, 0, "The container %s has no log: its log driver is none", word);
    return *log != '\0' ? g_strdup(log) : NULL;
}
