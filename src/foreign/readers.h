#pragma once

#include "foreign/look.h"

#include <stdbool.h>

/*
 * Who reads what the containers of a look write: the inode of a pipe → Task, for the pipes that are
 * a container's standard output or standard error. Only processes of the host can be readers.
 * The caller frees it; it refers to the look.
 */
GHashTable *readers_find(const Look *look, const Node *node);

/* Whether programs of that name are known to take containers' output. */
bool is_logger(const char *comm);

/* Whether it is containerd's helper, which hands the output on to containerd or dockerd. */
bool is_shim(const char *comm);
