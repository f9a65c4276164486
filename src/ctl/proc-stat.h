#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What /proc/PID/stat says of a process. */
typedef struct ProcStat {
    uint64_t start; /* clock ticks after the boot: with the pid, it names a process for good */
    uint64_t cpu;   /* processor time so far, in microseconds; the kernel counts it in ticks */
    uint64_t rss;   /* resident memory in bytes */
} ProcStat;

/* Returns false if there is no such process. */
bool proc_stat_read(int pid, ProcStat *stat);
