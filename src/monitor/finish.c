#include "monitor/last-words.h"

#include "util/fd.h"

/*
 * The end of the program. The page says that nothing else is left to be done, and with what status
 * the program ends; then all that others could find of this monitor is removed. Each step of that
 * may be repeated, and is, by the next image of the program, if this one crashes in between.
 */

static void remove_traces(Monitor *monitor)
{
    /* The last output was for a raw terminal; whose it is, wants it back. */
    keyboard_give_back(&monitor->state);
    monitor_attach_remove(monitor);
    console_socket_remove(&monitor->state);
    /* Last: as long as anything of a monitor is there, others see it. */
    state_discard(&monitor->state);
    FAULT_POINT();
}

/* What the kernel would do as well. */
static void tear_down(Monitor *monitor)
{
    image_deinit(&monitor->image);
    last_words_deinit(monitor);
    keyboard_deinit(&monitor->keyboard);
    monitor_timers_deinit(monitor);
    monitor_requests_deinit(monitor);
    notify_proxy_deinit(&monitor->notify);
    cgroup_oom_deinit(&monitor->oom);
    attach_deinit(&monitor->attach);
    feed_deinit(&monitor->feed);
    console_socket_deinit(&monitor->console_socket);
    monitor_terminal_hang_up(monitor);
    if (monitor->has_console)
        console_deinit(&monitor->console);
    for (int i = 0; i < STREAMS; i++)
        stream_deinit(&monitor->streams[i]);
    if (monitor->foreign_source != 0)
        g_source_remove(monitor->foreign_source);
    fd_close(&monitor->foreign_fd);
    fd_close(&monitor->pipes.sync_fd);
    fd_close(&monitor->pipes.start_fd);
    fd_close(&monitor->pipes.attach_fd);
    monitor_close_log(monitor);
    state_deinit(&monitor->state);
}

int monitor_finish(Monitor *monitor, int status)
{
    Page *page = monitor_page(monitor);

    if (page != NULL) {
        state_commit(&page->finished, 1 + ((uint32_t)status & 0xff));
        remove_traces(monitor);
    }
    crash_finish(status);
    tear_down(monitor);
    return status;
}
