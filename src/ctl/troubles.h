#pragma once

#include "ctl/snapshot.h"

#include <glib.h>

/* What is wrong with a container or its log, the worst first. */
typedef enum TroubleKind {
    TROUBLE_BLOCKED_LOG,   /* the log's disk hangs */
    TROUBLE_WAITING_LOG,   /* the container waits for a log that cannot be written */
    TROUBLE_LOST_OUTPUT,   /* writes failed, and what they held is gone */
    TROUBLE_LIMITED,       /* its rate limit has lost output */
    TROUBLE_OOM_KILLS,     /* its processes are killed because its memory is used up */
    TROUBLE_ENDLESS_LINE,  /* a line is longer than a record may be, and goes on */
    TROUBLE_FLOOD,         /* much is written */
    TROUBLE_STALLED,       /* the container waits for who reads too slowly */
    TROUBLE_UNLIMITED_LOG, /* large, and nothing limits it */
    TROUBLE_CRASHES,       /* of the monitor, survived */
} TroubleKind;

typedef struct Trouble {
    TroubleKind kind;
    const Snapshot *monitor;
    uint64_t weight; /* of two troubles of a kind, the larger one is worse */
    char *text;      /* what is wrong: the end of a sentence that the container's name begins */
    char *mend;      /* what to do */
} Trouble;

typedef struct TroubleLimits {
    uint64_t flood;        /* bytes per second */
    uint64_t large_log;    /* bytes */
    int64_t blocked_after; /* microseconds that a write may take */
    int64_t stalled_after; /* microseconds that a container may wait */
} TroubleLimits;

#define TROUBLE_LIMITS                                                       \
    {                                                                        \
        .flood = FLOOD_RATE, .large_log = 1 << 30, .blocked_after = 1000000, \
        .stalled_after = 5000000                                             \
    }

/* A name for machines, such as "endless_line". */
const char *trouble_name(TroubleKind kind);

/*
 * Adds what is wrong with one container. `before` is the same monitor `elapsed` microseconds ago,
 * or NULL. The troubles refer to the snapshot `now`.
 */
void troubles_add(GPtrArray *troubles, const Snapshot *before, const Snapshot *now, int64_t elapsed,
                  const TroubleLimits *limits);

/* A list for them, and its order: the worst first. */
GPtrArray *troubles_new(void);
void troubles_sort(GPtrArray *troubles);
