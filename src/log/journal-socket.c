#include "log/journal-socket.h"

#include "util/fault-point.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

static int open_socket(JournalSocket *journal)
{
    const struct sockaddr_un address = {
        .sun_family = AF_UNIX,
        .sun_path = "/run/systemd/journal/socket",
    };
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    journal->fd = fd_steal(&fd);
    return 0;
}

static int send_message(const JournalSocket *journal, const struct msghdr *message)
{
    ssize_t n;

    do
        n = sendmsg(journal->fd, message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static int send_datagram(const JournalSocket *journal, const struct iovec *parts, size_t count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};

    return send_message(journal, &message);
}

/* One write may take less than all; parts are looked for anew each time, for that is rare. */
static int write_parts(int fd, const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int r = fd_write_all(fd, parts[i].iov_base, parts[i].iov_len);

        if (r < 0)
            return r;
    }
    return 0;
}

/* The journal takes a file only if nobody can change it any more. */
static int send_file(const JournalSocket *journal, const struct iovec *parts, size_t count)
{
    enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };
    CLEANUP_FD int fd = memfd_create("conward-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = ""};
    const struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof(control)};
    int r;

    if (fd < 0)
        return -errno;
    r = write_parts(fd, parts, count);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    FAULT_POINT();
    return send_message(journal, &message);
}

static int send_either(const JournalSocket *journal, const struct iovec *parts, size_t count)
{
    int r = send_datagram(journal, parts, count);

    /* -ENOBUFS: no memory in one piece for a datagram of that size. */
    return r == -EMSGSIZE || r == -ENOBUFS ? send_file(journal, parts, count) : r;
}

int journal_socket_send(JournalSocket *journal, const struct iovec *parts, size_t count)
{
    bool is_new = journal->fd < 0;
    int r = is_new ? open_socket(journal) : 0;

    if (r == 0)
        r = send_either(journal, parts, count);
    if (r == 0 || r == -EAGAIN)
        return r;
    journal_socket_close(journal);
    /* What we were connected to may have been replaced by another one at the same place. */
    if (is_new || open_socket(journal) < 0)
        return r;
    return send_either(journal, parts, count);
}

void journal_socket_close(JournalSocket *journal)
{
    fd_close(&journal->fd);
}
