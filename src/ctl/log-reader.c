#include "ctl/log-reader.h"

#include "ctl/command.h"
#include "ctl/log-files.h"
#include "ctl/log-follow.h"
#include "ctl/log-output.h"
#include "ctl/log-tail.h"
#include "ctl/text.h"

#include <errno.h>
#include <sys/stat.h>

typedef struct Reader {
    const LogWish *wish;
    CriLine line;
    bool shown;         /* the current record is */
    bool held;          /* it may only be the end that the monitor has given to a last line */
    bool goes_on[2];    /* the last record of the stream was a partial one */
    size_t file;        /* the current file's number: of the list at first, then counted on */
    LogPlace starts[2]; /* records of a stream that begin before are not shown */
    uint64_t bad;       /* lines that are no records */
    bool failed;
    LogOutput output;
} Reader;

/* A line of ours among what the container wrote. */
static void note_failure(Reader *reader, const char *path, const Error *error)
{
    log_output_before_note(&reader->output);
    if (path != NULL)
        ctl_say("%s: %s", path, error->text);
    else
        ctl_say("%s", error->text);
    reader->failed = true;
}

static bool is_wanted(const Reader *reader)
{
    const CriHeader *header = &reader->line.header;
    LogPlace place = {reader->file, reader->line.start};

    return log_choice_has(&reader->wish->choice, header) &&
           !log_place_is_before(place, reader->starts[header->stream]);
}

/* --log-close-last-line: an empty record with the time stamp of the one before it ends a line, but
 * the container has not written that newline. See conward-log(5). */
static bool may_close_line(const Reader *reader)
{
    const CriHeader *header = &reader->line.header;

    return header->same_time && !header->partial && !reader->wish->raw &&
           reader->goes_on[header->stream];
}

static void act(Reader *reader, CriEvent event, CriBytes content)
{
    const CriHeader *header = &reader->line.header;

    if (event == CRI_BEGIN) {
        reader->shown = is_wanted(reader);
        reader->held = reader->shown && may_close_line(reader);
        if (reader->shown && !reader->held)
            log_output_begin(&reader->output, &reader->line);
    } else if (event == CRI_CONTENT && reader->shown) {
        if (reader->held)
            log_output_begin(&reader->output, &reader->line);
        reader->held = false;
        log_output_content(&reader->output, content);
    } else if (event == CRI_END && reader->shown) {
        if (!reader->held)
            log_output_end(&reader->output);
    } else if (event == CRI_BAD) {
        reader->bad++;
    }
    if (event == CRI_END)
        reader->goes_on[header->stream] = header->partial;
}

/* Shows what can be read now. Returns false when there is reason to end. */
static bool read_on(Reader *reader, LogSource *source, const char *path)
{
    uint8_t block[64 * 1024];
    Error error;
    ssize_t n;

    while ((n = log_source_read(source, block, sizeof(block), &error)) > 0) {
        CriBytes input = {block, (size_t)n};
        CriBytes content = {NULL, 0};
        CriEvent event;

        while ((event = cri_line_next(&reader->line, &input, &content)) != CRI_NOTHING)
            act(reader, event, content);
        if (reader->output.problem != 0 || log_wait_is_stopped())
            return false;
    }
    if (n < 0)
        note_failure(reader, path, &error);
    return log_output_flush(&reader->output) == 0;
}

/* The current file is complete: what comes next is another one, from its beginning. */
static void leave_file(Reader *reader)
{
    act(reader, cri_line_finish(&reader->line), (CriBytes){NULL, 0});
    reader->file++;
}

static bool read_files(Reader *reader, LogFiles *list, LogPlace from)
{
    reader->file = from.file;
    for (size_t i = from.file; i < list->count; i++) {
        LogFile *file = &list->files[i];

        if (file->source.fd < 0) {
            note_failure(reader, NULL, &file->problem);
        } else {
            log_source_seek(&file->source, i == from.file ? from.at : 0);
            cri_line_init(&reader->line, file->source.position);
            if (!read_on(reader, &file->source, file->path))
                return false;
            log_source_rest(&file->source);
        }
        if (i + 1 < list->count)
            leave_file(reader);
    }
    return true;
}

static bool is_at_path(const LogSource *source, const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_dev == source->device && st.st_ino == source->inode;
}

/*
 * Finds the file that came after `current`: by its place among the rotated ones, because several
 * rotations may have happened since somebody last read on. One that was removed meanwhile has no
 * place; then it is the log itself. A log without content is none yet: as long as nobody writes to
 * it, somebody may write to the current one. Returns true if there is one, which `next` then is.
 */
static bool find_next(const char *path, const LogSource *current, LogSource *next)
{
    LogFiles list;
    Error error; /* what cannot be opened now may be tomorrow */
    size_t at = 0;
    bool found;

    if (is_at_path(current, path) || log_files_init(&list, path, true, &error) < 0)
        return false;
    for (size_t i = 0; i < list.count; i++)
        if (list.files[i].source.fd >= 0 && log_source_is_same(&list.files[i].source, current))
            at = i + 1;
    if (at == 0)
        at = list.count - 1;
    while (at < list.count && list.files[at].source.fd < 0)
        at++;
    found = at + 1 < list.count || (at < list.count && log_source_size(&list.files[at].source) > 0);
    if (found) {
        *next = list.files[at].source;
        list.files[at].source = (LogSource)LOG_SOURCE_NULL;
    }
    log_files_deinit(&list);
    return found;
}

/* Goes on to the next file if there is one. Returns whether there may be more to read now. */
static bool go_on(Reader *reader, LogFollow *follow, LogSource *current)
{
    const char *path = reader->wish->path;
    LogSource next;

    if (!find_next(path, current, &next))
        return false;
    if (log_follow_take(follow) == LOG_CHANGE_NAMES) {
        /* A file that was renamed just then may have been overlooked: find again. */
        log_source_close(&next);
        return true;
    }
    /* The writer has gone on, so that the end of the current file is final. */
    if (!read_on(reader, current, path))
        return false;
    leave_file(reader);
    log_source_close(current);
    *current = next;
    return true;
}

/* Shows what comes. `current` has been read to its end; it is closed by whoever opened it. */
static void follow_on(Reader *reader, LogFollow *follow, LogSource *current)
{
    const LogChoice *choice = &reader->wish->choice;

    do {
        bool more = true;

        while (more) {
            /* Before reading, so that nothing comes in between. */
            log_follow_watch(follow, current->fd);
            if (!read_on(reader, current, reader->wish->path))
                return;
            more = !current->compressed && log_source_size(current) < current->position;
            if (more) {
                leave_file(reader);
                log_source_seek(current, 0);
            } else {
                more = go_on(reader, follow, current);
            }
        }
        if (reader->output.problem != 0 || log_wait_is_stopped())
            return;
    } while (log_follow_wait(follow, choice->has_until ? &choice->until : NULL));
}

static void read_all(Reader *reader, LogFollow *follow, LogFiles *list)
{
    const LogWish *wish = reader->wish;
    LogPlace from = {0, 0};

    if (list->left_out > 0) {
        ctl_say("%zu older rotated files are left out: more than %d are not read", list->left_out,
                LOG_FILES_MOST);
        reader->failed = true;
    }
    if (wish->has_tail)
        from = log_tail(list, &wish->choice, wish->tail, reader->starts);
    if (read_files(reader, list, from) && wish->follow)
        follow_on(reader, follow, &list->files[list->count - 1].source);
}

static int finish(Reader *reader)
{
    if (reader->line.state == CRI_IN_GARBAGE)
        reader->bad++;
    log_output_note_count(&reader->output, reader->bad, "line is not a record and was skipped",
                          "lines are not records and were skipped");
    if (!log_output_finish(&reader->output))
        reader->failed = true;
    return reader->failed ? CTL_FAILED : CTL_OK;
}

int log_read(const LogWish *wish)
{
    LogFollow follow;
    LogFiles list;
    Error error;
    Reader reader;
    int status;

    reader = (Reader){.wish = wish};
    log_output_init(&reader.output, wish->raw, wish->stamps);
    cri_line_init(&reader.line, 0);
    if (wish->follow && log_follow_init(&follow, wish->path, wish->writer, &error) < 0) {
        ctl_say("%s", error.text);
        return CTL_FAILED;
    }
    if (log_files_init(&list, wish->path, wish->rotated, &error) < 0) {
        ctl_say("%s", error.text);
        status = CTL_FAILED;
    } else {
        read_all(&reader, &follow, &list);
        status = finish(&reader);
        log_files_deinit(&list);
    }
    if (wish->follow)
        log_follow_deinit(&follow);
    return status;
}
