/*
 * One small static helper for the benchmarks and the boundedness tests, so that little is measured
 * but the monitor:
 *
 * workload create ... --bundle DIR --pid-file FILE ...
 *     an OCI runtime as far as a monitor can see: starts a "container" that runs the steps in
 *     DIR/workload, and returns
 * workload run STEP...
 *     runs the steps given here (in a real container, or as exit command)
 * workload scan LOG LENGTH
 *     checks a k8s-file log and prints what is in it
 *
 * A step is one word:
 * write:LENGTH:TOTAL:CHUNK
 *     TOTAL bytes on stdout in lines of LENGTH bytes (newline included; 0: a line that never ends),
 *     CHUNK bytes for each write(2) (0: a big block)
 * wait:FIFO
 *     say at the fifo that this point is reached, go on when its reader closes
 * exit:STATUS
 *     end with this status (default 0)
 *
 * The text of a line is the alphabet again and again, so that a byte that is lost, doubled or moved
 * inside a line is seen by `scan`.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALPHABET 26
#define BIG_BLOCK ((size_t)1 << 18)
#define LINE_MAX_LENGTH ((size_t)1 << 20)

/* "2024-06-10T12:34:56.123456789+00:00 stdout F " */
#define STAMP_LENGTH ((size_t)35)
#define HEADER_LENGTH ((size_t)45)

static _Noreturn void die(const char *what, const char *on)
{
    fprintf(stderr, "workload: %s %s: %s\n", what, on, strerror(errno));
    exit(99);
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("cannot write to", "stdout");
        data += n;
        size -= (size_t)n;
    }
}

static char letter(size_t column)
{
    return (char)('a' + column % ALPHABET);
}

/* Repeats one period of the text from any point of it: a write of `chunk` bytes that begins at
 * stream offset o is text[o % period, +chunk). */
static char *make_text(size_t length, size_t period, size_t size)
{
    char *text = malloc(size);
    if (text == NULL)
        die("cannot allocate", "the text");
    for (size_t i = 0; i < size; i++) {
        size_t column = i % period;
        text[i] = length > 0 && column == length - 1 ? '\n' : letter(column);
    }
    return text;
}

static void step_write(const char *arguments)
{
    size_t length = 0;
    uint64_t total = 0;
    size_t chunk = 0;
    if (sscanf(arguments, "%zu:%" SCNu64 ":%zu", &length, &total, &chunk) != 3) {
        errno = EINVAL;
        die("cannot read the step", arguments);
    }
    if (chunk == 0)
        chunk = BIG_BLOCK;

    size_t period = length > 0 ? length : ALPHABET;
    char *text = make_text(length, period, chunk + period);
    for (uint64_t offset = 0; offset < total; offset += chunk) {
        uint64_t left = total - offset;
        write_all(STDOUT_FILENO, text + offset % period, left < chunk ? (size_t)left : chunk);
    }
    free(text);
}

static void step_wait(const char *path)
{
    /* If the benchmark is gone nobody will ever open the fifo: end some time. */
    alarm(900);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        die("cannot open the fifo", path);
    write_all(fd, "", 1);
    struct pollfd reader = {.fd = fd};
    while (poll(&reader, 1, -1) < 0 && errno == EINTR)
        ;
    close(fd);
    alarm(0);
}

static void run_step(const char *step)
{
    if (strncmp(step, "write:", 6) == 0)
        step_write(step + 6);
    else if (strncmp(step, "wait:", 5) == 0)
        step_wait(step + 5);
    else if (strncmp(step, "exit:", 5) == 0)
        exit(atoi(step + 5));
    else {
        errno = EINVAL;
        die("unknown step", step);
    }
}

static void run_file(const char *bundle)
{
    char path[4096];
    static char steps[65536];
    snprintf(path, sizeof path, "%s/workload", bundle);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("cannot open", path);
    ssize_t n = read(fd, steps, sizeof steps - 1);
    if (n < 0)
        die("cannot read", path);
    close(fd);
    char *rest = steps;
    for (char *step = strsep(&rest, " \n"); step != NULL; step = strsep(&rest, " \n"))
        if (*step != '\0')
            run_step(step);
}

static int create(int argc, char **argv)
{
    const char *bundle = NULL;
    const char *pid_file = NULL;
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--bundle") == 0)
            bundle = argv[i + 1];
        if (strcmp(argv[i], "--pid-file") == 0)
            pid_file = argv[i + 1];
    }
    if (bundle == NULL || pid_file == NULL) {
        errno = EINVAL;
        die("called without", "--bundle or --pid-file");
    }

    pid_t pid = fork();
    if (pid < 0)
        die("cannot fork", "the container");
    if (pid == 0) {
        run_file(bundle);
        exit(0);
    }
    int fd = open(pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%d", (int)pid) < 0)
        die("cannot write", pid_file);
    return 0;
}

struct scan {
    uint64_t bytes; /* put together again: newlines of F records count, those of P records do not */
    uint64_t full;  /* F records */
    uint64_t partial; /* P records */
    uint64_t torn;    /* pieces that are no record */
    uint64_t wrong;   /* records whose text is not what was written */
    size_t longest;   /* content of the longest record, without its newline */
};

static bool header_is_valid(const char *record, size_t size)
{
    if (size < HEADER_LENGTH || record[10] != 'T' || record[STAMP_LENGTH] != ' ')
        return false;
    const char *rest = record + STAMP_LENGTH + 1;
    return (memcmp(rest, "stdout ", 7) == 0 || memcmp(rest, "stderr ", 7) == 0) &&
           (rest[7] == 'P' || rest[7] == 'F') && rest[8] == ' ';
}

/* `length` as for the step write. A size limit may have thrown away the beginning of the log: the
 * first letter tells where in an endless line it starts now; with lines the log must start with a
 * whole one. */
static int scan(const char *path, size_t length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        die("cannot open", path);
    size_t size = (size_t)st.st_size;
    const char *log = "";
    if (size > 0 && (log = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        die("cannot map", path);

    char *text = make_text(0, ALPHABET, LINE_MAX_LENGTH + ALPHABET);
    struct scan seen = {0};
    size_t column = 0;
    if (length == 0 && size > HEADER_LENGTH)
        column = (size_t)(unsigned char)(log[HEADER_LENGTH] - 'a') % ALPHABET;

    for (size_t at = 0; at < size;) {
        const char *record = log + at;
        const char *newline = memchr(record, '\n', size - at);
        size_t record_size = newline != NULL ? (size_t)(newline - record) : size - at;
        at += record_size + 1;
        if (newline == NULL || !header_is_valid(record, record_size)) {
            seen.torn++;
            continue;
        }
        size_t content = record_size - HEADER_LENGTH;
        bool full = record[HEADER_LENGTH - 2] == 'F';
        if (content > seen.longest)
            seen.longest = content;
        if (content > LINE_MAX_LENGTH ||
            memcmp(record + HEADER_LENGTH, text + column % ALPHABET, content) != 0)
            seen.wrong++;
        column += content;
        seen.bytes += content;
        if (full) {
            seen.full++;
            seen.bytes++;
            if (column + 1 != length)
                seen.wrong++;
            column = 0;
        } else {
            seen.partial++;
        }
    }
    printf("bytes=%" PRIu64 " full=%" PRIu64 " partial=%" PRIu64 " torn=%" PRIu64 " wrong=%" PRIu64
           " longest=%zu\n",
           seen.bytes, seen.full, seen.partial, seen.torn, seen.wrong, seen.longest);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "scan") == 0)
        return scan(argv[2], strtoul(argv[3], NULL, 10));
    if (argc > 1 && strcmp(argv[1], "run") == 0) {
        for (int i = 2; i < argc; i++)
            run_step(argv[i]);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "create") == 0)
            return create(argc, argv);
    fprintf(stderr, "workload: create, run or scan? See the top of workload.c.\n");
    return 99;
}
