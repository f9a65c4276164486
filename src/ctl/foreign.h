#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    FOREIGN_SECONDS = 2,
    FOREIGN_LEAST = 1 << 20,
};

/*
 * Looks twice, `seconds` apart, at the containers of any engine, and prints who makes trouble:
 * sentences, or lines of JSON. `least`: bytes per second that are much. Returns a CtlStatus.
 */
int foreign_run(bool json, double seconds, uint64_t least);
