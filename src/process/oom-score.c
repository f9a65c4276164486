#include "process/oom-score.h"

#include "util/fd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char path[] = "/proc/self/oom_score_adj";

int oom_score_get(void)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[16];
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return atoi(text);
}

void oom_score_set(int value)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    char text[16];
    char *digit = text + sizeof(text);
    unsigned rest = value < 0 ? 0U - (unsigned)value : (unsigned)value;

    if (fd < 0)
        return;
    do {
        *--digit = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        *--digit = '-';
    fd_write_all(fd, digit, (size_t)(text + sizeof(text) - digit));
}
