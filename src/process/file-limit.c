#include "process/file-limit.h"

#include <sys/resource.h>

uint64_t file_limit_raise(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    uint64_t soft;

    getrlimit(RLIMIT_FSIZE, &limit);
    soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    return soft;
}

void file_limit_set(uint64_t soft)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
        return;
    limit.rlim_cur = soft;
    setrlimit(RLIMIT_FSIZE, &limit);
}
