#pragma once

#include <stdbool.h>

/* What the runtime is called with (contract: create). Strings are kept by reference. */
typedef struct RuntimeCall {
    const char *runtime;
    const char *const *arguments; /* --runtime-arg, NULL-terminated or NULL */
    const char *const *options;   /* --runtime-opt, NULL-terminated or NULL */
    const char *bundle;
    const char *pidfile;
    const char *cid;
    bool systemd_cgroup;
    bool no_pivot;
    bool no_new_keyring;
} RuntimeCall;

/*
 * The argv of `RUNTIME [--systemd-cgroup] ARG… create --bundle B --pid-file P [--no-pivot]
 * [--no-new-keyring] OPT… CID`. The caller frees the array with g_free(), its strings belong to
 * the call.
 */
char **runtime_create_argv(const RuntimeCall *call);

/*
 * Reads the pid that the runtime has written. Returns it, 0 if the file is empty or holds anything
 * but the pid of a process that a container can have, or -errno.
 */
int runtime_read_pidfile(const char *path);
