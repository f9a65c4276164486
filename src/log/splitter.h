#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Cuts a byte stream into records. Pure: bytes in, one record out; no I/O, no clock, no
 * allocation, no memory of its own.
 *
 * Law: for every input, however it is cut into calls, joining the contents of the records and
 * adding a newline after each full one gives the input back, byte for byte.
 */
typedef enum SplitTag {
    SPLIT_MORE,    /* no record yet: more bytes are needed */
    SPLIT_PARTIAL, /* P: the line goes on */
    SPLIT_FULL,    /* F: the line's end; the newline behind the content is used up too */
} SplitTag;

/* What is known of the bytes behind the given ones. */
typedef enum SplitMode {
    SPLIT_WAIT,  /* more may come: an unfinished line waits */
    SPLIT_FLUSH, /* more may come, but what is here shall show now */
    SPLIT_END,   /* nothing will follow */
} SplitMode;

typedef struct Split {
    SplitTag tag;
    size_t length; /* of the content, in bytes, without the newline of a full record */
} Split;

enum { SPLITTER_BACK_MOST = 64 };

/*
 * Looks at `size` bytes, the first of which begins a record, and returns that record.
 *
 * scanned: so many bytes at the beginning are known to hold no newline (0 is always right). It
 * saves looking again at a long line that arrives byte by byte.
 * limit: the longest content, in bytes, at least 4.
 *
 * A line of up to `limit` bytes is one full record. A longer one gives partial records, each only
 * when the byte behind it is known not to be the newline. A cut never falls inside a valid UTF-8
 * sequence, and not inside a sequence that may still become valid, except at SPLIT_END.
 *
 * A cut at the limit steps back, by up to SPLITTER_BACK_MOST bytes, to a place with no blank (as
 * isspace() has it) before or behind it: there are readers that trim each record. What shows
 * because its line waits, or is the last of its stream, is not cut: a prompt ends with a blank, and
 * what is behind it is not known.
 */
Split splitter_next(const uint8_t *bytes, size_t size, size_t scanned, size_t limit,
                    SplitMode mode);
