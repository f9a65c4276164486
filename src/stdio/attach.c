#include "stdio/attach.h"

#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 10,
    /* Engines cut a socket path to the sun_path limit, so a link of exactly this length is made
     * one character shorter: that is the name they look for. */
    SYMLINK_CUT_LENGTH = 107,
    RETRY_AFTER = 1000000, /* microseconds */
};

/*
 * A socket that is closed with input unread resets the connection, and the reset overtakes the
 * output that is still on its way: Podman would end its session without it.
 */
static void close_gently(int fd)
{
    char byte;

    shutdown(fd, SHUT_RD);
    while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) > 0)
        ;
    close(fd);
}

static void client_free(AttachClient *client)
{
    Attach *attach = client->attach;
    OutletPage *page = client->outlet.page;
    int fd = page->fd[STREAM_STDOUT];

    if (client->source != 0)
        g_source_remove(client->source);
    outlet_deinit(&client->outlet);
    state_commit_u32(&page->used, 0);
    fds_remove(attach->state, fd);
    close_gently(fd);
    attach->clients[page - attach->state->page->clients] = NULL;
    g_free(client);
    if (attach->retry_at != 0)
        attach->retry_at = 1; /* long ago: there is a descriptor now */
}

static void on_moved(Outlet *outlet, void *owner)
{
    AttachClient *client = owner;
    Attach *attach = client->attach;

    if (outlet_is_dead(outlet))
        client_free(client);
    attach->changed(attach->owner);
}

static gboolean on_client(gint fd, GIOCondition condition, gpointer data)
{
    AttachClient *client = data;
    Attach *attach = client->attach;
    char byte;
    ssize_t n;

    if (!(condition & (G_IO_HUP | G_IO_ERR))) {
        n = recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC);
        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
            return G_SOURCE_CONTINUE;
        if (n == 0) {
            /* Podman half-closes at once when it only watches: go on, and wait for the hang-up. */
            client->source = watch_fd(fd, G_IO_HUP | G_IO_ERR, on_client, client);
            return G_SOURCE_REMOVE;
        }
    }
    client->source = 0;
    client_free(client);
    attach->changed(attach->owner);
    return G_SOURCE_REMOVE;
}

static void watch_client(Attach *attach, size_t slot)
{
    OutletPage *page = &attach->state->page->clients[slot];
    AttachClient *client = g_new0(AttachClient, 1);

    client->attach = attach;
    client->source = watch_fd(page->fd[STREAM_STDOUT], G_IO_IN, on_client, client);
    outlet_init(&client->outlet, attach->state, page, true, on_moved, client);
    attach->clients[slot] = client;
}

static void add_client(Attach *attach, int fd)
{
    const StreamPage *streams = attach->state->page->streams;
    size_t slot = 0;
    OutletPage *page;

    while (slot < PAGE_CLIENTS_MAX && attach->clients[slot] != NULL)
        slot++;
    if (slot == PAGE_CLIENTS_MAX) {
        attach->refused++;
        close(fd);
        return;
    }
    /* On the page first: whatever happens now, the connection is not lost. */
    page = &attach->state->page->clients[slot];
    *page = (OutletPage){
        .cursor = {streams[STREAM_STDOUT].end, streams[STREAM_STDERR].end},
        .fd = {fd, fd},
        .early = !attach->state->page->first_output,
    };
    fds_add(attach->state, FD_ATTACH_CLIENT, fd);
    state_commit_u32(&page->used, 1);
    watch_client(attach, slot);
}

static void listen_again_later(Attach *attach)
{
    if (attach->source != 0)
        g_source_remove(attach->source);
    attach->source = 0;
    attach->retry_at = clock_boottime_us() + RETRY_AFTER;
}

void attach_accept_waiting(Attach *attach)
{
    int fd;

    if (attach->listener < 0)
        return;
    while ((fd = accept4(attach->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        add_client(attach, fd);
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        listen_again_later(attach);
}

static gboolean on_connection(gint fd, GIOCondition condition, gpointer data)
{
    Attach *attach = data;

    (void)fd;
    (void)condition;
    attach_accept_waiting(attach);
    attach->changed(attach->owner);
    return G_SOURCE_CONTINUE;
}

void attach_retry(Attach *attach)
{
    attach->retry_at = 0;
    if (attach->source == 0 && attach->listener >= 0)
        attach->source = watch_fd(attach->listener, G_IO_IN, on_connection, attach);
}

/* Binds <bundle>/attach through the bundle's descriptor: the path itself may be too long. */
static int bind_socket(Attach *attach, Error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_FD int dir = open(attach->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int fd = -1;
    struct stat st;

    if (dir < 0)
        return error_set(error, errno, "Cannot open the bundle %s", attach->bundle);
    unlinkat(dir, "attach", 0); /* left over from a monitor that was killed */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", dir);

    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode set before bind is the mode the file is made with. */
    if (fd < 0 || fchmod(fd, 0700) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0 ||
        fstatat(dir, "attach", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(error, errno, "Cannot make the attach socket %s/attach", attach->bundle);
    attach->state->page->attach_device = st.st_dev;
    attach->state->page->attach_inode = st.st_ino;
    attach->listener = fd_steal(&fd);
    return 0;
}

static char *symlink_path(const char *socket_dir, const char *cuuid)
{
    char *path = g_strdup_printf("%s/%s", socket_dir, cuuid);

    if (strlen(path) == SYMLINK_CUT_LENGTH)
        path[SYMLINK_CUT_LENGTH - 1] = '\0';
    return path;
}

static int make_symlink(Attach *attach, const char *socket_dir, const char *cuuid, Error *error)
{
    attach->symlink = symlink_path(socket_dir, cuuid);
    unlink(attach->symlink);
    if (symlink(attach->bundle, attach->symlink) < 0)
        return error_set(error, errno, "Cannot make the link %s to the bundle %s", attach->symlink,
                         attach->bundle);
    return 0;
}

int attach_init(Attach *attach, State *state, const char *bundle, const char *socket_dir,
                const char *cuuid, AttachChanged changed, void *owner, Error *error)
{
    int r;

    *attach = (Attach)ATTACH_NULL;
    attach->state = state;
    attach->changed = changed;
    attach->owner = owner;
    attach->bundle = g_canonicalize_filename(bundle, NULL);
    r = bind_socket(attach, error);
    if (r == 0 && socket_dir != NULL)
        r = make_symlink(attach, socket_dir, cuuid, error);
    if (r < 0)
        return r;
    fds_add(state, FD_ATTACH_LISTENER, attach->listener);
    attach_retry(attach);
    return 0;
}

static bool is_client(const Page *page, int fd)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (page->clients[i].used && page->clients[i].fd[STREAM_STDOUT] == fd)
            return true;
    }
    return false;
}

/* A connection that was being made or ended belongs to no client: it ends. */
static void close_strays(State *state)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        const FdPage *entry = &state->page->fds[i];
        int fd = entry->fd;

        if (entry->role != FD_ATTACH_CLIENT || is_client(state->page, fd))
            continue;
        fds_remove(state, fd);
        close_gently(fd);
    }
}

void attach_adopt(Attach *attach, State *state, const char *bundle, const char *socket_dir,
                  const char *cuuid, AttachChanged changed, void *owner)
{
    *attach = (Attach)ATTACH_NULL;
    attach->state = state;
    attach->changed = changed;
    attach->owner = owner;
    attach->bundle = g_canonicalize_filename(bundle, NULL);
    if (socket_dir != NULL)
        attach->symlink = symlink_path(socket_dir, cuuid);
    attach->listener = fds_find(state, FD_ATTACH_LISTENER);
    attach_retry(attach);
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (state->page->clients[i].used)
            watch_client(attach, i);
    }
    close_strays(state);
}

static void remove_files(Attach *attach)
{
    char *path = g_strdup_printf("%s/attach", attach->bundle);
    char *target = attach->symlink != NULL ? g_file_read_link(attach->symlink, NULL) : NULL;
    const Page *page = attach->state->page;
    struct stat st;

    if (lstat(path, &st) == 0 && st.st_dev == page->attach_device &&
        st.st_ino == page->attach_inode)
        unlink(path);
    if (target != NULL && strcmp(target, attach->bundle) == 0)
        unlink(attach->symlink);
    g_free(target);
    g_free(path);
}

void attach_stop_listening(Attach *attach)
{
    if (attach->listener < 0)
        return;
    remove_files(attach);
    /* Whoever has connected shall see an orderly end, and not a reset. */
    attach_accept_waiting(attach);
    if (attach->source != 0)
        g_source_remove(attach->source);
    attach->source = 0;
    attach->retry_at = 0;
    fds_remove(attach->state, attach->listener);
    fd_close(&attach->listener);
}

void attach_pump(Attach *attach)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        AttachClient *client = attach->clients[i];

        if (client == NULL)
            continue;
        outlet_pump(&client->outlet);
        if (outlet_is_dead(&client->outlet))
            client_free(client);
    }
}

void attach_skip(Attach *attach)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (attach->clients[i] != NULL)
            outlet_skip(&attach->clients[i]->outlet);
    }
}

void attach_close_clients(Attach *attach, bool all)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        AttachClient *client = attach->clients[i];

        if (client != NULL && (all || !outlet_is_behind(&client->outlet)))
            client_free(client);
    }
}

static bool is_stalled(const AttachClient *client, bool early)
{
    return client != NULL && outlet_is_behind(&client->outlet) &&
           (early || !client->outlet.page->early);
}

unsigned attach_drop_stalled(Attach *attach, int64_t before, bool early)
{
    unsigned dropped = 0;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        AttachClient *client = attach->clients[i];

        if (is_stalled(client, early) && client->outlet.moved_at <= before) {
            client_free(client);
            dropped++;
        }
    }
    return dropped;
}

int64_t attach_stalled_since(const Attach *attach, bool early)
{
    int64_t since = INT64_MAX;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        const AttachClient *client = attach->clients[i];

        if (is_stalled(client, early) && client->outlet.moved_at < since)
            since = client->outlet.moved_at;
    }
    return since;
}

uint64_t attach_backlog(const Attach *attach, StreamId stream)
{
    uint64_t most = 0;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        const AttachClient *client = attach->clients[i];

        if (client != NULL)
            most = MAX(most, outlet_backlog(&client->outlet, stream));
    }
    return most;
}

bool attach_has_clients(const Attach *attach)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (attach->clients[i] != NULL)
            return true;
    }
    return false;
}

void attach_deinit(Attach *attach)
{
    attach_stop_listening(attach);
    attach_close_clients(attach, true);
    g_clear_pointer(&attach->bundle, g_free);
    g_clear_pointer(&attach->symlink, g_free);
}
