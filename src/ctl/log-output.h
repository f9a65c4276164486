#pragma once

#include "ctl/cri-line.h"

/*
 * Shows records as what the container wrote: its standard output on ours, its standard error on
 * ours, to the byte.
 *
 * Where both of ours lead to the same terminal, pipe or file, a stream that comes in between an
 * open line of the other one begins a new line, and what then follows of the open line begins
 * another: text of two streams never shares a line, and no line is held back for it.
 */
typedef struct LogOutput {
    bool raw;    /* the records as they are, all of them on standard output */
    bool stamps; /* each line begins with the time of its first record */
    bool shared;
    int problem;    /* 0 or the -errno of the first write that failed */
    bool open[2];   /* a line of the stream has begun and not ended */
    bool inside[2]; /* the last byte written to the descriptor is not a newline */
    bool broken[2]; /* the other stream came in between an open line */
    bool partial;   /* the current record is */
    int stream;     /* of the current record */
    int fd;         /* where the buffer goes: 1 or 2 */
    size_t used;
    char buffer[64 * 1024];
} LogOutput;

void log_output_init(LogOutput *output, bool raw, bool stamps);

/* The parts of a record, in this order. The header and its text are in `line`. */
void log_output_begin(LogOutput *output, const CriLine *line);
void log_output_content(LogOutput *output, CriBytes content);
void log_output_end(LogOutput *output);

/*
 * Writes what is in the buffer. Returns 0, or -errno if this or an earlier write failed: -EINTR if
 * a signal handler has run, in the middle of a write that waited.
 */
int log_output_flush(LogOutput *output);

/* Flushes, and ends an open line on standard error, so that a line of ours can follow there. */
void log_output_before_note(LogOutput *output);

/* Says on such a line how many there are of what `one` or `many` tells; nothing if there is none.
 */
void log_output_note_count(LogOutput *output, uint64_t count, const char *one, const char *many);

/* Flushes for the last time. Returns false after saying why not all could be written; that nobody
 * reads it any more, or a signal, is no failure. */
bool log_output_finish(LogOutput *output);
