#include "ctl/log-source.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int log_source_open(LogSource *source, const char *path, Error *error)
{
    const char *dot = strrchr(path, '.');
    struct stat st;

    *source = (LogSource)LOG_SOURCE_NULL;
    source->fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (source->fd < 0)
        return error_set(error, errno, "Cannot open the log %s", path);
    if (fstat(source->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        fd_close(&source->fd);
        return error_set(error, 0, "Cannot read the log %s: it is not a regular file", path);
    }
    source->compressed = dot != NULL && strcmp(dot, ".gz") == 0;
    source->device = st.st_dev;
    source->inode = st.st_ino;
    return 0;
}

bool log_source_is_same(const LogSource *a, const LogSource *b)
{
    return a->device == b->device && a->inode == b->inode;
}

uint64_t log_source_size(const LogSource *source)
{
    struct stat st;

    return source->compressed || fstat(source->fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

void log_source_seek(LogSource *source, uint64_t position)
{
    log_source_rest(source);
    source->position = source->compressed ? 0 : position;
}

/* zlib closes what it reads from, so it gets a descriptor of its own. */
static int begin_gz(LogSource *source)
{
    int fd;

    if (source->gz != NULL)
        return 0;
    fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    source->gz = lseek(fd, 0, SEEK_SET) == 0 ? gzdopen(fd, "r") : NULL;
    if (source->gz != NULL)
        return 0;
    close(fd);
    return -ENOMEM;
}

static ssize_t read_gz(LogSource *source, void *bytes, size_t length, Error *error)
{
    int r = begin_gz(source);
    int n;
    int number;

    if (r < 0)
        return error_set(error, -r, "Cannot read a compressed log");
    n = gzread(source->gz, bytes, (unsigned int)length);
    if (n > 0)
        return n;
    gzerror(source->gz, &number);
    if (n == 0 && number == Z_OK)
        return 0;
    return error_set(error, 0, "The compressed data is damaged (%s); what follows it is lost",
                     number == Z_BUF_ERROR ? "it ends too early" : zError(number));
}

ssize_t log_source_read(LogSource *source, void *bytes, size_t length, Error *error)
{
    ssize_t n;

    if (source->compressed) {
        n = read_gz(source, bytes, length, error);
    } else {
        n = pread(source->fd, bytes, length, (off_t)source->position);
        if (n < 0)
            return error_set(error, errno, "Cannot read the log");
    }
    if (n > 0)
        source->position += (uint64_t)n;
    return n < 0 ? -1 : n;
}

void log_source_rest(LogSource *source)
{
    if (source->gz != NULL)
        gzclose_r(source->gz);
    source->gz = NULL;
}

void log_source_close(LogSource *source)
{
    log_source_rest(source);
    fd_close(&source->fd);
}
