#include "ctl/tail-count.h"

enum {
    /*
     * A line of one stream that may begin further back is not looked for behind more than so much
     * of the other stream: otherwise, one line on standard error would make the last line of a long
     * log a matter of reading it all.
     */
    REACH = 1024 * 1024,
};

void tail_count_init(TailCount *tail, const LogChoice *choice, uint64_t wanted)
{
    *tail = (TailCount){.choice = choice, .wanted = wanted};
    for (int i = 0; i < 2; i++)
        tail->streams[i].done = !choice->streams[i];
}

bool tail_count_is_found(const TailCount *tail)
{
    for (int i = 0; i < 2; i++) {
        const TailStream *stream = &tail->streams[i];

        if (!stream->done && (tail->lines < tail->wanted ||
                              (stream->seen && tail->distance - stream->last <= REACH)))
            return false;
    }
    return true;
}

void tail_count_meet(TailCount *tail, const CriHeader *header, LogPlace behind)
{
    TailStream *stream = &tail->streams[header->stream];

    if (stream->done || !log_choice_has(tail->choice, header))
        return;
    if (!header->partial || !stream->seen) {
        if (tail->lines == tail->wanted) {
            stream->done = true;
            stream->start = behind;
            return;
        }
        tail->lines++;
    }
    stream->seen = true;
    stream->last = tail->distance;
}
