#pragma once

#include "doctor/examination.h"

/*
 * conward's own settings, conward.conf: what they say, what is wrong with them, and whether they,
 * or the engines that have been examined before, limit the logs of containers. Returns whether
 * conward is here.
 */
bool examine_conward(Examination *examination);
