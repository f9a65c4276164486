#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whether the kernel says in its log that it has killed this process for want of memory. The answer
 * is no where we may not read that log (CAP_SYSLOG), or where its pids are not ours.
 */
bool kernel_log_tells_of_kill(pid_t pid);

/* Whether a record of /dev/kmsg, with a NUL byte behind it, says so. */
bool kernel_log_is_kill(const char *record, pid_t pid);
