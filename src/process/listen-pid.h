#pragma once

#include "util/error.h"

#include <stdbool.h>

/*
 * Socket activation (sd_listen_fds): LISTEN_PID names the process that the descriptors from 3 on
 * are for. If that is the monitor, they are meant for what it starts.
 */
typedef struct ListenPid {
    char **environment; /* for the runtime */
    char *pid_text;     /* in it, where the runtime's process writes its pid; NULL: nowhere */
    char *word;
} ListenPid;

#define LISTEN_PID_NULL     \
    {                       \
        .environment = NULL \
    }

/*
 * Prepares the runtime's environment: ours, in which LISTEN_PID, if there is one and it names this
 * process or with `replace` any, is to become the runtime's own pid. Returns 0, or negative with
 * *error filled if it is no pid at all.
 */
int listen_pid_init(ListenPid *listen, bool replace, Error *error);

void listen_pid_deinit(ListenPid *listen);

#define CLEANUP_LISTEN_PID __attribute__((cleanup(listen_pid_deinit)))
