#include "ctl/logs-find.h"

#include "ctl/monitors.h"

#include <errno.h>
#include <grp.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { NO_GROUP = 65534 };

/*
 * From here on, with the rights of the page's user and no more: the page says which file is read,
 * and for root it could be any. Nothing else follows that would need ours.
 */
static int become(unsigned user, Error *error)
{
    if (user == geteuid())
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(NO_GROUP, NO_GROUP, NO_GROUP) < 0 ||
        setresuid(user, user, user) < 0)
        return error_set(error, errno, "Cannot read the log with the rights of the user %u", user);
    return 0;
}

char *logs_find(const char *word, int *writer, Error *error)
{
    g_autoptr(Monitors) monitors = monitors_read(NULL);
    const Snapshot *monitor = monitors_find(monitors, word);
    const char *log = monitor != NULL ? snapshot_text(monitor, "log") : "";

    *writer = -1;
    if (monitor == NULL)
        error_set(error, 0, "There is no file %s either; give the path of a log", word);
    else if (*log == '\0' && monitor->page.has_journal)
        error_set(error, 0,
                  "The log of %s is in the journal: use journalctl CONTAINER_ID_FULL=, and its ID",
                  word);
    else if (*log == '\0')
        error_set(error, 0, "The container %s has no log, or its page does not say where", word);
    if (*log == '\0')
        return NULL;
    *writer = pidfd_open(monitor->page.monitor_pid, 0);
    if (become(monitor->owner, error) < 0)
        return NULL;
    return g_strdup(log);
}
