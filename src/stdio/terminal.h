#pragma once

#include <stdint.h>

/*
 * The container's terminal, by the descriptor of its master side. Whatever has no terminal fails
 * harmlessly.
 */

/* Newlines become carriage return and newline on output, which people expect and Podman tests. */
void terminal_set_up(int fd);

/*
 * Opens the other side, without knowing its path, which may be in another mount namespace. As long
 * as somebody has it open there is no hang-up: a container may close its last descriptor of the
 * terminal and open it again, and nobody has to look again and again whether it has. Returns a
 * descriptor or -errno.
 */
int terminal_open_peer(int fd);

/* Sets the window size: rows << 16 | columns. */
void terminal_resize(int fd, uint32_t window);
