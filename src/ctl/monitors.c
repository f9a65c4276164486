#include "ctl/monitors.h"

#include "ctl/text.h"
#include "state/page-file.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    MONITORS_MOST = 16384, /* in a directory */
    FOREIGN_MOST = 1024,   /* in that of another user */
    TOLD_MOST = 10,        /* files in a directory that are no pages */
    ID_LEAST = 4,          /* characters of an ID that may stand for it */
};

static bool is_hidden(int at, const char *name)
{
    return faccessat(at, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0 && errno == EACCES;
}

/*
 * Links are not followed: in a user's directory, one could lead anywhere. What is there that is no
 * page is told of, but only so often, and is no failure of ours if it is another user's.
 */
static void read_directory(Monitors *monitors, const char *path, bool must_be_there, bool foreign)
{
    guint first = monitors->list->len;
    guint told = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (directory == NULL) {
        if (must_be_there || (errno != ENOENT && errno != ENOTDIR)) {
            ctl_say("Cannot look for monitors in %s: %s", path, g_strerror(errno));
            monitors->unread++;
        }
        return;
    }
    while ((entry = readdir(directory)) != NULL &&
           monitors->list->len - first < (foreign ? FOREIGN_MOST : MONITORS_MOST)) {
        Error error;
        Snapshot *snapshot;

        if (!g_str_has_suffix(entry->d_name, PAGE_FILE_SUFFIX))
            continue;
        snapshot = snapshot_read(dirfd(directory), path, entry->d_name, &error);
        if (snapshot != NULL) {
            g_ptr_array_add(monitors->list, snapshot);
        } else if (error.text[0] != '\0') {
            if (told++ < TOLD_MOST)
                ctl_say("%s", error.text);
            monitors->unread += !foreign;
        } else {
            monitors->hidden += is_hidden(dirfd(directory), entry->d_name);
        }
    }
    closedir(directory);
}

/* The directories of other users, for root. */
static void read_users(Monitors *monitors, const char *own)
{
    DIR *users = opendir("/run/user");
    struct dirent *entry;

    while (users != NULL && (entry = readdir(users)) != NULL) {
        g_autofree char *path = g_build_filename("/run/user", entry->d_name, "conward", NULL);

        if (entry->d_name[0] != '.' && g_strcmp0(path, own) != 0)
            read_directory(monitors, path, false, true);
    }
    if (users != NULL)
        closedir(users);
}

static gint by_start(gconstpointer a, gconstpointer b)
{
    const Page *one = &(*(const Snapshot *const *)a)->page;
    const Page *other = &(*(const Snapshot *const *)b)->page;

    if (one->started_at != other->started_at)
        return one->started_at < other->started_at ? -1 : 1;
    return (one->monitor_pid > other->monitor_pid) - (one->monitor_pid < other->monitor_pid);
}

Monitors *monitors_read(const char *directory)
{
    Monitors *monitors = g_new0(Monitors, 1);
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *own =
        runtime != NULL && *runtime == '/' ? g_build_filename(runtime, "conward", NULL) : NULL;

    monitors->list = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
    if (directory != NULL) {
        read_directory(monitors, directory, true, false);
    } else {
        read_directory(monitors, PAGE_FILE_DIRECTORY, false, false);
        if (own != NULL)
            read_directory(monitors, own, false, false);
        if (geteuid() == 0)
            read_users(monitors, own);
    }
    g_ptr_array_sort(monitors->list, by_start);
    return monitors;
}

void monitors_free(Monitors *monitors)
{
    g_ptr_array_unref(monitors->list);
    g_free(monitors);
}

GHashTable *monitors_by_path(const Monitors *monitors)
{
    GHashTable *by_path = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < monitors->list->len; i++) {
        Snapshot *monitor = g_ptr_array_index(monitors->list, i);

        g_hash_table_insert(by_path, monitor->path, monitor);
    }
    return by_path;
}

/* How well a word fits: the better one of two is meant. Our own come first: other users could give
 * theirs any name. */
typedef enum Fit {
    FIT_NONE,
    FIT_BEGINNING,
    FIT_WHOLE,
    FIT_OWN_BEGINNING,
    FIT_OWN_WHOLE,
} Fit;

static Fit fit(const Snapshot *monitor, const char *word)
{
    const char *id = snapshot_id(monitor);
    bool own = monitor->owner == geteuid();

    if (monitor->page.kind == SNAPSHOT_EXEC)
        return FIT_NONE;
    if (strcmp(id, word) == 0 || strcmp(snapshot_text(monitor, "name"), word) == 0)
        return own ? FIT_OWN_WHOLE : FIT_WHOLE;
    if (strlen(word) < ID_LEAST || !g_str_has_prefix(id, word))
        return FIT_NONE;
    return own ? FIT_OWN_BEGINNING : FIT_BEGINNING;
}

const Snapshot *monitors_look_up(const Monitors *monitors, const char *word, guint *count)
{
    const Snapshot *found = NULL;
    Fit best = FIT_NONE;

    *count = 0;
    for (guint i = 0; i < monitors->list->len; i++) {
        const Snapshot *one = g_ptr_array_index(monitors->list, i);
        Fit now = fit(one, word);

        if (now > best) {
            best = now;
            found = one;
            *count = 0;
        }
        *count += now != FIT_NONE && now == best;
    }
    return *count == 1 ? found : NULL;
}

const Snapshot *monitors_find(const Monitors *monitors, const char *word)
{
    guint count;
    const Snapshot *found = monitors_look_up(monitors, word, &count);

    if (count == 0)
        ctl_say("no monitor watches a container with the ID or name '%s'; conwardctl ps lists them",
                word);
    else if (count > 1)
        ctl_say(MONITORS_AMBIGUOUS, word, count);
    if (count == 0 && monitors->hidden > 0)
        ctl_say(MONITORS_HIDDEN, monitors->hidden);
    return found;
}
