/*
 * Which code a program reaches, also when it crashes or executes another image: each basic block
 * (-fsanitize-coverage=trace-pc) sets a byte of a file that all processes of the program share.
 * The file is in the directory REACH_DIRECTORY, has the program's size as its name, as tests make
 * copies of programs, and holds one byte for each byte of the program, from its first one on.
 * Linked into every program of a build for tests/mutate, and itself built without such calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 4 << 20 };

extern const char __executable_start[];
extern const char etext[];

void __sanitizer_cov_trace_pc(void);

static uint8_t *map_file(void)
{
    char path[4096];
    struct stat program;
    void *map;
    int fd;

    if (stat("/proc/self/exe", &program) < 0)
        return MAP_FAILED;
    snprintf(path, sizeof(path), "%s/%ld", REACH_DIRECTORY, (long)program.st_size);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return MAP_FAILED;
    fchmod(fd, 0666); /* some run as another user */
    map = ftruncate(fd, SIZE) < 0 ? MAP_FAILED
                                  : mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map;
}

void __sanitizer_cov_trace_pc(void)
{
    static uint8_t *reached;
    uintptr_t at = (uintptr_t)__builtin_return_address(0);
    int before = errno;

    if (at < (uintptr_t)__executable_start || at >= (uintptr_t)etext)
        return;
    if (reached == NULL)
        reached = map_file();
    if (reached != MAP_FAILED)
        reached[at - (uintptr_t)__executable_start] = 1;
    errno = before;
}
