#pragma once

#include "monitor/monitor.h"

/*
 * What is said when the monitor has crashed and no other image of it can go on, on standard error
 * and to the journal.
 */

/* Puts it together; when it is needed, nothing can be allocated any more. */
void last_words_init(Monitor *monitor);
void last_words_deinit(Monitor *monitor);

/* Says it: a CrashLost, whose owner is the monitor. */
void last_words_say(int number, void *owner);
