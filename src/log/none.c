#include "log/none.h"

void log_none_pump(State *state, StreamId stream)
{
    LogCursors *next = state_cursors_next(state);
    uint64_t end = state->page->streams[stream].end;

    next->counters[stream].bytes += end - next->start[stream];
    next->start[stream] = end;
    state_cursors_commit(state);
}
