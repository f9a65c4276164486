#pragma once

#include "util/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The service manager that has started us as the main process of a unit (sd_notify): where it
 * listens, and what it wants to hear. There is no descriptor: words are few, each gets a socket of
 * its own, and none has to be carried over a crash. All that must outlive one is in our environment
 * and on the page.
 *
 * A service manager that cannot be reached is no error for anybody: it is said once.
 */
typedef struct ServiceManager {
    const Messages *messages;
    struct sockaddr_un address;
    socklen_t address_length; /* 0: there is none */
    int64_t watchdog;         /* microseconds between two signs of life that it wants, 0 = none */
    int said;                 /* errno of the failure that has been spoken of, 0 = none */
} ServiceManager;

#define SERVICE_MANAGER_NULL \
    {                        \
        .address_length = 0  \
    }

/*
 * Looks for it in the environment. A process that a unit's main process has started finds none: the
 * variables it has inherited are not meant for it. `messages` is kept by reference.
 */
void service_manager_find(ServiceManager *manager, const Messages *messages);

/* The same for another image of this program, which knows that they are, and has the rest on the
 * page. */
void service_manager_adopt(ServiceManager *manager, const Messages *messages);

/* Takes its variables out of our environment, so that no child gets them; with `keep_socket`, not
 * the one that says where it listens. */
void service_manager_hide(bool keep_socket);

/*
 * Sends lines (without a newline behind the last), and waits up to `patience` milliseconds for
 * room. Returns whether that is done with; false: there was no room, and it should be sent again.
 */
bool service_manager_send(ServiceManager *manager, const char *lines, int patience);

static inline bool service_manager_is_there(const ServiceManager *manager)
{
    return manager->address_length > 0;
}
