#include "ctl/proc-stat.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool proc_stat_read(int pid, ProcStat *stat)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    unsigned long long user, kernel, start, pages;
    const char *behind_name;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return false;
    /* The name is in parentheses and may hold some itself. */
    behind_name = strrchr(text, ')');
    if (behind_name == NULL ||
        sscanf(behind_name + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d "
               "%llu %*u %llu",
               &user, &kernel, &start, &pages) != 4)
        return false;
    *stat = (ProcStat){
        .start = start,
        .cpu = (user + kernel) * (G_USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK)),
        .rss = pages * (uint64_t)sysconf(_SC_PAGESIZE),
    };
    return true;
}
