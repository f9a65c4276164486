#pragma once

#include <stdint.h>

/* An amount of bytes for people, such as "812 B", "1.5 KiB" or "23 MiB", into a buffer of
 * AMOUNT_TEXT bytes, which is returned. What programs read has plain bytes. */
enum { AMOUNT_TEXT = 24 };
const char *amount_text(uint64_t bytes, char *buffer);

/* The word behind a number of records. */
static inline const char *records_word(uint64_t count)
{
    return count == 1 ? "record" : "records";
}
