#include "stdio/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

void terminal_set_up(int fd)
{
    struct termios settings;

    if (tcgetattr(fd, &settings) < 0)
        return;
    settings.c_oflag |= ONLCR;
    tcsetattr(fd, TCSANOW, &settings);
}

int terminal_open_peer(int fd)
{
    int peer = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

    return peer < 0 ? -errno : peer;
}

void terminal_resize(int fd, uint32_t window)
{
    const struct winsize size = {
        .ws_row = (unsigned short)(window >> 16),
        .ws_col = (unsigned short)(window & 0xffff),
    };

    ioctl(fd, TIOCSWINSZ, &size);
}
