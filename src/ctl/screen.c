#include "ctl/screen.h"

#include "ctl/text.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, so that what was there comes back; no cursor; no line goes on in the next. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

struct Screen {
    struct termios settings; /* as they were */
    sigset_t mask;
    int signals; /* a signalfd */
    int errors;  /* standard error as it was, -1 = it has not been touched */
    int ended_by;
    bool has_settings; /* standard input is a terminal, too */
    bool has_keys;     /* and has not come to its end */
};

static const int SIGNALS[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};

static void put(const char *text)
{
    /* A terminal that has gone says so by SIGHUP. */
    fd_write_all(STDOUT_FILENO, text, strlen(text));
}

static void enter(Screen *screen)
{
    struct termios settings = screen->settings;

    if (screen->has_settings) {
        settings.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        settings.c_cc[VMIN] = 1;
        settings.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &settings);
    }
    put(ENTER);
}

static void leave(Screen *screen)
{
    put(LEAVE);
    if (screen->has_settings)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->settings);
}

static void hide_errors(Screen *screen)
{
    CLEANUP_FD int null_fd = -1;

    if (!isatty(STDERR_FILENO))
        return;
    screen->errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    null_fd = screen->errors >= 0 ? fd_open_null(STDERR_FILENO) : -1;
    if (null_fd >= 0)
        dup2(null_fd, STDERR_FILENO);
}

Screen *screen_open(void)
{
    Screen *screen = g_new0(Screen, 1);
    sigset_t set;

    screen->errors = -1;
    sigemptyset(&set);
    for (size_t i = 0; i < G_N_ELEMENTS(SIGNALS); i++)
        sigaddset(&set, SIGNALS[i]);
    screen->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (screen->signals < 0) {
        ctl_say("Cannot watch for signals: %s; use --batch", g_strerror(errno));
        g_free(screen);
        return NULL;
    }
    /* From here on, no signal leaves the terminal behind as it is. */
    sigprocmask(SIG_BLOCK, &set, &screen->mask);
    screen->has_settings = tcgetattr(STDIN_FILENO, &screen->settings) == 0;
    screen->has_keys = screen->has_settings;
    hide_errors(screen);
    enter(screen);
    return screen;
}

void screen_close(Screen *screen)
{
    int ended_by = screen->ended_by;

    leave(screen);
    if (screen->errors >= 0)
        dup2(screen->errors, STDERR_FILENO);
    fd_close(&screen->errors);
    fd_close(&screen->signals);
    if (ended_by != 0 && ended_by != SIGINT)
        raise(ended_by); /* blocked still: it comes with the old mask */
    sigprocmask(SIG_SETMASK, &screen->mask, NULL);
    g_free(screen);
}

void screen_append_fitting(GString *to, const char *text, unsigned rows, unsigned columns)
{
    unsigned row = 0;
    unsigned column = 0;

    while (*text != '\0') {
        gunichar character = g_utf8_get_char(text);
        const char *next = g_utf8_next_char(text);
        unsigned width = g_unichar_iszerowidth(character) ? 0 : g_unichar_iswide(character) ? 2 : 1;

        if (character == '\n') {
            g_string_append(to, "\033[K");
            if (++row == rows)
                return;
            g_string_append(to, "\r\n");
            column = 0;
        } else {
            if (column + width <= columns)
                g_string_append_len(to, text, next - text);
            column += width;
        }
        text = next;
    }
    g_string_append(to, "\033[J");
}

void screen_draw(Screen *screen, const char *text)
{
    g_autoptr(GString) drawn = g_string_new("\033[H");
    struct winsize size = {0};

    (void)screen;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    screen_append_fitting(drawn, text, size.ws_row, size.ws_col);
    put(drawn->str);
}

/* Stops as the user has asked for, with the terminal as it was. */
static void stop(Screen *screen)
{
    leave(screen);
    raise(SIGSTOP);
    enter(screen);
}

static ScreenEvent take_signal(Screen *screen)
{
    struct signalfd_siginfo signal;

    if (read(screen->signals, &signal, sizeof(signal)) != (ssize_t)sizeof(signal))
        return SCREEN_REDRAW;
    if (signal.ssi_signo == SIGTSTP)
        stop(screen);
    if (signal.ssi_signo == SIGTSTP || signal.ssi_signo == SIGWINCH)
        return SCREEN_REDRAW;
    screen->ended_by = (int)signal.ssi_signo;
    return SCREEN_LEAVE;
}

static ScreenEvent take_keys(Screen *screen)
{
    char keys[64];
    ssize_t length = read(STDIN_FILENO, keys, sizeof(keys));

    if (length <= 0) {
        screen->has_keys = length < 0 && (errno == EINTR || errno == EAGAIN);
        return SCREEN_REDRAW;
    }
    if (memchr(keys, 'q', (size_t)length) != NULL || memchr(keys, 'Q', (size_t)length) != NULL)
        return SCREEN_LEAVE;
    return SCREEN_REDRAW;
}

ScreenEvent screen_wait(Screen *screen, int64_t until)
{
    struct pollfd fds[] = {
        {.fd = screen->signals, .events = POLLIN},
        {.fd = screen->has_keys ? STDIN_FILENO : -1, .events = POLLIN},
    };

    poll(fds, G_N_ELEMENTS(fds), clock_sleep_ms(until - clock_boottime_us()));
    if (fds[0].revents != 0)
        return take_signal(screen);
    if (fds[1].revents != 0)
        return take_keys(screen);
    return SCREEN_TIME;
}
