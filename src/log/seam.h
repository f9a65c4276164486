#pragma once

#include "log/k8s-file.h"
#include "state/state.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Where one file of the log ends and the next begins: if it can be, at a seam, where no stream has
 * a line in the log whose end has not come. There are readers that join the records of one file
 * only, and make two lines of one that goes on in the next.
 *
 * A file that is to be replaced while a line is open may grow by one more record of the greatest
 * length for each stream (a line of which more is in the input buffer already goes to the next file
 * as a whole, if it fits there). One that somebody has asked to be replaced also waits no longer
 * than an unfinished line does.
 */

/* Whether a seam is behind the cursors: the live ones, or those behind a batch that is being built.
 * A line of a stream that has ended is over. */
bool seam_is_here(const K8sFile *file, const LogCursors *cursors);

/* By how many bytes a file may exceed its limit while a line is open. */
uint64_t seam_overrun(const K8sFile *file);

/* Whether there is anything that the file may not grow beyond. */
static inline bool seam_has_limit(const K8sFile *file, const LogCursors *cursors)
{
    return file->limits.size_max > 0 || cursors->rotation_asked;
}

/* The most that the file may grow to with the next record, in bytes, if it has a limit. */
uint64_t seam_size_max(const K8sFile *file, const LogCursors *cursors);

/* Whether a file that somebody has asked to be replaced waits no longer: a seam or the time has
 * come. */
bool seam_is_reached(const K8sFile *file);

/* Whether the file is to be replaced now, because somebody has asked for that. */
bool seam_is_wanted(const K8sFile *file);

/* Somebody asks for that, by a request with that number: the file waits for a seam. */
void seam_ask(K8sFile *file, uint64_t request);
