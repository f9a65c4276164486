#include "ctl/troubles.h"

#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A monitor of a container without any trouble, and then with some. */
typedef struct Fixture {
    Snapshot snapshot;
    char texts[64];
} Fixture;

static void setup(Fixture *fixture)
{
    static const char texts[] = "name=web\0engine=podman\0log=/nowhere/ctr.log";

    *fixture = (Fixture){0};
    memcpy(fixture->texts, texts, sizeof(texts));
    fixture->snapshot.texts = fixture->texts;
    fixture->snapshot.texts_length = sizeof(texts);
    fixture->snapshot.page.phase = PHASE_RUNNING;
    fixture->snapshot.page.settings.log_line_max = 1000;
    strcpy(fixture->snapshot.page.id, "0123456789abcdef");
    fixture->snapshot.page.has_file = 1;
}

static LogCounters *counters(Fixture *fixture, StreamId stream)
{
    return &fixture->snapshot.page.log.set[0].counters[stream];
}

/* The kinds of what is found, as bits. */
static unsigned kinds(const Fixture *before, const Fixture *now, int64_t elapsed)
{
    const TroubleLimits limits = TROUBLE_LIMITS;
    GPtrArray *found = troubles_new();
    unsigned bits = 0;

    troubles_add(found, before != NULL ? &before->snapshot : NULL, &now->snapshot, elapsed,
                 &limits);
    for (guint i = 0; i < found->len; i++) {
        const Trouble *trouble = g_ptr_array_index(found, i);

        ck_assert_ptr_eq(trouble->monitor, &now->snapshot);
        ck_assert_ptr_nonnull(trouble_name(trouble->kind));
        bits |= 1u << trouble->kind;
    }
    g_ptr_array_unref(found);
    return bits;
}

START_TEST(a_container_without_trouble)
{
    Fixture fixture;

    setup(&fixture);
    counters(&fixture, STREAM_STDOUT)->line = 1000; /* as long as a record may be */
    fixture.snapshot.page.log.blocked_since = snapshot_now();
    fixture.snapshot.page.held_since[STREAM_STDERR] = snapshot_now();
    ck_assert_uint_eq(kinds(NULL, &fixture, 0), 0);
}
END_TEST

START_TEST(a_disk_that_does_not_answer)
{
    Fixture fixture;

    setup(&fixture);
    fixture.snapshot.page.log.blocked_since = snapshot_now() - 1000000;
    ck_assert_uint_eq(kinds(NULL, &fixture, 0), 1u << TROUBLE_BLOCKED_LOG);
}
END_TEST

START_TEST(an_open_line_counts_what_waits)
{
    Fixture fixture;

    setup(&fixture);
    counters(&fixture, STREAM_STDERR)->line = 900;
    fixture.snapshot.page.streams[STREAM_STDERR].end = 101;
    ck_assert_uint_eq(kinds(NULL, &fixture, 0), 1u << TROUBLE_ENDLESS_LINE);
    fixture.snapshot.page.phase = PHASE_STARTING; /* then these are the runtime's words */
    ck_assert_uint_eq(kinds(NULL, &fixture, 0), 0);
}
END_TEST

START_TEST(a_flood_is_told_by_two_looks)
{
    Fixture before;
    Fixture now;

    setup(&before);
    setup(&now);
    now.snapshot.page.streams[STREAM_STDOUT].end = 8 << 20;
    now.snapshot.page.log.set[0].start[STREAM_STDOUT] = 8 << 20;
    now.snapshot.page.streams[STREAM_STDERR].end = 2 << 20;
    now.snapshot.page.log.set[0].start[STREAM_STDERR] = 2 << 20;
    ck_assert_uint_eq(kinds(&before, &now, 1000000), 1u << TROUBLE_FLOOD);
    ck_assert_uint_eq(kinds(&before, &now, 1100000), 0);
    ck_assert_uint_eq(kinds(NULL, &now, 1000000), 0);
    ck_assert_uint_eq(kinds(&before, &now, 0), 0);
}
END_TEST

START_TEST(losses_readers_and_crashes)
{
    Fixture fixture;

    setup(&fixture);
    counters(&fixture, STREAM_STDOUT)->lost_records = 1;
    fixture.snapshot.page.log.last_error = ENOSPC;
    fixture.snapshot.page.held_since[STREAM_STDOUT] = snapshot_now() - 5000000;
    fixture.snapshot.page.crashes = 1;
    ck_assert_uint_eq(kinds(NULL, &fixture, 0),
                      1u << TROUBLE_LOST_OUTPUT | 1u << TROUBLE_STALLED | 1u << TROUBLE_CRASHES);
}
END_TEST

START_TEST(faults_at_the_same_instruction)
{
    const TroubleLimits limits = TROUBLE_LIMITS;
    GPtrArray *found = troubles_new();
    Fixture fixture;

    setup(&fixture);
    fixture.snapshot.page.crashes = 4;
    fixture.snapshot.page.crash = (CrashPage){.signal = 11, .is_our_own = 1, .alike = 3};
    troubles_add(found, NULL, &fixture.snapshot, 0, &limits);
    ck_assert_uint_eq(found->len, 1);
    ck_assert_ptr_nonnull(
        strstr(((Trouble *)g_ptr_array_index(found, 0))->text,
               "signal 11, a fault of conward itself, at the same instruction 3 times"));
    g_ptr_array_unref(found);
}
END_TEST

START_TEST(kills_for_want_of_memory)
{
    const TroubleLimits limits = TROUBLE_LIMITS;
    GPtrArray *found = troubles_new();
    const Trouble *trouble;
    Fixture fixture;

    setup(&fixture);
    fixture.snapshot.page.oom =
        (OomPage){.kills = 3, .limit = 16 << 20, .last_at = snapshot_wall_now() - 5000000};
    troubles_add(found, NULL, &fixture.snapshot, 0, &limits);
    ck_assert_uint_eq(found->len, 1);
    trouble = g_ptr_array_index(found, 0);
    ck_assert_int_eq((int)trouble->kind, TROUBLE_OOM_KILLS);
    ck_assert_str_eq(trouble_name(trouble->kind), "oom_kills");
    ck_assert_ptr_nonnull(strstr(trouble->text, "killed 3 of its processes, the last one 5 s "
                                                "ago; its limit is 16 MiB"));
    ck_assert_ptr_nonnull(
        strstr(trouble->mend, "podman update --memory 32m --memory-swap 64m 0123456789abcdef"));
    g_ptr_array_unref(found);

    found = troubles_new();
    fixture.snapshot.page.kind = SNAPSHOT_RUN;
    troubles_add(found, NULL, &fixture.snapshot, 0, &limits);
    trouble = g_ptr_array_index(found, 0);
    ck_assert_ptr_nonnull(strstr(trouble->mend, "restart it with --memory-max 32M"));
    g_ptr_array_unref(found);

    fixture.snapshot.page.kind = SNAPSHOT_EXEC;
    ck_assert_uint_eq(kinds(NULL, &fixture, 0), 0);
}
END_TEST

/* What is said and advised of the only trouble; the caller frees it. */
static char *said(const Fixture *fixture)
{
    const TroubleLimits limits = TROUBLE_LIMITS;
    GPtrArray *found = troubles_new();
    const Trouble *trouble;
    char *text;

    troubles_add(found, NULL, &fixture->snapshot, 0, &limits);
    ck_assert_uint_eq(found->len, 1);
    trouble = g_ptr_array_index(found, 0);
    text = g_strdup_printf("%s; %s", trouble->text, trouble->mend);
    g_ptr_array_unref(found);
    return text;
}

/* Settings may have changed since output was lost: nobody is told to do what is done. */
START_TEST(a_rate_limit_that_has_changed_since)
{
    Fixture fixture;
    char *text;

    setup(&fixture);
    fixture.snapshot.page.settings.log_rate_limit = 2000;
    counters(&fixture, STREAM_STDOUT)->lost_bytes = 30;
    counters(&fixture, STREAM_STDOUT)->lost_records = 3;
    counters(&fixture, STREAM_STDOUT)->limited_bytes = 30;
    counters(&fixture, STREAM_STDOUT)->limited_records = 3;
    text = said(&fixture);
    ck_assert_ptr_nonnull(strstr(text, "(it is now 2.0 KiB/s)"));
    ck_assert_ptr_nonnull(strstr(text, "log-rate-policy wait"));
    g_free(text);
    fixture.snapshot.page.settings.log_rate_policy = LOG_WAIT;
    text = said(&fixture);
    ck_assert_ptr_null(strstr(text, "log-rate-policy wait"));
    g_free(text);
    fixture.snapshot.page.settings.log_rate_policy = LOG_DROP;
    fixture.snapshot.page.settings.log_rate_limit = 0;
    text = said(&fixture);
    ck_assert_ptr_nonnull(strstr(text, "(there is none now)"));
    ck_assert_ptr_null(strstr(text, "log-rate-policy wait"));
    g_free(text);
}
END_TEST

START_TEST(the_worst_comes_first)
{
    const TroubleLimits limits = TROUBLE_LIMITS;
    GPtrArray *found = troubles_new();
    Fixture shorter;
    Fixture longer;
    Fixture losing;
    const Trouble *trouble;

    setup(&shorter);
    setup(&longer);
    setup(&losing);
    counters(&shorter, STREAM_STDOUT)->line = 2000;
    counters(&longer, STREAM_STDERR)->line = 3000;
    counters(&losing, STREAM_STDOUT)->lost_records = 1;
    troubles_add(found, NULL, &shorter.snapshot, 0, &limits);
    troubles_add(found, NULL, &longer.snapshot, 0, &limits);
    troubles_add(found, NULL, &losing.snapshot, 0, &limits);
    troubles_sort(found);
    ck_assert_uint_eq(found->len, 3);
    trouble = g_ptr_array_index(found, 0);
    ck_assert_ptr_eq(trouble->monitor, &losing.snapshot);
    trouble = g_ptr_array_index(found, 1);
    ck_assert_ptr_eq(trouble->monitor, &longer.snapshot);
    ck_assert_ptr_nonnull(strstr(trouble->text, "2.9 KiB on stderr"));
    ck_assert_ptr_nonnull(strstr(trouble->mend, "podman stop 0123456789abcdef"));
    g_ptr_array_unref(found);
}
END_TEST

SUITE("troubles", a_container_without_trouble, a_disk_that_does_not_answer,
      a_flood_is_told_by_two_looks, an_open_line_counts_what_waits, kills_for_want_of_memory,
      losses_readers_and_crashes, faults_at_the_same_instruction,
      a_rate_limit_that_has_changed_since, the_worst_comes_first)
