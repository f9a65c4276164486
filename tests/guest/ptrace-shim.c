/*
 * For LD_PRELOAD into user-mode-linux 6.1.
 *
 * It reads and writes the floating point registers of the guest's processes with a buffer of fixed
 * size, which is too small for processors with AMX: the kernel takes nothing but all registers, so
 * every write fails and the guest dies. Here the buffer is padded with zeroes: a guest that never
 * asked for AMX has nothing there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REGISTERS = 0x202 /* NT_X86_XSTATE */ };

static char all[65536] __attribute__((aligned(64)));

/* How many bytes the kernel has for them, -1 with errno if it does not tell. */
static long size_of_registers(long pid)
{
    static long size;
    struct iovec whole = {all, sizeof(all)};

    if (size == 0) {
        if (syscall(SYS_ptrace, (long)PTRACE_GETREGSET, pid, (long)REGISTERS, &whole) < 0)
            return -1;
        size = (long)whole.iov_len;
        memset(all, 0, sizeof(all));
    }
    return size;
}

static long set_registers(long pid, const struct iovec *given)
{
    long size = size_of_registers(pid);
    struct iovec whole = {all, (size_t)size};

    if (size < 0)
        return -1;
    if (given->iov_len >= (size_t)size)
        return syscall(SYS_ptrace, (long)PTRACE_SETREGSET, pid, (long)REGISTERS, given);
    memcpy(all, given->iov_base, given->iov_len);
    return syscall(SYS_ptrace, (long)PTRACE_SETREGSET, pid, (long)REGISTERS, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
    long arguments[3];
    long word;
    va_list list;

    va_start(list, request);
    for (int i = 0; i < 3; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);

    switch ((int)request) {
    case PTRACE_SETREGSET:
        if (arguments[1] == REGISTERS)
            return set_registers(arguments[0], (const struct iovec *)arguments[2]);
        break;
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
    case PTRACE_PEEKUSER:
        /* The system call stores the word; the library's function returns it. */
        if (syscall(SYS_ptrace, (long)request, arguments[0], arguments[1], &word) < 0)
            return -1;
        errno = 0;
        return word;
    default:
        break;
    }
    return syscall(SYS_ptrace, (long)request, arguments[0], arguments[1], arguments[2]);
}
