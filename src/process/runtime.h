#pragma once

#include <stdbool.h>

typedef enum RuntimeCommand {
    RUNTIME_CREATE,
    RUNTIME_RESTORE,
    RUNTIME_EXEC,
} RuntimeCommand;

/* What the runtime is called with. Strings are kept by reference. */
typedef struct RuntimeCall {
    RuntimeCommand command;
    const char *runtime;
    const char *const *arguments; /* --runtime-arg, NULL-terminated or NULL */
    const char *const *options;   /* --runtime-opt, NULL-terminated or NULL */
    const char *bundle;           /* create, restore */
    const char *checkpoint;       /* restore: the directory to restore from */
    const char *process_spec;     /* exec */
    const char *console_socket;   /* NULL: no terminal */
    const char *pidfile;
    const char *cid;
    bool systemd_cgroup;
    bool no_pivot;
    bool no_new_keyring;
} RuntimeCall;

/*
 * The argv, in the order that conmon has:
 *
 *   R [--systemd-cgroup] ARG… create  --bundle B --pid-file P [--no-pivot] [--no-new-keyring] OPT…
 *   R [--systemd-cgroup] ARG… restore --bundle B --pid-file P [--no-pivot] [--no-new-keyring]
 *                                     --detach --image-path I --work-path B OPT…
 *   R ARG… exec --pid-file P --process SPEC --detach OPT…
 *
 * and then [--console-socket S] CID. The caller frees the array with g_free(), its strings belong
 * to the call.
 */
char **runtime_argv(const RuntimeCall *call);

/*
 * Reads the pid that the runtime has written. Returns it, 0 if the file is empty or holds anything
 * but the pid of a process that a container can have, or -errno.
 */
int runtime_read_pidfile(const char *path);
