#include "ctl/rates.h"
#include "ctl/screen.h"
#include "ctl/top-table.h"

#include "suite.h"

#include <string.h>

enum { SECOND = 1000000 };

static Snapshot *monitor_at(const char *path, int64_t taken_at)
{
    Snapshot *monitor = g_new0(Snapshot, 1);

    monitor->path = g_strdup(path);
    monitor->taken_at = taken_at;
    monitor->page.monitor_pid = 7;
    monitor->page.process = 99;
    monitor->page.started_at = snapshot_wall_now() - (int64_t)1000 * SECOND;
    return monitor;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshot, snapshot_free)

static LogCounters *counters(Snapshot *monitor, StreamId stream)
{
    return &monitor->page.log.set[0].counters[stream];
}

START_TEST(growth_is_divided_by_the_time)
{
    g_autoptr(Snapshot) before = monitor_at("/a", (int64_t)5000 * SECOND);
    g_autoptr(Snapshot) now = monitor_at("/a", (int64_t)5004 * SECOND);
    Rates rates;

    before->page.streams[STREAM_STDOUT].end = 100;
    now->page.streams[STREAM_STDOUT].end = 500;
    now->page.streams[STREAM_STDERR].end = 40;
    counters(now, STREAM_STDOUT)->bytes = 80;
    counters(now, STREAM_STDERR)->bytes = 80;
    counters(before, STREAM_STDERR)->records = 1;
    counters(now, STREAM_STDERR)->records = 3;
    before->process.cpu = SECOND;
    now->process.cpu = 2 * SECOND;
    rates = rates_between(before, now);
    ck_assert_ptr_eq(rates.monitor, now);
    ck_assert_double_eq_tol(rates.written, 110, 1e-6);
    ck_assert_double_eq_tol(rates.logged, 40, 1e-6);
    ck_assert_double_eq_tol(rates.records, 0.5, 1e-6);
    ck_assert_double_eq_tol(rates.cpu, 0.25, 1e-6);
    ck_assert_double_eq(rates.held, 0);
}
END_TEST

START_TEST(held_counts_while_it_lasts)
{
    g_autoptr(Snapshot) before = monitor_at("/a", (int64_t)5000 * SECOND);
    g_autoptr(Snapshot) now = monitor_at("/a", (int64_t)5004 * SECOND);

    now->page.held_since[STREAM_STDOUT] = (int64_t)5003 * SECOND;
    ck_assert_double_eq_tol(rates_between(before, now).held, 0.25, 1e-6);
    before->page.held_since[STREAM_STDERR] = (int64_t)4999 * SECOND;
    now->page.held_since[STREAM_STDERR] = (int64_t)4999 * SECOND;
    ck_assert_double_eq_tol(rates_between(before, now).held, 1, 1e-6);
}
END_TEST

START_TEST(what_has_become_less_is_nothing)
{
    g_autoptr(Snapshot) before = monitor_at("/a", (int64_t)5000 * SECOND);
    g_autoptr(Snapshot) now = monitor_at("/a", (int64_t)5000 * SECOND);
    Rates rates;

    before->page.streams[STREAM_STDOUT].end = UINT64_MAX;
    rates = rates_between(before, now);
    ck_assert_double_eq(rates.written, 0);
    now->page.held_time[STREAM_STDOUT] = UINT64_MAX;
    rates = rates_between(before, now);
    ck_assert_double_eq(rates.held, 1);
}
END_TEST

static void assert_average(const Snapshot *before, const Snapshot *now)
{
    Rates rates = rates_between(before, now);

    /* In 1000 seconds and the little that the test has taken. */
    ck_assert_double_gt(rates.written, 900);
    ck_assert_double_le(rates.written, 1000);
}

START_TEST(a_new_monitor_has_its_average)
{
    g_autoptr(Snapshot) before = monitor_at("/a", (int64_t)4999 * SECOND);
    g_autoptr(Snapshot) now = monitor_at("/a", (int64_t)5000 * SECOND);

    now->page.streams[STREAM_STDOUT].end = SECOND;
    assert_average(NULL, now);
    before->page.process++;
    assert_average(before, now);
    /* What a page says of its beginning may be anything. */
    now->page.started_at = INT64_MAX;
    ck_assert_double_gt(rates_between(NULL, now).written, 1e6);
    now->page.started_at = INT64_MIN;
    ck_assert_double_gt(rates_between(NULL, now).written, 0);
}
END_TEST

static Monitors *monitors_of(Snapshot *one, Snapshot *other)
{
    Monitors *monitors = g_new0(Monitors, 1);

    monitors->list = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
    g_ptr_array_add(monitors->list, one);
    g_ptr_array_add(monitors->list, other);
    return monitors;
}

START_TEST(monitors_come_and_go)
{
    int64_t then = (int64_t)5000 * SECOND;
    int64_t later = then + SECOND;
    g_autoptr(Monitors) before = monitors_of(monitor_at("/gone", then), monitor_at("/stays", then));
    g_autoptr(Monitors) now = monitors_of(monitor_at("/stays", later), monitor_at("/new", later));
    g_autoptr(GArray) rates = NULL;

    for (guint i = 0; i < 2; i++) {
        Snapshot *monitor = g_ptr_array_index(now->list, i);

        monitor->page.streams[STREAM_STDOUT].end = 3000;
    }
    rates = rates_of_all(before, now);
    ck_assert_uint_eq(rates->len, 2);
    ck_assert_double_eq_tol(g_array_index(rates, Rates, 0).written, 3000, 1e-6);
    ck_assert_double_le(g_array_index(rates, Rates, 1).written, 3);
    top_sort(rates, top_column("id"));
    ck_assert_str_eq(g_array_index(rates, Rates, 0).monitor->path, "/stays");
    g_array_index(rates, Rates, 1).logged = 1;
    top_sort(rates, top_column("logged"));
    ck_assert_str_eq(g_array_index(rates, Rates, 0).monitor->path, "/new");
}
END_TEST

static void assert_fitting(const char *text, unsigned rows, unsigned columns, const char *expected)
{
    g_autoptr(GString) drawn = g_string_new(NULL);

    screen_append_fitting(drawn, text, rows, columns);
    ck_assert_str_eq(drawn->str, expected);
}

START_TEST(a_screen_is_not_left)
{
    assert_fitting("ab\ncd\n", 3, 2, "ab\033[K\r\ncd\033[K\r\n\033[J");
    assert_fitting("ab\ncd\n", 2, 2, "ab\033[K\r\ncd\033[K");
    assert_fitting("abc\nd\n", 1, 2, "ab\033[K");
    assert_fitting("a\xe4\xbd\xa0z\n", 2, 3, "a\xe4\xbd\xa0\033[K\r\n\033[J");
    assert_fitting("a\xe4\xbd\xa0z\n", 2, 2, "a\033[K\r\n\033[J");
    assert_fitting("e\xcc\x81z\n", 2, 1, "e\xcc\x81\033[K\r\n\033[J");
}
END_TEST

SUITE("top", growth_is_divided_by_the_time, held_counts_while_it_lasts,
      what_has_become_less_is_nothing, a_new_monitor_has_its_average, monitors_come_and_go,
      a_screen_is_not_left)
