#pragma once

/*
 * Opens the file behind one of our standard descriptors once more, so that it never blocks.
 * O_NONBLOCK belongs to the open file and not to the descriptor: setting it would change it for the
 * caller's shell too. `access` is O_RDONLY or O_WRONLY. Returns a descriptor, or -1 where that
 * cannot be: only pipes and devices can be opened again.
 */
int reopen(int fd, int access);
