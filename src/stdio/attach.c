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

/* Stands for the inode of whatever socket is there: we are making it, where no other was. */
static const uint64_t INODE_UNKNOWN = UINT64_MAX;

/*
 * A socket that is closed with input unread resets the connection, and the reset overtakes the
 * output that is still on its way: Podman would end its session without it.
 */
static void drop_input(int fd)
{
    char byte;

    shutdown(fd, SHUT_RD);
    while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) > 0)
        ;
}

static void note_input(AttachClient *client, ClientInput bit)
{
    OutletPage *page = client->outlet.page;

    if (!(page->input & bit))
        state_commit(&page->input, page->input | (uint32_t)bit);
}

static void client_free(AttachClient *client)
{
    Attach *attach = client->attach;
    OutletPage *page = client->outlet.page;
    int fd = page->fd[STREAM_STDOUT];

    if (client->source != 0)
        g_source_remove(client->source);
    outlet_deinit(&client->outlet);
    /* While the next image would still go on with it: if we crash, execve closes what it finds. */
    note_input(client, CLIENT_ENDED);
    drop_input(fd);
    /* In the reverse order of add_client(): what has no descriptor any more is not made again. */
    fds_remove(attach->state, fd);
    state_commit(&page->used, 0);
    close(fd);
    attach->clients[page - attach->state->page->clients] = NULL;
    while (attach->slots > 0 && attach->clients[attach->slots - 1] == NULL)
        attach->slots--;
    g_free(client);
    if (attach->retry_at != 0)
        attach->retry_at = 1; /* long ago: there is a descriptor now */
}

/* A client that reads no more can still send, and its hang-up is seen by its input's source. */
static void on_moved(Outlet *outlet, void *owner)
{
    AttachClient *client = owner;
    Attach *attach = client->attach;

    (void)outlet;
    attach->calls.changed(attach->calls.owner);
}

/*
 * Notes that it sends before what it sends is taken: a crash in between must not leave bytes whose
 * sender seems to have sent nothing, for then its end would end nothing.
 */
static void note_sending(AttachClient *client, int fd)
{
    char byte;

    if (!(client->outlet.page->input & CLIENT_SENT) &&
        recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK) > 0)
        note_input(client, CLIENT_SENT);
}

/* See the top of attach.h. */
static bool ends_feed(const AttachClient *client, bool hung_up)
{
    const Attach *attach = client->attach;

    if (!attach->closes_feed)
        return false;
    if (client->outlet.page->input & (CLIENT_SENT | CLIENT_BEFORE_START))
        return true;
    return !hung_up && attach->symlink != NULL;
}

static gboolean on_client(gint fd, GIOCondition condition, gpointer data);

static void watch_input(AttachClient *client)
{
    bool ended = client->outlet.page->input & CLIENT_ENDED;

    client->source = watch_fd(client->outlet.page->fd[STREAM_STDOUT],
                              ended ? G_IO_HUP | G_IO_ERR : G_IO_IN, on_client, client);
}

/* It will send nothing any more. Podman half-closes when it only watches: it goes on reading. */
static void input_ended(AttachClient *client, bool hung_up)
{
    if (ends_feed(client, hung_up))
        feed_end(client->attach->feed);
    note_input(client, CLIENT_ENDED);
}

static gboolean on_client(gint fd, GIOCondition condition, gpointer data)
{
    AttachClient *client = data;
    Attach *attach = client->attach;
    bool hung_up = condition & (G_IO_HUP | G_IO_ERR);
    ssize_t n;

    if (!(client->outlet.page->input & CLIENT_ENDED)) {
        note_sending(client, fd);
        n = feed_receive(attach->feed, fd);
        /* That the peer left something of ours unread is reported first, and once. */
        if (n == -ECONNRESET) {
            note_sending(client, fd);
            n = feed_receive(attach->feed, fd);
        }
        if (n > 0 || n == -EAGAIN || n == -EINTR)
            return G_SOURCE_CONTINUE;
        if (n == -ENOBUFS) {
            client->source = 0;
            return G_SOURCE_REMOVE;
        }
        input_ended(client, hung_up);
        if (!hung_up) {
            watch_input(client);
            return G_SOURCE_REMOVE;
        }
    }
    client->source = 0;
    client_free(client);
    attach->calls.changed(attach->calls.owner);
    return G_SOURCE_REMOVE;
}

void attach_read_again(Attach *attach)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (attach->clients[i] != NULL && attach->clients[i]->source == 0)
            watch_input(attach->clients[i]);
    }
}

static void watch_client(Attach *attach, size_t slot)
{
    OutletPage *page = &attach->state->page->clients[slot];
    AttachClient *client = g_new0(AttachClient, 1);

    client->attach = attach;
    outlet_init(&client->outlet, attach->state, page, &attach->spool, on_moved, client);
    watch_input(client);
    attach->clients[slot] = client;
    attach->slots = MAX(attach->slots, slot + 1);
}

static void add_client(Attach *attach, int fd)
{
    const StreamPage *streams = attach->state->page->streams;
    size_t slot = 0;
    OutletPage *page;

    /* On the page first: whatever happens now, the connection is not lost. */
    fds_add(attach->state, FD_ATTACH_CLIENT, fd);
    while (slot < PAGE_CLIENTS_MAX && attach->clients[slot] != NULL)
        slot++;
    if (slot == PAGE_CLIENTS_MAX) {
        attach->refused++;
        fds_remove(attach->state, fd);
        close(fd);
        return;
    }
    page = &attach->state->page->clients[slot];
    *page = (OutletPage){
        .cursor = {streams[STREAM_STDOUT].end, streams[STREAM_STDERR].end},
        .fd = {fd, fd},
        .early = !attach->state->page->first_output,
        .input = attach->calls.has_started(attach->calls.owner) ? 0 : CLIENT_BEFORE_START,
    };
    state_commit(&page->used, 1);
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
    attach->calls.changed(attach->calls.owner);
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
    Page *page = attach->state->page;
    CLEANUP_FD int dir = open(attach->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int fd = -1;
    struct stat st;

    if (dir < 0)
        return error_set(error, errno, "Cannot open the bundle %s", attach->bundle);
    unlinkat(dir, "attach", 0); /* left over from a monitor that was killed */
    state_commit(&page->attach_inode, INODE_UNKNOWN);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", dir);

    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode set before bind is the mode the file is made with. */
    if (fd < 0 || fchmod(fd, 0700) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0 ||
        fstatat(dir, "attach", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(error, errno, "Cannot make the attach socket %s/attach", attach->bundle);
    page->attach_device = st.st_dev;
    state_commit(&page->attach_inode, st.st_ino);
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

static int make_symlink(Attach *attach, Error *error)
{
    unlink(attach->symlink);
    if (symlink(attach->bundle, attach->symlink) < 0)
        return error_set(error, errno, "Cannot make the link %s to the bundle %s", attach->symlink,
                         attach->bundle);
    return 0;
}

static void set_up(Attach *attach, State *state, const AttachSetup *setup)
{
    *attach = (Attach)ATTACH_NULL;
    attach->state = state;
    attach->feed = setup->feed;
    attach->closes_feed = setup->closes_feed;
    attach->calls = setup->calls;
    attach->bundle = g_canonicalize_filename(setup->bundle, NULL);
    if (setup->socket_dir != NULL)
        attach->symlink = symlink_path(setup->socket_dir, setup->cuuid);
}

static void forget_names(Attach *attach)
{
    g_clear_pointer(&attach->bundle, g_free);
    g_clear_pointer(&attach->symlink, g_free);
}

int attach_init(Attach *attach, State *state, const AttachSetup *setup, Error *error)
{
    int r;

    set_up(attach, state, setup);
    spool_init(&attach->spool, state, attach->bundle, setup->spool_max);
    r = bind_socket(attach, error);
    if (r == 0 && attach->symlink != NULL)
        r = make_symlink(attach, error);
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

static bool has_descriptor(const Page *page, const OutletPage *client)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        if (page->fds[i].role == FD_ATTACH_CLIENT && page->fds[i].fd == client->fd[STREAM_STDOUT])
            return true;
    }
    return false;
}

/* Whether what it has not read can still be had: a spool that was lost has taken it along. */
static bool can_go_on(const Attach *attach, const OutletPage *client)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (attach->spool.fds[i] < 0 && spool_has(attach->state, i, client->cursor[i]))
            return false;
    }
    return true;
}

static void drop_behind_spool(Attach *attach)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (attach->clients[i] != NULL && !can_go_on(attach, attach->clients[i]->outlet.page))
            client_free(attach->clients[i]);
    }
}

/* Nothing has been read since it was accepted: it misses nothing. */
static void adopt_half_made(Attach *attach)
{
    const Page *page = attach->state->page;

    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        const FdPage *entry = &page->fds[i];

        if (entry->role == FD_ATTACH_CLIENT && !is_client(page, entry->fd))
            add_client(attach, entry->fd);
    }
}

void attach_adopt(Attach *attach, State *state, const AttachSetup *setup)
{
    set_up(attach, state, setup);
    spool_adopt(&attach->spool, state, attach->bundle, setup->spool_max);
    attach->listener = fds_find(state, FD_ATTACH_LISTENER);
    attach_retry(attach);
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        OutletPage *client = &state->page->clients[i];

        if (client->used && has_descriptor(state->page, client))
            watch_client(attach, i);
        else
            state_commit(&client->used, 0);
    }
    drop_behind_spool(attach);
    adopt_half_made(attach);
}

static bool is_our_socket(const Page *page, const struct stat *st)
{
    if (page->attach_inode == INODE_UNKNOWN)
        return S_ISSOCK(st->st_mode);
    return st->st_dev == page->attach_device && st->st_ino == page->attach_inode;
}

/* Once: another monitor of the same container may make its own as soon as this one has reported. */
static void remove_files(Attach *attach)
{
    Page *page = attach->state->page;
    g_autofree char *path = NULL;
    g_autofree char *target = NULL;
    struct stat st;

    if (page->attach_inode == 0)
        return;
    path = g_strdup_printf("%s/attach", attach->bundle);
    target = attach->symlink != NULL ? g_file_read_link(attach->symlink, NULL) : NULL;
    if (lstat(path, &st) == 0 && is_our_socket(page, &st))
        unlink(path);
    FAULT_POINT();
    if (target != NULL && strcmp(target, attach->bundle) == 0)
        unlink(attach->symlink);
    FAULT_POINT();
    state_commit(&page->attach_inode, 0);
}

void attach_claim_files(State *state, const AttachSetup *setup)
{
    g_autofree char *path = g_build_filename(setup->bundle, "attach", NULL);
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    state->page->attach_device = st.st_dev;
    state->page->attach_inode = st.st_ino;
}

void attach_remove_files(State *state, const AttachSetup *setup)
{
    Attach attach;

    set_up(&attach, state, setup);
    remove_files(&attach);
    forget_names(&attach);
}

void attach_stop_listening(Attach *attach)
{
    if (attach->bundle == NULL)
        return;
    remove_files(attach);
    if (attach->listener < 0)
        return;
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
        if (attach->clients[i] != NULL)
            outlet_pump(&attach->clients[i]->outlet);
    }
}

void attach_balance(Attach *attach)
{
    uint64_t slowest[STREAMS];
    bool all_caught_up = true;

    if (attach->state == NULL)
        return;
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        uint64_t backlog = attach_backlog(attach, i);

        slowest[i] = attach->state->page->streams[i].end - backlog;
        all_caught_up = all_caught_up && backlog == 0;
    }
    if (all_caught_up) {
        spool_end(&attach->spool);
        return;
    }
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        if (attach_held(attach, i) >= STATE_HOLD_SIZE)
            spool_take(&attach->spool, i, slowest);
    }
    spool_give_back(&attach->spool, slowest);
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

void attach_begin_linger(Attach *attach)
{
    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        if (attach->clients[i] != NULL)
            outlet_touch(&attach->clients[i]->outlet);
    }
}

/* Whether its backlog has found no room in the spool, so that a stream has to wait. */
static bool is_holder(const Outlet *outlet)
{
    return outlet_held(outlet, STREAM_STDOUT) >= STATE_HOLD_SIZE ||
           outlet_held(outlet, STREAM_STDERR) >= STATE_HOLD_SIZE;
}

static bool is_among(const AttachClient *client, AttachLag which)
{
    if (client == NULL)
        return false;
    if (which == ATTACH_LAGGARDS)
        return outlet_is_behind(&client->outlet);
    return is_holder(&client->outlet) && (which == ATTACH_HOLDERS || !client->outlet.page->early);
}

unsigned attach_drop_stalled(Attach *attach, int64_t before, AttachLag which)
{
    unsigned dropped = 0;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++) {
        AttachClient *client = attach->clients[i];

        if (is_among(client, which) && client->outlet.moved_at <= before &&
            !outlet_was_read(&client->outlet)) {
            client_free(client);
            dropped++;
        }
    }
    return dropped;
}

int64_t attach_stalled_since(const Attach *attach, AttachLag which)
{
    int64_t since = INT64_MAX;

    for (size_t i = 0; i < attach->slots; i++) {
        const AttachClient *client = attach->clients[i];

        if (is_among(client, which) && client->outlet.moved_at < since)
            since = client->outlet.moved_at;
    }
    return since;
}

uint64_t attach_backlog(const Attach *attach, StreamId stream)
{
    uint64_t most = 0;

    for (size_t i = 0; i < attach->slots; i++) {
        const AttachClient *client = attach->clients[i];

        if (client != NULL)
            most = MAX(most, outlet_backlog(&client->outlet, stream));
    }
    return most;
}

uint64_t attach_held(const Attach *attach, StreamId stream)
{
    uint64_t most = 0;

    for (size_t i = 0; i < attach->slots; i++) {
        const AttachClient *client = attach->clients[i];

        if (client != NULL)
            most = MAX(most, outlet_held(&client->outlet, stream));
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
    spool_end(&attach->spool);
    forget_names(attach);
}
