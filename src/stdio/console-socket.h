#pragma once

#include "state/state.h"
#include "util/error.h"

#include <glib.h>

/*
 * The socket on which the runtime hands over the container's terminal: `--console-socket`. One
 * connection, one message with one descriptor. It lies in a directory of its own that only we can
 * enter: nobody can guess its name or be first. That is below $TMPDIR (default /tmp), or where that
 * cannot be written or has a path too long for a socket, below the bundle, /run/conward or /tmp.
 */
typedef void (*ConsoleArrived)(int terminal_fd, void *owner);

typedef struct ConsoleSocket {
    State *state;
    int listener;
    int peer;
    guint source;
    ConsoleArrived arrived;
    void *owner;
    char path[128];
} ConsoleSocket;

#define CONSOLE_SOCKET_NULL        \
    {                              \
        .listener = -1, .peer = -1 \
    }

/*
 * Makes the socket and waits there; `path` is then what the runtime is to be told. `bundle` may be
 * NULL. `arrived` is called once, with a descriptor that it owns. Returns 0, or negative with
 * *error filled: it names all places that were tried.
 */
int console_socket_init(ConsoleSocket *console, State *state, const char *bundle,
                        ConsoleArrived arrived, void *owner, Error *error);

/* Goes on with the socket that another image of this program has left. */
void console_socket_adopt(ConsoleSocket *console, State *state, ConsoleArrived arrived,
                          void *owner);

/* Takes what has come without having been noticed: the runtime may have ended at once. */
void console_socket_take(ConsoleSocket *console);

/* Removes the socket's file and its directory. Safe to repeat, also by who has no ConsoleSocket. */
void console_socket_remove(State *state);

/* Stops listening, and removes them. Safe to repeat. */
void console_socket_deinit(ConsoleSocket *console);
