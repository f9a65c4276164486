#include "log/splitter.h"

#include <stdbool.h>
#include <string.h>

/* How many bytes the sequence that begins with `lead` has, 0 if none begins with it. */
static size_t utf8_length(uint8_t lead)
{
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    if (lead >= 0xf0 && lead <= 0xf4)
        return 4;
    return 0;
}

/* Whether `second` may follow `lead`: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool utf8_second(uint8_t lead, uint8_t second)
{
    switch (lead) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return (second & 0xc0) == 0x80;
    }
}

/*
 * The last place at or before `cut` that is not inside a valid UTF-8 sequence. Bytes up to `size`
 * may be looked at; a sequence that reaches beyond them counts as valid if it is so far.
 */
static size_t utf8_boundary(const uint8_t *bytes, size_t size, size_t cut)
{
    for (size_t back = 1; back <= 3 && back <= cut; back++) {
        size_t lead = cut - back;
        size_t length = utf8_length(bytes[lead]);

        if (length == 0) {
            if ((bytes[lead] & 0xc0) != 0x80)
                return cut; /* neither a lead nor a continuation: no sequence spans the cut */
            continue;
        }
        if (length <= back)
            return cut; /* complete before the cut */
        for (size_t i = 1; i < length && lead + i < size; i++) {
            uint8_t byte = bytes[lead + i];

            if (i == 1 ? !utf8_second(bytes[lead], byte) : (byte & 0xc0) != 0x80)
                return cut; /* not valid: nothing to keep together */
        }
        return lead;
    }
    return cut;
}

/* What readers take off the beginning and the end of a record, as if it were a whole line. */
static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r'); /* and a newline is never there */
}

/*
 * Where a line of more than `limit` bytes is cut: where no reader finds anything to take off, if
 * there is such a place. What is behind the byte at `limit` is not looked at: how much of the line
 * has come by now must not matter.
 */
static size_t place_to_cut(const uint8_t *bytes, size_t limit)
{
    size_t last = utf8_boundary(bytes, limit + 1, limit);

    for (size_t cut = last; cut > 0 && limit - cut <= SPLITTER_BACK_MOST;
         cut = utf8_boundary(bytes, limit + 1, cut - 1)) {
        if (!is_blank(bytes[cut - 1]) && !is_blank(bytes[cut]))
            return cut;
    }
    return last;
}

Split splitter_next(const uint8_t *bytes, size_t size, size_t scanned, size_t limit, SplitMode mode)
{
    size_t window =
        size <= limit ? size : limit + 1; /* where the newline of a full record can be */
    size_t cut;

    if (scanned < window) {
        const uint8_t *newline = memchr(bytes + scanned, '\n', window - scanned);

        if (newline != NULL)
            return (Split){SPLIT_FULL, (size_t)(newline - bytes)};
    }
    if (size > limit)
        return (Split){SPLIT_PARTIAL, place_to_cut(bytes, limit)};
    if (size == 0 || mode == SPLIT_WAIT)
        return (Split){SPLIT_MORE, 0};

    cut = mode == SPLIT_END ? size : utf8_boundary(bytes, size, size);
    return (Split){cut > 0 ? SPLIT_PARTIAL : SPLIT_MORE, cut};
}
