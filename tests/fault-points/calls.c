/*
 * A fault point behind each system call that changes what others see, and whose result is nothing
 * that must be noted: what had to be known of it was noted before, or it is done again without
 * harm. Whatever code comes to stand between such a call and a note must survive a crash, too.
 *
 * The linker (--wrap) puts these functions in the place of the C library's. None of them is called
 * by a child that is to be another program.
 */
#include "util/fault-point.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A function's parameters and arguments are given in parentheses. */
#define CALL(name, parameters, arguments, counts) \
    int __real_##name parameters;                 \
    int __wrap_##name parameters;                 \
                                                  \
    static void after_##name(void)                \
    {                                             \
        FAULT_POINT();                            \
    }                                             \
                                                  \
    int __wrap_##name parameters                  \
    {                                             \
        int result = __real_##name arguments;     \
                                                  \
        if (result >= 0 && (counts))              \
            after_##name();                       \
        return result;                            \
    }

CALL(waitid, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options),
     !(options & WNOWAIT) && info->si_pid != 0)
CALL(rename, (const char *from, const char *to), (from, to), 1)
CALL(renameat, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to), 1)
CALL(unlink, (const char *path), (path), 1)
CALL(unlinkat, (int fd, const char *path, int flags), (fd, path, flags), 1)
CALL(rmdir, (const char *path), (path), 1)
CALL(mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), 1)
CALL(mkfifo, (const char *path, mode_t mode), (path, mode), 1)
CALL(symlink, (const char *target, const char *path), (target, path), 1)
CALL(bind, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length), 1)
CALL(dup3, (int from, int to, int flags), (from, to, flags), 1)
CALL(ftruncate64, (int fd, off_t length), (fd, length), 1)
