#include "control/signals.h"

#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <unistd.h>

void signals_ignore(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGXCPU, SIG_IGN);
}

static gboolean on_signal(gint fd, GIOCondition condition, gpointer data)
{
    Signals *signals = data;
    struct signalfd_siginfo info;

    (void)condition;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        signals->arrived(&info, signals->owner);
    return G_SOURCE_CONTINUE;
}

int signals_init(Signals *signals, const sigset_t *mask, bool even_ignored, SignalArrived arrived,
                 void *owner)
{
    static const int handled[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGWINCH};
    sigset_t all = *mask;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        sigaddset(&set, handled[i]);
        sigaddset(&all, handled[i]);
    }
    /* Writing to a terminal from its background must not stop us. */
    sigaddset(&all, SIGTTIN);
    sigaddset(&all, SIGTTOU);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return -errno;
    /* A signal that is ignored is never delivered, blocked or not, and that could be inherited. */
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        if (even_ignored || handled[i] == SIGCHLD)
            signal(handled[i], SIG_DFL);
    }

    *signals = (Signals){.arrived = arrived, .owner = owner};
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0)
        return -errno;
    signals->source = watch_fd(signals->fd, G_IO_IN, on_signal, signals);
    return 0;
}

void signals_deinit(Signals *signals)
{
    if (signals->source != 0)
        g_source_remove(signals->source);
    signals->source = 0;
    fd_close(&signals->fd);
}
