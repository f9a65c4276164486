#include "ctl/cri-line.h"

#include "ctl/rfc3339.h"

#include <string.h>

/* The word at the front of `rest`; takes it and the space behind it. */
static bool take_word(CriBytes *rest, CriBytes *word)
{
    const uint8_t *space = memchr(rest->bytes, ' ', rest->length);

    if (space == NULL)
        return false;
    *word = (CriBytes){rest->bytes, (size_t)(space - rest->bytes)};
    rest->length -= word->length + 1;
    rest->bytes = space + 1;
    return true;
}

static bool is_word(CriBytes word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.bytes, text, word.length) == 0;
}

/* Tags are separated by colons; the first says whether the line goes on. */
static bool parse_tag(CriBytes tag, bool *partial)
{
    if (tag.length == 0 || (tag.length > 1 && tag.bytes[1] != ':'))
        return false;
    *partial = tag.bytes[0] == 'P';
    return *partial || tag.bytes[0] == 'F';
}

CriVerdict cri_header_parse(CriHeader *header, const uint8_t *bytes, size_t length)
{
    size_t most = length < CRI_HEADER_MAX ? length : CRI_HEADER_MAX;
    const uint8_t *newline = memchr(bytes, '\n', most);
    CriBytes rest = {bytes, newline != NULL ? (size_t)(newline - bytes) : most};
    CriBytes time;
    CriBytes stream;
    CriBytes tag;

    if (!take_word(&rest, &time) || !take_word(&rest, &stream) || !take_word(&rest, &tag))
        return newline == NULL && length < CRI_HEADER_MAX ? CRI_SHORT : CRI_NO_RECORD;
    header->stream = is_word(stream, "stderr");
    header->time_length = time.length;
    header->length = (size_t)(rest.bytes - bytes);
    if (!rfc3339_parse((const char *)time.bytes, time.length, &header->time) ||
        (header->stream == 0 && !is_word(stream, "stdout")) || !parse_tag(tag, &header->partial))
        return CRI_NO_RECORD;
    return CRI_RECORD;
}

static void begin_line(CriLine *line, uint64_t at)
{
    line->state = CRI_IN_HEADER;
    line->start = at;
    line->at = at;
    line->text_length = 0;
}

void cri_line_init(CriLine *line, uint64_t at)
{
    *line = (CriLine){.follows = false};
    begin_line(line, at);
}

static void take(CriLine *line, CriBytes *input, size_t length)
{
    input->bytes += length;
    input->length -= length;
    line->at += length;
}

/* Collects the header until it can be told what the line is. */
static CriEvent read_header(CriLine *line, CriBytes *input)
{
    size_t before = line->text_length;
    size_t room = CRI_HEADER_MAX - before;
    size_t added = input->length < room ? input->length : room;
    CriHeader header;
    CriVerdict verdict;

    memcpy(line->text + before, input->bytes, added);
    line->text_length += added;
    verdict = cri_header_parse(&header, line->text, line->text_length);
    if (verdict == CRI_SHORT) {
        take(line, input, added);
        return CRI_NOTHING;
    }
    if (verdict == CRI_RECORD) {
        header.same_time = line->follows && header.time.tv_sec == line->header.time.tv_sec &&
                           header.time.tv_nsec == line->header.time.tv_nsec;
        line->header = header;
        line->follows = true;
        line->state = CRI_IN_CONTENT;
        take(line, input, line->header.length - before);
        return CRI_BEGIN;
    }
    /* Its newline may be among the bytes just looked at: they are read again. */
    line->state = CRI_IN_GARBAGE;
    return CRI_NOTHING;
}

CriEvent cri_line_next(CriLine *line, CriBytes *input, CriBytes *content)
{
    while (input->length > 0) {
        const uint8_t *newline;
        CriEvent event;

        if (line->state == CRI_IN_HEADER) {
            if (read_header(line, input) == CRI_BEGIN)
                return CRI_BEGIN;
            continue;
        }
        newline = memchr(input->bytes, '\n', input->length);
        if (newline == input->bytes) {
            event = line->state == CRI_IN_CONTENT ? CRI_END : CRI_BAD;
            take(line, input, 1);
            begin_line(line, line->at);
            return event;
        }
        *content = *input;
        if (newline != NULL)
            content->length = (size_t)(newline - input->bytes);
        take(line, input, content->length);
        if (line->state == CRI_IN_CONTENT)
            return CRI_CONTENT;
    }
    return CRI_NOTHING;
}

CriEvent cri_line_finish(CriLine *line)
{
    CriEvent event = CRI_NOTHING;

    if (line->state == CRI_IN_CONTENT)
        event = CRI_END;
    else if (line->state == CRI_IN_GARBAGE || line->text_length > 0)
        event = CRI_BAD;
    begin_line(line, 0);
    return event;
}
