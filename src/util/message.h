#pragma once

#include <stdarg.h>
#include <stdbool.h>

/* The monitor's own words, in the form engines know from conmon (`[conmon:w]: text`). */
typedef enum Level {
    LEVEL_ERROR,
    LEVEL_WARNING,
    LEVEL_INFO,
    LEVEL_DEBUG,
    LEVEL_TRACE,
} Level;

typedef struct Messages {
    Level level;       /* the last level that is shown */
    bool engine_style; /* `[conmon:e]: text`; otherwise `conward: text` */
    bool syslog;       /* also to /dev/log */
    char ident[16];    /* syslog identifier: the file name of our program */
    char id[21];       /* the container id's first 20 bytes, with "" before it is known */
} Messages;

#define MESSAGES_NULL          \
    {                          \
        .level = LEVEL_WARNING \
    }

/*
 * Says one line on stderr and, if asked for, to syslog, as util/shown.h has it shown. Never blocks
 * on syslog: a journal that is full or stopped loses the line there.
 */
void message(const Messages *messages, Level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void message_v(const Messages *messages, Level level, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* What each line on stderr begins with. */
const char *message_prefix(const Messages *messages, Level level);

/* Translates a --log-level word, without regard to case. Returns false for an unknown word. */
bool level_parse(const char *word, Level *level);
