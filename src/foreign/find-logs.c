#include "foreign/find-logs.h"

#include "foreign/conmon-line.h"
#include "util/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char LINKS[] = "/var/log/containers";
static const char DOCKER[] = "/var/lib/docker/containers";

enum {
    COMMAND_LINE_MAX = 65536,
    LINKS_MAX = 65536,
};

/* What one source knows; the first source that knows it counts. */
static void tell(Look *look, const char *id, const char *name, const char *path)
{
    Container *container = g_hash_table_lookup(look->containers, id);

    if (container == NULL)
        return;
    if (container->name == NULL && name != NULL)
        container->name = g_strndup(name, NAME_MAX);
    if (container->log.path == NULL && path != NULL)
        container->log.path = g_strdup(path);
}

static void ask_monitors(Look *look, const Node *node)
{
    g_autofree char *words = g_malloc(COMMAND_LINE_MAX);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, look->tasks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Task *task = value;
        ConmonLine line;
        ssize_t length;

        /* What a container calls conmon is none. */
        if (task->container != NULL || strcmp(task->comm, "conmon") != 0)
            continue;
        length = node_read(node, task->pid, "cmdline", words, COMMAND_LINE_MAX);
        if (length <= 0)
            continue;
        line = conmon_line_read(words, (size_t)length);
        if (line.id != NULL)
            tell(look, line.id, line.name, line.log);
    }
}

/* The kubelet names its links POD_NAMESPACE_CONTAINER-ID.log. */
static void ask_kubelet(Look *look, const Node *node)
{
    enum { BEHIND_NAME = 1 + ID_LENGTH + 4 };
    g_autofree char *path = g_strconcat(node->root, LINKS, NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (directory == NULL) {
        fd_close(&fd);
        return;
    }
    for (int i = 0; i < LINKS_MAX && (entry = readdir(directory)) != NULL; i++) {
        size_t length = strlen(entry->d_name);
        const char *id = entry->d_name + length - (BEHIND_NAME - 1);
        g_autofree char *name = NULL, *link = NULL, *id_only = NULL;

        if (length <= BEHIND_NAME || id[-1] != '-' || !is_container_id(id) ||
            strcmp(id + ID_LENGTH, ".log") != 0)
            continue;
        name = g_strndup(entry->d_name, length - BEHIND_NAME);
        link = g_strconcat(LINKS, "/", entry->d_name, NULL);
        id_only = g_strndup(id, ID_LENGTH);
        tell(look, id_only, name, link);
    }
    closedir(directory);
}

static void ask_docker(Look *look, const Node *node)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, look->containers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Container *container = value;
        const char *id = container->owner.id;
        g_autofree char *path = NULL, *full = NULL;

        if (container->log.path != NULL)
            continue;
        path = g_strdup_printf("%s/%s/%s-json.log", DOCKER, id, id);
        full = g_strconcat(node->root, path, NULL);
        if (access(full, F_OK) == 0)
            container->log.path = g_steal_pointer(&path);
    }
}

void find_logs(Look *look, const Node *node)
{
    GHashTableIter iter;
    gpointer value;

    ask_monitors(look, node);
    ask_kubelet(look, node);
    ask_docker(look, node);
    g_hash_table_iter_init(&iter, look->containers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Container *container = value;

        if (container->log.path != NULL)
            log_file_look(&container->log, node);
    }
}
