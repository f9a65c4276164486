#pragma once

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>

/*
 * Signals as events: those the monitor acts on are blocked and read from a signalfd, so that
 * nothing runs between two instructions of the monitor. Those that are a crash have their handlers
 * (control/crash.h). All others that would end or stop the monitor are ignored for life, so that
 * nobody's mistake costs a container its log and the report of its end.
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

/*
 * Ignores all that need not be heard. In the `background` that includes what a terminal sends to
 * stop a job, and a hangup, until it is handled: a daemon has no terminal.
 */
void signals_ignore(bool background);

/*
 * The set (util/ignored.h) of the signals that our caller has let be ignored, as nohup(1) and
 * shells do for what they run in the background, and that a program which only executes another
 * leaves to it. Not what is about that program's own children, pipes and limits: its default action
 * is what it expects. To be called before signals_ignore().
 */
uint64_t signals_kept_ignored(void);

/*
 * Blocks the signals, and those of `mask` and no others, and begins to deliver them through the
 * main loop, but for those that are in the set `ignored`. Returns 0 or -errno.
 */
int signals_init(Signals *signals, const sigset_t *mask, uint64_t ignored, SignalArrived arrived,
                 void *owner);

void signals_deinit(Signals *signals);

/* Whether the kernel sent it to a whole process group (a key on a terminal), and not a process. */
static inline bool signal_is_from_terminal(const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL;
}
