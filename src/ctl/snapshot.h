#pragma once

#include "ctl/proc-stat.h"
#include "state/page.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a monitor's page said at one moment. Nothing in it is to be trusted: whoever may write the
 * file may have put anything there. Numbers are only shown, and texts are escaped when shown.
 */
typedef struct Snapshot {
    Page page;
    char *path;        /* of the page's file */
    char short_id[16]; /* "" if the ID is not shortened */
    char *texts;       /* NAME=VALUE, each with a NUL byte behind it */
    size_t texts_length;
    unsigned owner;   /* user ID of the file's owner */
    ProcStat process; /* what the kernel says of the monitor's process, if it is the owner's */
    int64_t taken_at; /* the moment, as snapshot_now() gives it */
} Snapshot;

typedef enum SnapshotKind {
    SNAPSHOT_CREATE, /* as Kind of monitor/config.h */
    SNAPSHOT_RESTORE,
    SNAPSHOT_EXEC,
    SNAPSHOT_RUN,
} SnapshotKind;

/*
 * Reads the page `name` in the directory `at`, which is at `directory`. Returns NULL with *error
 * filled if it is none of this version, or with an empty error if it is of no interest: its monitor
 * has just begun, or is another user's, or has ended, and then the file is removed if we may.
 */
Snapshot *snapshot_read(int at, const char *directory, const char *name, Error *error);

void snapshot_free(Snapshot *snapshot);

/* One of the texts, "" if it is not there. It belongs to the snapshot. */
const char *snapshot_text(const Snapshot *snapshot, const char *name);

/* The container's ID. It belongs to the snapshot. */
const char *snapshot_id(const Snapshot *snapshot);

/* The same as people use it: the first 12 digits of an engine's long ID. */
const char *snapshot_short_id(const Snapshot *snapshot);

/* The log's counters at that moment: the file's, or without one the journal's. */
static inline const LogCounters *snapshot_counters(const Snapshot *snapshot, StreamId stream)
{
    return page_counters(&snapshot->page, stream);
}

/* The same of the journal, beside a file or not. */
static inline const LogCounters *snapshot_journal(const Snapshot *snapshot, StreamId stream)
{
    return &page_journal_cursors(&snapshot->page)->counters[stream];
}

/* What it is logged to, as one word. */
const char *snapshot_log_driver(const Snapshot *snapshot);

/* Bytes of the line that is open: those that records hold, and those that wait to be logged. */
uint64_t snapshot_open_line(const Snapshot *snapshot, StreamId stream);

/* How long the stream has been held because of slow readers, in all, in microseconds. */
uint64_t snapshot_held(const Snapshot *snapshot, StreamId stream);

/* Attach clients, and what of their output is in the spool, in bytes. */
unsigned snapshot_clients(const Snapshot *snapshot);
uint64_t snapshot_spooled(const Snapshot *snapshot);

/* The size of the log file now, 0 if there is none. */
uint64_t snapshot_log_size(const Snapshot *snapshot);

/* What the monitor is, and does. */
const char *snapshot_kind_name(SnapshotKind kind);
const char *snapshot_kind(const Snapshot *snapshot);
const char *snapshot_phase(const Snapshot *snapshot);

/* How long ago a moment of the page was, in microseconds, 0 if it is still to come; any moment that
 * a page may say will do. */
int64_t snapshot_age(int64_t moment, int64_t now);

/* Now, on the clocks that pages have times of, in microseconds. */
int64_t snapshot_now(void);      /* since the boot: deadlines, and since when something lasts */
int64_t snapshot_wall_now(void); /* since 1970: start times and those of records */
