#include "process/cgroup-place.h"

#include "state/fds.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where we go ourselves. No name that anybody would give to a command's. */
static const char ASIDE[] = "conward.monitor";

enum { TEXT_SIZE = 4096 };

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? slash + 1 : name;
}

const char *cgroup_name_problem(const char *name)
{
    g_auto(GStrv) parts = g_strsplit(*name == '/' ? name + 1 : name, "/", -1);

    if (parts[0] == NULL)
        return "it is empty";
    for (char **part = parts; *part != NULL; part++) {
        if (**part == '\0')
            return "a part of it is empty";
        if (strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0)
            return "'.' and '..' are no parts of such a name: begin with / and say where it is";
        if (strchr(*part, '\n') != NULL)
            return "there is a line break in it";
    }
    if (strcmp(last_part(name), ASIDE) == 0)
        return "that is where conward goes itself";
    return NULL;
}

/* --- Small files of the kernel's --- */

/* Returns 0 or -errno. More than fits is of no interest. */
static int read_text(int directory, const char *name, char text[TEXT_SIZE])
{
    CLEANUP_FD int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_SIZE - 1);

    if (n < 0)
        return -errno;
    text[n] = '\0';
    return 0;
}

static int write_text(int directory, const char *name, const char *text)
{
    CLEANUP_FD int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return -errno;
    return 0;
}

/* Of a file that lists controllers: words in a line. */
static bool lists_memory(int directory, const char *name)
{
    char text[TEXT_SIZE];
    g_auto(GStrv) words = NULL;

    if (read_text(directory, name, text) < 0)
        return false;
    words = g_strsplit(g_strchomp(text), " ", -1);
    return g_strv_contains((const char *const *)words, "memory");
}

/* Returns 0 or -errno. */
static int make_directory(int parent, const char *name)
{
    int r = mkdirat(parent, name, 0755) < 0 ? -errno : 0;

    FAULT_POINT();
    return r;
}

/* --- What is to be undone --- */

static void add_undo(State *state, CgroupUndo what)
{
    state_commit(&state->page->cgroup_undo, state->page->cgroup_undo | what);
}

static void remove_undo(State *state, CgroupUndo what)
{
    state_commit(&state->page->cgroup_undo, state->page->cgroup_undo & ~(uint64_t)what);
}

/* --- v2: memory for what is below the parent --- */

typedef struct Parent {
    int fd;
    char path[PATH_MAX];
    bool is_ours; /* we are in it */
} Parent;

static bool is_of_us(const CgroupWish *wish, pid_t pid)
{
    return pid == getpid() || (wish->companion > 0 && pid == wish->companion);
}

/* Whom we may not move: the first of those in our cgroup, or -1. 0: out of sight. */
static pid_t find_other(const Parent *parent, const CgroupWish *wish)
{
    char text[TEXT_SIZE];
    g_auto(GStrv) lines = NULL;

    if (read_text(parent->fd, "cgroup.procs", text) < 0)
        return 0;
    lines = g_strsplit(g_strchomp(text), "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (**line != '\0' && !is_of_us(wish, atoi(*line)))
            return atoi(*line);
    }
    return -1;
}

static int move(int directory, pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    return write_text(directory, "cgroup.procs", text);
}

static int move_all(int directory, const CgroupWish *wish)
{
    int r = wish->companion > 0 ? move(directory, wish->companion) : 0;

    if (r == 0 || r == -ESRCH)
        r = move(directory, getpid());
    return r;
}

static int step_aside(State *state, const Parent *parent, const CgroupWish *wish, Error *error)
{
    CLEANUP_FD int fd = -1;
    pid_t other = find_other(parent, wish);
    int r;

    if (other >= 0)
        return error_set(error, 0,
                         "The cgroup %s cannot delegate its memory controller, because there are "
                         "other processes in it, such as %d: start conward in one of its own, as a "
                         "unit with Delegate=memory, or systemd-run --scope -p Delegate=memory",
                         parent->path, (int)other);
    add_undo(state, CGROUP_ASIDE);
    r = make_directory(parent->fd, ASIDE);
    if (r < 0 && r != -EEXIST) {
        remove_undo(state, CGROUP_ASIDE);
        return error_set(error, -r, "Cannot make the cgroup %s/%s for conward itself", parent->path,
                         ASIDE);
    }
    fd = openat(parent->fd, ASIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = fd < 0 ? -errno : move_all(fd, wish);
    if (r < 0)
        return error_set(error, -r, "Cannot move conward itself to the cgroup %s/%s", parent->path,
                         ASIDE);
    FAULT_POINT();
    return 0;
}

static int hand_memory_down(State *state, const Parent *parent, const CgroupWish *wish,
                            Error *error)
{
    int r;

    if (lists_memory(parent->fd, "cgroup.subtree_control"))
        return 0;
    if (!lists_memory(parent->fd, "cgroup.controllers"))
        return error_set(error, 0,
                         "The cgroup %s has no memory controller to delegate: start conward where "
                         "there is one, as a unit with Delegate=memory",
                         parent->path);
    r = write_text(parent->fd, "cgroup.subtree_control", "+memory");
    if (r == -EBUSY && parent->is_ours) {
        if (step_aside(state, parent, wish, error) < 0)
            return -1;
        r = write_text(parent->fd, "cgroup.subtree_control", "+memory");
    }
    if (r == -EBUSY)
        return error_set(error, 0,
                         "The cgroup %s cannot delegate its memory controller, because there are "
                         "processes in it: use a cgroup without processes",
                         parent->path);
    if (r < 0)
        return error_set(error, -r,
                         "The cgroup %s cannot delegate its memory controller: that cgroup must be "
                         "delegated to conward",
                         parent->path);
    FAULT_POINT();
    return 0;
}

/* --- The cgroup itself --- */

static int open_parent(State *state, const CgroupPath *path, Parent *parent, Error *error)
{
    CgroupPath own;
    size_t length = (size_t)(last_part(path->text) - path->text) - 1;

    snprintf(parent->path, sizeof(parent->path), "%.*s", (int)length, path->text);
    parent->fd = open(parent->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent->fd < 0)
        return error_set(error, errno, "Cannot open the cgroup %s, in which that of the command is",
                         parent->path);
    fds_add(state, FD_CGROUP_PARENT, parent->fd);
    parent->is_ours = cgroup_path_find("", &own) == 0 && strcmp(own.text, parent->path) == 0;
    return 0;
}

/* v2 counts those in cgroups below, too. */
static bool is_populated(int directory, bool unified)
{
    char text[TEXT_SIZE] = "";

    if (read_text(directory, unified ? "cgroup.events" : "cgroup.procs", text) < 0)
        return false;
    return unified ? strstr(text, "populated 1") != NULL : text[0] != '\0';
}

static int make_cgroup(State *state, const Parent *parent, const CgroupPath *path, int *fd,
                       Error *error)
{
    const char *name = last_part(path->text);
    int r;

    /* What we are about to make is to be undone: a crash in between must not leave it behind. */
    if (faccessat(parent->fd, name, F_OK, 0) < 0)
        add_undo(state, CGROUP_MADE);
    r = make_directory(parent->fd, name);
    if (r < 0)
        remove_undo(state, CGROUP_MADE);
    if (r < 0 && r != -EEXIST)
        return error_set(error, -r,
                         "Cannot make the cgroup %s: start conward where it may, as a unit with "
                         "Delegate=memory or as root",
                         path->text);
    *fd = openat(parent->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return error_set(error, errno, "Cannot open the cgroup %s", path->text);
    if (r == -EEXIST && is_populated(*fd, path->unified))
        return error_set(error, 0,
                         "The cgroup %s has processes in it already, whose memory would be taken "
                         "for the command's: use another one",
                         path->text);
    return 0;
}

static int limit_memory(int directory, const CgroupPath *path, uint64_t memory_max, Error *error)
{
    char text[32];
    int r;

    snprintf(text, sizeof(text), "%" PRIu64, memory_max);
    r = memory_max == 0
            ? 0
            : write_text(directory, path->unified ? "memory.max" : "memory.limit_in_bytes", text);
    if (r < 0)
        return error_set(error, -r, "Cannot limit the memory of the cgroup %s to %s bytes",
                         path->text, text);
    FAULT_POINT();
    return 0;
}

int cgroup_place_make(State *state, const CgroupWish *wish, CgroupPath *path, int *entry_fd,
                      Error *error)
{
    CLEANUP_FD int fd = -1;
    Parent parent;
    int r = cgroup_path_find(wish->name, path);

    if (r < 0)
        return error_set(error, -r,
                         "Cannot find the place of the cgroup %s in the memory hierarchy",
                         wish->name);
    if (open_parent(state, path, &parent, error) < 0 ||
        (path->unified && hand_memory_down(state, &parent, wish, error) < 0) ||
        make_cgroup(state, &parent, path, &fd, error) < 0 ||
        limit_memory(fd, path, wish->memory_max, error) < 0)
        return -1;
    *entry_fd = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (*entry_fd < 0)
        return error_set(error, errno, "Cannot put anything into the cgroup %s", path->text);
    return 0;
}

/* --- The end --- */

/* Whether none but ours, which is empty but for us, is in need of memory from there. */
static bool is_last(int parent)
{
    char text[TEXT_SIZE];

    return read_text(parent, "cgroup.stat", text) == 0 &&
           strncmp(text, "nr_descendants 1\n", strlen("nr_descendants 1\n")) == 0;
}

/* It was ours alone when we came: whoever comes next finds it as we did. */
static void step_back(int parent)
{
    if (!is_last(parent) || write_text(parent, "cgroup.subtree_control", "-memory") < 0)
        return;
    FAULT_POINT();
    if (move(parent, getpid()) < 0)
        return;
    FAULT_POINT();
    unlinkat(parent, ASIDE, AT_REMOVEDIR);
}

int cgroup_place_unmake(State *state, const char *name)
{
    int parent = fds_find(state, FD_CGROUP_PARENT);
    uint64_t undo = state->page->cgroup_undo;

    if (parent < 0)
        return 0;
    if (undo & CGROUP_MADE && unlinkat(parent, last_part(name), AT_REMOVEDIR) < 0 &&
        errno != ENOENT)
        return -errno;
    FAULT_POINT();
    if (undo & CGROUP_ASIDE)
        step_back(parent);
    FAULT_POINT();
    state_commit(&state->page->cgroup_undo, 0);
    fds_remove(state, parent);
    fd_close(&parent);
    return 0;
}
