#include "stdio/console-socket.h"

#include "state/fds.h"
#include "util/fault-point.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char socket_name[] = "/console";

enum { PATH_SHOWN = 100 }; /* bytes of a path in a message */

/* The longest path below which the socket has one that fits an address. */
static const size_t PARENT_MOST =
    sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/conward-XXXXXX/console");

void console_socket_remove(State *state)
{
    char *directory = state->page->console_directory;
    g_autofree char *path = g_strconcat(directory, socket_name, NULL);

    if (directory[0] == '\0')
        return;
    unlink(path);
    FAULT_POINT();
    rmdir(directory);
    FAULT_POINT();
    directory[0] = '\0';
}

static void forget(ConsoleSocket *console, int *fd)
{
    if (*fd >= 0)
        fds_remove(console->state, *fd);
    fd_close(fd);
}

void console_socket_deinit(ConsoleSocket *console)
{
    if (console->state == NULL)
        return;
    if (console->source != 0)
        g_source_remove(console->source);
    forget(console, &console->listener);
    forget(console, &console->peer);
    console_socket_remove(console->state);
    *console = (ConsoleSocket)CONSOLE_SOCKET_NULL;
}

/* The one descriptor of a message, or -1. Any further ones are closed. */
static int descriptor_of(struct msghdr *message)
{
    int found = -1;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        int fds[16];

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        count = MIN(count, G_N_ELEMENTS(fds));
        memcpy(fds, CMSG_DATA(part), count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
            if (found < 0)
                found = fds[i];
            else
                close(fds[i]);
        }
    }
    return found;
}

/* Returns a descriptor; -EAGAIN if none has come yet; another negative value if none will. */
static int receive(int socket_fd)
{
    char name[4096]; /* of the terminal: of no use here */
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = name, .iov_len = sizeof(name)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fd;

    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    fd = descriptor_of(&message);
    return fd >= 0 ? fd : -ENODATA;
}

static void watch(ConsoleSocket *console, int fd);

/* A step towards the terminal. Returns false when there is none to be made now. */
static bool advance(ConsoleSocket *console)
{
    int fd;

    if (console->peer < 0) {
        if (console->listener < 0)
            return false;
        console->peer = accept4(console->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (console->peer < 0)
            return false;
        fds_add(console->state, FD_CONSOLE_PEER, console->peer);
        watch(console, console->peer);
        return true;
    }
    fd = receive(console->peer);
    if (fd == -EAGAIN)
        return false;
    if (fd < 0) {
        forget(console, &console->peer); /* somebody without a terminal: the next one, then */
        watch(console, console->listener);
        return true;
    }
    console->arrived(fd, console->owner);
    console_socket_deinit(console);
    return false;
}

static gboolean on_event(gint fd, GIOCondition condition, gpointer data)
{
    ConsoleSocket *console = data;

    (void)fd;
    (void)condition;
    advance(console);
    return G_SOURCE_CONTINUE; /* or it has been removed */
}

static void watch(ConsoleSocket *console, int fd)
{
    if (console->source != 0)
        g_source_remove(console->source);
    console->source = watch_fd(fd, G_IO_IN, on_event, console);
}

void console_socket_take(ConsoleSocket *console)
{
    while (advance(console))
        ;
}

/* Makes the socket, in a directory of its own below `parent`. Returns 0 or -errno. */
static int make_in(ConsoleSocket *console, const char *parent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *directory = console->state->page->console_directory;
    int length = snprintf(console->path, sizeof(console->path), "%s/conward-XXXXXX", parent);
    CLEANUP_FD int fd = -1;
    int r;

    if ((size_t)length + sizeof(socket_name) > sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (mkdtemp(console->path) == NULL)
        return -errno;
    memcpy(directory, console->path, (size_t)length + 1);
    FAULT_POINT();
    strcat(console->path, socket_name);
    memcpy(address.sun_path, console->path, strlen(console->path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Some file systems have directories and no sockets. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
        r = -errno;
        console_socket_remove(console->state);
        return r;
    }
    console->listener = fd_steal(&fd);
    return 0;
}

/* Makes it in the first place that can have it. */
static int make(ConsoleSocket *console, const char *bundle, Error *error)
{
    const char *tmp = getenv("TMPDIR");
    const char *const places[] = {tmp != NULL && *tmp != '\0' ? tmp : "/tmp", bundle,
                                  "/run/conward", "/tmp"};
    g_autoptr(GString) tried = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        int r;

        if (places[i] == NULL || (i > 0 && strcmp(places[i], places[0]) == 0))
            continue;
        r = make_in(console, places[i]);
        if (r == 0)
            return 0;
        g_string_append_printf(tried, "%s%.*s%s (%s)", tried->len > 0 ? ", " : "", PATH_SHOWN,
                               places[i], strlen(places[i]) > PATH_SHOWN ? "\xe2\x80\xa6" : "",
                               strerror(-r));
    }
    return error_set(
        error, 0,
        "Cannot make a socket for the terminal in any of %s; set TMPDIR to a directory "
        "that can be written, with a path of at most %zu bytes",
        tried->str, PARENT_MOST);
}

int console_socket_init(ConsoleSocket *console, State *state, const char *bundle,
                        ConsoleArrived arrived, void *owner, Error *error)
{
    *console = (ConsoleSocket)CONSOLE_SOCKET_NULL;
    console->state = state;
    console->arrived = arrived;
    console->owner = owner;
    if (make(console, bundle, error) < 0)
        return -1;
    fds_add(state, FD_CONSOLE_LISTENER, console->listener);
    watch(console, console->listener);
    return 0;
}

void console_socket_adopt(ConsoleSocket *console, State *state, ConsoleArrived arrived, void *owner)
{
    *console = (ConsoleSocket)CONSOLE_SOCKET_NULL;
    console->state = state;
    console->arrived = arrived;
    console->owner = owner;
    snprintf(console->path, sizeof(console->path), "%.*s%s", PAGE_PATH_MAX - 1,
             state->page->console_directory, socket_name);
    console->listener = fds_find(state, FD_CONSOLE_LISTENER);
    console->peer = fds_find(state, FD_CONSOLE_PEER);
    if (console->peer >= 0 || console->listener >= 0)
        watch(console, console->peer >= 0 ? console->peer : console->listener);
    else
        console_socket_remove(state);
}
