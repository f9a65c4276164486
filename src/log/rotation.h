#pragma once

#include "state/state.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Which file the log goes to. A rotation puts a new, empty file at the log's path; the one that was
 * there becomes PATH.1, PATH.1 becomes PATH.2 and so on, as far as backups are kept.
 *
 * It is a chain of steps (RotationStep, in state/page.h), each of them one change of a directory.
 * The directory itself says how far things are: a step looks before it acts, so whoever begins
 * anew, after a crash or with the next monitor, does what is left and nothing twice. At every
 * moment the files that are there, in the order of their numbers, are the log without a gap; the
 * only thing that can be in the way is an empty PATH.tmp, which the next rotation removes.
 *
 * Where the log is, is decided when it is opened: symbolic links are followed then, and their
 * target is noted as a checksum on the page. From then on nothing is written to another place,
 * whatever has become of the links.
 */
typedef struct Rotation {
    State *state;
    const char *path;           /* as it was given; kept by reference */
    uint32_t backups;           /* files that are kept, 0 = what was logged before is discarded */
    const char *const *allowed; /* directories for logs, NULL-terminated; NULL = any */
    int64_t retry_at;           /* CLOCK_BOOTTIME microseconds; 0 = the last one went well */
    int64_t pause;              /* between two attempts, in microseconds */
    Error error;                /* why the last one did not go well, or "" */
} Rotation;

/*
 * Notes where the log is, unless another image of this program has done so. The strings are kept
 * by reference.
 */
void rotation_init(Rotation *rotation, State *state, const char *path, uint32_t backups,
                   const char *const *allowed);

/*
 * Puts a new file at the path and goes on there, under the same descriptor number `fd`. If that
 * cannot be done, everything is as it was, and retry_at says when it is worth another try: in a
 * second, and later each time, up to a minute.
 *
 * Returns 0, or negative with the reason in rotation->error.
 */
int rotation_run(Rotation *rotation, int fd);

/* Whether enough time has passed since an attempt that has failed. */
bool rotation_is_due(const Rotation *rotation);

/* Somebody waits for a new file: until there is one, a rotation is owed. The old one has `size`
 * bytes now, and waits for a seam until `at` (CLOCK_BOOTTIME microseconds). Asking again changes
 * neither. `request` is noted in the same commit: see k8s_file_reopen_once(). */
void rotation_ask(Rotation *rotation, uint64_t size, int64_t at, uint64_t request);

/* Whether a rotation has been begun, and is not done. */
static inline bool rotation_has_begun(const State *state)
{
    return state_cursors(state)->rotation != ROTATION_NONE;
}

/* Whether a rotation has been asked for or begun, and not done. */
static inline bool rotation_is_owed(const State *state)
{
    return rotation_has_begun(state) || state_cursors(state)->rotation_asked;
}

/*
 * Whether a log may be at `path`: its directory, with all symbolic links followed, must be one of
 * the allowed ones (NULL-terminated; NULL = any), or below one. Returns 0, or negative with *error
 * filled.
 */
int rotation_check_allowed(const char *path, const char *const *allowed, Error *error);
