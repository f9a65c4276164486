#include "foreign/readers.h"

#include "util/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool is_logger(const char *comm)
{
    static const char *const NAMES[] = {"conmon",     "conmonrs", "conward",
                                        "containerd", "crio",     "dockerd"};

    for (size_t i = 0; i < G_N_ELEMENTS(NAMES); i++)
        if (strcmp(comm, NAMES[i]) == 0)
            return true;
    return is_shim(comm);
}

bool is_shim(const char *comm)
{
    return g_str_has_prefix(comm, "containerd-shim");
}

/* The containers' pipes: inode → NULL as long as no reader is known. */
static GHashTable *pipes_of(const Look *look)
{
    GHashTable *pipes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, look->tasks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Task *task = value;

        for (int i = 0; task->container != NULL && i < LOOK_OUTPUTS; i++)
            if (task->outputs[i].pipe != 0)
                g_hash_table_insert(pipes, g_memdup2(&task->outputs[i].pipe, sizeof(uint64_t)),
                                    NULL);
    }
    return pipes;
}

/* Whether a link in /proc/PID/fd is of a descriptor that can be read from: the link's mode says it.
 */
static bool is_readable(int directory, const char *name)
{
    struct stat st;

    return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IRUSR) != 0;
}

/* Whether it is a container's pipe, and no logger is known for it: a pipe may have been inherited
 * by others, too. */
static bool is_wanted(GHashTable *pipes, const uint64_t *inode)
{
    gpointer reader;

    return g_hash_table_lookup_extended(pipes, inode, NULL, &reader) &&
           (reader == NULL || !is_logger(((const Task *)reader)->comm));
}

static void look_at_descriptors(GHashTable *pipes, const Node *node, Task *task)
{
    char path[32], link[64];
    struct dirent *entry;
    DIR *directory;
    int fd;

    snprintf(path, sizeof(path), "%d/fd", (int)task->pid);
    fd = openat(node->proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        fd_close(&fd);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        ssize_t length = readlinkat(fd, entry->d_name, link, sizeof(link) - 1);
        uint64_t inode;

        if (length < 0)
            continue;
        link[length] = '\0';
        inode = parse_pipe(link);
        if (inode != 0 && is_wanted(pipes, &inode) && is_readable(fd, entry->d_name))
            g_hash_table_insert(pipes, g_memdup2(&inode, sizeof(inode)), task);
    }
    closedir(directory);
}

GHashTable *readers_find(const Look *look, const Node *node)
{
    GHashTable *pipes = pipes_of(look);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, look->tasks);
    while (g_hash_table_size(pipes) > 0 && g_hash_table_iter_next(&iter, NULL, &value)) {
        Task *task = value;

        if (task->container == NULL)
            look_at_descriptors(pipes, node, task);
    }
    return pipes;
}
