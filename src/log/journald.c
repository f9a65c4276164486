#include "log/journald.h"

#include "log/line-count.h"
#include "log/loss.h"
#include "state/input.h"
#include "util/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>

enum { PRIORITY_PREFIX = 3 }; /* bytes: <N> */

/* Of a stream's lines that say no other: informational, and errors. */
static const uint32_t PRIORITIES[STREAMS] = {6, 3};

/* Whether what cannot be sent waits. */
static bool has_patience(const Journald *journald)
{
    return !journald->has_given_up &&
           (journald->limits.waits ||
            journal_sender_dead_at(&journald->sender) > clock_boottime_us());
}

/* What entries of a line with that priority, or of a loss, say before anything else. Where it does
 * not say the stream, a field of its own does. */
static int print_head(const Journald *journald, StreamId stream, uint32_t priority, char *text,
                      size_t size)
{
    return snprintf(text, size, "PRIORITY=%" PRIu32 "\n%s%s%sCONWARD_SEQ=%" PRIu64 "\n", priority,
                    journald->format.reads_priorities ? "CONWARD_STREAM=" : "",
                    journald->format.reads_priorities ? stream_name(stream) : "",
                    journald->format.reads_priorities ? "\n" : "",
                    state_journal_cursors(journald->state)->entries);
}

typedef struct Line {
    Split split;
    const uint8_t *bytes;
    uint64_t content; /* with the newline of a full one */
    uint64_t prefix;  /* bytes of it that are its priority */
    uint32_t priority;
} Line;

/* A line says its priority at its beginning; what follows a part that is sent has that part's. */
static void read_priority(const Journald *journald, StreamId stream, Line *line)
{
    const JournalCursors *cursors = state_journal_cursors(journald->state);
    const uint8_t *at = line->bytes;
    bool begins = cursors->counters[stream].line == 0;

    line->priority = begins ? PRIORITIES[stream] : cursors->priority[stream];
    if (begins && line->split.length >= PRIORITY_PREFIX && at[0] == '<' && at[1] >= '0' &&
        at[1] <= '7' && at[2] == '>') {
        line->prefix = PRIORITY_PREFIX;
        line->priority = (uint32_t)(at[1] - '0');
    }
}

static Line next_line(Journald *journald, StreamId stream, SplitMode mode)
{
    const State *state = journald->state;
    uint64_t start = state_journal_cursors(state)->start[stream];
    uint64_t end = state->page->streams[stream].end;
    uint64_t scanned = journald->scanned[stream];
    Line line = {.bytes = input_at(state, stream, start)};

    line.split = splitter_next(line.bytes, end - start, scanned > start ? scanned - start : 0,
                               JOURNALD_MESSAGE_MOST, mode);
    if (line.split.tag == SPLIT_MORE)
        journald->scanned[stream] = end;
    line.content = line.split.length + (line.split.tag == SPLIT_FULL);
    line.priority = PRIORITIES[stream];
    if (journald->format.reads_priorities && line.split.tag != SPLIT_MORE)
        read_priority(journald, stream, &line);
    return line;
}

/* The cursors behind the line. */
static JournalCursors *take_line(Journald *journald, StreamId stream, const Line *line, int64_t now)
{
    JournalCursors *next = state_journal_cursors_next(journald->state);
    bool full = line->split.tag == SPLIT_FULL;

    next->start[stream] += line->content;
    line_count(&next->counters[stream], line->split.length, full, JOURNALD_MESSAGE_MOST, now);
    return next;
}

static int send_line(Journald *journald, StreamId stream, const Line *line)
{
    bool full = line->split.tag == SPLIT_FULL;
    bool marked = !full && !journald->format.hides_partials;
    JournalCursors *next;
    char fields[128];
    int used = print_head(journald, stream, line->priority, fields, sizeof(fields));
    int r;

    if (marked)
        snprintf(fields + used, sizeof(fields) - (size_t)used, "CONTAINER_PARTIAL_MESSAGE=true\n");
    r = journal_sender_send(&journald->sender, fields, line->bytes + line->prefix,
                            line->content - line->prefix);
    if (r < 0)
        return r;
    next = take_line(journald, stream, line, clock_realtime_ns());
    next->entries++;
    next->priority[stream] = line->priority;
    next->counters[stream].bytes += line->content;
    next->counters[stream].records++;
    next->counters[stream].partials += !full;
    next->open[stream] = !full;
    next->loss[stream].ends = 0; /* that was before */
    state_journal_cursors_commit(journald->state);
    journal_sender_worked(&journald->sender);
    return 0;
}

static void lose_line(Journald *journald, StreamId stream, const Line *line, int32_t reason)
{
    int64_t now = clock_realtime_ns();
    JournalCursors *next = take_line(journald, stream, line, now);
    bool full = line->split.tag == SPLIT_FULL;
    uint64_t *open = &next->open[stream];
    uint64_t lost = loss_take(&next->loss[stream], open, line->content, full, *open != 0);

    next->counters[stream].lost_bytes += lost;
    next->counters[stream].lost_records += lost > 0;
    loss_add(&next->loss[stream], lost, !full, reason, now);
    state_journal_cursors_commit(journald->state);
}

static const LossPage *loss_of(const Journald *journald, StreamId stream)
{
    return &state_journal_cursors(journald->state)->loss[stream];
}

static bool is_damaged(const Journald *journald, StreamId stream)
{
    return loss_of(journald, stream)->damaged != 0;
}

static bool owes_newline(const Journald *journald, StreamId stream)
{
    return loss_owes_newline(loss_of(journald, stream),
                             state_journal_cursors(journald->state)->open[stream]);
}

/* Whether there is anything to send of a loss. */
static bool has_loss(const Journald *journald, StreamId stream)
{
    return owes_newline(journald, stream) ||
           (loss_of(journald, stream)->records > 0 && journald->limits.says_losses);
}

/* Whether it is to be sent now: when the line that the loss has damaged is over, or at the end. Of
 * a loss that goes on it is sent every few seconds. */
static bool must_settle_loss(const Journald *journald, StreamId stream, SplitMode mode)
{
    const LossPage *loss = loss_of(journald, stream);
    bool is_over = !loss->damaged || mode == SPLIT_END;

    return has_loss(journald, stream) && (is_over || loss_is_late(loss, clock_realtime_ns()));
}

/* The newline that the line which is open in the journal owes: what follows is not of that line. */
static int send_newline(Journald *journald, StreamId stream)
{
    JournalCursors *next;
    char fields[128];
    int r;

    print_head(journald, stream, state_journal_cursors(journald->state)->priority[stream], fields,
               sizeof(fields));
    r = journal_sender_send(&journald->sender, fields, "\n", 1);
    if (r < 0)
        return r;
    next = state_journal_cursors_next(journald->state);
    next->entries++;
    next->open[stream] = 0;
    next->loss[stream].ends = 0;
    next->counters[stream].bytes++;
    next->counters[stream].records++;
    state_journal_cursors_commit(journald->state);
    journal_sender_worked(&journald->sender);
    return 0;
}

static int say_loss(Journald *journald, StreamId stream)
{
    const LossPage loss = *loss_of(journald, stream);
    char text[LOSS_TEXT_MOST + 1];
    size_t length = loss_text(&loss, stream, 0, &journald->clock, text);
    JournalCursors *next;
    char fields[192];
    int used = print_head(journald, stream, PRIORITIES[stream], fields, sizeof(fields));
    int r;

    text[length++] = '\n';
    snprintf(fields + used, sizeof(fields) - (size_t)used,
             "CONWARD_LOST_BYTES=%" PRIu64 "\nCONWARD_LOST_RECORDS=%" PRIu64 "\n", loss.bytes,
             loss.records);
    r = journal_sender_send(&journald->sender, fields, text, length);
    if (r < 0)
        return r;
    next = state_journal_cursors_next(journald->state);
    next->entries++;
    next->open[stream] = 0;
    next->loss[stream] = (LossPage){.reason = loss.reason, .damaged = loss.damaged};
    state_journal_cursors_commit(journald->state);
    journal_sender_worked(&journald->sender);
    return 0;
}

static int settle_loss(Journald *journald, StreamId stream)
{
    int r = owes_newline(journald, stream) ? send_newline(journald, stream) : 0;

    return r == 0 && has_loss(journald, stream) ? say_loss(journald, stream) : r;
}

/* Sends the line, and before it what there is of a loss. What belongs to a damaged line is not
 * sent.
 */
static int send_next(Journald *journald, StreamId stream, SplitMode mode, const Line *line)
{
    int r = must_settle_loss(journald, stream, mode) ? settle_loss(journald, stream) : 0;

    if (r == 0 && line->split.tag != SPLIT_MORE && !is_damaged(journald, stream))
        r = send_line(journald, stream, line);
    return r;
}

/* It cannot be sent, and nothing follows that it could wait for. */
static void lose_newline(Journald *journald, StreamId stream)
{
    JournalCursors *next = state_journal_cursors_next(journald->state);

    if (!owes_newline(journald, stream))
        return;
    loss_take_newline(&next->loss[stream], &next->counters[stream], clock_realtime_ns());
    state_journal_cursors_commit(journald->state);
}

static int32_t reason_of(int r)
{
    return r == -EAGAIN ? LOSS_STALLED : -r;
}

/* Whether a failure has cost output, or makes the container wait until it is over. */
static bool must_say_failure(const Journald *journald, StreamId stream)
{
    return !journald->is_behind[stream] ||
           (journald->limits.waits && !journal_sender_is_slow(&journald->sender));
}

int journald_pump(Journald *journald, StreamId stream, SplitMode mode)
{
    uint64_t before = state_journal_cursors(journald->state)->entries;
    int failure = 0;

    /* A prompt does not show, in the journal: each piece would be a message. */
    if (mode == SPLIT_FLUSH)
        mode = SPLIT_WAIT;
    journald->is_behind[stream] = false;
    while (!journald->is_behind[stream]) {
        Line line = next_line(journald, stream, mode);
        int r = send_next(journald, stream, mode, &line);

        if (line.split.tag == SPLIT_MORE) {
            if (r < 0 && mode == SPLIT_END && !has_patience(journald))
                lose_newline(journald, stream);
            break;
        }
        if (is_damaged(journald, stream))
            lose_line(journald, stream, &line, loss_of(journald, stream)->reason);
        else if (r < 0 && has_patience(journald))
            journald->is_behind[stream] = true;
        else if (r < 0)
            lose_line(journald, stream, &line, reason_of(r));
        if (r < 0 && must_say_failure(journald, stream))
            failure = r;
    }
    return failure < 0 ? failure : state_journal_cursors(journald->state)->entries != before;
}

bool journald_waits(const Journald *journald)
{
    return journald->is_behind[STREAM_STDOUT] || journald->is_behind[STREAM_STDERR];
}

bool journald_goes_on(const Journald *journald)
{
    return journald_waits(journald) && journal_sender_is_slow(&journald->sender);
}

bool journald_holds(const Journald *journald)
{
    const State *state = journald->state;
    bool holds = false;

    for (int i = 0; i < STREAMS; i++) {
        uint64_t start = state_journal_cursors(state)->start[i];

        holds = holds ||
                (journald->is_behind[i] && state->page->streams[i].end - start >= STATE_HOLD_SIZE);
    }
    return holds;
}

/* A loss of which there is no more to come soon. */
static bool has_unsaid_loss(const Journald *journald)
{
    bool unsaid = false;

    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        unsaid = unsaid || (has_loss(journald, i) && !is_damaged(journald, i));
    return unsaid;
}

bool journald_tells(const Journald *journald)
{
    return has_unsaid_loss(journald) && journal_sender_is_slow(&journald->sender);
}

/* Whether there is anything to send that no further output of the container will bring. */
static bool has_arrears(const Journald *journald)
{
    return journald_waits(journald) || has_unsaid_loss(journald);
}

int64_t journald_due_at(const Journald *journald)
{
    const JournalSender *sender = &journald->sender;
    int64_t at;

    if (journald->state == NULL)
        return 0;
    at = has_arrears(journald) ? MAX(sender->page->retry_at, 1) : 0;
    if (journald_waits(journald) && !journald->limits.waits && journal_sender_is_stalled(sender))
        at = MIN(at, journal_sender_dead_at(sender));
    return at;
}

int journald_blocked_fd(const Journald *journald)
{
    return journald->state != NULL ? journal_sender_blocked_fd(&journald->sender) : -1;
}

void journald_retry(Journald *journald)
{
    journal_sender_retry(&journald->sender);
}

void journald_give_up(Journald *journald)
{
    journald->has_given_up = true;
}

void journald_limit(Journald *journald, JournaldLimits limits)
{
    journald->limits = limits;
}

void journald_skip(Journald *journald, StreamId stream, uint64_t offset)
{
    JournalCursors *next;

    if (journald->state == NULL)
        return;
    next = state_journal_cursors_next(journald->state);
    next->start[stream] = offset;
    next->open[stream] = 0;
    next->loss[stream] = (LossPage){.bytes = 0};
    state_journal_cursors_commit(journald->state);
    journald->is_behind[stream] = false;
}

void journald_init(Journald *journald, State *state, const JournalIdentity *identity,
                   JournaldFormat format, JournaldLimits limits)
{
    const Page *page = state->page;

    *journald = (Journald)JOURNALD_NULL;
    journald->state = state;
    journal_sender_init(&journald->sender, &state->page->journal, identity);
    journald->format = format;
    journald->limits = limits;
    /* What was to be sent at the end waits still: nothing of the container will say so. */
    for (int i = 0; i < STREAMS; i++)
        journald->is_behind[i] = page->phase > PHASE_RUNNING && !page->failed &&
                                 state_journal_cursors(state)->start[i] < page->streams[i].end;
}

void journald_deinit(Journald *journald)
{
    journal_sender_deinit(&journald->sender);
    journald->state = NULL;
}
