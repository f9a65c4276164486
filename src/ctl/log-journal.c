#include "ctl/log-journal.h"

#include "ctl/journal-find.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <zlib.h>

enum {
    MIDDLE = 1 << 30, /* the number of a place that one can go far from in both ways */

    /* Bytes of a field that are read. An entry of ours has far less; others' end there. */
    FIELD_MOST = 1024 * 1024,
};

static int fail(int number, Error *error)
{
    return error_set(error, -number, "Cannot read the journal");
}

int log_journal_init(LogJournal *journal, Error *error)
{
    int r;

    *journal = (LogJournal){.clock = RECORD_CLOCK_NULL, .place = MIDDLE};
    r = sd_journal_open(&journal->journal, JOURNAL_FLAGS);
    if (r < 0)
        return error_set(error, -r, "Cannot open the journal");
    sd_journal_set_data_threshold(journal->journal, FIELD_MOST);
    return 0;
}

void log_journal_deinit(LogJournal *journal)
{
    sd_journal_close(journal->journal);
    journal->journal = NULL;
}

static int end_seek(LogJournal *journal, int r, Error *error)
{
    journal->place = MIDDLE;
    journal->again = false;
    journal->has_last = false;
    return r < 0 ? fail(r, error) : 0;
}

int log_journal_seek_first(LogJournal *journal, Error *error)
{
    return end_seek(journal, sd_journal_seek_head(journal->journal), error);
}

int log_journal_seek_time(LogJournal *journal, struct timespec time, Error *error)
{
    uint64_t usec = time.tv_sec < 0
                        ? 0
                        : (uint64_t)time.tv_sec * G_USEC_PER_SEC + (uint64_t)time.tv_nsec / 1000;

    return end_seek(journal, sd_journal_seek_realtime_usec(journal->journal, usec), error);
}

int log_journal_seek_end(LogJournal *journal, Error *error)
{
    return end_seek(journal, sd_journal_seek_tail(journal->journal), error);
}

void log_journal_turn(LogJournal *journal)
{
    journal->again = true;
    journal->has_last = false;
}

/* What an entry's fields say of it, in whatever order they come. */
typedef struct Fields {
    bool is_event; /* it is the monitor's, not the container's */
    bool is_partial;
    bool has_priority; /* one that conmon gives to a stream */
    bool has_stream;   /* its priority says nothing of its stream */
    int by_priority;   /* as in CriHeader */
    int stream;
} Fields;

static bool take_field(CriBytes data, const char *field, CriBytes *value)
{
    size_t length = strlen(field);

    if (data.length <= length || data.bytes[length] != '=' ||
        memcmp(data.bytes, field, length) != 0)
        return false;
    *value = (CriBytes){data.bytes + length + 1, data.length - length - 1};
    return true;
}

static bool read_number(CriBytes text, uint64_t *number)
{
    char digits[24];

    if (text.length == 0 || text.length >= sizeof(digits))
        return false;
    memcpy(digits, text.bytes, text.length);
    digits[text.length] = '\0';
    return g_ascii_string_to_unsigned(digits, 10, 0, G_MAXUINT64, number, NULL);
}

static bool is_text(CriBytes bytes, const char *text)
{
    return bytes.length == strlen(text) && memcmp(bytes.bytes, text, bytes.length) == 0;
}

/* The small ones, each of which is looked at before the next is asked for. */
static void read_field(JournalEntry *entry, CriBytes data, Fields *fields)
{
    CriBytes value;
    uint64_t number;

    switch (data.bytes[0]) {
    case 'P':
        if (take_field(data, "PRIORITY", &value)) {
            fields->by_priority = is_text(value, "3");
            fields->has_priority = is_text(value, "3") || is_text(value, "6");
        }
        break;
    case 'C':
        if (take_field(data, "CONWARD_SEQ", &value))
            entry->is_numbered = read_number(value, &entry->number);
        else if (take_field(data, "CONTAINER_PARTIAL_MESSAGE", &value))
            fields->is_partial = true;
        else if (take_field(data, "CONWARD_LOST_BYTES", &value))
            entry->tells_loss = true;
        else if (take_field(data, "CONWARD_EVENT", &value))
            fields->is_event = true;
        else if (take_field(data, "CONWARD_STREAM", &value)) {
            fields->stream = is_text(value, "stderr");
            fields->has_stream = true;
        }
        break;
    case '_':
        if (take_field(data, "_PID", &value) && read_number(value, &number))
            entry->pid = number;
        break;
    default:
        break;
    }
}

static int read_content(LogJournal *journal, JournalEntry *entry)
{
    const void *data;
    size_t length;
    int r = sd_journal_get_data(journal->journal, "MESSAGE", &data, &length);
    CriBytes bytes = {data, length};

    if (r < 0)
        return r;
    return take_field(bytes, "MESSAGE", &entry->content) ? 0 : -EBADMSG;
}

static void write_header(LogJournal *journal, JournalEntry *entry, uint64_t usec)
{
    CriHeader *header = &entry->line.header;
    char *text = (char *)entry->line.text;

    header->time =
        (struct timespec){(time_t)(usec / G_USEC_PER_SEC), (long)(usec % G_USEC_PER_SEC) * 1000};
    header->time_length = RECORD_TIME_LENGTH;
    header->length = RECORD_HEADER_LENGTH;
    record_header(&journal->clock, header->time, header->stream, text);
    text[RECORD_TAG_AT] = header->partial ? 'P' : 'F';
    entry->line.text_length = RECORD_HEADER_LENGTH;
}

/*
 * Reads the current entry. Returns 1, 0 if it is not the container's output, or -errno if it cannot
 * be read.
 *
 * The newline belongs to a full line of conward's; conmon and others leave it away, so that a line
 * without one goes on only if the entry says so, or is conward's.
 */
static int read_entry(LogJournal *journal, JournalEntry *entry)
{
    Fields fields = {.is_event = false};
    bool is_output;
    const void *data;
    size_t length;
    uint64_t usec;
    uint64_t monotonic;
    int r;

    entry->tells_loss = false;
    entry->is_numbered = false;
    entry->pid = 0;
    sd_journal_restart_data(journal->journal);
    while ((r = sd_journal_enumerate_available_data(journal->journal, &data, &length)) > 0)
        if (length > 0)
            read_field(entry, (CriBytes){data, length}, &fields);
    is_output = !fields.is_event && (fields.has_stream || fields.has_priority);
    entry->line.header.stream = fields.has_stream ? fields.stream : fields.by_priority;
    if (r >= 0)
        r = sd_journal_get_realtime_usec(journal->journal, &usec);
    if (r >= 0)
        r = sd_journal_get_monotonic_usec(journal->journal, &monotonic, &entry->boot);
    if (r >= 0 && is_output)
        r = read_content(journal, entry);
    if (r < 0 || !is_output)
        return r < 0 ? r : 0;
    if (entry->content.length > 0 && entry->content.bytes[entry->content.length - 1] == '\n') {
        entry->content.length--;
        entry->line.header.partial = false;
    } else {
        entry->line.header.partial = fields.is_partial || entry->is_numbered;
    }
    write_header(journal, entry, usec);
    return 1;
}

/*
 * Whether the entry beside this one is the same, sent twice; remembers this one. The number alone
 * does not tell: what was sent once more after a crash may be another stream's line, or a loss.
 */
static bool is_double(LogJournal *journal, JournalEntry *entry, bool back)
{
    const CriBytes content = entry->content;
    uLong sum = crc32_z(0, (const Bytef *)content.bytes, content.length);
    bool same = journal->has_last && journal->last_pid == entry->pid &&
                sd_id128_equal(journal->last_boot, entry->boot);
    bool equal = journal->last_stream == entry->line.header.stream &&
                 journal->last_length == content.length && journal->last_sum == sum;

    entry->missing = 0;
    if (!entry->is_numbered)
        return false;
    if (same && journal->last_number == entry->number && equal)
        return true;
    if (same && !back && entry->number > journal->last_number)
        entry->missing = entry->number - journal->last_number - 1;
    journal->has_last = true;
    journal->last_number = entry->number;
    journal->last_stream = entry->line.header.stream;
    journal->last_length = content.length;
    journal->last_sum = sum;
    journal->last_pid = entry->pid;
    journal->last_boot = entry->boot;
    return false;
}

static int step(LogJournal *journal, bool back)
{
    int r;

    if (journal->again) {
        journal->again = false;
        return 1;
    }
    r = back ? sd_journal_previous(journal->journal) : sd_journal_next(journal->journal);
    if (r > 0)
        journal->place += back ? UINT64_MAX : 1;
    return r;
}

static int go(LogJournal *journal, JournalEntry *entry, bool back, Error *error)
{
    int r;

    while ((r = step(journal, back)) > 0) {
        int read = read_entry(journal, entry);

        if (read < 0)
            journal->bad += !back;
        else if (read > 0 && !is_double(journal, entry, back))
            return 1;
    }
    return r < 0 ? fail(r, error) : 0;
}

int log_journal_next(LogJournal *journal, JournalEntry *entry, Error *error)
{
    return go(journal, entry, false, error);
}

int log_journal_previous(LogJournal *journal, JournalEntry *entry, Error *error)
{
    return go(journal, entry, true, error);
}
