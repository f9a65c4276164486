#include "monitor/monitor.h"

#include "state/fds.h"
#include "stdio/terminal.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/*
 * The terminal is the container's stdout and its stdin, in one descriptor: that of the stream.
 */

/*
 * What is done for a new terminal, and after a crash, but for its settings: these are the
 * container's as soon as it has the terminal, which is after the peer is held.
 */
static void set_up(Monitor *monitor, int fd)
{
    uint32_t window = monitor_page(monitor)->window;
    int peer = fds_find(&monitor->state, FD_TERMINAL_PEER);

    if (peer < 0) {
        terminal_set_up(fd);
        peer = terminal_open_peer(fd);
        if (peer >= 0)
            fds_add(&monitor->state, FD_TERMINAL_PEER, peer);
        else
            message(&monitor->config->messages, LEVEL_WARNING,
                    "Cannot hold the container's terminal open: %s. If all of its processes close "
                    "it, what is printed there later is lost",
                    strerror(-peer));
    }
    monitor->terminal_peer = peer >= 0 ? peer : -1;
    if (window != 0)
        terminal_resize(fd, window);
}

static void on_terminal(int fd, void *owner)
{
    Monitor *monitor = owner;

    monitor_take_stream(monitor, STREAM_STDOUT, fd);
    set_up(monitor, fd);
    feed_open(&monitor->feed, fd, true);
}

int monitor_terminal_init(Monitor *monitor, Error *error)
{
    return console_socket_init(&monitor->console_socket, &monitor->state, monitor->config->bundle,
                               on_terminal, monitor, error);
}

static void on_room(void *owner)
{
    Monitor *monitor = owner;

    keyboard_read_again(&monitor->keyboard);
}

void monitor_follow_window(Monitor *monitor)
{
    uint32_t window = keyboard_window();

    if (monitor->keyboard.fd >= 0 && window != 0)
        monitor_resize(monitor, (int)(window >> 16), (int)(window & 0xffff));
}

int monitor_terminal_make(Monitor *monitor, Error *error)
{
    CLEANUP_FD int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int peer;

    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0)
        return error_set(error, errno, "Cannot make a terminal");
    peer = terminal_open_peer(fd);
    if (peer < 0)
        return error_set(error, -peer, "Cannot open the terminal that was made");
    feed_init(&monitor->feed, &monitor->state, on_room, monitor);
    on_terminal(fd_steal(&fd), monitor);
    if (!monitor->config->detach) {
        keyboard_init(&monitor->keyboard, &monitor->state, &monitor->feed);
        monitor_follow_window(monitor);
    }
    return peer;
}

static void adopt_command(Monitor *monitor, int fd)
{
    feed_adopt(&monitor->feed, &monitor->state, fd, true, on_room, monitor);
    keyboard_adopt(&monitor->keyboard, &monitor->state, &monitor->feed);
}

void monitor_terminal_adopt(Monitor *monitor)
{
    int fd = monitor->streams[STREAM_STDOUT].fd;

    if (monitor->config->kind == KIND_RUN)
        adopt_command(monitor, fd);
    else
        console_socket_adopt(&monitor->console_socket, &monitor->state, on_terminal, monitor);
    if (fd >= 0 && monitor_page(monitor)->phase <= PHASE_RUNNING)
        set_up(monitor, fd);
}

void monitor_terminal_hang_up(Monitor *monitor)
{
    if (monitor->terminal_peer >= 0)
        fds_remove(&monitor->state, monitor->terminal_peer);
    fd_close(&monitor->terminal_peer);
}

void monitor_resize(Monitor *monitor, int rows, int columns)
{
    uint32_t window = (uint32_t)rows << 16 | (uint32_t)columns;

    if (!monitor->config->terminal)
        return;
    state_commit(&monitor_page(monitor)->window, window);
    if (stream_is_open(&monitor->streams[STREAM_STDOUT]))
        terminal_resize(monitor->streams[STREAM_STDOUT].fd, window);
}
