#include "control/ctl-fifo.h"

#include "state/fds.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 199, /* without the newline; conmon's buffer has 200 bytes */
    SIZE_MOST = 1000,     /* of height and width, also where they mean nothing */
};

/* The page's unread bytes: where they begin, where they end, whether they follow an overlong line
 * that is being passed over, and how many lines came before them. One word, so that one store
 * changes them together. */
typedef struct Span {
    uint32_t start;
    uint32_t end;
    bool skip;
    uint64_t lines;
} Span;

enum { PLACE_BITS = 10, PLACE_MASK = (1 << PLACE_BITS) - 1 };

_Static_assert(sizeof(((CtlPage *)0)->bytes) <= PLACE_MASK, "a place in the bytes needs more bits");

static Span span_get(const CtlPage *page)
{
    uint64_t word = page->span;

    return (Span){
        .start = (uint32_t)word & PLACE_MASK,
        .end = (uint32_t)(word >> PLACE_BITS) & PLACE_MASK,
        .skip = (word >> 2 * PLACE_BITS & 1) != 0,
        .lines = word >> (2 * PLACE_BITS + 1),
    };
}

static void span_commit(CtlPage *page, Span span)
{
    uint64_t word = span.lines << 1 | span.skip;

    state_commit(&page->span, (word << PLACE_BITS | span.end) << PLACE_BITS | span.start);
}

static bool is_size(int number)
{
    return number >= 0 && number <= SIZE_MOST;
}

int ctl_parse(const char *line, CtlRequest *request)
{
    if (strncmp(line, "set ", 4) == 0) {
        request->type = CTL_SET;
        request->setting = line + 4;
        return 0;
    }
    /* conmon's reader is scanf: leading zeros, signs and spaces are fine, more fields are ignored;
     * what is not a decimal number (0x10, 10.5) leaves a later field unread. */
    if (sscanf(line, "%d %d %d", &request->type, &request->height, &request->width) != 3)
        return -1;
    if (request->type != CTL_RESIZE && request->type != CTL_REOPEN_LOG)
        return -1;
    return is_size(request->height) && is_size(request->width) ? 0 : -1;
}

int winsz_parse(const char *line, CtlRequest *request)
{
    request->type = CTL_RESIZE;
    if (sscanf(line, "%d %d", &request->height, &request->width) != 2)
        return -1;
    return is_size(request->height) && is_size(request->width) ? 0 : -1;
}

static void take_lines(CtlFifo *fifo)
{
    CtlPage *page = fifo->page;
    Span span = span_get(page);
    char *newline;

    while ((newline = memchr(page->bytes + span.start, '\n', span.end - span.start)) != NULL) {
        char line[sizeof(page->bytes) + 1];
        size_t length = (size_t)(newline - (page->bytes + span.start));
        CtlRequest request = {.number = span.lines + 1};

        memcpy(line, page->bytes + span.start, length);
        line[length] = '\0';
        if (!span.skip && length <= LINE_MAX_BYTES && fifo->parse(line, &request) == 0)
            fifo->arrived(&request, fifo->owner);
        span.start += (uint32_t)length + 1;
        span.skip = false;
        span.lines++;
        span_commit(page, span);
    }
    if (span.skip || span.end - span.start > LINE_MAX_BYTES) {
        span.start = span.end;
        span.skip = true;
    }
    if (span.start == span.end)
        span.start = span.end = 0;
    span_commit(page, span);
}

/* The room behind the unread bytes; they move down first unless they would overlap themselves. */
static size_t make_room(CtlPage *page, Span *span)
{
    uint32_t pending = span->end - span->start;

    if (span->start >= pending && span->start > 0) {
        memcpy(page->bytes, page->bytes + span->start, pending);
        span->start = 0;
        span->end = pending;
        span_commit(page, *span);
    }
    return sizeof(page->bytes) - span->end;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    CtlFifo *fifo = data;
    Span span = span_get(fifo->page);
    size_t room = make_room(fifo->page, &span);
    ssize_t n = read(fd, fifo->page->bytes + span.end, room);

    (void)condition;
    if (n > 0) {
        span.end += (uint32_t)n;
        span_commit(fifo->page, span);
        take_lines(fifo);
    }
    return G_SOURCE_CONTINUE;
}

int ctl_fifo_init(CtlFifo *fifo, State *state, FdRole role, CtlPage *page, const char *path,
                  mode_t mode, CtlParse parse, CtlArrived arrived, void *owner, Error *error)
{
    *fifo = (CtlFifo){
        .state = state, .page = page, .fd = -1, .parse = parse, .arrived = arrived, .owner = owner};
    unlink(path);
    if (mkfifo(path, mode) < 0)
        return error_set(error, errno, "Cannot make the control fifo %s", path);
    /* Open for writing too: when the last other writer leaves, there is no hang-up. */
    fifo->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fifo->fd < 0)
        return error_set(error, errno, "Cannot open the control fifo %s", path);
    fds_add(state, role, fifo->fd);
    fifo->source = watch_fd(fifo->fd, G_IO_IN, on_readable, fifo);
    return 0;
}

void ctl_fifo_adopt(CtlFifo *fifo, State *state, FdRole role, CtlPage *page, CtlParse parse,
                    CtlArrived arrived, void *owner)
{
    *fifo = (CtlFifo){.state = state,
                      .page = page,
                      .fd = fds_find(state, role),
                      .parse = parse,
                      .arrived = arrived,
                      .owner = owner};
    if (fifo->fd < 0)
        return;
    take_lines(fifo);
    fifo->source = watch_fd(fifo->fd, G_IO_IN, on_readable, fifo);
}

void ctl_fifo_deinit(CtlFifo *fifo)
{
    if (fifo->source != 0)
        g_source_remove(fifo->source);
    fifo->source = 0;
    if (fifo->fd >= 0)
        fds_remove(fifo->state, fifo->fd);
    fd_close(&fifo->fd);
}
