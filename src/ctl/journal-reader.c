#include "ctl/journal-reader.h"

#include "ctl/command.h"
#include "ctl/journal-find.h"
#include "ctl/log-journal.h"
#include "ctl/log-output.h"
#include "ctl/log-wait.h"
#include "ctl/tail-count.h"
#include "ctl/text.h"
#include "state/page.h"

#include <errno.h>
#include <glib.h>
#include <unistd.h>

#define WHY ", for RateLimitBurst of journald.conf(5) maybe, or the journal has stopped"

enum {
    /*
     * Microseconds. When the monitor has gone, the journal may still have to take some of what was
     * sent. It is waited for as long as it goes on, but of one that is stopped, or leaves entries
     * out, not longer than this after the latest; where it is not known how many there are, nothing
     * may come for a while, which is longer than the journal takes to say that there is more.
     */
    ARREARS = 10000000,
    QUIET = 1000000,
};

typedef struct Reader {
    const LogWish *wish;
    LogJournal journal;
    LogPlace starts[2]; /* entries of a stream before are not shown */
    uint64_t next;      /* the number behind that of the monitor's latest entry */
    bool shown;         /* an entry has been */
    uint64_t gap;       /* entries that are missing since then */
    uint64_t missing;   /* and between those that were shown */
    bool failed;
    LogOutput output;
} Reader;

/* A line of ours among what the container wrote. */
static void note_failure(Reader *reader, const Error *error)
{
    log_output_before_note(&reader->output);
    ctl_say("%s", error->text);
    reader->failed = true;
}

static bool is_wanted(const Reader *reader, const JournalEntry *entry)
{
    const CriHeader *header = &entry->line.header;
    LogPlace place = {0, reader->journal.place};

    return log_choice_has(&reader->wish->choice, header) &&
           !log_place_is_before(place, reader->starts[header->stream]);
}

/* A line that lost its rest ends where that is told. */
static void end_line(LogOutput *output, const JournalEntry *entry)
{
    CriLine line = entry->line;

    line.header.partial = false;
    log_output_begin(output, &line);
    log_output_end(output);
}

static void show(LogOutput *output, const JournalEntry *entry)
{
    if (entry->tells_loss && output->inside[entry->line.header.stream])
        end_line(output, entry);
    log_output_begin(output, &entry->line);
    if (entry->content.length > 0)
        log_output_content(output, entry->content);
    log_output_end(output);
}

/* What is missing before the first that is shown, or behind the last, is not of what is wanted. */
static void note_gap(Reader *reader, const JournalEntry *entry, bool wanted)
{
    reader->gap += entry->missing;
    if (!wanted)
        return;
    reader->missing += reader->shown ? reader->gap : 0;
    reader->shown = true;
    reader->gap = 0;
}

static void note_number(Reader *reader, const JournalEntry *entry)
{
    if (entry->is_numbered && entry->pid == (uint64_t)reader->wish->container->sender)
        reader->next = entry->number + 1;
}

/* Shows what is there now. Returns false when there is reason to end. */
static bool read_on(Reader *reader)
{
    JournalEntry entry;
    Error error;
    bool wanted;
    int r;

    while ((r = log_journal_next(&reader->journal, &entry, &error)) > 0) {
        wanted = is_wanted(reader, &entry);
        note_number(reader, &entry);
        note_gap(reader, &entry, wanted);
        if (wanted)
            show(&reader->output, &entry);
        if (reader->output.problem != 0 || log_wait_is_stopped())
            return false;
    }
    if (r < 0)
        note_failure(reader, &error);
    return log_output_flush(&reader->output) == 0 && r == 0;
}

/* Goes to the first entry of the last lines, as log_tail() does in files. */
static int go_to_tail(Reader *reader, Error *error)
{
    const LogWish *wish = reader->wish;
    LogJournal *journal = &reader->journal;
    bool any = false;
    JournalEntry entry;
    TailCount tail;
    int r = log_journal_seek_end(journal, error);

    tail_count_init(&tail, &wish->choice, wish->tail);
    while (r >= 0 && (!any || !tail_count_is_found(&tail)) &&
           (r = log_journal_previous(journal, &entry, error)) > 0) {
        any = true;
        tail.distance += entry.line.header.length + entry.content.length;
        tail_count_meet(&tail, &entry.line.header, (LogPlace){0, journal->place + 1});
    }
    if (r < 0)
        return r;
    for (int i = 0; i < 2; i++)
        if (tail.streams[i].done)
            reader->starts[i] = tail.streams[i].start;
    if (!any)
        return log_journal_seek_first(journal, error);
    log_journal_turn(journal);
    return 0;
}

static int go_to_start(Reader *reader, Error *error)
{
    const LogChoice *choice = &reader->wish->choice;

    if (reader->wish->has_tail)
        return go_to_tail(reader, error);
    if (choice->has_since)
        return log_journal_seek_time(&reader->journal, choice->since, error);
    return log_journal_seek_first(&reader->journal, error);
}

/* How many entries the monitor has sent, as its page says; 0 if that is not known. The page can be
 * read as long as it is open, when its monitor has gone and removed it, too. */
static uint64_t count_sent(const LogWish *wish)
{
    Page page;

    if (wish->page < 0 || pread(wish->page, &page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
        page.monitor_pid != wish->container->sender)
        return 0;
    return page_journal_cursors(&page)->entries;
}

/* How many entries of a monitor that has gone have not come; UINT64_MAX if that is not known. */
static uint64_t count_arrears(const Reader *reader)
{
    uint64_t sent = count_sent(reader->wish);

    if (sent == 0)
        return UINT64_MAX;
    return sent > reader->next ? sent - reader->next : 0;
}

static void note_arrears(Reader *reader, bool is_over)
{
    uint64_t arrears = is_over ? count_arrears(reader) : 0;

    if (arrears != UINT64_MAX)
        reader->missing += arrears;
}

/* The time until `end`, a monotonic one, or until what is wanted is over, in microseconds; -1 if
 * there is no such time. */
static int64_t time_left(const LogWish *wish, int64_t end)
{
    int64_t left = end == 0 ? INT64_MAX : MAX(end - g_get_monotonic_time(), 0);

    if (wish->choice.has_until) {
        struct timespec until = log_wait_left(wish->choice.until);

        left = MIN(left, (int64_t)until.tv_sec * G_USEC_PER_SEC + (until.tv_nsec + 999) / 1000);
    }
    return left == INT64_MAX ? -1 : left;
}

/* Shows what comes, until there is reason to end. */
static void follow_on(Reader *reader, int changes)
{
    const LogWish *wish = reader->wish;
    int64_t patience = wish->page >= 0 ? ARREARS : QUIET;
    int64_t end = 0; /* 0: the monitor is there */
    LogWait wait;

    log_wait_init(&wait, wish->writer);
    for (;;) {
        uint64_t place = reader->journal.place;
        int64_t left = time_left(wish, end);
        struct timespec time = {left / G_USEC_PER_SEC, left % G_USEC_PER_SEC * 1000};
        LogWaitEnd why;

        if (!read_on(reader) || (end != 0 && count_arrears(reader) == 0))
            return;
        if (left == 0) {
            note_arrears(reader, end != 0);
            return;
        }
        why = log_wait(&wait, changes, left < 0 ? NULL : &time);
        if (why == LOG_WAIT_STOP)
            return;
        if (why == LOG_WAIT_CHANGE)
            sd_journal_process(reader->journal.journal);
        if (why == LOG_WAIT_WRITER_GONE)
            wait.writer = -1;
        if (why == LOG_WAIT_WRITER_GONE || (end != 0 && reader->journal.place != place))
            end = g_get_monotonic_time() + patience;
    }
}

/* Whether there is anything of the container that we may read. A user's own entries may be in a
 * file of that user, so that only what is not found tells. */
static int check(Reader *reader, Error *error)
{
    const LogWish *wish = reader->wish;
    JournalEntry entry;
    int r = log_journal_seek_end(&reader->journal, error);

    if (r == 0)
        r = log_journal_previous(&reader->journal, &entry, error);
    if (r < 0)
        return r;
    if (r > 0)
        note_number(reader, &entry);
    else if (count_sent(wish) > 0 && journal_is_barred())
        return error_set(
            error, 0, "The entries of %s are in a journal that you may not read: " JOURNAL_ADVICE,
            wish->container->id);
    return 0;
}

static void read_all(Reader *reader)
{
    const JournalContainer *container = reader->wish->container;
    sd_journal *journal = reader->journal.journal;
    /* At first, so that no change is missed. */
    int changes = reader->wish->follow ? sd_journal_get_fd(journal) : -1;
    Error error;

    if (reader->wish->follow && changes < 0) {
        error_set(&error, -changes, "Cannot follow the journal");
        note_failure(reader, &error);
    } else if (journal_choose(journal, container->id, container->user, &error) < 0 ||
               check(reader, &error) < 0 || go_to_start(reader, &error) < 0) {
        note_failure(reader, &error);
    } else if (reader->wish->follow) {
        follow_on(reader, changes);
    } else {
        read_on(reader);
    }
}

static int finish(Reader *reader)
{
    log_output_note_count(&reader->output, reader->journal.bad,
                          "entry cannot be read and was skipped",
                          "entries cannot be read and were skipped");
    log_output_note_count(
        &reader->output, reader->missing,
        "entry that the monitor has sent is not in the journal: it was dropped" WHY,
        "entries that the monitor has sent are not in the journal: they were dropped" WHY);
    if (!log_output_finish(&reader->output))
        reader->failed = true;
    return reader->failed ? CTL_FAILED : CTL_OK;
}

int journal_read(const LogWish *wish)
{
    Reader reader;
    Error error;
    int status;

    reader = (Reader){.wish = wish};
    log_output_init(&reader.output, wish->raw, wish->stamps);
    if (log_journal_init(&reader.journal, &error) < 0) {
        ctl_say("%s", error.text);
        return CTL_FAILED;
    }
    read_all(&reader);
    status = finish(&reader);
    log_journal_deinit(&reader.journal);
    return status;
}
