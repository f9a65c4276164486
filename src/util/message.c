#include "util/message.h"

#include "util/shown.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
    TEXT_MAX = 2048,  /* one message, with its final NUL */
    PREFIX_MAX = 128, /* what stands before the text, on stderr and in the datagram */
};

static const char ELLIPSIS[] = "\xe2\x80\xa6";

/*
 * The formatted text as one line that may be shown; an overlong one ends with an ellipsis. Texts
 * quote ids, paths and a runtime's words, which could forge a second message or drive a terminal.
 */
static void format_line(char line[TEXT_MAX], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void format_line(char line[TEXT_MAX], const char *format, va_list args)
{
    char text[TEXT_MAX] = "";
    bool whole = vsnprintf(text, sizeof(text), format, args) < TEXT_MAX;
    size_t end = strlen(text);

    /* Where it was cut, a character may have lost its last bytes. */
    while (!whole && end > 0 && ((unsigned char)text[end - 1] & 0xc0) == 0x80)
        end--;
    if (!whole && end > 0)
        text[end - 1] = '\0';
    if (!shown_line(line, TEXT_MAX - strlen(ELLIPSIS), text) || !whole)
        strcat(line, ELLIPSIS);
}

/* conmon's forms: engines and their tests look for them. */
static const char *engine_prefix(Level level)
{
    switch (level) {
    case LEVEL_ERROR:
        return "[conmon:e]: ";
    case LEVEL_WARNING:
        return "[conmon:w]: ";
    case LEVEL_INFO:
        return "[conmon:i]: ";
    case LEVEL_DEBUG:
    case LEVEL_TRACE:
        break;
    }
    return "[conmon:d]: ";
}

static const char *run_prefix(Level level)
{
    switch (level) {
    case LEVEL_ERROR:
    case LEVEL_INFO:
        break;
    case LEVEL_WARNING:
        return "conward: warning: ";
    case LEVEL_DEBUG:
    case LEVEL_TRACE:
        return "conward: debug: ";
    }
    return "conward: ";
}

const char *message_prefix(const Messages *messages, Level level)
{
    return messages->engine_style ? engine_prefix(level) : run_prefix(level);
}

static const char *syslog_word(Level level)
{
    switch (level) {
    case LEVEL_ERROR:
        return "error";
    case LEVEL_WARNING:
        return "nwarn";
    case LEVEL_INFO:
        return "ninfo";
    case LEVEL_DEBUG:
        return "ndebug";
    case LEVEL_TRACE:
        break;
    }
    return "ntrace";
}

static void say(const char *prefix, const char *text)
{
    char line[PREFIX_MAX + TEXT_MAX];
    int length = snprintf(line, sizeof(line), "%s%s\n", prefix, text);
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

    /* Whoever does not read our words must not stop us. */
    if (poll(&ready, 1, 0) == 0)
        return;
    /* One write, so that lines of several monitors on one pipe do not mix. */
    while (write(STDERR_FILENO, line, (size_t)length) < 0 && errno == EINTR)
        ;
}

/*
 * The form of RFC 3164 that /dev/log takes. Not syslog(3): that one blocks while the journal is
 * stopped or full, and the monitor with it. Who cannot be reached is not told about it either.
 */
static void tell_syslog(const Messages *messages, Level level, const char *text)
{
    const struct sockaddr_un journal = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char datagram[PREFIX_MAX + TEXT_MAX];
    char when[32] = "";
    time_t now = time(NULL);
    struct tm calendar;
    int length;

    if (fd < 0)
        return;
    if (localtime_r(&now, &calendar) != NULL)
        (void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &calendar);
    length = snprintf(datagram, sizeof(datagram), "<%d>%s %s[%d]: %s %.20s%s<%s>: %s",
                      LOG_MAKEPRI(LOG_USER, level == LEVEL_ERROR ? LOG_ERR : LOG_INFO), when,
                      messages->ident, (int)getpid(), messages->engine_style ? "conmon" : "conward",
                      messages->id, messages->id[0] != '\0' ? " " : "", syslog_word(level), text);
    (void)sendto(fd, datagram, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
                 (const struct sockaddr *)&journal, sizeof(journal));
    close(fd);
}

void message_v(const Messages *messages, Level level, const char *format, va_list args)
{
    int saved = errno; /* callers report an error and then pass it up */
    char text[TEXT_MAX];

    if (level > messages->level)
        return;
    format_line(text, format, args);
    say(message_prefix(messages, level), text);
    if (messages->syslog)
        tell_syslog(messages, level, text);
    errno = saved;
}

void message(const Messages *messages, Level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    message_v(messages, level, format, args);
    va_end(args);
}

bool level_parse(const char *word, Level *level)
{
    static const struct {
        const char *word;
        Level level;
    } words[] = {
        {"error", LEVEL_ERROR},  {"fatal", LEVEL_ERROR},     {"panic", LEVEL_ERROR},
        {"warn", LEVEL_WARNING}, {"warning", LEVEL_WARNING}, {"info", LEVEL_INFO},
        {"debug", LEVEL_DEBUG},  {"trace", LEVEL_TRACE},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(word, words[i].word) == 0) {
            *level = words[i].level;
            return true;
        }
    }
    return false;
}
