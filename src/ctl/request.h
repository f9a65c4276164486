#pragma once

#include "ctl/snapshot.h"
#include "util/error.h"

/*
 * Sends one line to a monitor's control fifo; the newline is added. Returns 0, or negative with
 * *error filled: there is no fifo, or it is full.
 */
int request_send(const Snapshot *monitor, const char *line, Error *error);

/*
 * Waits until the page says that a request was acted on, at most until a time of snapshot_now():
 * `done` gets the page before and now. Returns 0, or negative with *error filled.
 */
int request_wait(const Snapshot *monitor, bool (*done)(const Page *before, const Page *now),
                 int64_t until, Error *error);

enum { REQUEST_WAIT = 5000000 }; /* microseconds that a monitor may take */
