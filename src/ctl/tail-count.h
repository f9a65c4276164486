#pragma once

#include "ctl/log-choice.h"

/* A byte of one of the files of a log; of the journal, the number of an entry. */
typedef struct LogPlace {
    size_t file;
    uint64_t at;
} LogPlace;

static inline bool log_place_is_before(LogPlace a, LogPlace b)
{
    return a.file != b.file ? a.file < b.file : a.at < b.at;
}

typedef struct TailStream {
    bool seen; /* a record of it has been met: its line may begin further back */
    bool done; /* `start` is known */
    uint64_t last;
    LogPlace start;
} TailStream;

/* Finds the last lines of a log while its records are met going back. */
typedef struct TailCount {
    const LogChoice *choice;
    uint64_t wanted;
    uint64_t lines;
    uint64_t distance; /* from the end of the log, in bytes: whoever goes back adds to it */
    TailStream streams[2];
} TailCount;

void tail_count_init(TailCount *tail, const LogChoice *choice, uint64_t wanted);

/* A record, met going back, and the place behind it. */
void tail_count_meet(TailCount *tail, const CriHeader *header, LogPlace behind);

/* Whether no record further back can belong to the last lines. */
bool tail_count_is_found(const TailCount *tail);
