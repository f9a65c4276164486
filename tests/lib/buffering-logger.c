/*
 * A logger with the fault that takes nodes down: it keeps a line in memory until its newline comes.
 * For tests of what finds it. Reads standard input:
 *
 *     buffering-logger [-c ID] [-n NAME] -l k8s-file:LOG
 *
 * The options are conmon's. With the environment variable DISCARD it keeps nothing: output is lost.
 * Its memory does not grow any more, but for a line, once the log is there.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes all full lines, and keeps the rest. Returns its length. */
static size_t write_lines(FILE *log, char *line, size_t length)
{
    char *begin = line, *newline;

    while ((newline = memchr(begin, '\n', length - (size_t)(begin - line))) != NULL) {
        fprintf(log, "2026-01-01T00:00:00.000000000+00:00 stdout F %.*s\n", (int)(newline - begin),
                begin);
        begin = newline + 1;
    }
    fflush(log);
    length -= (size_t)(begin - line);
    memmove(line, begin, length);
    return length;
}

int main(int argc, char **argv)
{
    enum { MORE = 65536 };
    bool discard = getenv("DISCARD") != NULL;
    size_t length = 0;
    char *line = calloc(1, MORE);
    FILE *log = NULL;
    int option;

    if (line == NULL)
        return 1;
    memset(line, 1, MORE);
    while ((option = getopt(argc, argv, "c:n:l:")) != -1) {
        if (option != 'l')
            continue;
        log = fopen(optarg + strlen("k8s-file:"), "a");
    }
    if (log == NULL) {
        perror("the log of -l k8s-file:LOG");
        return 1;
    }
    for (;;) {
        char *larger = realloc(line, length + MORE);
        ssize_t n;

        if (larger == NULL)
            break;
        line = larger;
        n = read(STDIN_FILENO, line + length, MORE);
        if (n <= 0)
            break;
        length = discard ? 0 : write_lines(log, line, length + (size_t)n);
    }
    return fclose(log) == 0 ? 0 : 1;
}
