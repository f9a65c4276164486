#include "ctl/top-table.h"

#include "ctl/json.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "util/whole.h"

#include <string.h>

typedef enum Show {
    SHOW_ID, /* as a text, and short */
    SHOW_TEXT,
    SHOW_AMOUNT, /* bytes */
    SHOW_NUMBER,
    SHOW_PERCENT, /* of a part */
} Show;

struct TopColumn {
    const char *title; /* for a Table */
    const char *word;
    const char *member; /* of the JSON object; a part is given in millionths */
    Show show;
    const char *(*text)(const Rates *rates); /* of texts, and */
    double (*number)(const Rates *rates);    /* of all others */
};

#define TEXT(name, expression)                    \
    static const char *name(const Rates *rates)   \
    {                                             \
        const Snapshot *monitor = rates->monitor; \
                                                  \
        return expression;                        \
    }

TEXT(id, snapshot_id(monitor))
TEXT(name, snapshot_text(monitor, "name"))
TEXT(kind, snapshot_kind(monitor))

/* `out` and `err` are the two streams' counters. */
#define NUMBER(name, expression)                                            \
    static double name(const Rates *rates)                                  \
    {                                                                       \
        const Snapshot *monitor = rates->monitor;                           \
        const LogCounters *out = snapshot_counters(monitor, STREAM_STDOUT); \
        const LogCounters *err = snapshot_counters(monitor, STREAM_STDERR); \
                                                                            \
        (void)out;                                                          \
        (void)err;                                                          \
        return (double)(expression);                                        \
    }

NUMBER(written, rates->written)
NUMBER(logged, rates->logged)
NUMBER(records, rates->records)
NUMBER(open_line,
       MAX(snapshot_open_line(monitor, STREAM_STDOUT), snapshot_open_line(monitor, STREAM_STDERR)))
NUMBER(longest, MAX(out->longest, err->longest))
NUMBER(lost, out->lost_bytes + out->capped_bytes + err->lost_bytes + err->capped_bytes)
NUMBER(held, rates->held)
NUMBER(log_size, snapshot_log_size(monitor))
NUMBER(rss, monitor->process.rss)
NUMBER(cpu, rates->cpu)

static const TopColumn COLUMNS[] = {
    {"ID", "id", "id", SHOW_ID, id, NULL},
    {"NAME", "name", "name", SHOW_TEXT, name, NULL},
    {"KIND", "kind", "kind", SHOW_TEXT, kind, NULL},
    {">WRITTEN/S", "written", "written_bytes_per_second", SHOW_AMOUNT, NULL, written},
    {">LOGGED/S", "logged", "logged_bytes_per_second", SHOW_AMOUNT, NULL, logged},
    {">RECORDS/S", "records", "records_per_second", SHOW_NUMBER, NULL, records},
    {">OPEN LINE", "open", "open_line_bytes", SHOW_AMOUNT, NULL, open_line},
    {">LONGEST", "longest", "longest_line_bytes", SHOW_AMOUNT, NULL, longest},
    {">LOST", "lost", "lost_bytes", SHOW_AMOUNT, NULL, lost},
    {">HELD", "held", "held_us_per_second", SHOW_PERCENT, NULL, held},
    {">LOG", "log", "log_size_bytes", SHOW_AMOUNT, NULL, log_size},
    {">RSS", "rss", "monitor_rss_bytes", SHOW_AMOUNT, NULL, rss},
    {">CPU", "cpu", "monitor_cpu_us_per_second", SHOW_PERCENT, NULL, cpu},
};

enum { COUNT = G_N_ELEMENTS(COLUMNS) };

const TopColumn *top_column(const char *word)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(COLUMNS[i].word, word) == 0)
            return &COLUMNS[i];
    return NULL;
}

char *top_column_words(void)
{
    GString *words = g_string_new(COLUMNS[0].word);

    for (size_t i = 1; i < COUNT; i++)
        g_string_append_printf(words, ", %s", COLUMNS[i].word);
    return g_string_free(words, FALSE);
}

static gint compare(gconstpointer a, gconstpointer b, gpointer data)
{
    const TopColumn *column = data;
    double one, other;

    if (column->text != NULL)
        return strcmp(column->text(a), column->text(b));
    one = column->number(a);
    other = column->number(b);
    return (one < other) - (one > other);
}

void top_sort(GArray *rates, const TopColumn *column)
{
    g_array_sort_with_data(rates, compare, (gpointer)column);
}

static void add_word(Table *table, const TopColumn *column, const Rates *rates)
{
    char text[64];

    switch (column->show) {
    case SHOW_ID:
        g_snprintf(text, sizeof(text), "%.12s", column->text(rates));
        break;
    case SHOW_TEXT:
        table_add(table, column->text(rates));
        return;
    case SHOW_AMOUNT:
        amount_text(whole(column->number(rates)), text);
        break;
    case SHOW_NUMBER:
        g_snprintf(text, sizeof(text), "%.0f", column->number(rates));
        break;
    case SHOW_PERCENT:
        g_snprintf(text, sizeof(text), "%.1f%%", column->number(rates) * 100);
        break;
    }
    table_add(table, text);
}

void top_append(const GArray *rates, GString *to, bool header)
{
    const char *titles[COUNT + 1] = {NULL};
    g_autoptr(Table) table = NULL;

    for (size_t i = 0; i < COUNT; i++)
        titles[i] = COLUMNS[i].title;
    table = table_new(titles);
    for (guint i = 0; i < rates->len; i++)
        for (size_t column = 0; column < COUNT; column++)
            add_word(table, &COLUMNS[column], &g_array_index(rates, Rates, i));
    table_append(table, to, header);
}

static void add_member(GString *line, const TopColumn *column, const Rates *rates)
{
    double unit = column->show == SHOW_PERCENT ? 1000000 : 1;

    if (column->text != NULL)
        json_text(line, column->member, column->text(rates));
    else
        json_number(line, column->member, whole(column->number(rates) * unit));
}

void top_print_json(const GArray *rates, int64_t time)
{
    for (guint i = 0; i < rates->len; i++) {
        const Rates *one = &g_array_index(rates, Rates, i);
        g_autoptr(GString) line = g_string_new(NULL);

        json_begin(line);
        json_signed(line, "time_us", time);
        json_signed(line, "monitor_pid", one->monitor->page.monitor_pid);
        for (size_t column = 0; column < COUNT; column++)
            add_member(line, &COLUMNS[column], one);
        json_end(line);
    }
}
