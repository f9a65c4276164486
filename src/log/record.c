#include "log/record.h"

#include <stdbool.h>
#include <string.h>

/* A clock that falls behind the last stamp by more than so many nanoseconds has been set. */
#define SET_BACK INT64_C(1000000000)

static void format_second(RecordClock *clock, time_t second)
{
    struct tm tm;

    localtime_r(&second, &tm);
    strftime(clock->text, sizeof(clock->text), "%Y-%m-%dT%H:%M:%S.000000000%z", &tm);
    /* strftime writes the offset without its colon: +0200 becomes +02:00. */
    memmove(clock->text + RECORD_TIME_LENGTH - 2, clock->text + RECORD_TIME_LENGTH - 3, 2);
    clock->text[RECORD_TIME_LENGTH - 3] = ':';
    clock->second = second;
}

int64_t record_stamp(int64_t last, int64_t now)
{
    bool is_set_back = last - now > SET_BACK;

    return now > last || is_set_back ? now : last + 1;
}

void record_header(RecordClock *clock, struct timespec now, int stream, char *header)
{
    char *digit = header + RECORD_LAST_DIGIT_AT;

    if (now.tv_sec != clock->second)
        format_second(clock, now.tv_sec);
    memcpy(header, clock->text, RECORD_TIME_LENGTH);
    for (long rest = now.tv_nsec; rest > 0; rest /= 10)
        *digit-- = (char)('0' + rest % 10);
    memcpy(header + RECORD_TIME_LENGTH, stream == 0 ? " stdout P " : " stderr P ",
           RECORD_HEADER_LENGTH - RECORD_TIME_LENGTH);
}

size_t record_write(uint8_t *to, const char *header, char tag, const uint8_t *content,
                    size_t length)
{
    memcpy(to, header, RECORD_HEADER_LENGTH);
    to[RECORD_TAG_AT] = (uint8_t)tag;
    memcpy(to + RECORD_HEADER_LENGTH, content, length);
    to[RECORD_HEADER_LENGTH + length] = '\n';
    return RECORD_HEADER_LENGTH + length + 1;
}
