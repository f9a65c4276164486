#include "monitor/monitor.h"

#include "process/children.h"
#include "process/sync-pipe.h"
#include "state/fds.h"
#include "util/fd.h"

#include <string.h>

/* Attach clients, and what they send. */

static void on_changed(void *owner)
{
    Monitor *monitor = owner;

    if (monitor->attach.refused > 0 && !monitor->said_refused) {
        monitor->said_refused = true;
        message(&monitor->config->messages, LEVEL_WARNING,
                "Refused an attach client: %d are connected already; close one and attach again",
                PAGE_CLIENTS_MAX);
    }
    monitor_outlets_moved(monitor);
}

/*
 * Between create and start, the container's process is still the runtime's, waiting. Nobody tells
 * us when it becomes the container's program, but its name changes then.
 */
static bool has_started(void *owner)
{
    Monitor *monitor = owner;
    const Page *page = monitor_page(monitor);
    char comm[PAGE_COMM_MAX];

    if (page->phase == PHASE_STARTING)
        return false;
    child_comm(page->container_pid, comm);
    return page->init_comm[0] == '\0' || strcmp(comm, page->init_comm) != 0;
}

static void on_room(void *owner)
{
    Monitor *monitor = owner;

    attach_read_again(&monitor->attach);
}

static AttachSetup setup_of(Monitor *monitor)
{
    const Config *config = monitor->config;

    return (AttachSetup){
        .bundle = config->bundle,
        .socket_dir = config->socket_dir,
        .cuuid = config->cuuid,
        .feed = &monitor->feed,
        /* A terminal is not closed by who leaves it: the next one finds it as it was. */
        .closes_feed = config->stdin_pipe && !config->leave_stdin_open && !config->terminal,
        .spool_max = config->attach_spool_max,
        .calls = {.changed = on_changed, .has_started = has_started, .owner = monitor},
    };
}

static bool is_attachable(const Config *config)
{
    return config->bundle != NULL && !config->passthrough;
}

int monitor_attach_init(Monitor *monitor, Error *error)
{
    const AttachSetup setup = setup_of(monitor);

    if (!is_attachable(monitor->config))
        return 0;
    if (monitor->config->terminal || monitor->config->stdin_pipe)
        feed_init(&monitor->feed, &monitor->state, on_room, monitor);
    return attach_init(&monitor->attach, &monitor->state, &setup, error);
}

void monitor_attach_adopt(Monitor *monitor)
{
    const AttachSetup setup = setup_of(monitor);
    bool terminal = monitor->config->terminal;
    int input = terminal ? monitor->streams[STREAM_STDOUT].fd : fds_find(&monitor->state, FD_STDIN);

    if (monitor_page(monitor)->feed.state != FEED_NONE)
        feed_adopt(&monitor->feed, &monitor->state, input, terminal, on_room, monitor);
    if ((input < 0 && monitor_page(monitor)->phase > PHASE_STARTING) ||
        fds_refused(&monitor->state, FD_STDIN))
        feed_stop(&monitor->feed); /* it has ended before, or was lost */
    if (is_attachable(monitor->config))
        attach_adopt(&monitor->attach, &monitor->state, &setup);
}

void monitor_attach_remove(Monitor *monitor)
{
    const AttachSetup setup = setup_of(monitor);

    if (is_attachable(monitor->config))
        attach_remove_files(&monitor->state, &setup);
}

void monitor_attach_remove_lost(Monitor *monitor)
{
    const AttachSetup setup = setup_of(monitor);

    if (is_attachable(monitor->config))
        attach_claim_files(&monitor->state, &setup);
    monitor_attach_remove(monitor);
}

void monitor_tell_attachable(Monitor *monitor)
{
    char line[SYNC_LINE_MAX];

    if (monitor->pipes.attach_fd >= 0)
        sync_send(monitor->pipes.attach_fd, line, sync_line(line, "data", 0, "", 0, 0));
    fd_close(&monitor->pipes.attach_fd);
}
