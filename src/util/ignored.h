#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Which signals are ignored. A program that is executed inherits that, while handlers are the
 * kernel's default again.
 *
 * These are the kernel's own calls, for all of its signals: the C library keeps 32 and 33 for
 * itself and refuses to touch them, but anybody can send them. A set is a number: bit N - 1 is
 * signal N, as in /proc/PID/status.
 */
enum { SIGNALS_MOST = 64 };

static inline uint64_t signal_bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* The set of those that are ignored now. */
uint64_t signals_ignored(void);

/* Ignores a signal, or gives it the kernel's default action. Async-signal-safe; SIGKILL and SIGSTOP
 * stay what they are. */
void signal_set_ignored(int number, bool ignored);
