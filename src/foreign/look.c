#include "foreign/look.h"

#include "foreign/find-logs.h"
#include "util/clock.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 16384 };

static void container_free(gpointer pointer)
{
    Container *container = pointer;

    g_free(container->name);
    g_free(container->log.path);
    g_free(container);
}

/* The container with that id, made if it is new; NULL if there are too many. */
static Container *container_of(Look *look, const Owner *owner)
{
    Container *container = g_hash_table_lookup(look->containers, owner->id);

    if (container != NULL)
        return container;
    if (g_hash_table_size(look->containers) >= LOOK_CONTAINERS) {
        look->cut = true;
        return NULL;
    }
    container = g_new0(Container, 1);
    container->owner = *owner;
    g_hash_table_insert(look->containers, container->owner.id, container);
    return container;
}

static Output read_output(const Node *node, pid_t pid, int number)
{
    char path[64], link[64];
    ssize_t length;

    snprintf(path, sizeof(path), "%d/fd/%d", (int)pid, number);
    length = readlinkat(node->proc, path, link, sizeof(link) - 1);
    if (length < 0)
        return (Output){0, errno != ENOENT};
    link[length] = '\0';
    return (Output){
        .pipe = parse_pipe(link),
        .unsure = g_str_has_prefix(link, "/dev/pts/") || strcmp(link, "/dev/console") == 0,
    };
}

/* What a process of a container has written since it began. Returns false if nobody may know. */
static bool read_written(const Node *node, Task *task)
{
    char text[TEXT_MAX];

    if (node_read(node, task->pid, "io", text, sizeof(text)) < 0 ||
        !parse_number(text, "wchar", &task->amount))
        return false;
    for (int i = 0; i < LOOK_OUTPUTS; i++)
        task->outputs[i] = read_output(node, task->pid, i + 1);
    return true;
}

/* Memory of its own that a process of the host has, and what it has read. Kernel threads have no
 * memory. */
static bool read_memory(const Node *node, Task *task)
{
    char text[TEXT_MAX];

    if (node_read(node, task->pid, "status", text, sizeof(text)) < 0 ||
        !parse_number(text, "RssAnon", &task->amount))
        return false;
    task->amount *= 1024;
    if (node_read(node, task->pid, "io", text, sizeof(text)) < 0 ||
        !parse_number(text, "rchar", &task->taken))
        task->taken = TAKEN_UNKNOWN;
    return true;
}

/* Reads one process. One that ends meanwhile is left out. */
static void look_at(Look *look, const Node *node, pid_t pid)
{
    Task task = {.pid = pid};
    char text[TEXT_MAX];
    Owner owner;

    if (node_read(node, pid, "stat", text, sizeof(text)) < 0 ||
        !parse_stat(text, task.comm, &task.start) ||
        node_read(node, pid, "cgroup", text, sizeof(text)) < 0)
        return;
    if (!parse_cgroup(text, &owner) || strcmp(owner.id, look->own.id) == 0) {
        if (!read_memory(node, &task))
            return;
    } else {
        task.container = container_of(look, &owner);
        if (task.container == NULL)
            return;
        errno = 0;
        if (!read_written(node, &task)) {
            look->unread += errno == EACCES || errno == EPERM;
            return;
        }
    }
    g_hash_table_insert(look->tasks, GINT_TO_POINTER(pid), g_memdup2(&task, sizeof(task)));
}

/* Whether other users' processes are hidden from us (the mount option hidepid): the first process
 * is always there. */
static bool is_hidden(const Node *node)
{
    return faccessat(node->proc, "1/stat", F_OK, 0) < 0;
}

/* Run in a container, we and what runs beside us would look like one. */
static void find_own(Look *look, const Node *node)
{
    char text[TEXT_MAX];

    if (node_read(node, getpid(), "cgroup", text, sizeof(text)) < 0 ||
        !parse_cgroup(text, &look->own))
        *look->own.id = '\0';
}

int look_init(Look *look, const Node *node)
{
    int fd = openat(node->proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    *look = (Look){
        .at = clock_boottime_us(),
        .containers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, container_free),
        .tasks = g_hash_table_new_full(NULL, NULL, NULL, g_free),
    };
    if (directory == NULL) {
        int number = errno;

        fd_close(&fd);
        return -number;
    }
    find_own(look, node);
    while ((entry = readdir(directory)) != NULL) {
        int pid = atoi(entry->d_name);

        if (pid <= 0)
            continue;
        if (g_hash_table_size(look->tasks) >= LOOK_TASKS) {
            look->cut = true;
            break;
        }
        look_at(look, node, pid);
    }
    closedir(directory);
    find_logs(look, node);
    return is_hidden(node) ? -EACCES : 0;
}

void look_deinit(Look *look)
{
    g_clear_pointer(&look->tasks, g_hash_table_unref);
    g_clear_pointer(&look->containers, g_hash_table_unref);
}

const Task *look_same(const Look *look, const Task *task)
{
    const Task *other = g_hash_table_lookup(look->tasks, GINT_TO_POINTER(task->pid));

    return other != NULL && other->start == task->start ? other : NULL;
}

const Container *look_container(const Look *look, const Container *container)
{
    return g_hash_table_lookup(look->containers, container->owner.id);
}
