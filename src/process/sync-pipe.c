#include "process/sync-pipe.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { START_WORD_MAX = 8192 };

int engine_pipe(const char *variable, Error *error)
{
    const char *value = getenv(variable);
    char *end;
    long fd;
    int r;

    if (value == NULL)
        return -1;
    errno = 0;
    fd = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || fd < 0 || fd > INT_MAX) {
        error_set(error, 0, "unable to parse %s: \"%s\" is not a descriptor number", variable,
                  value);
        return -2;
    }
    r = fcntl((int)fd, F_GETFD);
    /* What we were given has no FD_CLOEXEC; what has it is a file of our own under that number. */
    if (r >= 0 && r & FD_CLOEXEC) {
        error_set(error, EBADF, "unable to make %s CLOEXEC: descriptor %ld", variable, fd);
        return -2;
    }
    r = fd_set_cloexec((int)fd, true);
    if (r < 0) {
        error_set(error, -r, "unable to make %s CLOEXEC: descriptor %ld", variable, fd);
        return -2;
    }
    return (int)fd;
}

int start_pipe_wait(int fd)
{
    char word[START_WORD_MAX];
    struct stat st;
    ssize_t n;

    do {
        n = read(fd, word, sizeof(word));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == 0 && fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode) ? -EPIPE : 0;
}

int sync_send(int fd, const char *line, size_t length)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    ssize_t n = send(fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);

    /* A pipe that poll(2) calls writable takes a line at once: it is no longer than PIPE_BUF. */
    if (n < 0 && errno == ENOTSOCK && poll(&ready, 1, 0) == 1)
        n = write(fd, line, length);
    return n < 0 ? -errno : 0;
}

/* How JSON writes the byte, into `to`; returns the length. */
static size_t escape(char to[8], unsigned char byte)
{
    static const char plain[] = "\\\"/\n\r\t\b\f";
    static const char letter[] = "\\\"/nrtbf";
    const char *found = byte != '\0' ? strchr(plain, byte) : NULL;

    if (found != NULL)
        return (size_t)snprintf(to, 8, "\\%c", letter[found - plain]);
    if (byte < 0x20 || byte == 0x7f)
        return (size_t)snprintf(to, 8, "\\u%04x", byte);
    to[0] = (char)byte;
    return 1;
}

/* How many bytes of the text have become the first `valid` ones of what g_utf8_make_valid() has
 * made of it: each byte that is not UTF-8 is three there. */
static size_t bytes_before(const char *text, size_t text_length, size_t valid)
{
    size_t at = 0;

    for (size_t made = 0; made < valid;) {
        gunichar character = g_utf8_get_char_validated(text + at, (gssize)(text_length - at));
        bool is_valid = text[at] != '\0' && character < (gunichar)-2;
        size_t size = is_valid ? (size_t)g_unichar_to_utf8(character, NULL) : 1;

        at += size;
        made += is_valid ? size : 3;
    }
    return at;
}

size_t sync_line(char line[SYNC_LINE_MAX], const char *key, int number, const char *text,
                 size_t text_length, uint64_t before)
{
    static const char tail[] = "\"}\n";
    char cut[64];
    char escaped[8];
    char *valid = g_utf8_make_valid(text, (gssize)text_length);
    size_t length = strlen(valid);
    size_t from = length;
    size_t used = 0;
    size_t at;
    size_t room;

    if (length == 0) {
        g_free(valid);
        return (size_t)snprintf(line, SYNC_LINE_MAX, "{\"%s\": %d}\n", key, number);
    }
    at = (size_t)snprintf(line, SYNC_LINE_MAX, "{\"%s\": %d, \"message\": \"", key, number);
    room = SYNC_LINE_MAX - at - strlen(tail) -
           (size_t)snprintf(cut, sizeof(cut), LEFT_OUT, before + text_length);

    while (from > 0) {
        size_t more = escape(escaped, (unsigned char)valid[from - 1]);

        if (used + more > room)
            break;
        used += more;
        from--;
    }
    while (from > 0 && ((unsigned char)valid[from] & 0xc0) == 0x80)
        from++; /* not in the middle of a character */
    before += bytes_before(text, text_length, from);
    if (before > 0)
        at += (size_t)sprintf(line + at, LEFT_OUT, before);
    for (; from < length; from++)
        at += escape(line + at, (unsigned char)valid[from]);
    memcpy(line + at, tail, strlen(tail));
    g_free(valid);
    return at + strlen(tail);
}
