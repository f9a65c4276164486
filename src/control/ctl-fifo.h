#pragma once

#include "state/state.h"
#include "util/error.h"

#include <glib.h>
#include <sys/types.h>

/*
 * A control fifo: lines of decimal numbers. `ctl` takes `TYPE HEIGHT WIDTH`, `winsz` takes `HEIGHT
 * WIDTH`, which is always a resize. `ctl` also takes `set NAME VALUE`, which readers of numbers
 * drop.
 *
 * What has been read and not yet acted on lies on the page, so that no request is lost. After a
 * crash one may come twice, with the same number: a second reopen would discard what was written
 * between the two.
 */
typedef enum CtlType {
    CTL_RESIZE = 1,
    CTL_REOPEN_LOG = 2,
    CTL_SET = 100, /* ours; no line can say this number */
} CtlType;

typedef struct CtlRequest {
    int type;
    int height;
    int width;
    const char *setting; /* NAME VALUE, in the line; not checked for what it means */
    uint64_t number;     /* of the line, the fifo's first one being 1 */
} CtlRequest;

/* Parses one line without its newline. Returns 0, or -1 if it is not a request. */
typedef int (*CtlParse)(const char *line, CtlRequest *request);

typedef void (*CtlArrived)(const CtlRequest *request, void *owner);

typedef struct CtlFifo {
    State *state;
    CtlPage *page;
    int fd;
    guint source;
    CtlParse parse;
    CtlArrived arrived;
    void *owner;
} CtlFifo;

#define CTL_FIFO_NULL \
    {                 \
        .fd = -1      \
    }

/*
 * Makes the fifo anew, its mode less the umask, and reads it. Lines that are not requests are
 * dropped. Returns 0, or negative with *error filled.
 */
int ctl_fifo_init(CtlFifo *fifo, State *state, FdRole role, CtlPage *page, const char *path,
                  mode_t mode, CtlParse parse, CtlArrived arrived, void *owner, Error *error);

/* Goes on with the fifo that another image of this program has left, and acts on what it had read.
 */
void ctl_fifo_adopt(CtlFifo *fifo, State *state, FdRole role, CtlPage *page, CtlParse parse,
                    CtlArrived arrived, void *owner);

void ctl_fifo_deinit(CtlFifo *fifo);

/* The two kinds of lines: CtlParse functions. */
int ctl_parse(const char *line, CtlRequest *request);
int winsz_parse(const char *line, CtlRequest *request);
