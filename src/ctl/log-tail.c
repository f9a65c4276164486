#include "ctl/log-tail.h"

#include <string.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024 };

typedef struct Tail {
    TailCount count;
    size_t file;
} Tail;

static bool read_block(const LogSource *source, uint8_t *to, size_t length, uint64_t at)
{
    while (length > 0) {
        ssize_t n = pread(source->fd, to, length, (off_t)at);

        if (n <= 0)
            return false; /* it has become shorter just now, or cannot be read */
        to += n;
        at += (uint64_t)n;
        length -= (size_t)n;
    }
    return true;
}

/* Goes back through a plain file; returns the place where that has ended. */
static uint64_t go_back(Tail *tail, const LogSource *source)
{
    uint8_t buffer[BLOCK + CRI_HEADER_MAX];
    uint64_t size = log_source_size(source);
    uint64_t distance = tail->count.distance;
    uint64_t end = size; /* of the line that is looked for */
    uint64_t at = size;  /* the place of the buffer's first byte */
    size_t kept = 0;     /* bytes in the buffer: also the first ones of the block before */
    CriHeader header;

    while (at > 0) {
        size_t length = at < BLOCK ? (size_t)at : BLOCK;
        size_t rest = length;

        kept = kept < CRI_HEADER_MAX ? kept : CRI_HEADER_MAX;
        memmove(buffer + length, buffer, kept);
        at -= length;
        kept += length;
        if (!read_block(source, buffer, length, at))
            return 0;
        for (;;) {
            const uint8_t *newline = memrchr(buffer, '\n', rest);
            size_t first = newline == NULL ? 0 : (size_t)(newline - buffer) + 1;
            uint64_t start = at + first;

            if (newline == NULL && at > 0)
                break;
            tail->count.distance = distance + size - start;
            if (start < end &&
                cri_header_parse(&header, buffer + first, kept - first) == CRI_RECORD)
                tail_count_meet(&tail->count, &header, (LogPlace){tail->file, end});
            if (newline == NULL || tail_count_is_found(&tail->count))
                return start;
            end = start;
            rest = first - 1;
        }
    }
    return 0;
}

/* What going forward through a compressed file has met. */
typedef struct Forward {
    uint64_t ends;        /* of lines */
    uint64_t first_taken; /* the number of the first end, from 0, that belongs to the last lines */
    uint64_t open_at[2];  /* a partial record at this place counts as an end */
    bool any[2];
    bool partial[2];   /* the latest record is */
    uint64_t at[2];    /* and begins here */
    bool before[2];    /* there is an end before those taken */
    uint64_t after[2]; /* behind the latest such end */
} Forward;

static void pass(Forward *forward, const CriHeader *header, uint64_t start, uint64_t end)
{
    int i = header->stream;

    forward->any[i] = true;
    forward->partial[i] = header->partial;
    forward->at[i] = start;
    if (header->partial && start != forward->open_at[i])
        return;
    if (forward->ends++ < forward->first_taken) {
        forward->before[i] = true;
        forward->after[i] = end;
    }
}

static void go_forward(Tail *tail, LogSource *source, Forward *forward)
{
    uint8_t block[BLOCK];
    Error error; /* whoever reads the file to show it says what is wrong */
    CriLine line;
    CriEvent event;
    uint64_t start = 0;
    ssize_t n;

    cri_line_init(&line, 0);
    log_source_seek(source, 0);
    do {
        CriBytes content;
        CriBytes input = {block, 0};

        n = log_source_read(source, block, sizeof(block), &error);
        input.length = n > 0 ? (size_t)n : 0;
        do {
            start = line.start;
            event = cri_line_next(&line, &input, &content);
            if (event == CRI_END && log_choice_has(tail->count.choice, &line.header))
                pass(forward, &line.header, start, line.start);
        } while (event != CRI_NOTHING);
    } while (n > 0);
    start = line.start;
    if (cri_line_finish(&line) == CRI_END && log_choice_has(tail->count.choice, &line.header))
        pass(forward, &line.header, start, source->position);
    log_source_rest(source);
}

/*
 * The same as going back, for a file that cannot: it is read once to count the ends of lines, and
 * if more of them are there than wanted, once more to find the place of the last one too many.
 */
static void count(Tail *tail, LogSource *source)
{
    Forward first = {.first_taken = 0, .open_at = {UINT64_MAX, UINT64_MAX}};
    Forward second = first;
    uint64_t need = tail->count.wanted - tail->count.lines;

    go_forward(tail, source, &first);
    tail->count.distance += source->position;
    for (int i = 0; i < 2; i++) {
        if (!tail->count.streams[i].seen && first.any[i] && first.partial[i]) {
            second.open_at[i] = first.at[i];
            first.ends++;
        }
    }
    tail->count.lines += first.ends < need ? first.ends : need;
    if (first.ends > need) {
        second.first_taken = first.ends - need;
        go_forward(tail, source, &second);
    }
    for (int i = 0; i < 2; i++) {
        TailStream *stream = &tail->count.streams[i];

        if (second.before[i] && !stream->done) {
            stream->done = true;
            stream->start = (LogPlace){tail->file, second.after[i]};
        }
        if (first.any[i]) {
            stream->seen = true;
            stream->last = tail->count.distance;
        }
    }
}

LogPlace log_tail(LogFiles *list, const LogChoice *choice, uint64_t lines, LogPlace starts[2])
{
    Tail tail = {.file = list->count};
    LogPlace stopped;

    tail_count_init(&tail.count, choice, lines);
    do {
        LogSource *source = &list->files[--tail.file].source;

        stopped = (LogPlace){tail.file, 0};
        if (source->compressed)
            count(&tail, source);
        else if (source->fd >= 0)
            stopped.at = go_back(&tail, source);
    } while (tail.file > 0 && !tail_count_is_found(&tail.count));
    for (int i = 0; i < 2; i++)
        starts[i] = tail.count.streams[i].done ? tail.count.streams[i].start : stopped;
    return stopped;
}
