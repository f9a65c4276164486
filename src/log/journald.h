#pragma once

#include "log/journal-sender.h"
#include "log/record.h"
#include "log/splitter.h"
#include "state/state.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The journald sink: takes what a stream's input buffer holds, and sends each line to systemd's
 * journal as one entry, in conmon's fields. A longer line becomes several entries; the beginning
 * of a line waits for its end, however long that takes.
 *
 * The path of every entry: it is sent straight from the input buffer, and then one store moves the
 * cursor behind it and counts it. CONWARD_SEQ numbers the entries: a crash inside the send is the
 * one case in which an entry is sent twice, with the same number.
 *
 * If priorities are read, the bytes <N> at the beginning of a line, N being 0 to 7, become the
 * priority of all entries of that line, and are in none of them.
 *
 * A journal that is stopped, restarting, flooded or absent is waited for, while the bytes stay in
 * the input buffer: until it has taken nothing for a while (JOURNAL_DEAD_AFTER), and then they are
 * lost and counted; or until it is back.
 */
enum { JOURNALD_MESSAGE_MOST = 49152 }; /* bytes of a line that one entry holds */

typedef struct JournaldLimits {
    bool waits;       /* what cannot be sent waits; else it is lost after a while */
    bool says_losses; /* with an entry of their own */
} JournaldLimits;

typedef struct JournaldFormat {
    bool hides_partials;   /* entries do not say that their line goes on */
    bool reads_priorities; /* a line that begins with <N> has the priority N, and not these bytes */
} JournaldFormat;

typedef struct Journald {
    State *state; /* NULL: this sink is not in use */
    JournalSender sender;
    JournaldFormat format;
    JournaldLimits limits;
    RecordClock clock;
    uint64_t scanned[STREAMS]; /* stream offset up to which there is no newline */
    bool is_behind[STREAMS];   /* an entry waits to be sent */
    bool has_given_up;         /* nothing waits any more */
} Journald;

#define JOURNALD_NULL                                             \
    {                                                             \
        .sender = JOURNAL_SENDER_NULL, .clock = RECORD_CLOCK_NULL \
    }

/*
 * Begins to log to the journal, or goes on where another image of this program has stopped. The
 * texts are copied.
 */
void journald_init(Journald *journald, State *state, const JournalIdentity *identity,
                   JournaldFormat format, JournaldLimits limits);

void journald_deinit(Journald *journald);

/* Other limits, for what is logged from now on. */
void journald_limit(Journald *journald, JournaldLimits limits);

/*
 * Sends what the stream's buffer holds; what has to wait stays there. Returns 1 if something was
 * sent, 0 if not, or -errno if the journal cannot be reached and that costs output or has lasted
 * for a while; a journal that does not read is -EAGAIN.
 */
int journald_pump(Journald *journald, StreamId stream, SplitMode mode);

/* Whether an entry waits to be sent. */
bool journald_waits(const Journald *journald);

/* Whether one does, and the journal has taken others not long ago. */
bool journald_goes_on(const Journald *journald);

/* Whether a loss is to be told, and the journal has taken entries not long ago. */
bool journald_tells(const Journald *journald);

/* Whether so much waits that no more may be read, of either stream: what is not read stays with the
 * container, which waits, too. */
bool journald_holds(const Journald *journald);

/* When to call journald_pump() for both streams, CLOCK_BOOTTIME microseconds, 0 = no need. */
int64_t journald_due_at(const Journald *journald);

/* The descriptor with which the journal says that it can be sent to again, -1 = none. */
int journald_blocked_fd(const Journald *journald);

/* The next journald_pump() tries to send whatever has failed before: because that time has come, or
 * because there is no better one. */
void journald_retry(Journald *journald);

/* What cannot be sent does not wait any more, but is lost. */
void journald_give_up(Journald *journald);

/* What comes before that offset is not the container's, and is not sent or spoken of. */
void journald_skip(Journald *journald, StreamId stream, uint64_t offset);
