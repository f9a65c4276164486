#pragma once

#include "doctor/finding.h"
#include "doctor/root.h"

/*
 * Does what a Fix says. The file is replaced as a whole, with the same owner and mode, so that
 * nobody sees half of it; what was there is kept beside it as NAME.conward-backup, or with a number
 * if there is one already. Appends the change to `report` as a diff, and a line that names the
 * backup. Returns NULL, or why nothing has been changed, which the caller frees.
 */
char *mend_apply(const Root *root, const Fix *fix, GString *report);
