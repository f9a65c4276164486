#include "control/notify-proxy.h"

#include "state/fds.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LAST_MOST = 1024, /* datagrams that are taken at the end, however many more may come */
    HOST_NAME_SIZE = sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1,
};

static bool is_passed_on(const char *line, size_t length)
{
    static const char *const whole[] = {"READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1",
                                        "WATCHDOG=trigger"};
    static const char *const beginnings[] = {
        "STATUS=", "ERRNO=", "BUSERROR=", "MONOTONIC_USEC=", "EXTEND_TIMEOUT_USEC="};

    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        if (strlen(whole[i]) == length && memcmp(line, whole[i], length) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        size_t beginning = strlen(beginnings[i]);

        if (length >= beginning && memcmp(line, beginnings[i], beginning) == 0)
            return true;
    }
    return false;
}

size_t notify_filter(const char *bytes, size_t length, char *passed)
{
    size_t end = strnlen(bytes, length); /* service managers read a string */
    size_t used = 0;
    size_t next;

    for (size_t at = 0; at < end; at = next + 1) {
        next = at;
        while (next < end && bytes[next] != '\n' && bytes[next] != '\r')
            next++;
        if (!is_passed_on(bytes + at, next - at))
            continue;
        if (used > 0)
            passed[used++] = '\n';
        memcpy(passed + used, bytes + at, next - at);
        used += next - at;
    }
    return used;
}

/* Of a datagram that was too long, the last line that is there may be half of one. */
static size_t without_half_line(const char *bytes, size_t length)
{
    while (length > 0 && bytes[length - 1] != '\n' && bytes[length - 1] != '\r')
        length--;
    return length;
}

static void speak_of_cut(NotifyProxy *proxy, size_t length)
{
    if (proxy->said_cut)
        return;
    proxy->said_cut = true;
    message(proxy->messages, LEVEL_WARNING,
            "The container has sent a notification of %zu bytes; of these, the lines within the "
            "first %d are passed on",
            length, STATE_NOTIFY_SIZE);
}

/*
 * Takes the next datagram and commits it; returns false if there is none. No descriptor can come
 * with it: the kernel drops those that a receiver makes no room for.
 */
static bool take(NotifyProxy *proxy)
{
    Page *page = proxy->state->page;
    ssize_t n =
        recv(proxy->inside, proxy->state->notify, STATE_NOTIFY_SIZE, MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0)
        return false;
    state_commit(&page->notify_length, (uint64_t)n);
    if (n > STATE_NOTIFY_SIZE)
        speak_of_cut(proxy, (size_t)n);
    return true;
}

/*
 * Connected anew each time, for another service manager may have come to that name; and connected
 * at all, for then poll(2) knows when there is room.
 */
static int send_to_host(NotifyProxy *proxy, const char *bytes, size_t length)
{
    if (connect(proxy->host_fd, (struct sockaddr *)&proxy->host, proxy->host_length) < 0 ||
        send(proxy->host_fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -errno;
    return 0;
}

/* As it was given: an abstract name begins with a NUL byte. */
static const char *host_name(const NotifyProxy *proxy, char text[HOST_NAME_SIZE])
{
    size_t length = proxy->host_length - offsetof(struct sockaddr_un, sun_path);

    memcpy(text, proxy->host.sun_path, length);
    text[length] = '\0';
    if (text[0] == '\0')
        text[0] = '@';
    return text;
}

/* Says once that the host cannot be reached, not at every datagram. */
static void speak_of_host(NotifyProxy *proxy, int result)
{
    char host[HOST_NAME_SIZE];

    if (result < 0 && proxy->said != -result)
        message(proxy->messages, LEVEL_WARNING,
                "The container's notification cannot be passed on to %s: %s. It is dropped; the "
                "next one is sent again as usual",
                host_name(proxy, host), strerror(-result));
    proxy->said = -result;
}

/* The datagram that was taken. Returns false if it has to wait. */
static bool pass_on(NotifyProxy *proxy)
{
    Page *page = proxy->state->page;
    const char *bytes = (const char *)proxy->state->notify;
    char passed[STATE_NOTIFY_SIZE];
    size_t length = page->notify_length;

    if (length > STATE_NOTIFY_SIZE)
        length = without_half_line(bytes, STATE_NOTIFY_SIZE);
    length = notify_filter(bytes, length, passed);
    if (length > 0) {
        int r = send_to_host(proxy, passed, length);

        if (r == -EAGAIN)
            return false;
        state_commit(&page->notify_length, 0);
        speak_of_host(proxy, r);
    } else {
        state_commit(&page->notify_length, 0);
    }
    return true;
}

static void serve(NotifyProxy *proxy, unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        if (proxy->state->page->notify_length == 0 && !take(proxy))
            break;
        if (!pass_on(proxy))
            break;
    }
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer data);

/* Either for a datagram or for room, never for both. */
static void watch(NotifyProxy *proxy)
{
    if (proxy->source != 0)
        g_source_remove(proxy->source);
    if (proxy->state->page->notify_length == 0)
        proxy->source = watch_fd(proxy->inside, G_IO_IN, on_ready, proxy);
    else
        proxy->source = watch_fd(proxy->host_fd, G_IO_OUT, on_ready, proxy);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer data)
{
    NotifyProxy *proxy = data;
    bool was_waiting = proxy->state->page->notify_length > 0;

    (void)fd;
    (void)condition;
    serve(proxy, 1);
    if (was_waiting != (proxy->state->page->notify_length > 0))
        watch(proxy);
    return G_SOURCE_CONTINUE; /* without effect on a source that watch() has removed */
}

static int set_host(NotifyProxy *proxy, const char *host, Error *error)
{
    size_t length = strlen(host);

    proxy->host = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof(proxy->host.sun_path))
        return error_set(error, ENAMETOOLONG, "Cannot use the notify socket %s", host);
    memcpy(proxy->host.sun_path, host, length);
    proxy->host_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (host[0] == '@')
        proxy->host.sun_path[0] = '\0';
    return 0;
}

/* Through the directory's descriptor: the path itself may be too long. */
static int bind_inside(NotifyProxy *proxy, const char *bundle, Error *error)
{
    g_autofree char *path = g_strdup_printf("%s/notify", bundle);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int fd = -1;
    mode_t before;
    int r;

    if (dir < 0)
        return error_set(error, errno,
                         "Cannot open the directory %s, which --sdnotify-socket needs", path);
    unlinkat(dir, "notify.sock", 0); /* of an earlier life of this container */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/notify.sock", dir);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, errno, "Cannot make the notify socket %s/notify.sock", path);
    /* The file is made with mode 0777: no chmod of a name in a directory of the container's. */
    before = umask(0);
    r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
    umask(before);
    if (r != 0)
        return error_set(error, r, "Cannot make the notify socket %s/notify.sock", path);
    proxy->inside = fd_steal(&fd);
    return 0;
}

int notify_proxy_init(NotifyProxy *proxy, State *state, const char *bundle, const char *host,
                      const Messages *messages, Error *error)
{
    int r;

    *proxy = (NotifyProxy)NOTIFY_PROXY_NULL;
    proxy->state = state;
    proxy->messages = messages;
    r = set_host(proxy, host, error);
    if (r < 0)
        return r;
    proxy->host_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (proxy->host_fd < 0)
        return error_set(error, errno, "Cannot make a socket for notifications");
    fds_add(state, FD_NOTIFY_HOST, proxy->host_fd);
    r = bind_inside(proxy, bundle, error);
    if (r < 0)
        return r;
    fds_add(state, FD_NOTIFY_INSIDE, proxy->inside);
    watch(proxy);
    return 0;
}

void notify_proxy_adopt(NotifyProxy *proxy, State *state, const char *host,
                        const Messages *messages)
{
    Error error;

    *proxy = (NotifyProxy)NOTIFY_PROXY_NULL;
    proxy->state = state;
    proxy->messages = messages;
    proxy->host_fd = fds_find(state, FD_NOTIFY_HOST);
    proxy->inside = fds_find(state, FD_NOTIFY_INSIDE);
    if (proxy->inside < 0 || set_host(proxy, host, &error) < 0)
        return;
    if (state->page->notify_length > 0)
        serve(proxy, 1);
    watch(proxy);
}

void notify_proxy_drain(NotifyProxy *proxy)
{
    if (proxy->source == 0)
        return;
    serve(proxy, LAST_MOST);
    watch(proxy);
}

static void close_one(NotifyProxy *proxy, int *fd)
{
    if (*fd >= 0)
        fds_remove(proxy->state, *fd);
    fd_close(fd);
}

void notify_proxy_deinit(NotifyProxy *proxy)
{
    char host[HOST_NAME_SIZE];

    if (proxy->source != 0) {
        g_source_remove(proxy->source);
        if (proxy->state->page->notify_length > 0)
            message(proxy->messages, LEVEL_WARNING,
                    "The container's last notification is dropped: %s does not take it",
                    host_name(proxy, host));
    }
    proxy->source = 0;
    close_one(proxy, &proxy->inside);
    close_one(proxy, &proxy->host_fd);
}
