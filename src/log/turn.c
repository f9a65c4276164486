#include "log/turn.h"

#include "util/clock.h"

static bool is_others(const K8sFile *file, StreamId stream)
{
    const LogCursors *live = state_cursors(file->to.state);

    return turn_is_taken(file, live) && live->long_line != (uint64_t)stream + 1;
}

static uint64_t waiting(const K8sFile *file, StreamId stream)
{
    const State *state = file->to.state;

    return state->page->streams[stream].end - state_cursors(state)->start[stream];
}

bool turn_must_wait(const K8sFile *file, StreamId stream)
{
    if (!is_others(file, stream))
        return false;
    if (file->limits.partial_flush != 0 && waiting(file, stream) <= TURN_BYTES)
        return true;
    turn_end(file);
    return false;
}

bool turn_is_full(const K8sFile *file, StreamId stream)
{
    return file->to.state->page->log.turn_at != 0 && is_others(file, stream) &&
           waiting(file, stream) >= TURN_FULL;
}

void turn_wait(const K8sFile *file, StreamId stream)
{
    int64_t *at = &file->to.state->page->log.turn_at;
    int64_t most = waiting(file, stream) < TURN_FULL ? K8S_FILE_PATIENCE_MOST : TURN_MOST_FULL;
    int64_t until = clock_boottime_us() + k8s_file_patience(file, most);

    if (*at == 0 || *at > until)
        state_commit(at, until);
}

void turn_forget(const K8sFile *file)
{
    int64_t *at = &file->to.state->page->log.turn_at;

    if (*at != 0)
        state_commit(at, 0);
}

void turn_end(const K8sFile *file)
{
    state_cursors_next(file->to.state)->long_line = 0;
    state_cursors_commit(file->to.state);
    turn_forget(file);
}
