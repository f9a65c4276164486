#pragma once

#include "util/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* How signals are for a new program. */
typedef struct ChildSignals {
    sigset_t mask;
    uint64_t ignored; /* set, see util/ignored.h; all others have their default action */
} ChildSignals;

/* A program to be started, and what its process is to be before execve. */
typedef struct Spawn {
    const char *file; /* executed by path, or looked for in PATH with `search` */
    char *const *argv;
    char *const *environment;
    char *pid_text; /* NULL, or in `environment`, where the new process writes its pid */
    bool search;
    bool own_terminal; /* fd 0 becomes the controlling terminal of a session of its own */
    int stdio[3];      /* become fds 0 to 2; -1: /dev/null; a number equal to its place stays */
    bool die_with_us;  /* SIGKILL when the monitor dies */
    bool close_others; /* no descriptor above 2 is inherited (so not with failure_fd) */
    const ChildSignals *signals;
    int oom_score_adj;   /* value to restore */
    uint64_t file_limit; /* soft limit on file sizes to restore */
    int32_t *pid;        /* NULL, or where the pid is committed at once: no child is forgotten */
    int gate_fd;         /* >= 0: the child waits for a word there first; see below */
    int failure_fd;      /* gets errno as an int if execve fails; -1: words on fd 2 instead */
    int cgroup_fd;       /* >= 0: cgroup.procs of the cgroup that it is in from the beginning */
} Spawn;

/*
 * Forks and executes. With a gate, the child reads once from it before it executes: an engine's
 * start pipe, on which it says that it has attached (see start_pipe_wait()). If the engine is gone
 * instead, the child fails.
 *
 * The child resets the signals that the monitor handles or ignores, and calls nothing of GLib and
 * allocates nothing until execve (execvpe is safe because there is one thread); it ends with 127 if
 * that fails. If it cannot enter its cgroup, it ends likewise, and failure_fd gets -errno.
 *
 * Returns the pid, or -errno with *error filled if no process could be made.
 */
pid_t spawn(const Spawn *what, Error *error);
