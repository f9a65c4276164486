#pragma once

#include "state/state.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The way of a batch from the output buffer into the file, and what it costs when a write fails.
 *
 * How far a write got is never stored: it is the file's size less the size before. After a failure
 * the record that is in the file in part keeps its rest, which goes first next time, so that no
 * record is ever torn; all others are counted as lost, or stay.
 */
typedef struct BatchFile {
    State *state;
    int fd;
    bool regular;   /* a regular file has a size that tells how far a write got */
    bool unchecked; /* how much of the live batch is in the file could not be seen after a crash */
    bool
        keeps; /* after a failure all that is not written stays in the batch, and nothing is lost */
    uint64_t written; /* bytes, by this image of the program */
} BatchFile;

/* The file's size in bytes, 0 if it is no regular file. */
uint64_t batch_file_size(const BatchFile *file);

/*
 * Writes the live batch, which has just been made for the end of the file, and commits that it is
 * written. Returns 1, or -errno after a failure, whose loss is then counted, if there is one.
 */
int batch_write(BatchFile *file);

/*
 * Looks whether somebody has truncated the file, so that a record that was in it in part has lost
 * its beginning: then it waits as a whole, as any other of the live batch.
 */
void batch_look(const BatchFile *file);

/* The same as batch_write() for a batch that has waited, to whatever the end of the file is now. */
int batch_write_again(BatchFile *file);

/*
 * Goes on where another image of this program stopped: finds out how far it had come. Nothing is
 * written, and nothing is lost: all that is not in the file stays. A file that cannot be looked at
 * is one that cannot be written, until batch_write_again() has found out.
 */
void batch_resume(BatchFile *file);

/*
 * Nothing more will ever be written: what waits is written now, or counted as lost, and a record
 * that is in the file in part is cut off, if the file is still as it was left.
 */
void batch_finish(BatchFile *file);

/*
 * Nothing more will be written to this file, but to another one: a record that is in it in part is
 * completed, or else cut off, to be written as a whole to the other file, with all that waits.
 */
void batch_leave(BatchFile *file);
