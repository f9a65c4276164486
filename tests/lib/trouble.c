/*
 * A library for LD_PRELOAD: makes the monitor crash in a place where a crash is hard to survive.
 *
 *   TROUBLE=DIRECTORY LD_PRELOAD=…/trouble.so conmon …
 *
 * A file in DIRECTORY that has the name of a trouble asks for it. It is removed, and then the
 * monitor has that trouble, once:
 *
 *   malloc          the heap is found corrupted, and glibc aborts, in the middle of an allocation
 *   overflow        the stack is used up, in the middle of an allocation
 *   g_error         GLib gives up, in the middle of an allocation
 *   child           the next child crashes within fork, as long as it has the monitor's handlers
 *   child-later     the next child crashes between fork and execve, without them
 *   blocked-write   writing to a log (a file *.log) takes for ever
 *   torn-write      the same, after one half has been written
 *   failing-write   writing to a log fails with EIO; this one lasts until its file is removed
 *   empty-write     writing to a log writes nothing, and does not fail; the same
 *   failing-look    fstat and writes of a log fail with EIO; the same
 *   suspend         the clock that counts suspends is ahead by the seconds that the file holds
 *   held-rename     renaming a file to a log takes for ever after it has been renamed
 *   poll            the monitor crashes when it asks for news, before it has any; so does each next
 *                   image of it, until the file is removed
 *
 * What takes for ever waits to read from a fifo in DIRECTORY, `gate`.
 *
 * Children inherit all this and are to be left alone: only a program by the name of conmon or
 * conward has trouble, and only once it has installed its handlers. DIRECTORY/images gets a line
 * with the pid whenever such a program begins to run, that is, at each of its execves.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK = 100000, /* bytes: more than any free chunk has, and less than glibc would map */
    FRAME = 1024,
    FATAL_ERROR = 1 << 1 | 1 << 2, /* GLib's G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR */
};

typedef void Log(const char *domain, int level, const char *format, ...);

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);

static const char *directory; /* NULL: this is not the program */
static bool in_child;         /* of the monitor, before execve */
static bool is_locked;        /* the heap, by an allocation that does not come to its end */

static void path_of(const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", directory, name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static bool link_ends_with(const char *path, const char *end)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof(target) - 1);

    if (length < 0)
        return false;
    target[length] = '\0';
    return ends_with(target, end);
}

static void note_image(void)
{
    char path[PATH_MAX];
    int fd;

    path_of("images", path);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        abort();
    close(fd);
}

/* The monitor itself, and neither the process that starts it nor what it starts. */
static bool has_handlers(void)
{
    struct sigaction action;

    return sigaction(SIGSEGV, NULL, &action) == 0 && action.sa_handler != SIG_DFL;
}

/* Whether that trouble is asked for; only the first question is answered with yes. */
static bool take(const char *name)
{
    char path[PATH_MAX];
    int saved = errno;
    bool taken;

    path_of(name, path);
    taken = unlink(path) == 0;
    errno = saved;
    return taken;
}

static bool is_asked_for(const char *name)
{
    char path[PATH_MAX];
    int saved = errno;
    bool is_there;

    path_of(name, path);
    is_there = access(path, F_OK) == 0;
    errno = saved;
    return is_there;
}

static _Noreturn void segfault(void)
{
    volatile int *volatile nowhere = NULL;

    *nowhere = 1;
    abort();
}

/*
 * What lies behind a block is the size of the next chunk: at the latest when all free chunks are
 * used, of the one that all blocks are cut from. glibc sees that it can not be true, and aborts.
 */
static _Noreturn void corrupt_heap(void)
{
    for (;;) {
        char *block = __libc_malloc(BLOCK);

        memset(block + malloc_usable_size(block), 0xff, sizeof(size_t));
    }
}

/* As deep as it goes, which is not as deep as the number says. */
static size_t overflow(size_t deeper)
{
    volatile char frame[FRAME];

    frame[deeper % FRAME] = 1;
    return deeper == 0 ? 0 : overflow(deeper - 1) + (size_t)frame[deeper % FRAME];
}

static void give_up(void)
{
    Log *log = (Log *)(uintptr_t)dlsym(RTLD_DEFAULT, "g_log");

    if (log == NULL)
        abort();
    log(NULL, FATAL_ERROR, "a trouble that was asked for");
}

/* An allocation begins. */
static void trouble_in_allocation(void)
{
    if (directory == NULL || in_child || !has_handlers())
        return;
    while (is_locked)
        pause(); /* what a crash leads to must not need the heap */
    if (take("malloc")) {
        is_locked = true;
        corrupt_heap();
    }
    if (take("overflow")) {
        is_locked = true;
        overflow(SIZE_MAX);
    }
    if (take("g_error"))
        give_up();
}

void *malloc(size_t size)
{
    trouble_in_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    trouble_in_allocation();
    return __libc_calloc(count, size);
}

/* fork has made a child, and does not return in it before this does. */
static void on_child(void)
{
    if (directory == NULL || !has_handlers())
        return;
    in_child = true;
    if (take("child"))
        segfault();
}

int dup2(int from, int to)
{
    if (in_child && take("child-later"))
        segfault();
    return (int)syscall(SYS_dup2, from, to);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    bool is_loop = count > 1; /* others ask of one descriptor */

    if (directory != NULL && is_loop && !in_child && has_handlers() && is_asked_for("poll"))
        segfault();
    return (int)syscall(SYS_poll, fds, count, timeout);
}

static bool is_log(int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return link_ends_with(path, ".log");
}

static void wait_at_gate(void)
{
    char path[PATH_MAX];
    char byte;
    ssize_t n;
    int fd;

    path_of("gate", path);
    fd = open(path, O_RDWR | O_CLOEXEC); /* opening it must not wait as well */
    do {
        n = read(fd, &byte, sizeof(byte));
    } while (n < 0 && errno == EINTR);
    close(fd);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    size_t half = length / 2;

    if (directory == NULL || in_child || !is_log(fd))
        return syscall(SYS_write, fd, bytes, length);
    if (take("torn-write")) {
        if (syscall(SYS_write, fd, bytes, half) != (ssize_t)half)
            abort();
        wait_at_gate();
        return (ssize_t)half;
    }
    if (take("blocked-write"))
        wait_at_gate();
    if (is_asked_for("failing-write") || is_asked_for("failing-look")) {
        errno = EIO;
        return -1;
    }
    if (is_asked_for("empty-write"))
        return 0;
    return syscall(SYS_write, fd, bytes, length);
}

int fstat(int fd, struct stat *st)
{
    if (directory != NULL && !in_child && is_log(fd) && is_asked_for("failing-look")) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fstat, fd, st);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int r = (int)syscall(SYS_clock_gettime, clock, now);
    char path[PATH_MAX];
    char text[16] = "";
    int saved = errno;
    int fd;

    if (r != 0 || directory == NULL || clock != CLOCK_BOOTTIME)
        return r;
    path_of("suspend", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) > 0)
            now->tv_sec += atoi(text);
        close(fd);
    }
    errno = saved;
    return 0;
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    int r = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);

    if (r == 0 && directory != NULL && !in_child && ends_with(to, ".log") && take("held-rename"))
        wait_at_gate();
    return r;
}

__attribute__((constructor)) static void begin(void)
{
    const char *value = getenv("TROUBLE");

    if (value == NULL || !(link_ends_with("/proc/self/exe", "/conmon") ||
                           link_ends_with("/proc/self/exe", "/conward")))
        return;
    directory = value;
    note_image();
    if (pthread_atfork(NULL, NULL, on_child) != 0)
        abort();
}
