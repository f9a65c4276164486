#include "control/signals.h"

#include "util/fd.h"
#include "util/ignored.h"
#include "util/watch.h"

#include <errno.h>
#include <unistd.h>

/* What the monitor acts on. */
static const int handled[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGWINCH};

/* For life, or until signals_init(). */
static bool is_ignored(int number, bool background)
{
    switch (number) {
    case SIGHUP:
    case SIGTSTP: /* a key for the job that we belong to */
        return background;
    case SIGTERM: /* until there is something to pass them on to, these end us */
    case SIGINT:
    case SIGQUIT:
    case SIGCHLD: /* the default of these ends and stops nobody */
    case SIGWINCH:
    case SIGCONT:
        return false;
    case SIGSEGV: /* these are a crash: see control/crash.h, which takes SIGALRM, too */
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT:
        return false;
    default:
        return true;
    }
}

void signals_ignore(bool background)
{
    for (int number = 1; number <= SIGNALS_MOST; number++) {
        if (is_ignored(number, background))
            signal_set_ignored(number, true);
    }
}

uint64_t signals_kept_ignored(void)
{
    static const int reset[] = {SIGCHLD, SIGPIPE, SIGXFSZ, SIGXCPU};
    uint64_t kept = signals_ignored();

    for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
        kept &= ~signal_bit(reset[i]);
    return kept;
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

int signals_init(Signals *signals, const sigset_t *mask, uint64_t ignored, SignalArrived arrived,
                 void *owner)
{
    sigset_t all = *mask;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        sigaddset(&set, handled[i]);
        sigaddset(&all, handled[i]);
    }
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return -errno;
    /* A signal that is ignored is never delivered, blocked or not, and that could be inherited. */
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        if (!(ignored & signal_bit(handled[i])))
            signal_set_ignored(handled[i], false);
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
