#include "stdio/keyboard.h"

#include "state/fds.h"
#include "stdio/reopen.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

_Static_assert(sizeof(struct termios) <= sizeof(((Page *)0)->keyboard_settings), "page too small");

static gboolean on_key(gint fd, GIOCondition condition, gpointer data)
{
    Keyboard *keyboard = data;
    ssize_t n = feed_read(keyboard->feed, fd);

    (void)condition;
    if (n > 0 || n == -EAGAIN || n == -EINTR)
        return G_SOURCE_CONTINUE;
    keyboard->source = 0;
    return G_SOURCE_REMOVE;
}

void keyboard_read_again(Keyboard *keyboard)
{
    if (keyboard->fd >= 0 && keyboard->source == 0)
        keyboard->source = watch_fd(keyboard->fd, G_IO_IN, on_key, keyboard);
}

static bool is_in_background(void)
{
    pid_t foreground = tcgetpgrp(STDIN_FILENO);

    return foreground >= 0 && foreground != getpgrp();
}

static void set_raw(Page *page)
{
    struct termios settings;

    if (tcgetattr(STDIN_FILENO, &settings) < 0)
        return;
    memcpy(page->keyboard_settings, &settings, sizeof(settings));
    state_commit(&page->keyboard_raw, 1);
    cfmakeraw(&settings);
    tcsetattr(STDIN_FILENO, TCSANOW, &settings);
}

void keyboard_init(Keyboard *keyboard, State *state, Feed *feed)
{
    *keyboard = (Keyboard){.state = state, .feed = feed, .fd = -1};
    if (is_in_background())
        return;
    keyboard->fd = reopen(STDIN_FILENO, O_RDONLY);
    if (keyboard->fd < 0) /* a file or a socket: poll(2) says when to read */
        keyboard->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (keyboard->fd < 0)
        return;
    fds_add(state, FD_KEYBOARD, keyboard->fd);
    set_raw(state->page);
    keyboard_read_again(keyboard);
}

void keyboard_adopt(Keyboard *keyboard, State *state, Feed *feed)
{
    *keyboard = (Keyboard){.state = state, .feed = feed, .fd = fds_find(state, FD_KEYBOARD)};
    keyboard_read_again(keyboard);
}

void keyboard_give_back(State *state)
{
    struct termios settings;

    if (!state->page->keyboard_raw)
        return;
    memcpy(&settings, state->page->keyboard_settings, sizeof(settings));
    tcsetattr(STDIN_FILENO, TCSANOW, &settings);
    FAULT_POINT();
    state_commit(&state->page->keyboard_raw, 0);
}

void keyboard_deinit(Keyboard *keyboard)
{
    if (keyboard->state == NULL)
        return;
    if (keyboard->source != 0)
        g_source_remove(keyboard->source);
    if (keyboard->fd >= 0)
        fds_remove(keyboard->state, keyboard->fd);
    fd_close(&keyboard->fd);
    *keyboard = (Keyboard)KEYBOARD_NULL;
}

uint32_t keyboard_window(void)
{
    struct winsize size;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return 0;
    return (uint32_t)size.ws_row << 16 | size.ws_col;
}
