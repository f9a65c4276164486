#include "util/ignored.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What rt_sigaction(2) takes: whatever an architecture has behind the handler, all of it is zero
 * here. */
typedef struct Action {
    void (*handler)(int);
    uint64_t rest[4];
} Action;

enum { SET_SIZE = SIGNALS_MOST / 8 };

uint64_t signals_ignored(void)
{
    uint64_t set = 0;

    for (int number = 1; number <= SIGNALS_MOST; number++) {
        Action action = {0};

        if (syscall(SYS_rt_sigaction, number, NULL, &action, SET_SIZE) == 0 &&
            action.handler == SIG_IGN)
            set |= signal_bit(number);
    }
    return set;
}

void signal_set_ignored(int number, bool ignored)
{
    const Action action = {.handler = ignored ? SIG_IGN : SIG_DFL};

    syscall(SYS_rt_sigaction, number, &action, NULL, SET_SIZE);
}
