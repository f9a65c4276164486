#pragma once

/*
 * What failed, on what, and why: one sentence without a newline, filled where the failure is
 * known and said once by whoever decides about it.
 */
typedef struct Error {
    char text[512];
} Error;

#define ERROR_NULL \
    {              \
        ""         \
    }

/*
 * Fills `error` with the formatted text, followed by ": " and strerror(number) unless number, an
 * errno value, is 0.
 * Returns -number, or -1 where that would be 0, so that callers can `return error_set(…)`.
 */
int error_set(Error *error, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
