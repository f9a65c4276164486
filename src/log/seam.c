#include "log/seam.h"

#include "util/clock.h"

#include <sys/param.h>

bool seam_is_here(const K8sFile *file, const LogCursors *cursors)
{
    for (int i = 0; i < STREAMS; i++) {
        if (cursors->open[i] && !file->ended[i])
            return false;
    }
    return true;
}

uint64_t seam_overrun(const K8sFile *file)
{
    return (uint64_t)STREAMS * (RECORD_HEADER_LENGTH + file->limits.line_max + 1);
}

uint64_t seam_size_max(const K8sFile *file, const LogCursors *cursors)
{
    uint64_t most = file->limits.size_max > 0 ? (uint64_t)file->limits.size_max : UINT64_MAX / 2;

    if (cursors->rotation_asked)
        most = MIN(most, cursors->rotation_from);
    return seam_is_here(file, cursors) ? most : most + seam_overrun(file);
}

bool seam_is_reached(const K8sFile *file)
{
    const LogCursors *live = state_cursors(file->to.state);

    return seam_is_here(file, live) || live->rotation_at <= clock_boottime_us();
}

bool seam_is_wanted(const K8sFile *file)
{
    return state_cursors(file->to.state)->rotation_asked && rotation_is_due(&file->rotation) &&
           seam_is_reached(file);
}

void seam_ask(K8sFile *file, uint64_t request)
{
    /* A file that takes nothing now, or cannot be replaced, comes to no seam. */
    bool waits = !k8s_file_waits(file) && file->rotation.retry_at == 0;
    int64_t wait = waits ? k8s_file_patience(file, K8S_FILE_PATIENCE_MOST) : 0;

    rotation_ask(&file->rotation, batch_file_size(&file->to), clock_boottime_us() + wait, request);
}
