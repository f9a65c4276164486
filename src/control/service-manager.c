#include "control/service-manager.h"

#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char socket_variable[] = "NOTIFY_SOCKET";
static const char interval_variable[] = "WATCHDOG_USEC";
static const char watched_variable[] = "WATCHDOG_PID";
static const char process_variable[] = "SYSTEMD_EXEC_PID"; /* the unit's main process */

enum { INTERVAL_LEAST = 1000 }; /* microseconds: a sleep is of whole milliseconds */

/* Whether a variable has our pid, or there is no such variable. */
static bool may_mean_us(const char *variable)
{
    const char *value = getenv(variable);
    char pid[3 * sizeof(pid_t) + 1];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    return value == NULL || strcmp(value, pid) == 0;
}

/* A path, or @ and an abstract name. */
static int parse_address(const char *name, struct sockaddr_un *address, socklen_t *length)
{
    size_t size = strlen(name);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || name[1] == '\0')
        return EAFNOSUPPORT;
    if (size > sizeof(address->sun_path))
        return ENAMETOOLONG;
    memcpy(address->sun_path, name, size);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return 0;
}

/* Says once that it cannot be reached, not at every word. */
static void speak_of_failure(ServiceManager *manager, const char *name, int number)
{
    if (number != 0 && manager->said != number)
        message(manager->messages, LEVEL_WARNING,
                "The service manager cannot be reached at NOTIFY_SOCKET=%s: %s. It gets no status "
                "reports; the command continues",
                name, strerror(number));
    manager->said = number;
}

static int64_t watchdog_interval(void)
{
    const char *text = getenv(interval_variable);
    char *end;
    long long interval;

    if (text == NULL || *text < '0' || *text > '9' || !may_mean_us(watched_variable))
        return 0;
    errno = 0;
    interval = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || interval == 0)
        return 0;
    interval /= 2; /* so that one that comes late is early enough */
    return interval > INTERVAL_LEAST ? interval : INTERVAL_LEAST;
}

void service_manager_find(ServiceManager *manager, const Messages *messages)
{
    *manager = (ServiceManager)SERVICE_MANAGER_NULL;
    if (!may_mean_us(process_variable))
        return;
    service_manager_adopt(manager, messages);
    manager->watchdog = watchdog_interval();
}

void service_manager_adopt(ServiceManager *manager, const Messages *messages)
{
    const char *name = getenv(socket_variable);

    *manager = (ServiceManager){.messages = messages};
    if (name != NULL && *name != '\0')
        speak_of_failure(manager, name,
                         parse_address(name, &manager->address, &manager->address_length));
}

void service_manager_hide(bool keep_socket)
{
    unsetenv(interval_variable);
    unsetenv(watched_variable);
    if (!keep_socket)
        unsetenv(socket_variable);
}

/* Connected, for then poll(2) knows when there is room. */
static int send_once(const ServiceManager *manager, const char *lines, int patience)
{
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)&manager->address, manager->address_length) < 0)
        return errno;
    if (patience > 0)
        poll(&room, 1, patience);
    return send(fd, lines, strlen(lines), MSG_NOSIGNAL) < 0 ? errno : 0;
}

bool service_manager_send(ServiceManager *manager, const char *lines, int patience)
{
    char name[sizeof(manager->address.sun_path) + 1] = "";
    int number;

    if (!service_manager_is_there(manager))
        return true;
    number = send_once(manager, lines, patience);
    if (number == EAGAIN)
        return false;
    memcpy(name, manager->address.sun_path, sizeof(manager->address.sun_path));
    if (name[0] == '\0')
        name[0] = '@';
    speak_of_failure(manager, name, number);
    return true;
}
