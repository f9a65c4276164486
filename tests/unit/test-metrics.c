#include "ctl/metrics-text.h"
#include "ctl/proc-stat.h"
#include "ctl/text.h"

#include "suite.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

START_TEST(labels_are_escaped)
{
    static const struct {
        const char *text;
        const char *expected;
    } CASE[] = {
        {"", ""},
        {"web", "web"},
        {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"a\xff\xc3", "a\xef\xbf\xbd\xef\xbf\xbd"},
        {"\x1b[2J\r\x7f\xc2\x9b", "\xef\xbf\xbd[2J\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"a\xe2\x80\xae\xe2\x80\xa8z", "a\xef\xbf\xbd\xef\xbf\xbdz"},
        {"\\n", "\\\\n"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(CASE); i++) {
        g_autoptr(GString) label = g_string_new(NULL);

        text_append_label(label, CASE[i].text, strlen(CASE[i].text));
        ck_assert_str_eq(label->str, CASE[i].expected);
    }
}
END_TEST

/* A monitor named `name`, whose page is at `path`. */
static Snapshot *monitor_at(const char *path, const char *name)
{
    Snapshot *monitor = g_new0(Snapshot, 1);
    GString *texts = g_string_new("name=");

    g_string_append(texts, name);
    monitor->texts_length = texts->len + 1;
    monitor->texts = g_string_free(texts, FALSE);
    monitor->path = g_strdup(path);
    monitor->page.kind = SNAPSHOT_EXEC;
    monitor->page.log.live = 1;
    strcpy(monitor->page.id, "c0");
    return monitor;
}

static char *metrics_of(const Monitors *monitors)
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);

    metrics_write(monitors, file);
    ck_assert_int_eq(fclose(file), 0);
    return text;
}

static Monitors *two_monitors(const char *name, const char *other)
{
    Monitors *monitors = g_new0(Monitors, 1);

    monitors->list = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
    g_ptr_array_add(monitors->list, monitor_at("/a\xfe", name));
    g_ptr_array_add(monitors->list, monitor_at("/a\xff", other));
    return monitors;
}

static void assert_line(const char *text, const char *line)
{
    g_autofree char *whole = g_strconcat("\n", line, "\n", NULL);

    ck_assert_msg(strstr(text, whole) != NULL, "no line %s in\n%s", line, text);
}

#define LABELS "id=\"c0\",name=\"web\",kind=\"exec\",engine=\"\""

START_TEST(units_are_seconds_and_bytes)
{
    g_autoptr(Monitors) monitors = two_monitors("web", "other");
    Snapshot *monitor = g_ptr_array_index(monitors->list, 0);
    g_autofree char *text = NULL;

    monitor->page.started_at = 1787295907000123;
    monitor->page.held_time[STREAM_STDERR] = 50000;
    monitor->page.log.set[1].counters[STREAM_STDOUT].bytes = UINT64_MAX;
    monitor->process.cpu = 1230000;
    monitors->unread = 3;
    text = metrics_of(monitors);
    assert_line(text, "# TYPE conward_start_time_seconds gauge");
    assert_line(text, "conward_start_time_seconds{" LABELS "} 1787295907.000123");
    assert_line(text, "# TYPE conward_held_seconds_total counter");
    assert_line(text, "conward_held_seconds_total{" LABELS ",stream=\"stderr\"} 0.050000");
    assert_line(text,
                "conward_logged_bytes_total{" LABELS ",stream=\"stdout\"} 18446744073709551615");
    assert_line(text, "conward_monitor_cpu_seconds_total{" LABELS "} 1.230000");
    assert_line(text, "conward_monitors{kind=\"exec\"} 2");
    assert_line(text, "conward_monitors{kind=\"run\"} 0");
    assert_line(text, "conward_pages_unread 3");
}
END_TEST

START_TEST(what_never_was_is_left_out)
{
    g_autoptr(Monitors) monitors = two_monitors("web", "other");
    Snapshot *monitor = g_ptr_array_index(monitors->list, 0);
    g_autofree char *before = metrics_of(monitors);
    g_autofree char *after = NULL;

    ck_assert_ptr_null(strstr(before, "\nconward_open_line_since_seconds{"));
    monitor->page.log.set[1].counters[STREAM_STDOUT].line_since = 5000000;
    after = metrics_of(monitors);
    assert_line(after, "conward_open_line_since_seconds{" LABELS ",stream=\"stdout\"} 5.000000");
}
END_TEST

/* The collector refuses a file in which a series comes twice. */
START_TEST(no_series_comes_twice)
{
    g_autofree char *long_name = g_strnfill(5000, 'x');
    g_autofree char *longer_name = g_strconcat(long_name, "y", NULL);
    const char *const NAMES[][2] = {
        {"web", "web"},
        {"\xfe", "\xff"},
        {long_name, longer_name},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(NAMES); i++) {
        g_autoptr(Monitors) monitors = two_monitors(NAMES[i][0], NAMES[i][1]);
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        g_autofree char *text = metrics_of(monitors);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        ck_assert_ptr_nonnull(strstr(text, ",page=\"/a\\\\xff\"} "));
        for (char **line = lines; *line != NULL && **line != '\0'; line++) {
            ck_assert_uint_lt(strlen(*line), 1000);
            if (**line == '#')
                continue;
            *strrchr(*line, ' ') = '\0';
            ck_assert_msg(g_hash_table_add(seen, *line), "twice: %s", *line);
        }
    }
}
END_TEST

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * G_USEC_PER_SEC + (uint64_t)time.tv_usec;
}

START_TEST(processor_time_is_all_of_it)
{
    struct rusage usage;
    uint64_t spent;
    ProcStat stat;

    do {
        for (int i = 0; i < 1000; i++)
            syscall(SYS_getppid);
        getrusage(RUSAGE_SELF, &usage);
    } while (microseconds(usage.ru_utime) < 100000 || microseconds(usage.ru_stime) < 100000);
    spent = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    ck_assert(proc_stat_read(getpid(), &stat));
    ck_assert_uint_gt(stat.cpu + 50000, spent); /* which counts in ticks */
    ck_assert(!proc_stat_read(0, &stat));
}
END_TEST

SUITE("metrics", processor_time_is_all_of_it, labels_are_escaped, units_are_seconds_and_bytes,
      what_never_was_is_left_out, no_series_comes_twice)
