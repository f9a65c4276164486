#include "monitor/monitor.h"

#include "process/sync-pipe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* What an engine hears on the sync pipe between the report of the start and the end of file. */

static void say_event(const Monitor *monitor, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say_event(const Monitor *monitor, const char *format, ...)
{
    char line[128];
    va_list args;
    int length;

    if (!monitor->config->sync_events || monitor->config->kind == KIND_EXEC ||
        monitor->pipes.sync_fd < 0)
        return;
    va_start(args, format);
    length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    (void)sync_send(monitor->pipes.sync_fd, line, (size_t)length);
}

void monitor_say_oom(Monitor *monitor)
{
    say_event(monitor, "{\"event\": \"oom\", \"kills\": %" PRIu64 "}\n",
              monitor_page(monitor)->oom.kills);
}

void monitor_say_exit(Monitor *monitor, int status)
{
    say_event(monitor, "{\"event\": \"exit\", \"status\": %d, \"signal\": %d}\n", status,
              monitor_page(monitor)->container_signal);
}
