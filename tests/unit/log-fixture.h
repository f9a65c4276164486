#pragma once

#include "log/k8s-file.h"
#include "state/input.h"

#include <check.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* A state with a log in a directory of its own, and the pipe it is fed from. */
typedef struct LogFixture {
    State state;
    K8sFile log;
    char *dir;
    char *path;
    int pipe[2];
} LogFixture;

static inline void log_setup(LogFixture *fixture, K8sLimits limits)
{
    Error error;

    *fixture = (LogFixture){.state = STATE_NULL};
    fixture->dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->dir, "log", NULL);
    ck_assert_int_eq(pipe2(fixture->pipe, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    k8s_file_init(&fixture->log, &fixture->state, k8s_file_open(fixture->path), fixture->path,
                  limits);
}

static inline void log_teardown(LogFixture *fixture)
{
    GDir *dir = g_dir_open(fixture->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        char *path = g_build_filename(fixture->dir, name, NULL);

        g_remove(path);
        g_free(path);
    }
    g_dir_close(dir);
    g_rmdir(fixture->dir);
    k8s_file_deinit(&fixture->log);
    state_deinit(&fixture->state);
    close(fixture->pipe[0]);
    close(fixture->pipe[1]);
    g_free(fixture->path);
    g_free(fixture->dir);
}

/* Reads what the pipe holds into the stream's buffer. */
static inline void log_read(LogFixture *fixture, StreamId stream)
{
    ck_assert_int_gt(input_read(&fixture->state, stream, fixture->pipe[0],
                                state_cursors(&fixture->state)->start[stream]),
                     0);
}

/* Gives bytes to the log as the monitor does: read, then pump; returns the pump's result. */
static inline int log_feed(LogFixture *fixture, StreamId stream, const void *bytes, size_t size,
                           SplitMode mode)
{
    ck_assert_int_eq(write(fixture->pipe[1], bytes, size), (ssize_t)size);
    log_read(fixture, stream);
    return k8s_file_pump(&fixture->log, stream, mode);
}

/* Every write to the log fails from now on. Returns the descriptor for allow_writes(). */
static inline int refuse_writes(LogFixture *fixture)
{
    int fd = fixture->log.to.fd;

    fixture->log.to.fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fixture->log.to.fd, 0);
    return fd;
}

/* They do not fail any more, and it is time for the next. */
static inline void allow_writes(LogFixture *fixture, int fd)
{
    close(fixture->log.to.fd);
    fixture->log.to.fd = fd;
    fixture->state.page->log.retry_at = 0;
}

static inline GString *file_content(const char *path)
{
    char *content;
    gsize length;
    GString *string;

    if (!g_file_get_contents(path, &content, &length, NULL))
        return g_string_new(NULL);
    string = g_string_new_len(content, (gssize)length);
    g_free(content);
    return string;
}

/* Takes the records that tell of a loss out of what a log's records hold, and adds up what they
 * tell.
 */
static inline void take_losses(GString *joined, uint64_t *bytes, uint64_t *records)
{
    static const char begin[] = "[conward] lost ";
    char *loss;

    *bytes = 0;
    *records = 0;
    while ((loss = g_strstr_len(joined->str, (gssize)joined->len, begin)) != NULL) {
        char *end = strchr(loss, '\n');

        *bytes += g_ascii_strtoull(loss + strlen(begin), NULL, 10);
        *records += g_ascii_strtoull(strstr(loss, " bytes in ") + strlen(" bytes in "), NULL, 10);
        ck_assert_ptr_nonnull(end);
        g_string_erase(joined, loss - joined->str, end + 1 - loss);
    }
}

/*
 * Appends the contents of a log's records of one stream to `joined`. Returns false at a record
 * that is torn or is none.
 */
static inline bool join_records(const GString *log, StreamId stream, GString *joined)
{
    for (size_t at = 0; at < log->len;) {
        const char *record = log->str + at;
        const char *newline = memchr(record, '\n', log->len - at);
        size_t content;

        if (newline == NULL || newline - record < RECORD_HEADER_LENGTH)
            return false;
        if (record[10] != 'T' || record[19] != '.' || record[RECORD_TIME_LENGTH] != ' ' ||
            strncmp(record + RECORD_STREAM_AT, "std", 3) != 0 || record[RECORD_TAG_AT + 1] != ' ')
            return false;
        content = (size_t)(newline - record) - RECORD_HEADER_LENGTH;
        if (record[RECORD_TAG_AT] == 'F')
            content++;
        else if (record[RECORD_TAG_AT] != 'P')
            return false;
        if ((record[RECORD_STREAM_AT + 3] == 'e') == (stream == STREAM_STDERR))
            g_string_append_len(joined, record + RECORD_HEADER_LENGTH, (gssize)content);
        at += (size_t)(newline - record) + 1;
    }
    return true;
}

/* One record of a log, as far as it is one. */
typedef struct LogRecord {
    const char *content;
    size_t length;
    bool partial;
    StreamId stream;
} LogRecord;

/* Takes the record at *at of a log that join_records() has found to be whole. */
static inline bool next_record(const GString *log, size_t *at, LogRecord *record)
{
    const char *begin = log->str + *at;
    const char *end = memchr(begin, '\n', log->len - *at);

    if (end == NULL)
        return false;
    *record = (LogRecord){
        .content = begin + RECORD_HEADER_LENGTH,
        .length = (size_t)(end - begin) - RECORD_HEADER_LENGTH,
        .partial = begin[RECORD_TAG_AT] == 'P',
        .stream = begin[RECORD_STREAM_AT + 3] == 'e' ? STREAM_STDERR : STREAM_STDOUT,
    };
    *at += (size_t)(end - begin) + 1;
    return true;
}

/* Whether the log ends with a record of --log-close-last-line, which is then taken off it: an empty
 * one with the time stamp of the one before. */
static inline bool take_closing(GString *log)
{
    const size_t length = RECORD_HEADER_LENGTH + 1;
    const char *begin = log->str + log->len - length;
    const char *before;

    if (log->len < 2 * length || begin[-1] != '\n' || begin[RECORD_TAG_AT] != 'F')
        return false;
    before = g_strrstr_len(log->str, (gssize)(log->len - length - 1), "\n");
    before = before == NULL ? log->str : before + 1;
    if (memcmp(before, begin, RECORD_TIME_LENGTH) != 0)
        return false;
    g_string_truncate(log, log->len - length);
    return true;
}

/* How many bytes a record tells to be lost, 0 if it is none of those that tell it. */
static inline uint64_t told_by(const LogRecord *record)
{
    static const char begin[] = "[conward] lost ";

    if (record->partial || record->length < strlen(begin) ||
        memcmp(record->content, begin, strlen(begin)) != 0)
        return 0;
    return g_ascii_strtoull(record->content + strlen(begin), NULL, 10);
}

/*
 * Checks that a stream's records are what the container wrote, less what the loss records tell,
 * each at its place; and that such a record stands alone, unless no newline of the line that is
 * open before it is lost. Returns how many bytes of `wrote` the records account for.
 */
static inline size_t check_told(const GString *log, StreamId stream, const GString *wrote)
{
    const char *text = wrote->str;
    bool is_open = false;
    bool has_closed = false; /* the last record is a newline from within the next loss */
    size_t at = 0;
    LogRecord record;

    for (size_t next = 0; next_record(log, &next, &record);) {
        uint64_t told = told_by(&record);
        size_t length = record.length + !record.partial;

        if (record.stream != stream)
            continue;
        if (told > 0) {
            const char *newline = memchr(text + at, '\n', told + has_closed);

            ck_assert_uint_le(at + told + has_closed, wrote->len);
            if (has_closed)
                ck_assert_ptr_nonnull(newline);
            else if (is_open)
                ck_assert_msg(newline == NULL, "the loss record is glued: %s", log->str);
            at += told + has_closed;
            has_closed = false;
        } else if (is_open && length == 1 && !record.partial && text[at] != '\n') {
            has_closed = true;
        } else {
            ck_assert(!has_closed);
            ck_assert_msg(at + length <= wrote->len &&
                              memcmp(record.content, text + at, record.length) == 0 &&
                              (record.partial || text[at + record.length] == '\n'),
                          "not what was written at byte %zu: %s", at, log->str);
            at += length;
        }
        is_open = record.partial;
    }
    ck_assert(!has_closed);
    return at;
}
