#include "state/image.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Whether there is memory to start with, under the limits that we were given. GLib ends the process
 * by a signal where it gets none, and does so from its own constructors on: whoever has asked for a
 * container or a command is to hear a sentence and get a status of ours instead. What fails later
 * is said by what fails. Here nothing is initialised yet, not even the C library's streams.
 */

/* More than the start takes, which is some 200 KiB: a limit between the two ends it here. */
enum { ROOM = 256 * 1024 };

enum {
    STATUS_ENGINE = 1,
    STATUS_RUN = 125,
};

static bool is_resumed(char *const *environment)
{
    static const char BEGINNING[] = IMAGE_VARIABLE "=";

    for (; *environment != NULL; environment++)
        if (strncmp(*environment, BEGINNING, sizeof(BEGINNING) - 1) == 0)
            return true;
    return false;
}

static bool has_room(void)
{
    void *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return room != MAP_FAILED && munmap(room, ROOM) == 0;
}

static void say(const char *sentence)
{
    /* Nobody is left to hear of a failure. */
    if (write(STDERR_FILENO, sentence, strlen(sentence)) < 0)
        return;
}

#define SENTENCE                                                                             \
    "There is not enough memory to start the monitor; raise the limits that it was started " \
    "with (ulimit -d and -v; LimitDATA= and LimitAS= of a unit)\n"

static void check_room(int argc, char **argv, char **environment)
{
    bool run = argc > 1 && strcmp(argv[1], "run") == 0;

    /* A monitor that goes on after a crash must try, whatever there is. */
    if (is_resumed(environment) || has_room())
        return;
    say(run ? "conward: " SENTENCE : "[conmon:e]: " SENTENCE);
    _exit(run ? STATUS_RUN : STATUS_ENGINE);
}

/* Called before the constructors of all libraries (System V ABI). */
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char **, char **) = check_room;
