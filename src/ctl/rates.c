#include "ctl/rates.h"

uint64_t rates_growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

static bool is_same(const Snapshot *before, const Snapshot *now)
{
    return before != NULL && before->page.monitor_pid == now->page.monitor_pid &&
           before->page.process == now->page.process;
}

/* The monitor as it was when it began. */
static Snapshot beginning(const Snapshot *now)
{
    int64_t wall_now = snapshot_wall_now();
    int64_t age = wall_now - CLAMP(now->page.started_at, 0, wall_now);

    return (Snapshot){.taken_at = now->taken_at - MIN(age, now->taken_at)};
}

Rates rates_between(const Snapshot *before, const Snapshot *now)
{
    Snapshot zero = beginning(now);
    Rates rates = {.monitor = now};
    double time;

    if (!is_same(before, now))
        before = &zero;
    /* Something to divide by, also for a monitor of no age. */
    time = (double)MAX(now->taken_at - before->taken_at, 1000) / G_USEC_PER_SEC;
    for (StreamId stream = STREAM_STDOUT; stream < STREAMS; stream++) {
        const LogCounters *old = snapshot_counters(before, stream);
        const LogCounters *new = snapshot_counters(now, stream);
        uint64_t written =
            rates_growth(before->page.streams[stream].end, now->page.streams[stream].end);
        uint64_t held = rates_growth(snapshot_held(before, stream), snapshot_held(now, stream));

        rates.written += (double)written / time;
        rates.logged += (double)rates_growth(old->bytes, new->bytes) / time;
        rates.records += (double)rates_growth(old->records, new->records) / time;
        rates.held = CLAMP((double)held / G_USEC_PER_SEC / time, rates.held, 1);
    }
    rates.cpu = (double)rates_growth(before->process.cpu, now->process.cpu) / G_USEC_PER_SEC / time;
    return rates;
}

GArray *rates_of_all(const Monitors *before, const Monitors *now)
{
    GArray *all = g_array_sized_new(FALSE, FALSE, sizeof(Rates), now->list->len);
    g_autoptr(GHashTable) by_path = monitors_by_path(before);

    for (guint i = 0; i < now->list->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(now->list, i);
        Rates rates = rates_between(g_hash_table_lookup(by_path, monitor->path), monitor);

        g_array_append_val(all, rates);
    }
    return all;
}
