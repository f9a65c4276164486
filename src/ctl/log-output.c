#include "ctl/log-output.h"

#include "ctl/text.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool lead_to_same(int a, int b)
{
    struct stat left;
    struct stat right;

    return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino;
}

void log_output_init(LogOutput *output, bool raw, bool stamps)
{
    *output = (LogOutput){
        .raw = raw,
        .stamps = stamps,
        .shared = lead_to_same(STDOUT_FILENO, STDERR_FILENO),
        .fd = STDOUT_FILENO,
    };
}

/* The descriptor may be one that does not block: that is the doing of whoever shares it. */
static int write_all(int fd, const char *bytes, size_t length)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    while (length > 0) {
        ssize_t n = write(fd, bytes, length);

        if (n < 0 && errno == EAGAIN)
            n = poll(&room, 1, -1) < 0 ? -1 : 0;
        if (n < 0)
            return -errno;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

int log_output_flush(LogOutput *output)
{
    if (output->problem == 0 && output->used > 0)
        output->problem = write_all(output->fd, output->buffer, output->used);
    output->used = 0;
    return output->problem;
}

static void add(LogOutput *output, const void *bytes, size_t length)
{
    const char *next = bytes;

    while (length > 0) {
        size_t room = sizeof(output->buffer) - output->used;
        size_t part = length < room ? length : room;

        memcpy(output->buffer + output->used, next, part);
        output->used += part;
        next += part;
        length -= part;
        if (output->used == sizeof(output->buffer))
            log_output_flush(output);
    }
}

/* From here on the bytes go to the stream's own descriptor. */
static void turn_to(LogOutput *output, int stream)
{
    int fd = stream == 0 || output->raw ? STDOUT_FILENO : STDERR_FILENO;

    output->stream = stream;
    if (output->fd == fd)
        return;
    log_output_flush(output);
    output->fd = fd;
}

static void add_newline(LogOutput *output)
{
    add(output, "\n", 1);
    output->inside[output->stream] = false;
}

/* A newline that the container has not written. */
static void break_other_line(LogOutput *output, int other)
{
    turn_to(output, other);
    add_newline(output);
    output->broken[other] = true;
}

void log_output_begin(LogOutput *output, const CriLine *line)
{
    int stream = line->header.stream;

    if (output->raw) {
        add(output, line->text, line->header.length);
        return;
    }
    if (output->shared && output->inside[1 - stream])
        break_other_line(output, 1 - stream);
    turn_to(output, stream);
    output->partial = line->header.partial;
    if (output->stamps && (!output->open[stream] || output->broken[stream])) {
        add(output, line->text, line->header.time_length);
        add(output, " ", 1);
        output->inside[stream] = true;
    }
    output->open[stream] = true;
    output->broken[stream] = false;
}

void log_output_content(LogOutput *output, CriBytes content)
{
    output->inside[output->stream] = true;
    add(output, content.bytes, content.length);
}

void log_output_end(LogOutput *output)
{
    if (!output->raw && output->partial)
        return;
    add_newline(output);
    output->open[output->stream] = false;
}

void log_output_before_note(LogOutput *output)
{
    for (int i = 0; i < 2; i++) {
        if (output->inside[i] && (i == 1 || output->shared)) {
            turn_to(output, i);
            add_newline(output);
        }
    }
    log_output_flush(output);
}

void log_output_note_count(LogOutput *output, uint64_t count, const char *one, const char *many)
{
    if (count == 0)
        return;
    log_output_before_note(output);
    ctl_say("%" PRIu64 " %s", count, count == 1 ? one : many);
}

bool log_output_finish(LogOutput *output)
{
    int problem = log_output_flush(output);

    if (problem == 0 || problem == -EPIPE || problem == -EINTR)
        return true;
    ctl_say("The output cannot be written: %s", strerror(-problem));
    return false;
}
