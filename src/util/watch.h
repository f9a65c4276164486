#pragma once

#include <glib-unix.h>

/*
 * Calls `arrived` whenever poll(2) says one of `condition` of `fd`, as g_unix_fd_add() does, and
 * returns the source's id for g_source_remove().
 *
 * The source counts as one that may recurse, though none of ours does: GLib takes any other out of
 * its poll set while it is dispatched and puts it back after, which costs a write to and a read
 * from the main loop's own wake-up descriptor for every event.
 */
guint watch_fd(int fd, GIOCondition condition, GUnixFDSourceFunc arrived, gpointer data);
