#include "ctl/metrics-text.h"

#include "ctl/fields.h"
#include "ctl/text.h"

#include <inttypes.h>
#include <string.h>

enum {
    LABEL_MOST = 256, /* bytes of a label's value: a page may hold texts of any length */
};

static void append_label(GString *labels, const char *name, const char *value)
{
    g_string_append_printf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
    text_append_label(labels, value, strnlen(value, LABEL_MOST));
    g_string_append_c(labels, '"');
}

static char *labels_of(const Snapshot *monitor)
{
    GString *labels = g_string_new(NULL);

    append_label(labels, "id", snapshot_id(monitor));
    append_label(labels, "name", snapshot_text(monitor, "name"));
    append_label(labels, "kind", snapshot_kind(monitor));
    append_label(labels, "engine", snapshot_text(monitor, "engine"));
    return g_string_free(labels, FALSE);
}

/* The page's path sets apart what has the same labels otherwise, such as two processes that are
 * executed in one container. Escaped, because different bytes must stay different. */
static char *labels_with_page(const char *labels, const Snapshot *monitor)
{
    g_autoptr(GString) path = g_string_new(NULL);
    GString *all = g_string_new(labels);

    text_append_shown(path, monitor->path, strlen(monitor->path));
    g_string_append(all, ",page=\"");
    text_append_label(all, path->str, path->len);
    g_string_append_c(all, '"');
    return g_string_free(all, FALSE);
}

/* The labels of each monitor, no two the same. The one that began first has the plain ones, so that
 * its series go on when another comes. */
static GPtrArray *all_labels(const Monitors *monitors)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < monitors->list->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(monitors->list, i);
        char *labels = labels_of(monitor);

        if (g_hash_table_contains(taken, labels)) {
            char *longer = labels_with_page(labels, monitor);

            g_free(labels);
            labels = longer;
        }
        g_hash_table_add(taken, labels);
        g_ptr_array_add(all, labels);
    }
    return all;
}

static char *name_of(const Field *field)
{
    static const char *const UNITS[] = {[UNIT_NONE] = "",         [UNIT_BYTES] = "_bytes",
                                        [UNIT_LIMIT] = "_bytes",  [UNIT_MICROSECONDS] = "_seconds",
                                        [UNIT_TIME] = "_seconds", [UNIT_ERRNO] = ""};

    return g_strconcat("conward_", field->name, UNITS[field->unit],
                       field->type == FIELD_COUNTER ? "_total" : "", NULL);
}

static void write_head(FILE *to, const char *name, const char *help, FieldType type)
{
    fprintf(to, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name,
            type == FIELD_COUNTER ? "counter" : "gauge");
}

static void write_value(FILE *to, const Field *field, uint64_t value)
{
    if (field->unit == UNIT_MICROSECONDS || field->unit == UNIT_TIME)
        fprintf(to, " %" PRIu64 ".%06" PRIu64 "\n", value / G_USEC_PER_SEC, value % G_USEC_PER_SEC);
    else
        fprintf(to, " %" PRIu64 "\n", value);
}

/* One figure of all monitors. `streams`: whether each stream has it. */
static void write_field(FILE *to, const Monitors *monitors, const GPtrArray *labels,
                        const Field *field, bool streams)
{
    g_autofree char *name = name_of(field);

    write_head(to, name, field->help, field->type);
    for (guint i = 0; i < monitors->list->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(monitors->list, i);
        const char *text = g_ptr_array_index(labels, i);

        for (StreamId stream = STREAM_STDOUT; stream < (streams ? STREAMS : 1); stream++) {
            uint64_t value = field->value(monitor, stream);

            if (field->unit == UNIT_TIME && value == 0)
                continue; /* never: a time of 1970 would be taken for one */
            fprintf(to, "%s{%s", name, text);
            if (streams)
                fprintf(to, ",stream=\"%s\"", stream_name(stream));
            fputc('}', to);
            write_value(to, field, value);
        }
    }
}

/* How many monitors there are of each kind, 0 too, so that an alert can see it. */
static void write_counts(FILE *to, const Monitors *monitors)
{
    guint counts[SNAPSHOT_RUN + 1] = {0};

    for (guint i = 0; i < monitors->list->len; i++) {
        const Snapshot *monitor = g_ptr_array_index(monitors->list, i);

        counts[monitor->page.kind]++;
    }
    write_head(to, "conward_monitors", "Monitors that run", FIELD_GAUGE);
    for (SnapshotKind kind = SNAPSHOT_CREATE; kind <= SNAPSHOT_RUN; kind++)
        fprintf(to, "conward_monitors{kind=\"%s\"} %u\n", snapshot_kind_name(kind), counts[kind]);
    write_head(to, "conward_pages_unread", "Pages of monitors that could not be read", FIELD_GAUGE);
    fprintf(to, "conward_pages_unread %u\n", monitors->unread);
}

void metrics_write(const Monitors *monitors, FILE *to)
{
    g_autoptr(GPtrArray) labels = all_labels(monitors);

    write_counts(to, monitors);
    for (const Field *field = MONITOR_FIELDS; field->name != NULL; field++)
        write_field(to, monitors, labels, field, false);
    for (const Field *field = STREAM_FIELDS; field->name != NULL; field++)
        write_field(to, monitors, labels, field, true);
}
