#include "ctl/logs-find.h"

#include "ctl/monitors.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
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

static int take_file(LogFound *found, const Snapshot *monitor, Error *error)
{
    found->path = g_strdup(snapshot_text(monitor, "log"));
    return become(monitor->owner, error);
}

/* Our rights are kept: what is read is what that user has sent, and nothing else. */
static int take_journal(LogFound *found, const Snapshot *monitor)
{
    found->container = (JournalContainer){
        .id = g_strdup(snapshot_id(monitor)),
        .user = monitor->owner,
        .sender = monitor->page.monitor_pid,
    };
    found->page = open(monitor->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return 0;
}

static int take_monitor(LogFound *found, const Snapshot *monitor, const char *word, bool journal,
                        Error *error)
{
    bool has_file = *snapshot_text(monitor, "log") != '\0';

    found->writer = pidfd_open(monitor->page.monitor_pid, 0);
    if (monitor->page.has_journal && (journal || !has_file))
        return take_journal(found, monitor);
    if (journal)
        return error_set(error, 0, "The log of %s is not in the journal: its log driver is %s",
                         word, snapshot_log_driver(monitor));
    if (!has_file)
        return error_set(error, 0, "The container %s has no log, or its page does not say where",
                         word);
    return take_file(found, monitor, error);
}

/* A pidfd of who has sent the latest entry, or -1 if that has gone. */
static int open_sender(const JournalContainer *container)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/comm", container->sender);
    g_autofree char *comm = NULL;
    int fd = container->sender > 0 ? pidfd_open(container->sender, 0) : -1;

    /* Its pid may be another's by now. */
    if (fd >= 0 && (!g_file_get_contents(path, &comm, NULL, NULL) ||
                    strcmp(g_strchomp(comm), container->comm) != 0))
        fd_close(&fd);
    return fd;
}

/* Without a page: the monitor has ended, or is of a user whose pages we may not read. */
static int find_in_journal(LogFound *found, const char *word, bool journal, Error *error)
{
    int r = journal_find(word, &found->container, error);

    if (r < 0)
        return r;
    if (r == 0)
        return error_set(
            error, 0,
            "No monitor watches a container with the ID or name '%s' (conwardctl ps "
            "lists them), the journal has no entry of one%s%s",
            word, journal_is_barred() ? " that you may read (to read all, " JOURNAL_ADVICE ")" : "",
            journal ? "" : ", and there is no file of that name either: give the path of a log");
    found->writer = open_sender(&found->container);
    found->has_ended = found->writer < 0;
    return 0;
}

int logs_find(LogFound *found, const char *word, bool journal, Error *error)
{
    g_autoptr(Monitors) monitors = monitors_read(NULL);
    guint count;
    const Snapshot *monitor = monitors_look_up(monitors, word, &count);

    *found = (LogFound)LOG_FOUND_NULL;
    if (count > 1)
        return error_set(error, 0, MONITORS_AMBIGUOUS, word, count);
    if (monitor != NULL)
        return take_monitor(found, monitor, word, journal, error);
    return find_in_journal(found, word, journal, error);
}

void logs_found_deinit(LogFound *found)
{
    fd_close(&found->writer);
    fd_close(&found->page);
    g_free(found->container.id);
    g_free(found->path);
}
