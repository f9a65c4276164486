#pragma once

#include "log/k8s-file.h"
#include "log/record.h"
#include "log/splitter.h"
#include "state/state.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Builds a batch of a k8s-file: records of what a stream holds, in the output buffer, and the
 * cursors behind them in the idle set, within the file's limits. What the limits leave out is
 * counted there, and what was lost before is said. It commits nothing and writes nothing: until the
 * caller commits the cursors, nothing has happened.
 */
typedef struct Builder {
    K8sFile *file;
    LogCursors *next; /* the idle set of cursors, behind the batch */
    StreamId stream;
    SplitMode mode;
    bool unlimited; /* the size limit does not count: the file could not be replaced just now */
    int64_t now;    /* CLOCK_REALTIME in nanoseconds, for what is counted */
    int64_t stamp;  /* of the next record */
    unsigned nanoseconds; /* of that, those below a microsecond */
    char header[RECORD_HEADER_LENGTH];
} Builder;

typedef enum Built {
    BUILT_ALL,      /* the stream has no further record now */
    BUILT_FULL,     /* the batch is full */
    BUILT_TOO_LONG, /* the next record would make the file longer than its limit */
    BUILT_TURN,     /* it is the other stream's turn */
    BUILT_TOO_FAST, /* the container has to wait for its rate limit */
} Built;

/* For the batches of one stream, whose records get the time that it is now, each a nanosecond later
 * than the one before: see record_stamp(). */
void builder_init(Builder *builder, K8sFile *file, StreamId stream, SplitMode mode);

/*
 * Builds the next batch, which begins with what is left of a torn record, and says why it ends
 * where it does. Nothing else must wait in the live batch.
 */
Built builder_build(Builder *builder);

/* Whether there is anything to commit, before that is done. */
bool builder_has_news(const Builder *builder);

/* Microseconds until a container that has to wait for its rate limit may go on, after the commit.
 */
int64_t builder_pause(const Builder *builder);
