#pragma once

#include "process/spawn.h"
#include "util/error.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * Starts the engine's exit command: `file` with `arguments` (NULL-terminated, or NULL), stdio on
 * /dev/null, no other descriptor, signals as `signals` says, and our environment without the _OCI_
 * variables, which name pipes that are closed.
 *
 * Its pid is committed in *committed as soon as it exists. Returns it, or negative with *error
 * filled.
 */
pid_t exit_command_start(const char *file, const char *const *arguments,
                         const ChildSignals *signals, int oom_score_adj, uint64_t file_limit,
                         int32_t *committed, Error *error);
