#pragma once

#include "doctor/setting.h"

/* Whether a path names conward: it is installed in a directory of that name, as engines look at the
 * file's own. */
bool path_is_conward(const char *path);
