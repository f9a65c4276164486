#pragma once

#include "state/state.h"

/* The sink of `none`, `off` and `null`: takes what the stream's buffer holds and counts it. */
void log_none_pump(State *state, StreamId stream);
