#pragma once

#include "ctl/snapshot.h"
#include "util/error.h"

/*
 * Sends one line to a monitor's control fifo; the newline is added. Returns 0, or negative with
 * *error filled: there is no fifo, or it is full.
 */
int request_send(const Snapshot *monitor, const char *line, Error *error);

/*
 * How far a request has come, as the page before and now tells. REQUEST_OVERTAKEN: something was
 * done, but by now it is not what was asked for; if that does not come yet, *error says so.
 */
typedef enum RequestState {
    REQUEST_WAITING,
    REQUEST_OVERTAKEN,
    REQUEST_DONE,
} RequestState;

typedef RequestState (*RequestLook)(const Page *before, const Page *now, const void *asked,
                                    Error *error);

/*
 * Waits until the page says that a request was acted on, at most until a time of snapshot_now().
 * `asked` is for `look`. Returns 0, or negative with *error filled.
 */
int request_wait(const Snapshot *monitor, RequestLook look, const void *asked, int64_t until,
                 Error *error);

enum { REQUEST_WAIT = 5000000 }; /* microseconds that a monitor may take */
