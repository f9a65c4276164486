#include "process/cgroup-oom.h"

#include "process/kernel-log.h"
#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/*
 * On v2, a process may be in a cgroup inside of its container's, with a memory controller or
 * without. The outer one's count includes the inner one's, unless the file system is mounted with
 * memory_localevents: so the larger one is right.
 */
static const FdRole ROLES[OOM_COUNTS] = {FD_OOM_COUNT, FD_OOM_COUNT_INSIDE};

enum {
    TEXT_SIZE = 1024,
    LOOK_AGAIN = 100000, /* microseconds after the event of v1 */
};

/* Reads a small file of the kernel's as it is now. Returns 0 or -errno. */
static int read_now(int fd, char text[TEXT_SIZE])
{
    ssize_t n = pread(fd, text, TEXT_SIZE - 1, 0);

    if (n < 0)
        return -errno;
    text[n] = '\0';
    return 0;
}

/*
 * memory.events and memory.oom_control have the same line for it. The `oom_group_kill` of newer
 * kernels is not added: of a group (memory.oom.group), each process is in `oom_kill`.
 */
static int read_count(int fd, uint64_t *count)
{
    static const char NAME[] = "\noom_kill ";
    char text[TEXT_SIZE + 1] = "\n";
    int r = read_now(fd, text + 1);
    const char *line;

    if (r < 0)
        return r;
    line = strstr(text, NAME);
    if (line == NULL)
        return -ENODATA;
    *count = strtoull(line + strlen(NAME), NULL, 10);
    return 0;
}

/* The limit of the cgroup that the descriptor is a file of, UINT64_MAX for none. A descriptor knows
 * where its file is. */
static uint64_t read_limit(int fd)
{
    static const char *const NAMES[] = {"memory.max", "memory.limit_in_bytes"};
    char own[32];
    char path[PATH_MAX];
    char text[TEXT_SIZE];
    ssize_t length;

    snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    length = readlink(own, path, sizeof(path) - 32);
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length <= 0)
        return UINT64_MAX;
    for (size_t i = 0; i < G_N_ELEMENTS(NAMES); i++) {
        CLEANUP_FD int limit = -1;

        strcpy(path + length, NAMES[i]);
        limit = open(path, O_RDONLY | O_CLOEXEC);
        if (limit < 0 || read_now(limit, text) < 0 || text[0] < '0' || text[0] > '9')
            continue;
        /* What v1 has for no limit is the largest number of pages there is. */
        return strtoull(text, NULL, 10) < INT64_MAX / 2 ? strtoull(text, NULL, 10) : UINT64_MAX;
    }
    return UINT64_MAX;
}

/* Whoever is the first to be at its limit; if none can be read any more, it is what it was. */
static void note_limit(const CgroupOom *oom)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < OOM_COUNTS; i++) {
        if (oom->counts[i] >= 0)
            least = MIN(least, read_limit(oom->counts[i]));
    }
    if (least != UINT64_MAX)
        oom->state->page->oom.limit = least;
}

static void stop_watching(CgroupOom *oom, size_t i)
{
    if (oom->sources[i] != 0)
        g_source_remove(oom->sources[i]);
    oom->sources[i] = 0;
    if (oom->counts[i] >= 0)
        fds_remove(oom->state, oom->counts[i]);
    fd_close(&oom->counts[i]);
}

static void stop_events(CgroupOom *oom)
{
    if (oom->event_source != 0)
        g_source_remove(oom->event_source);
    oom->event_source = 0;
    if (oom->event_fd >= 0)
        fds_remove(oom->state, oom->event_fd);
    fd_close(&oom->event_fd);
}

static gboolean on_count(gint fd, GIOCondition condition, gpointer data)
{
    CgroupOom *oom = data;

    (void)fd;
    (void)condition;
    oom->moved(oom->owner);
    return G_SOURCE_CONTINUE;
}

/* The kill is still to come. */
static gboolean on_event(gint fd, GIOCondition condition, gpointer data)
{
    CgroupOom *oom = data;
    uint64_t events;

    (void)condition;
    /* Before the event is taken: it will not come again. */
    state_commit(&oom->state->page->oom.look_at, clock_boottime_us() + LOOK_AGAIN);
    if (read(fd, &events, sizeof(events)) < 0) {
        /* Somebody else has woken us. */
    }
    oom->moved(oom->owner);
    return G_SOURCE_CONTINUE;
}

/* Before anything else that is to be done: the cgroup may be gone then. */
static guint watch_first(int fd, GIOCondition condition, GUnixFDSourceFunc arrived, CgroupOom *oom)
{
    guint source = watch_fd(fd, condition, arrived, oom);

    g_source_set_priority(g_main_context_find_source_by_id(NULL, source), G_PRIORITY_HIGH);
    return source;
}

/* On v1, only a removal shows there. */
static void watch_count(CgroupOom *oom, size_t i)
{
    if (oom->counts[i] >= 0)
        oom->sources[i] = watch_first(oom->counts[i], G_IO_PRI, on_count, oom);
}

static void watch_events(CgroupOom *oom)
{
    if (oom->event_fd >= 0)
        oom->event_source = watch_first(oom->event_fd, G_IO_IN, on_event, oom);
}

void cgroup_oom_init(CgroupOom *oom, State *state, const Messages *messages,
                     void (*moved)(void *owner), void *owner)
{
    *oom = (CgroupOom)CGROUP_OOM_NULL;
    oom->state = state;
    oom->messages = messages;
    oom->moved = moved;
    oom->owner = owner;
    oom->event_fd = fds_find(state, FD_OOM_EVENT);
    watch_events(oom);
    for (size_t i = 0; i < OOM_COUNTS; i++) {
        oom->counts[i] = fds_find(state, ROLES[i]);
        watch_count(oom, i);
    }
}

/* Opens a cgroup's count, notes what it is now, and watches it. Returns 0 or -errno. */
static int open_count(CgroupOom *oom, size_t i, const char *directory, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_count(fd, &oom->state->page->oom.before[i]);

    if (r < 0)
        return r;
    FAULT_POINT();
    oom->counts[i] = fd_steal(&fd);
    fds_add(oom->state, ROLES[i], oom->counts[i]);
    watch_count(oom, i);
    return 0;
}

/* Has v1 tell us of a cgroup without memory. Returns 0 or -errno. */
static int open_events(CgroupOom *oom, const char *directory)
{
    g_autofree char *path = g_strdup_printf("%s/cgroup.event_control", directory);
    CLEANUP_FD int control = open(path, O_WRONLY | O_CLOEXEC);
    CLEANUP_FD int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char text[32];

    if (control < 0 || fd < 0)
        return -errno;
    snprintf(text, sizeof(text), "%d %d", fd, oom->counts[0]);
    if (write(control, text, strlen(text)) < 0)
        return -errno;
    FAULT_POINT();
    oom->event_fd = fd_steal(&fd);
    fds_add(oom->state, FD_OOM_EVENT, oom->event_fd);
    watch_events(oom);
    return 0;
}

/* What the image before us has begun is not begun again. */
static void begin_count(CgroupOom *oom, size_t i, const char *directory, const char *name)
{
    int r = oom->counts[i] < 0 ? open_count(oom, i, directory, name) : 0;

    if (r < 0)
        message(oom->messages, LEVEL_DEBUG,
                "Out-of-memory kills are not counted in the cgroup %s: %s: %s", directory, name,
                strerror(-r));
}

static void begin_events(CgroupOom *oom, const char *directory)
{
    int r = oom->counts[0] >= 0 && oom->event_fd < 0 ? open_events(oom, directory) : 0;

    if (r < 0) /* a kernel for real-time work has none */
        message(oom->messages, LEVEL_WARNING,
                "Cannot watch the cgroup %s for out-of-memory kills: %s. They are noticed only "
                "when the container ends",
                directory, strerror(-r));
}

void cgroup_oom_watch(CgroupOom *oom, const CgroupPath *path)
{
    begin_count(oom, 0, path->text, path->unified ? "memory.events" : "memory.oom_control");
    if (!path->unified)
        begin_events(oom, path->text);
    note_limit(oom);
}

void cgroup_oom_begin(CgroupOom *oom, pid_t pid, const char *id)
{
    CgroupPath path;
    CgroupPath top;
    int r = cgroup_path_of(pid, &path);

    if (r < 0) {
        message(oom->messages, LEVEL_DEBUG,
                "Out-of-memory kills are not counted, because process %d has no memory cgroup of "
                "its own that can be seen here: %s",
                (int)pid, strerror(-r));
        return;
    }
    if (path.unified && cgroup_path_climb(&path, id, &top)) {
        begin_count(oom, 0, top.text, "memory.events");
        begin_count(oom, 1, path.text, "memory.events");
        note_limit(oom);
    } else {
        cgroup_oom_watch(oom, &path);
    }
}

/* What one cgroup has counted since the beginning. */
static uint64_t kills_in(CgroupOom *oom, size_t i)
{
    uint64_t before = oom->state->page->oom.before[i];
    uint64_t count = before;
    int r = oom->counts[i] < 0 ? 0 : read_count(oom->counts[i], &count);

    if (r < 0) {
        message(oom->messages, LEVEL_DEBUG,
                "Cgroup appears to have been removed: its out-of-memory kills cannot be read any "
                "more (%s); %" PRIu64 " were seen",
                strerror(-r), oom->state->page->oom.kills);
        state_commit(&oom->state->page->oom.removed, 1);
        stop_watching(oom, i);
        stop_events(oom);
    }
    return count > before ? count - before : 0;
}

static void count_kills(CgroupOom *oom, uint64_t kills)
{
    OomPage *page = &oom->state->page->oom;

    page->last_at = clock_realtime_ns() / 1000;
    note_limit(oom);
    state_commit(&page->kills, kills);
}

void cgroup_oom_look(CgroupOom *oom)
{
    uint64_t most = 0;

    for (size_t i = 0; i < OOM_COUNTS; i++) {
        uint64_t kills = kills_in(oom, i);

        most = MAX(most, kills);
    }
    if (most > oom->state->page->oom.kills)
        count_kills(oom, most);
}

void cgroup_oom_look_behind(CgroupOom *oom, pid_t pid)
{
    const OomPage *page = &oom->state->page->oom;

    cgroup_oom_look(oom);
    if (page->removed && page->kills == 0 && kernel_log_tells_of_kill(pid))
        count_kills(oom, 1);
}

void cgroup_oom_deinit(CgroupOom *oom)
{
    stop_events(oom);
    for (size_t i = 0; i < OOM_COUNTS; i++)
        stop_watching(oom, i);
}
