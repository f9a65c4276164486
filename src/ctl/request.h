#pragma once

#include "ctl/snapshot.h"
#include "util/error.h"

/*
 * Sends one line to a monitor's control fifo, and waits until the page says that it was acted on:
 * `done` gets the page before and now. Returns 0, or negative with *error filled: there is no fifo,
 * or no answer in time.
 */
int request_send(const Snapshot *monitor, const char *line,
                 bool (*done)(const Page *before, const Page *now), Error *error);
