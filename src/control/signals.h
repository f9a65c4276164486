#pragma once

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>

/*
 * Signals as events: those the monitor acts on are blocked and read from a signalfd, so that
 * nothing runs between two instructions of the monitor. SIGPIPE, SIGXFSZ and SIGXCPU are ignored
 * for life: an engine may send the first to every monitor at a node's shutdown, and the others
 * would end the monitor over the size of a log or its own use of the CPU.
 */
typedef void (*SignalArrived)(const struct signalfd_siginfo *info, void *owner);

typedef struct Signals {
    int fd;
    guint source;
    SignalArrived arrived;
    void *owner;
} Signals;

#define SIGNALS_NULL \
    {                \
        .fd = -1     \
    }

/* Ignores the three signals named above. */
void signals_ignore(void);

/*
 * Blocks the signals, and those of `mask` and no others, and begins to deliver them through the
 * main loop; with `even_ignored` also those that the caller of this program has let be ignored, as
 * a shell does for what it runs in the background. Returns 0 or -errno.
 */
int signals_init(Signals *signals, const sigset_t *mask, bool even_ignored, SignalArrived arrived,
                 void *owner);

void signals_deinit(Signals *signals);

/* Whether the kernel sent it to a whole process group (a key on a terminal), and not a process. */
static inline bool signal_is_from_terminal(const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL;
}
