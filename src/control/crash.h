#pragma once

#include "state/image.h"

#include <signal.h>
#include <stdbool.h>

/*
 * Crash in place: a fatal signal makes another image of this program go on in the same process,
 * with the same pid, children and descriptors.
 *
 * A fault of our own is answered at once. It cannot fall between a system call's return and the
 * store of its result, because there is nothing between them that could fail. A signal that
 * somebody has sent can fall anywhere, so it only asks: crash_asked() is true from then on, the
 * main loop is woken, and its owner calls crash_take_over() between two events. A loop that does
 * not come round is interrupted after a while.
 */

/* A fault of our own, and no other image can take over, for that reason (errno): we die of it when
 * this returns. Must be async-signal-safe. */
typedef void (*CrashLost)(int number, void *owner);

/*
 * Installs the handlers; `image` is kept by reference. With `core`, every crash also leaves a core
 * dump, made by a child that dies of the same signal. Returns 0, or negative with *error filled.
 */
int crash_init(const Image *image, bool core, CrashLost lost, void *owner, Error *error);

/* Takes what must never be blocked out of a mask, which the caller of this program may have set. */
void crash_unblock(sigset_t *mask);

/*
 * All is done and reported, and what others could find is removed: from now on a crash only ends
 * the process a little earlier, with the same exit status.
 */
void crash_finish(int status);

bool crash_asked(void);

/*
 * After a crash, the loop has found nothing to do: whatever faults now does so because of something
 * new. A fault that comes before counts as one that would come again and again, in
 * Page.crashes_stuck, unless more was done than before the last one.
 */
void crash_quiet(Page *page);

/* Makes another image go on. Returns only if that cannot be done, with -errno: this one is as good
 * as it was. */
int crash_take_over(void);
