#include "ctl/snapshot.h"

#include "state/page-file.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TRIES = 100, /* to see one moment of a busy monitor */
};

/*
 * Whether its monitor has ended: it would hold a lock on the page. Its pid says nothing to who is
 * in another pid namespace, and looking for it can fail.
 */
static bool is_left_over(int fd)
{
    return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

/* What /proc says of the monitor, if it can be seen there; a page may name anybody's process, so
 * only if it is of the page's user. */
static void look_at_process(Snapshot *snapshot)
{
    g_autofree char *path = g_strdup_printf("/proc/%d", snapshot->page.monitor_pid);
    struct stat st;

    if (stat(path, &st) < 0 || st.st_uid != snapshot->owner)
        return;
    if (!proc_stat_read(snapshot->page.monitor_pid, &snapshot->process) ||
        snapshot->process.start != snapshot->page.process)
        snapshot->process = (ProcStat){0};
}

/* Engines' IDs are 64 hexadecimal digits; others are names, and are not cut. */
static void shorten_id(Snapshot *snapshot)
{
    const char *id = snapshot_id(snapshot);

    if (strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64)
        memcpy(snapshot->short_id, id, 12);
}

static uint64_t read_shown(int fd)
{
    uint64_t shown;
    ssize_t n = pread(fd, &shown, sizeof(shown), offsetof(Page, shown));

    return n == (ssize_t)sizeof(shown) ? shown : 0;
}

/* Reads the page, or what there is of one, until nobody has written it meanwhile. A monitor that is
 * never quiet long enough, or was killed while it wrote, gives what it gives: the numbers are then
 * of two moments. */
static bool read_page(int fd, Page *page)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = read_shown(fd);

        if (pread(fd, page, sizeof(*page), 0) < 0)
            return false;
        if (before % 2 == 0 && read_shown(fd) == before)
            break;
    }
    return true;
}

static void read_texts(int fd, Snapshot *snapshot)
{
    char *texts = g_malloc(PAGE_TEXTS_MAX);

    snapshot->texts_length = page_file_texts(fd, texts);
    snapshot->texts = g_realloc(texts, MAX(snapshot->texts_length, 1));
}

/* -EAGAIN without words: it is empty, for its monitor is just making it. */
static int check_file(int fd, const char *path, unsigned *owner, off_t *size, Error *error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_set(error, errno, "Cannot look at %s", path);
    *owner = st.st_uid;
    if (!S_ISREG(st.st_mode))
        return error_set(error, 0, "%s is not a regular file, so it is not a monitor's page", path);
    if (st.st_size == 0)
        return -EAGAIN;
    if (st.st_nlink != 1)
        return error_set(error, 0, "%s has %lu names, so it is not a monitor's page", path,
                         (unsigned long)st.st_nlink);
    *size = st.st_size;
    return 0;
}

/* The size comes last: it is another one in another version, which is to be called that. */
static int check_page(const Page *page, off_t size, const char *path, Error *error)
{
    if (page->magic != PAGE_MAGIC)
        return error_set(error, 0, "%s does not begin like a monitor's page", path);
    if (page->version != PAGE_VERSION || page->size != sizeof(Page))
        return error_set(error, 0,
                         "%s is the page of another version of conward (%u); this conwardctl knows "
                         "version %u: use the conwardctl that belongs to it",
                         path, page->version, (unsigned)PAGE_VERSION);
    if (size < PAGE_SIZE_BYTES || size > PAGE_SIZE_BYTES + PAGE_TEXTS_MAX)
        return error_set(error, 0, "%s has %lld bytes, so it is not a monitor's page", path,
                         (long long)size);
    if (page->kind > SNAPSHOT_RUN || page->phase > PHASE_GONE)
        return error_set(error, 0, "%s contains values that no monitor writes", path);
    return 0;
}

/* The monitor was killed: nobody else takes away what it has left. */
static void remove_left(int at, const char *name)
{
    g_autofree char *ctl = g_strdup_printf("%.*s%s", (int)(strlen(name) - strlen(PAGE_FILE_SUFFIX)),
                                           name, PAGE_FILE_CTL);

    if (unlinkat(at, ctl, 0) < 0 && errno != ENOENT)
        return;
    unlinkat(at, name, 0);
}

Snapshot *snapshot_read(int at, const char *directory, const char *name, Error *error)
{
    CLEANUP_FD int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    Snapshot *snapshot;
    off_t size = 0;

    *error = (Error)ERROR_NULL;
    if (fd < 0 && (errno == ENOENT || errno == EACCES))
        return NULL; /* it has ended, or it is another user's */
    snapshot = g_new0(Snapshot, 1);
    snapshot->path = g_build_filename(directory, name, NULL);
    if (fd < 0) {
        error_set(error, errno, "Cannot read %s", snapshot->path);
        goto none;
    }
    if (check_file(fd, snapshot->path, &snapshot->owner, &size, error) < 0)
        goto none;
    if (!read_page(fd, &snapshot->page)) {
        error_set(error, EIO, "Cannot read %s", snapshot->path);
        goto none;
    }
    if (snapshot->page.magic == 0)
        goto none;                                                /* it is just being made */
    if (snapshot->page.magic == PAGE_MAGIC && is_left_over(fd)) { /* of whatever version */
        remove_left(at, name);
        goto none;
    }
    if (check_page(&snapshot->page, size, snapshot->path, error) < 0)
        goto none;
    look_at_process(snapshot);
    shorten_id(snapshot);
    snapshot->taken_at = snapshot_now();
    read_texts(fd, snapshot);
    return snapshot;
none:
    snapshot_free(snapshot);
    return NULL;
}

void snapshot_free(Snapshot *snapshot)
{
    g_free(snapshot->path);
    g_free(snapshot->texts);
    g_free(snapshot);
}

const char *snapshot_text(const Snapshot *snapshot, const char *name)
{
    size_t length = strlen(name);

    for (size_t at = 0; at < snapshot->texts_length;) {
        const char *text = snapshot->texts + at;

        if (strncmp(text, name, length) == 0 && text[length] == '=')
            return text + length + 1;
        at += strlen(text) + 1;
    }
    return "";
}

const char *snapshot_id(const Snapshot *snapshot)
{
    const char *id = snapshot->page.id;

    return memchr(id, '\0', sizeof(snapshot->page.id)) != NULL ? id : "";
}

const char *snapshot_short_id(const Snapshot *snapshot)
{
    return snapshot->short_id[0] != '\0' ? snapshot->short_id : snapshot_id(snapshot);
}

const char *snapshot_log_driver(const Snapshot *snapshot)
{
    static const char *const NAMES[2][2] = {{"none", "journald"},
                                            {"k8s-file", "k8s-file+journald"}};

    return NAMES[snapshot->page.has_file != 0][snapshot->page.has_journal != 0];
}

uint64_t snapshot_open_line(const Snapshot *snapshot, StreamId stream)
{
    const Page *page = &snapshot->page;
    uint64_t start = page_counts_by_journal(page) ? page_journal_cursors(page)->start[stream]
                                                  : page_cursors(page)->start[stream];
    uint64_t end = snapshot->page.streams[stream].end;

    /* While it starts, these are the runtime's words. */
    if (snapshot->page.phase == PHASE_STARTING || end < start)
        return 0;
    return snapshot_counters(snapshot, stream)->line + (end - start);
}

uint64_t snapshot_held(const Snapshot *snapshot, StreamId stream)
{
    int64_t since = snapshot->page.held_since[stream];
    bool is_held = since > 0 && since < snapshot->taken_at;

    return snapshot->page.held_time[stream] +
           (is_held ? (uint64_t)(snapshot->taken_at - since) : 0);
}

unsigned snapshot_clients(const Snapshot *snapshot)
{
    unsigned count = 0;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++)
        count += snapshot->page.clients[i].used != 0;
    return count;
}

uint64_t snapshot_spooled(const Snapshot *snapshot)
{
    uint64_t bytes = 0;

    for (size_t stream = 0; stream < STREAMS; stream++) {
        uint64_t end = snapshot->page.spool.end[stream];
        uint64_t begin = end;

        for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
            const OutletPage *client = &snapshot->page.clients[i];

            if (client->used && !(client->dead & 1u << stream))
                begin = MIN(begin, client->cursor[stream]);
        }
        bytes += end - begin;
    }
    return bytes;
}

uint64_t snapshot_log_size(const Snapshot *snapshot)
{
    const char *path = snapshot_text(snapshot, "log");
    struct stat st;

    if (path[0] != '/' || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return (uint64_t)st.st_size;
}

const char *snapshot_kind_name(SnapshotKind kind)
{
    static const char *const NAMES[] = {"container", "restored", "exec", "run"};

    return NAMES[kind];
}

const char *snapshot_kind(const Snapshot *snapshot)
{
    return snapshot_kind_name(snapshot->page.kind);
}

const char *snapshot_phase(const Snapshot *snapshot)
{
    static const char *const NAMES[] = {"starting", "running", "draining", "reporting", "gone"};

    return NAMES[snapshot->page.phase];
}

int64_t snapshot_age(int64_t moment, int64_t now)
{
    int64_t age;

    if (moment >= now)
        return 0;
    return __builtin_sub_overflow(now, moment, &age) ? INT64_MAX : age;
}

int64_t snapshot_now(void)
{
    return clock_boottime_us();
}

int64_t snapshot_wall_now(void)
{
    return g_get_real_time();
}
