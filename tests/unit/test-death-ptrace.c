/*
 * Death at every instruction. A child runs the data path (read, split, write, rotate) one
 * instruction at a time. Whenever that has changed the page or the log, what is left is copied,
 * the resume logic runs on the copy, gets the rest of the input, and every byte must be there
 * once. In another copy of the files nobody resumes anything, as after SIGKILL: readers must find
 * all that was written, and the next monitor must be able to go on.
 *
 * One moment is left out on purpose: between read(2) returning and the store of its result the
 * bytes are in neither place. No fault of our own can happen there, and a signal waits for the
 * loop.
 */
#include "log-fixture.h"
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    COPIED = 8192, /* of each buffer: more than the scripts below use */
    LEAST_DEATHS = 30,
    A_LITTLE = 70, /* bytes: less than a loss record, and more than a record of a short line */
};

/* All names that a log may have, newest first, but for the last: that is never for readers. */
static const char *const suffixes[] = {"", ".1", ".2", ".3", ".4", ".tmp"};
enum { NAMES = sizeof(suffixes) / sizeof(suffixes[0]), TO_READ = NAMES - 1 };

/* What the child does, one letter a step: r reads the next piece, w pumps, f flushes, e ends the
 * stream (R, W and E do the same for stderr), t ends the turn of a long line, x finishes the file,
 * m moves the log away and reopens it (external rotation), o reopens it as it is, g lets the file
 * grow a little and u as it likes, and what waits go on. */
typedef struct Script {
    const char *steps;
    const char *const *pieces;
    K8sLimits limits;
    rlim_t file_size;   /* 0 = no limit; else writes beyond it fail */
    unsigned rotations; /* by size: so many there are */
    bool discards;      /* not all of them are kept */
} Script;

typedef struct Death {
    const Script *script;
    LogFixture fixture;
    GString *input[STREAMS];
    Page page;      /* as it was when last looked at */
    uint64_t files; /* likewise */
    unsigned deaths;
    uint64_t lost_most;
} Death;

static K8sFile adopt(State *state, const char *path, int fd, K8sLimits limits)
{
    K8sFile log;

    k8s_file_init(&log, state, fd, path, limits);
    return log;
}

static StreamId stream_of(char step)
{
    return g_ascii_isupper(step) ? STREAM_STDERR : STREAM_STDOUT;
}

static void child_main(const Death *death)
{
    const Script *script = death->script;
    const LogFixture *fixture = &death->fixture;
    char *moved = g_strdup_printf("%s.1", fixture->path);
    const char *const *piece = script->pieces;
    struct rlimit limit = {script->file_size, RLIM_INFINITY};
    State state;
    K8sFile log;
    Error error;

    if (state_adopt(&state, fixture->state.page_fd, &error) < 0)
        _exit(2);
    log = adopt(&state, fixture->path, fixture->log.to.fd, script->limits);
    if (script->file_size > 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    for (const char *step = script->steps; *step != '\0'; step++) {
        StreamId stream = stream_of(*step);

        switch (*step) {
        case 'r':
        case 'R':
            if (write(fixture->pipe[1], *piece, strlen(*piece)) < 0)
                _exit(3);
            piece++;
            input_read(&state, stream, fixture->pipe[0], state_cursors(&state)->start[stream]);
            break;
        case 'w':
        case 'W':
            k8s_file_pump(&log, stream, SPLIT_WAIT);
            break;
        case 't':
            k8s_file_end_turn(&log);
            break;
        case 'f':
            k8s_file_pump(&log, STREAM_STDOUT, SPLIT_FLUSH);
            break;
        case 'e':
        case 'E':
            k8s_file_pump(&log, stream, SPLIT_END);
            break;
        case 'x':
            k8s_file_finish(&log);
            break;
        case 'm':
            if (rename(fixture->path, moved) < 0)
                _exit(4);
            k8s_file_reopen(&log);
            break;
        case 'o':
            k8s_file_reopen(&log);
            break;
        case 'g':
            limit.rlim_cur += A_LITTLE;
            setrlimit(RLIMIT_FSIZE, &limit);
            state.page->log.retry_at = 0;
            break;
        case 'u':
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
            state.page->log.retry_at = 0;
            break;
        }
    }
    _exit(0);
}

static void copy_file(const char *from, const char *to)
{
    GString *content = file_content(from);

    if (g_file_test(from, G_FILE_TEST_EXISTS))
        ck_assert(g_file_set_contents(to, content->str, (gssize)content->len, NULL));
    g_string_free(content, TRUE);
}

/* Opens the copy of that file which the dead process' log descriptor refers to. */
static int open_copy(const Death *death, const LogFixture *copy, pid_t pid)
{
    char name[64];
    struct stat held;

    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)pid, death->fixture.log.to.fd);
    ck_assert_int_eq(stat(name, &held), 0);
    if (held.st_nlink == 0 && held.st_size == 0) /* an empty one is not kept */
        return memfd_create("empty", MFD_CLOEXEC);
    for (size_t i = 0; i < NAMES; i++) {
        char *original = g_strconcat(death->fixture.path, suffixes[i], NULL);
        char *path = g_strconcat(copy->path, suffixes[i], NULL);
        struct stat st;
        int fd = -1;

        if (stat(original, &st) == 0 && st.st_ino == held.st_ino)
            fd = k8s_file_open(path);
        g_free(original);
        g_free(path);
        if (fd >= 0)
            return fd;
    }
    ck_abort_msg("the log's descriptor refers to none of the log's names");
    return -1;
}

/* A directory of its own with a copy of all files. */
static void copy_files(const Death *death, LogFixture *copy)
{
    Error error;

    *copy = (LogFixture){.state = STATE_NULL};
    copy->dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    copy->path = g_build_filename(copy->dir, "log", NULL);
    ck_assert_int_eq(pipe2(copy->pipe, O_NONBLOCK | O_CLOEXEC), 0);
    for (size_t i = 0; i < NAMES; i++) {
        char *from = g_strconcat(death->fixture.path, suffixes[i], NULL);
        char *to = g_strconcat(copy->path, suffixes[i], NULL);

        copy_file(from, to);
        g_free(from);
        g_free(to);
    }
    ck_assert_int_eq(state_create(&copy->state, &error), 0);
}

/* The copy of everything that outlives the process. */
static void copy_remains(const Death *death, LogFixture *copy, pid_t pid)
{
    const State *state = &death->fixture.state;

    copy_files(death, copy);
    *copy->state.page = *state->page;
    copy->state.page->log.place = 0; /* it is elsewhere now */
    for (int i = 0; i < STREAMS; i++)
        memcpy(copy->state.input[i], state->input[i], COPIED);
    memcpy(copy->state.output, state->output, COPIED);
    memcpy(copy->state.output + STATE_BATCH_AREA, state->output + STATE_BATCH_AREA, COPIED);
    copy->log = adopt(&copy->state, copy->path, open_copy(death, copy, pid), death->script->limits);
}

/* Checks that every record is later than the one before, and keeps the last one's time. */
static void check_rising(const GString *content, char *last)
{
    for (size_t at = 0; at < content->len;) {
        const char *record = content->str + at;
        const char *newline = memchr(record, '\n', content->len - at);

        ck_assert_msg(strncmp(last, record, RECORD_TIME_LENGTH) < 0, "not later than %s: %s", last,
                      record);
        memcpy(last, record, RECORD_TIME_LENGTH);
        at = newline == NULL ? content->len : at + (size_t)(newline - record) + 1;
    }
}

/* What a reader of all files finds, oldest first. */
static GString *join_files(const LogFixture *fixture, StreamId stream)
{
    GString *joined = g_string_new(NULL);
    char last[RECORD_TIME_LENGTH + 1] = "";

    for (size_t i = TO_READ; i-- > 0;) {
        char *path = g_strconcat(fixture->path, suffixes[i], NULL);
        GString *content = file_content(path);

        ck_assert_msg(join_records(content, stream, joined), "torn, in the log%s: %s", suffixes[i],
                      content->str);
        check_rising(content, last);
        g_string_free(content, TRUE);
        g_free(path);
    }
    return joined;
}

static bool has_file(const LogFixture *fixture, const char *suffix)
{
    char *path = g_strconcat(fixture->path, suffix, NULL);
    bool there = g_file_test(path, G_FILE_TEST_EXISTS);

    g_free(path);
    return there;
}

/* No name is left that no rotation would ever use or remove again. */
static void check_names(const Death *death, const LogFixture *copy)
{
    unsigned backups = death->script->limits.backups;

    ck_assert(!has_file(copy, ".tmp"));
    if (death->script->limits.size_max == 0)
        return;
    for (size_t i = 1; i < TO_READ; i++)
        ck_assert_msg(has_file(copy, suffixes[i]) == (i <= backups), "after death %u: log%s",
                      death->deaths, suffixes[i]);
}

/* Without anybody who resumes, what is there is the log up to some byte, and the next monitor can
 * rotate it. */
static void kill_and_compare(const Death *death)
{
    unsigned more = 2 * death->script->limits.backups + 1; /* enough for all names */
    const char *input = death->input[STREAM_STDOUT]->str;
    GString *wanted;
    GString *joined;
    LogFixture copy;

    copy_files(death, &copy);
    wanted = join_files(&copy, STREAM_STDOUT);
    ck_assert_msg(strstr(input, wanted->str) != NULL &&
                      (death->script->discards || g_str_has_prefix(input, wanted->str)),
                  "killed at %u: %s", death->deaths, wanted->str);
    copy.log = adopt(&copy.state, copy.path, k8s_file_open(copy.path), death->script->limits);
    for (unsigned i = 0; i < more; i++) {
        char *line = g_strdup_printf("next %u\n", i);

        log_feed(&copy, STREAM_STDOUT, line, strlen(line), SPLIT_WAIT);
        g_string_append(wanted, line);
        g_free(line);
    }
    joined = join_files(&copy, STREAM_STDOUT);
    ck_assert_msg(g_str_has_suffix(wanted->str, joined->str), "killed at %u: %s", death->deaths,
                  joined->str);
    ck_assert_ptr_nonnull(strstr(joined->str, "next 0\n"));
    check_names(death, &copy);
    g_string_free(wanted, TRUE);
    g_string_free(joined, TRUE);
    log_teardown(&copy);
}

/* Whatever lies at the log's path is what the log is written to: readers look there. */
static void check_writes_to_path(const LogFixture *copy)
{
    struct stat at_path;
    struct stat held;

    if (stat(copy->path, &at_path) < 0)
        return;
    ck_assert_int_eq(fstat(copy->log.to.fd, &held), 0);
    ck_assert_uint_eq(held.st_ino, at_path.st_ino);
}

/* What a stream's records say, against what was written to it. */
static void compare(Death *death, const LogFixture *copy, StreamId stream)
{
    const Script *script = death->script;
    const LogCounters *counters = &state_cursors(&copy->state)->counters[stream];
    const GString *input = death->input[stream];
    GString *joined = join_files(copy, stream);
    uint64_t told;
    uint64_t records;

    take_losses(joined, &told, &records);
    if (script->discards)
        ck_assert(g_str_has_suffix(input->str, joined->str));
    else if (script->file_size == 0 || script->limits.waits)
        ck_assert_msg(joined->len == input->len &&
                          memcmp(joined->str, input->str, joined->len) == 0,
                      "after death %u, the log says: %s", death->deaths, joined->str);
    if (!script->discards) {
        ck_assert_uint_eq(joined->len + counters->lost_bytes, input->len);
        ck_assert_uint_eq(joined->len, counters->bytes);
    }
    if (script->limits.says_losses)
        ck_assert_uint_eq(told, counters->lost_bytes);
    death->lost_most = MAX(death->lost_most, counters->lost_bytes);
    g_string_free(joined, TRUE);
}

/* Goes on from the copy to the end of the input, and compares. */
static void resume_and_compare(Death *death, pid_t pid)
{
    const Script *script = death->script;
    LogFixture copy;

    copy_remains(death, &copy, pid);
    check_writes_to_path(&copy);
    copy.state.page->log.retry_at = 0; /* the time has come */
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        k8s_file_pump(&copy.log, i, SPLIT_WAIT);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++) {
        const GString *input = death->input[i];
        uint64_t end;

        while ((end = copy.state.page->streams[i].end) < input->len) {
            size_t piece = input->len - end < 5 ? input->len - end : 5;

            log_feed(&copy, i, input->str + end, piece, SPLIT_WAIT);
        }
    }
    k8s_file_hurry(&copy.log);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        k8s_file_pump(&copy.log, i, SPLIT_END);

    if (script->limits.closes_last_line) {
        GString *content = file_content(copy.path);

        ck_assert_msg(take_closing(content) && !take_closing(content), "after death %u: %s",
                      death->deaths, content->str);
        ck_assert(g_file_set_contents(copy.path, content->str, (gssize)content->len, NULL));
        g_string_free(content, TRUE);
    }
    if (script->limits.says_losses) {
        const GString *input = death->input[STREAM_STDOUT];
        GString *content = file_content(copy.path);

        ck_assert_uint_eq(check_told(content, STREAM_STDOUT, input), input->len);
        g_string_free(content, TRUE);
    }
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        compare(death, &copy, i);
    if (script->limits.size_max > 0)
        ck_assert_uint_eq(state_cursors(&copy.state)->backups, script->rotations);
    check_names(death, &copy);
    log_teardown(&copy);
}

/* A number that changes with the files. */
static uint64_t look_at_files(const Death *death)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < NAMES; i++) {
        char *path = g_strconcat(death->fixture.path, suffixes[i], NULL);
        struct stat st;

        sum *= 1000003;
        if (stat(path, &st) == 0)
            sum += (uint64_t)st.st_size * 1009 + st.st_ino;
        g_free(path);
    }
    return sum;
}

static bool has_changed(Death *death)
{
    uint64_t files = look_at_files(death);

    if (files == death->files && memcmp(&death->page, death->fixture.state.page, sizeof(Page)) == 0)
        return false;
    death->files = files;
    death->page = *death->fixture.state.page;
    return true;
}

static void die_everywhere(const Script *script)
{
    Death death = {.script = script, .input = {g_string_new(NULL), g_string_new(NULL)}};
    const char *const *piece = script->pieces;
    int status;
    pid_t pid;

    for (const char *step = script->steps; *step != '\0'; step++) {
        if (g_ascii_tolower(*step) == 'r')
            g_string_append(death.input[stream_of(*step)], *piece++);
    }
    ck_assert_ptr_null(*piece);
    log_setup(&death.fixture, script->limits);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        child_main(&death);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSTOPPED(status), "the child cannot be traced: %#x", (unsigned)status);
    for (;;) {
        if (has_changed(&death)) {
            resume_and_compare(&death, pid);
            if (script->limits.size_max > 0)
                kill_and_compare(&death);
            death.deaths++;
        }
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
            break;
        /* A tracer is told of an ignored signal too. */
        ck_assert_msg(WIFSTOPPED(status) &&
                          (WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGXFSZ),
                      "status %#x", (unsigned)status);
    }
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_uint_gt(death.deaths, LEAST_DEATHS); /* or nothing has been looked at */
    if (script->file_size > 0 && !script->limits.waits)
        ck_assert_uint_gt(death.lost_most, 0);
    for (int i = 0; i < STREAMS; i++)
        g_string_free(death.input[i], TRUE);
    log_teardown(&death.fixture);
}

/* The splitter allows limits from 4 bytes on: small ones make many records of little input. */
static const K8sLimits small = {.line_max = 8, .partial_flush = 100};

START_TEST(reading_splitting_writing)
{
    static const char *const pieces[] = {
        "one\ntwo\nthr", "ee\n\n", "a line beyond the limit", "\nopen", " \xe2\x82\xac end", NULL};

    die_everywhere(&(Script){"rwrwrwrfrwe", pieces, small, 0, 0, false});
}
END_TEST

START_TEST(several_reads_before_a_write)
{
    static const char *const pieces[] = {"first\n",    "second\n", "third",
                                         "\nfourth\n", "fifth",    NULL};

    die_everywhere(&(Script){"rrwrrrwe", pieces, small, 0, 0, false});
}
END_TEST

START_TEST(external_rotation)
{
    static const char *const pieces[] = {"before\nthe ", "middle\nof it", "\nafter\n", NULL};

    die_everywhere(&(Script){"rwmrwrwe", pieces, small, 0, 0, false});
}
END_TEST

START_TEST(a_log_that_is_full)
{
    static const char *const pieces[] = {"one\ntwo\n", "three\nfour\n", "five\n", "six\nseven\n",
                                         NULL};

    die_everywhere(&(Script){"rwrwrwrwex", pieces, small, 170, 0, false});
}
END_TEST

START_TEST(a_torn_record_over_several_batches)
{
    static const char *const pieces[] = {"12345678901234567890\n", "three\nfour\n", "five\n", NULL};

    die_everywhere(&(Script){"rwrwrwex", pieces, small, 80, 0, false});
}
END_TEST

/* Records after the loss follow, with the loss told before them. */
START_TEST(a_loss_that_is_told)
{
    static const K8sLimits says = {.line_max = 8, .partial_flush = 100, .says_losses = true};
    static const char *const pieces[] = {"one\ntwo\n",   "three, four\n", "five\n",
                                         "six\nseven\n", "eight\n",       NULL};

    die_everywhere(&(Script){"rwrwrwurwrwex", pieces, says, 120, 0, false});
}
END_TEST

/* Its newline comes before the record that tells of the loss: with and without a record that is
 * torn, and with one or the other of these two records torn or lost as well. */
START_TEST(a_line_that_is_damaged)
{
    static const K8sLimits says = {.line_max = 16, .partial_flush = 100, .says_losses = true};
    static const char *const pieces[] = {"begins", ", goes on", ", ends\nnext\n",
                                         "\n",     "last\n",    NULL};

    for (rlim_t size = 52; size <= 92; size += 10)
        die_everywhere(&(Script){"rfrfrwgrwgwurwe", pieces, says, size, 0, false});
}
END_TEST

START_TEST(a_newline_that_is_late)
{
    static const K8sLimits silent = {.line_max = 16, .partial_flush = 100};
    static const char *const pieces[] = {"begins", "\n", "next", ", lost\n", "last\n", NULL};

    die_everywhere(&(Script){"rfrwurfgrwurwe", pieces, silent, 60, 0, false});
}
END_TEST

START_TEST(a_last_line_that_is_closed)
{
    static const K8sLimits closes = {
        .line_max = 16, .partial_flush = 100, .says_losses = true, .closes_last_line = true};
    static const K8sLimits waits = {
        .line_max = 16, .partial_flush = 100, .waits = true, .closes_last_line = true};
    static const char *const pieces[] = {"one\nlast", " line", NULL};

    die_everywhere(&(Script){"rfrexex", pieces, closes, 0, 0, false});
    for (rlim_t size = 100; size < 160; size += 15)
        die_everywhere(&(Script){"rfreueex", pieces, waits, size, 0, false});
}
END_TEST

START_TEST(a_log_that_is_waited_for)
{
    static const K8sLimits waits = {.line_max = 8, .partial_flush = 100, .waits = true};
    static const char *const pieces[] = {"one\ntwo\n", "three, four\n", "five\n", "six\n", NULL};

    die_everywhere(&(Script){"rwrwrwmwurwex", pieces, waits, 120, 0, false});
}
END_TEST

START_TEST(a_rate_limit)
{
    static const char *const pieces[] = {"one\ntwo\n", "three, four\n", "five\n", NULL};
    static const K8sLimits waits = {
        .line_max = 8, .partial_flush = 100, .rate = {1000, 100}, .rate_waits = true};
    static const K8sLimits drops = {
        .line_max = 8, .partial_flush = 100, .rate = {1000, 100}, .says_losses = true};

    die_everywhere(&(Script){"rwrwrw", pieces, waits, 0, 0, false});
    die_everywhere(&(Script){"rwrwrw", pieces, drops, 1 << 20, 0, false});
}
END_TEST

/* Two records a file: every second one makes a rotation. */
static K8sLimits rotating(uint32_t backups)
{
    return (K8sLimits){.line_max = 16, .partial_flush = -1, .size_max = 110, .backups = backups};
}

START_TEST(rotation_by_size)
{
    static const char *const pieces[] = {"one\ntwo\nthr", "ee\nfour\nfive\nsix\n", "seven\neight\n",
                                         NULL};

    die_everywhere(&(Script){"rwrwrwe", pieces, rotating(3), 0, 3, false});
}
END_TEST

START_TEST(rotation_that_discards_the_oldest)
{
    static const char *const pieces[] = {"one\ntwo\nthr", "ee\nfour\nfive\nsix\n",
                                         "seven\neight\nnine\nten\neleven\n", NULL};

    die_everywhere(&(Script){"rwrwrwe", pieces, rotating(2), 0, 5, true});
    die_everywhere(&(Script){"rwrwrwe", pieces, rotating(1), 0, 5, true});
}
END_TEST

START_TEST(rotation_on_request)
{
    static const char *const pieces[] = {"one\ntwo\n", "three", "\nfour\n", NULL};
    K8sLimits limits = rotating(2);

    limits.size_max = 0;
    die_everywhere(&(Script){"rworworwe", pieces, limits, 0, 0, false});
}
END_TEST

/* Of both streams: one waits, in vain and then until the end of the other's line. */
START_TEST(two_long_lines)
{
    static const char *const pieces[] = {"a line beyond the limit", "one\ntwo\n", " in pieces\nand",
                                         "another of that kind",    " end\n",     NULL};

    die_everywhere(&(Script){"rwRWtWrwRWrwe", pieces, small, 0, 0, false});
    die_everywhere(&(Script){"rwRWrwRErwe", pieces, small, 0, 0, false});
}
END_TEST

/* The old file waits for the end of the line, or of the stream. */
START_TEST(rotation_on_request_in_the_middle_of_a_line)
{
    static const char *const pieces[] = {"before\nbeyond the limit", " of a record\nafter",
                                         " all of it, and more", NULL};
    K8sLimits limits = rotating(3);

    limits.size_max = 0;
    limits.partial_flush = 100;
    die_everywhere(&(Script){"rwmrwrwe", pieces, limits, 0, 0, false});
    die_everywhere(&(Script){"rworwrwoe", pieces, limits, 0, 0, false});
}
END_TEST

SUITE("death", rotation_by_size, rotation_that_discards_the_oldest, rotation_on_request,
      reading_splitting_writing, several_reads_before_a_write, external_rotation,
      a_log_that_is_full, a_torn_record_over_several_batches, a_loss_that_is_told,
      a_line_that_is_damaged, a_newline_that_is_late, a_last_line_that_is_closed,
      a_log_that_is_waited_for, a_rate_limit, two_long_lines,
      rotation_on_request_in_the_middle_of_a_line)
