#include "foreign/tail.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

enum {
    STDOUT,
    STDERR,
    STREAMS,
    /* A stream that wrote only this much of the tail may have a prompt or a progress bar open. */
    PARTIAL_MIN = 16384,
};

static const char *const NAMES[STREAMS] = {"stdout", "stderr"};

/* One record without its newline. */
typedef struct Record {
    int stream;
    bool partial;
} Record;

static bool stream_parse(const char *text, size_t length, int *stream)
{
    for (*stream = 0; *stream < STREAMS; (*stream)++)
        if (length == strlen(NAMES[*stream]) && memcmp(text, NAMES[*stream], length) == 0)
            return true;
    return false;
}

/* "TIME STREAM TAG TEXT"; the tag is P or F, perhaps with more after a colon. */
static bool cri_parse(const char *text, size_t length, Record *record)
{
    const char *end = text + length;
    const char *stream = memchr(text, ' ', length);
    const char *tag = stream == NULL ? NULL : memchr(stream + 1, ' ', (size_t)(end - stream - 1));

    if (tag == NULL || end - tag < 2 || (tag[1] != 'P' && tag[1] != 'F') ||
        (end - tag > 2 && tag[2] != ' ' && tag[2] != ':'))
        return false;
    record->partial = tag[1] == 'P';
    return stream_parse(stream + 1, (size_t)(tag - stream - 1), &record->stream);
}

/* Whether the JSON text before `end` ends with \n: an odd number of backslashes before the n. */
static bool ends_line(const char *begin, const char *end)
{
    const char *at = end - 1;

    if (*at != 'n')
        return false;
    while (at > begin && at[-1] == '\\')
        at--;
    return (end - 1 - at) % 2 == 1;
}

/* {"log":"TEXT\n","stream":"stdout",…}: without \n at the end of its text, it is partial. Quotation
 * marks inside the text are escaped, so the words after it cannot be taken from it. */
static bool json_parse(const char *text, size_t length, Record *record)
{
    static const char BEGIN[] = "{\"log\":\"";
    static const char BETWEEN[] = "\",\"stream\":\"";
    const char *end = text + length;
    const char *between, *stream, *quote;

    if (length < sizeof(BEGIN) - 1 || memcmp(text, BEGIN, sizeof(BEGIN) - 1) != 0)
        return false;
    between = memmem(text, length, BETWEEN, sizeof(BETWEEN) - 1);
    if (between == NULL)
        return false;
    stream = between + sizeof(BETWEEN) - 1;
    quote = memchr(stream, '"', (size_t)(end - stream));
    record->partial = !ends_line(text, between);
    return quote != NULL && stream_parse(stream, (size_t)(quote - stream), &record->stream);
}

const char *tail_endless(const char *tail, size_t length)
{
    static const char *const ENDLESS[STREAMS] = {"standard output", "standard error"};
    const char *end = tail + length;
    const char *newline = memchr(tail, '\n', length);
    size_t partial[STREAMS] = {0};
    bool ended[STREAMS] = {false};

    if (newline == NULL)
        return "a line";
    for (const char *at = newline + 1; at < end; at = newline + 1) {
        Record record;

        newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break; /* a record that is just being written */
        if (!cri_parse(at, (size_t)(newline - at), &record) &&
            !json_parse(at, (size_t)(newline - at), &record))
            return NULL;
        if (record.partial)
            partial[record.stream] += (size_t)(newline - at);
        else
            ended[record.stream] = true;
    }
    for (int i = 0; i < STREAMS; i++)
        if (partial[i] >= PARTIAL_MIN && !ended[i])
            return ENDLESS[i];
    return NULL;
}
