#pragma once

#include "ctl/cri-line.h"
#include "ctl/rfc3339.h"

/* Which records are wanted. */
typedef struct LogChoice {
    bool streams[2];
    bool has_since;
    bool has_until;
    struct timespec since; /* the first moment that counts */
    struct timespec until; /* the first that does no longer */
} LogChoice;

static inline bool log_choice_has(const LogChoice *choice, const CriHeader *header)
{
    return choice->streams[header->stream] &&
           (!choice->has_since || rfc3339_compare(header->time, choice->since) >= 0) &&
           (!choice->has_until || rfc3339_compare(header->time, choice->until) < 0);
}
