#include "foreign/log.h"

#include "foreign/tail.h"
#include "util/fd.h"

#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void log_file_look(LogFile *log, const Node *node)
{
    CLEANUP_FD int fd = node_open(node, log->path);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    log->device = st.st_dev;
    log->inode = st.st_ino;
    log->size = (uint64_t)st.st_size;
    log->mark_length = (size_t)MIN(st.st_size, LOG_MARK);
    n = pread(fd, log->mark, log->mark_length, st.st_size - (off_t)log->mark_length);
    log->there = n == (ssize_t)log->mark_length;
}

/* Whether the end of the file as it was is still in its place. */
static bool has_mark(const LogFile *log, const Node *node)
{
    CLEANUP_FD int fd = node_open(node, log->path);
    char now[LOG_MARK];
    ssize_t n = pread(fd, now, log->mark_length, (off_t)(log->size - log->mark_length));

    return n == (ssize_t)log->mark_length && memcmp(now, log->mark, log->mark_length) == 0;
}

Growth log_file_growth(const LogFile *before, const LogFile *after, const Node *node,
                       uint64_t *grown)
{
    *grown = 0;
    if (!before->there || !after->there || strcmp(before->path, after->path) != 0)
        return GROWTH_UNKNOWN;
    if (before->device != after->device || before->inode != after->inode ||
        before->size > after->size || !has_mark(before, node))
        return GROWTH_ROTATED;
    *grown = after->size - before->size;
    return GROWTH_KNOWN;
}

const char *log_file_endless(const LogFile *log, const Node *node)
{
    CLEANUP_FD int fd = log->there && log->size >= LOG_TAIL ? node_open(node, log->path) : -1;
    g_autofree char *tail = NULL;
    ssize_t n;

    if (fd < 0)
        return NULL;
    tail = g_malloc(LOG_TAIL);
    n = pread(fd, tail, LOG_TAIL, (off_t)(log->size - LOG_TAIL));
    return n == LOG_TAIL ? tail_endless(tail, LOG_TAIL) : NULL;
}
