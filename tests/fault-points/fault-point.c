/*
 * What FAULT_POINT() does in a build for tests. $FAULT_POINTS is
 *
 *   list          print every point there is, one a line, and end
 *   a directory   with files of the points' names ("monitor-end.c:set_phase:123", with the step's
 *                 bit, counted from 0, behind it where it has steps): each holds, in decimal, how
 *                 often the point must be passed until the program crashes there; -3 means that
 *                 it crashes there each of the next three times. The number is counted down in the
 *                 file, so that the next image of the program goes on where this one was; at 0
 *                 nothing happens any more. If there is a file `trace`, every point that is passed
 *                 is appended to it.
 *
 * As long as the program has not installed its handlers, nothing happens: nothing has begun that a
 * crash could harm.
 */
#include "util/fault-point.h"

#include "stores.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The section that all points are in; made by the linker. */
extern const FaultPoint *const __start_fault_points[];
extern const FaultPoint *const __stop_fault_points[];

static const char *control(void)
{
    return getenv("FAULT_POINTS");
}

/* "../src/monitor/end.c", 123, "take_steps", 1 << 4 -> "monitor-end.c:take_steps:123:4" */
static void name_of(const FaultPoint *point, unsigned step, char *name, size_t size)
{
    const char *file = strstr(point->file, "src/");
    const char *slash = strrchr(point->file, '/');
    char number[16] = "";

    if (point->steps != 0)
        snprintf(number, sizeof(number), ":%d", __builtin_ctz(step));
    if (file != NULL)
        file += strlen("src/");
    else
        file = slash != NULL ? slash + 1 : point->file; /* of the tests */
    snprintf(name, size, "%s:%s:%d%s", file, point->function, point->line, number);
    for (char *at = name; *at != '\0'; at++) {
        if (*at == '/')
            *at = '-';
    }
}

static void print(const FaultPoint *point, unsigned step)
{
    char name[256];

    name_of(point, step, name, sizeof(name));
    puts(name);
}

__attribute__((constructor)) static void list(void)
{
    if (control() == NULL || strcmp(control(), "list") != 0)
        return;
    for (const FaultPoint *const *point = __start_fault_points; point < __stop_fault_points;
         point++) {
        if ((*point)->steps == 0)
            print(*point, 0);
        for (unsigned left = (*point)->steps; left != 0; left &= left - 1)
            print(*point, left & -left);
    }
    exit(EXIT_SUCCESS);
}

static int open_file(const char *name, int flags)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", control(), name);
    return open(path, flags | O_CLOEXEC);
}

static void trace(const char *name)
{
    int fd = open_file("trace", O_WRONLY | O_APPEND);

    if (fd < 0)
        return;
    dprintf(fd, "%s\n", name);
    close(fd);
}

/* Whether this is the time to crash. */
static int count_down(const char *name)
{
    int fd = open_file(name, O_RDWR);
    char digits[16] = "";
    int left;

    if (fd < 0)
        return 0;
    if (pread(fd, digits, sizeof(digits) - 1, 0) < 0)
        abort();
    left = atoi(digits);
    if (left != 0) {
        snprintf(digits, sizeof(digits), "%-15d", left > 0 ? left - 1 : left + 1);
        if (pwrite(fd, digits, strlen(digits), 0) < 0)
            abort();
    }
    close(fd);
    return left == 1 || left < 0;
}

void fault_point(const FaultPoint *here, unsigned step)
{
    struct sigaction action;
    char name[256];

    stores_done();
    if (control() == NULL || sigaction(SIGILL, NULL, &action) < 0 || action.sa_handler == SIG_DFL)
        return;
    if (here->steps != 0 && (step & here->steps) == 0)
        abort(); /* it would be a point that is not listed */
    name_of(here, step, name, sizeof(name));
    trace(name);
    if (count_down(name))
        __builtin_trap();
}
