#pragma once

#include "log/batch.h"
#include "log/rate.h"
#include "log/record.h"
#include "log/rotation.h"
#include "log/splitter.h"
#include "state/state.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The k8s-file sink: takes what a stream's input buffer holds, as records, in batches of one
 * write each, to a file opened for appending.
 *
 * The path of every batch: records are built in the output buffer and the cursors behind them in
 * the idle set; one store makes both count; the batch is written; one store says that it is. How
 * far a write got is never stored: it is the file's size less the size before.
 */
typedef struct K8sLimits {
    uint32_t line_max;       /* longest content of a record, in bytes */
    int32_t partial_flush;   /* milliseconds an unfinished line may wait; 0 none, -1 for ever */
    int64_t size_max;        /* of the file, in bytes; 0 = no limit */
    int64_t global_size_max; /* of all that is ever logged, in bytes; 0 = no limit */
    RateLimit rate;          /* of records, their headers included */
    bool rate_waits;         /* what exceeds it waits in the stream; else it is lost */
    bool waits;              /* and so does what cannot be written */
    bool says_losses;        /* losses are said in the log, too */
    bool closes_last_line;   /* a stream's last line ends there, also without a newline */

    uint32_t backups;           /* old files that are kept; 0 = what is older is discarded */
    const char *const *allowed; /* directories where it may be; NULL = any */
} K8sLimits;

typedef struct K8sFile {
    BatchFile to;
    const char *path;
    K8sLimits limits;
    RecordClock clock;
    uint64_t scanned[STREAMS]; /* stream offset up to which there is no newline */
    int64_t retry_pause;       /* before the next attempt to write, in microseconds */
    bool ended[STREAMS]; /* nothing follows what its buffer holds, as the last pump has said */
    bool hurries;        /* the container has ended: its rate does not make it wait */
    Rotation rotation;   /* which file it is */
} K8sFile;

#define K8S_FILE_NULL                           \
    {                                           \
        .to.fd = -1, .clock = RECORD_CLOCK_NULL \
    }

/*
 * Opens a log file for appending, creating it with mode 0640. A fifo without a reader is an error
 * and never blocks. Returns a descriptor or -errno; -EMLINK if the path ends in a symbolic link
 * that another user has put into a directory where everybody may (a sticky one): whoever follows it
 * writes where that user wants. The kernel refuses these by itself only where the sysctl
 * fs.protected_symlinks is 1. As in the kernel's rule, a link of our own user or of the directory's
 * owner is followed.
 */
int k8s_file_open(const char *path);

/*
 * A descriptor in the place of that of a log that cannot be opened: every write to it fails, until
 * k8s_file_reopen() has put a file there. Returns it, or -errno.
 */
int k8s_file_stand_in(void);

/*
 * Takes over `fd` (from k8s_file_open), `path` is kept by reference. Finishes a batch that the
 * page says was on its way, so that this is also how another image of this program goes on.
 */
void k8s_file_init(K8sFile *file, State *state, int fd, const char *path, K8sLimits limits);

void k8s_file_deinit(K8sFile *file);

/* Other limits, for what is logged from now on. */
void k8s_file_limit(K8sFile *file, K8sLimits limits);

/*
 * Writes what the stream's buffer holds. With SPLIT_WAIT, an unfinished line stays in the buffer
 * and the page's flush_at says when to come back with SPLIT_FLUSH.
 *
 * Returns 1 if something was written, 0 if there was nothing to write or k8s_file_waits(), or
 * -errno of a write that failed. A record that was written in part will then be completed by a
 * later call; all else is counted as lost, or with limits.waits stays; the page's log.retry_at says
 * when to come back in any case. A failure to replace the file at its size limit is no failure to
 * write: it is in rotation.error, and tried again after rotation.retry_at.
 *
 * A stream that has to wait for the end of the other's long line (see log/turn.h) is written by the
 * pump of that end; the page's log.turn_at says when to call k8s_file_end_turn() instead.
 */
int k8s_file_pump(K8sFile *file, StreamId stream, SplitMode mode);

/*
 * Whether the streams must not be read, so that the container waits: for a log that cannot be
 * written, or for its rate limit. Then the page's log.retry_at or log.rate_until say when to call
 * k8s_file_pump() again.
 */
bool k8s_file_waits(const K8sFile *file);

/* Whether its rate limit makes something wait, or lets it be lost. */
bool k8s_file_is_limited(const K8sFile *file);

/* Whether that stream must not be read for a moment: it waits for the other's long line. */
bool k8s_file_holds(const K8sFile *file, StreamId stream);

/* Nobody waits for the end of a long line any more: both streams are to be pumped. */
void k8s_file_end_turn(K8sFile *file);

enum { K8S_FILE_PATIENCE_MOST = 1000 /* milliseconds */ };

/* How long something waits for the end of another's line, in microseconds: as long as an unfinished
 * line does for its own, and no more than so many milliseconds. */
static inline int64_t k8s_file_patience(const K8sFile *file, int64_t most)
{
    int64_t flush = file->limits.partial_flush;

    return (flush < 0 || flush > most ? most : flush) * 1000;
}

/* The container has ended: what it has left, and what is still read of it, is not held back by its
 * rate limit any more. What exceeds that is lost nevertheless, if it was to be lost. */
void k8s_file_hurry(K8sFile *file);

/* Nothing waits any more: what cannot be written is lost. */
void k8s_file_give_up(K8sFile *file);

/*
 * Nothing more will be written to this file: a record that is in it in part is completed, or else
 * counted as lost and cut off, if the file is still as it was left. Not while k8s_file_waits().
 */
void k8s_file_finish(K8sFile *file);

/*
 * Puts a new, empty file at the path and goes on there (ctl message 2): see log/rotation.h. If a
 * line is open, it does so at the line's end, or a moment later: see log/seam.h. On failure the old
 * file stays in use. k8s_file_reopen_at() says when to come back. What is not a regular file
 * (/dev/null) is never replaced, and a request for that is not repeated.
 *
 * Returns 0, or negative with the reason in rotation.error.
 */
int k8s_file_reopen(K8sFile *file);

/*
 * The same for a request that comes again after a crash: `request` is its number, above 0 and
 * different from that of the request before. One that has been taken is not taken again, which
 * would discard what is in the new file by then, or a backup.
 */
int k8s_file_reopen_once(K8sFile *file, uint64_t request);

/*
 * When a reopen that waits or could not be done is to be tried again, by another k8s_file_reopen():
 * CLOCK_BOOTTIME microseconds, 0 = there is none.
 */
int64_t k8s_file_reopen_at(const K8sFile *file);

/* Whether a reopen waits for the end of a line. */
bool k8s_file_awaits_seam(const K8sFile *file);
