#include "ctl/rfc3339.h"

#include <stdint.h>
#include <string.h>

/* What is left to read. */
typedef struct Rest {
    const char *text;
    size_t length;
} Rest;

static bool take(Rest *rest, char c)
{
    if (rest->length == 0 || *rest->text != c)
        return false;
    rest->text++;
    rest->length--;
    return true;
}

static bool take_digit(Rest *rest, int *digit)
{
    if (rest->length == 0 || *rest->text < '0' || *rest->text > '9')
        return false;
    *digit = *rest->text - '0';
    rest->text++;
    rest->length--;
    return true;
}

/* Exactly `digits` digits with a value from `least` to `most`. */
static bool take_number(Rest *rest, int digits, int least, int most, int *number)
{
    *number = 0;
    for (int i = 0, digit; i < digits; i++) {
        if (!take_digit(rest, &digit))
            return false;
        *number = *number * 10 + digit;
    }
    return *number >= least && *number <= most;
}

static bool take_fraction(Rest *rest, long *nanoseconds)
{
    long weight = 100000000;
    int digit;

    *nanoseconds = 0;
    if (!take(rest, '.'))
        return true;
    if (!take_digit(rest, &digit))
        return false;
    do {
        *nanoseconds += digit * weight;
        weight /= 10;
    } while (take_digit(rest, &digit));
    return true;
}

/* How far local time is ahead of UTC, in seconds. */
static bool take_offset(Rest *rest, int *seconds)
{
    int sign = 1;
    int hours;
    int minutes;

    *seconds = 0;
    if (take(rest, 'Z'))
        return true;
    if (take(rest, '-'))
        sign = -1;
    else if (!take(rest, '+'))
        return false;
    if (!take_number(rest, 2, 0, 23, &hours) || !take(rest, ':') ||
        !take_number(rest, 2, 0, 59, &minutes))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static int month_length(int year, int month)
{
    static const int LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return LENGTHS[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01 in the Gregorian calendar. A year counts from March here, so that the leap
 * day is its last. */
static int64_t days_since_epoch(int year, int month, int day)
{
    enum { YEAR_0_TO_1970 = 719468 };
    int y = month > 2 ? year : year - 1;
    int months = month > 2 ? month - 3 : month + 9;
    int days = (153 * months + 2) / 5 + day - 1;

    /* Rounded down, also in the year before the year 0. */
    y += 400;
    return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 - 146097 + days - YEAR_0_TO_1970;
}

bool rfc3339_parse(const char *text, size_t length, struct timespec *time)
{
    Rest rest = {text, length};
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int offset;

    if (!take_number(&rest, 4, 0, 9999, &year) || !take(&rest, '-') ||
        !take_number(&rest, 2, 1, 12, &month) || !take(&rest, '-') ||
        !take_number(&rest, 2, 1, month_length(year, month), &day) || !take(&rest, 'T'))
        return false;
    /* 60 is a leap second. */
    if (!take_number(&rest, 2, 0, 23, &hour) || !take(&rest, ':') ||
        !take_number(&rest, 2, 0, 59, &minute) || !take(&rest, ':') ||
        !take_number(&rest, 2, 0, 60, &second))
        return false;
    if (!take_fraction(&rest, &time->tv_nsec) || !take_offset(&rest, &offset) || rest.length > 0)
        return false;
    time->tv_sec = (time_t)(days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 +
                            second - offset);
    return true;
}

static int64_t unit_seconds(Rest *rest)
{
    if (take(rest, 's'))
        return 1;
    if (take(rest, 'm'))
        return 60;
    if (take(rest, 'h'))
        return 3600;
    return take(rest, 'd') ? 86400 : 0;
}

/* Numbers, each with a unit, in seconds. Far too much is cut to what still is a time. */
static bool take_duration(Rest *rest, int64_t *seconds)
{
    const int64_t most = INT64_C(10000) * 366 * 86400;

    *seconds = 0;
    while (rest->length > 0) {
        int64_t number = 0;
        int64_t unit;
        int digit;

        if (!take_digit(rest, &digit))
            return false;
        do
            number = number * 10 + digit < most ? number * 10 + digit : most;
        while (take_digit(rest, &digit));
        unit = unit_seconds(rest);
        if (unit == 0)
            return false;
        *seconds += number * unit;
        if (*seconds > most)
            *seconds = most;
    }
    return true;
}

bool rfc3339_parse_argument(const char *text, struct timespec now, struct timespec *time)
{
    Rest rest = {text, strlen(text)};
    int64_t seconds;

    if (rfc3339_parse(text, rest.length, time))
        return true;
    if (rest.length == 0 || !take_duration(&rest, &seconds))
        return false;
    *time = now;
    time->tv_sec -= (time_t)seconds;
    return true;
}

int rfc3339_compare(struct timespec a, struct timespec b)
{
    if (a.tv_sec != b.tv_sec)
        return a.tv_sec < b.tv_sec ? -1 : 1;
    return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}
