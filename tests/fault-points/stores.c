/*
 * Nothing of ours may stand between a system call's return and the store of its result, for it
 * would have to survive a crash that loses the result. So this notes what comes first behind each
 * call whose result cannot be had again: a fault point, which follows every store, or a function of
 * ours that is entered. If there is a file `stores` in $FAULT_POINTS, a line is appended to it for
 * each pair of them that an image of the program has:
 *
 *     CALL FUNCTION ENTERED    what was called, by which function, and the one that was entered
 * then (addresses as nm shows them, in hexadecimal; 0: it was stored)
 *
 * The linker (--wrap) puts these functions in the place of the C library's, and the compiler
 * (-finstrument-functions) a call of __cyg_profile_func_enter() at the beginning of ours.
 */
#include "stores.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTED_MOST = 256 };

typedef struct Pair {
    const char *call;
    uintptr_t function;
    uintptr_t entered;
} Pair;

extern const char __executable_start[];

void __cyg_profile_func_enter(void *function, void *site);
void __cyg_profile_func_exit(void *function, void *site);

/* What has returned last, and has not been stored: no call if there is nothing. */
static Pair open_pair;
static Pair noted[NOTED_MOST];
static size_t noted_count;

static uintptr_t place_of(const void *address)
{
    return (uintptr_t)address - (uintptr_t)__executable_start;
}

static int is_noted(const Pair *pair)
{
    for (size_t i = 0; i < noted_count; i++) {
        if (noted[i].call == pair->call && noted[i].function == pair->function &&
            noted[i].entered == pair->entered)
            return 1;
    }
    return 0;
}

static void note(const Pair *pair)
{
    char path[4096];
    int fd;

    if (getenv("FAULT_POINTS") == NULL || is_noted(pair))
        return;
    if (noted_count == NOTED_MOST)
        abort();
    noted[noted_count++] = *pair;
    snprintf(path, sizeof(path), "%s/stores", getenv("FAULT_POINTS"));
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return;
    dprintf(fd, "%s %jx %jx\n", pair->call, (uintmax_t)pair->function, (uintmax_t)pair->entered);
    close(fd);
}

static void end_pair(uintptr_t entered)
{
    Pair pair = open_pair;

    if (pair.call == NULL)
        return;
    open_pair.call = NULL;
    pair.entered = entered;
    note(&pair);
}

void __cyg_profile_func_enter(void *function, void *site)
{
    (void)site;
    end_pair(place_of(function));
}

void __cyg_profile_func_exit(void *function, void *site)
{
    (void)function;
    (void)site;
}

void stores_done(void)
{
    end_pair(0);
}

#define CALL(type, name, parameters, arguments, counts)                          \
    type __real_##name parameters;                                               \
    type __wrap_##name parameters;                                               \
                                                                                 \
    type __wrap_##name parameters                                                \
    {                                                                            \
        type result = __real_##name arguments;                                   \
                                                                                 \
        if (counts)                                                              \
            open_pair = (Pair){#name, place_of(__builtin_return_address(0)), 0}; \
        return result;                                                           \
    }

CALL(pid_t, fork, (void), (), result > 0)
CALL(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),
     (fd, address, length, flags), result >= 0)
CALL(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size), result > 0)
CALL(ssize_t, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count), result > 0)
CALL(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags),
     result > 0 && !(flags & MSG_PEEK))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
     result > 0)
CALL(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size), result > 0)
CALL(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags),
     result > 0)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
     result > 0)
