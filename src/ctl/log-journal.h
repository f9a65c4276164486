#pragma once

#include "ctl/cri-line.h"
#include "log/record.h"
#include "util/error.h"

#include <systemd/sd-journal.h>

/* One entry of a container, as the record that it would be in a file. */
typedef struct JournalEntry {
    CriLine line;     /* its header, and the text of that */
    CriBytes content; /* without the newline of a full line; until the next call */
    bool tells_loss;  /* it is the monitor's own, about what the journal never got */
    bool is_numbered; /* it is conward's */
    uint64_t number;  /* of the monitor's entries, from 0 on */
    uint64_t missing; /* how many of its monitor's between it and the one before there are not */
    uint64_t pid;     /* who has sent it, as the journal says */
    sd_id128_t boot;
} JournalEntry;

/* The journal that this user may read, and where in it somebody is. */
typedef struct LogJournal {
    sd_journal *journal;
    RecordClock clock;
    uint64_t place; /* the current entry's number, as it happened to be counted */
    bool again;     /* the next step forward is to the current entry */
    bool has_last;  /* the rest is known of the entry before: */
    uint64_t last_number;
    uint64_t last_pid;
    sd_id128_t last_boot;
    int last_stream;
    size_t last_length;
    uint64_t last_sum; /* of its content */
    uint64_t bad;      /* entries that could not be read */
} LogJournal;

/* Returns 0, or -1 or -errno after filling `error`, with nothing to deinit. */
int log_journal_init(LogJournal *journal, Error *error);

void log_journal_deinit(LogJournal *journal);

/* Goes to before the first entry, to before the first of that time, or to behind the last. */
int log_journal_seek_first(LogJournal *journal, Error *error);
int log_journal_seek_time(LogJournal *journal, struct timespec time, Error *error);
int log_journal_seek_end(LogJournal *journal, Error *error);

/*
 * Goes to the next entry of the container's output, or to the one before, and reads it. What was
 * sent twice is given once. Returns 1, 0 if there is none (yet), or -1 or -errno.
 */
int log_journal_next(LogJournal *journal, JournalEntry *entry, Error *error);
int log_journal_previous(LogJournal *journal, JournalEntry *entry, Error *error);

/* The way back ends here: log_journal_next() gives the current entry first. */
void log_journal_turn(LogJournal *journal);
