#include "ctl/table.h"

#include "ctl/text.h"

struct Table {
    const char *const *columns;
    guint count;
    GPtrArray *words;
};

Table *table_new(const char *const *columns)
{
    Table *table = g_new0(Table, 1);

    table->columns = columns;
    table->count = g_strv_length((char **)columns);
    table->words = g_ptr_array_new_with_free_func(g_free);
    return table;
}

void table_free(Table *table)
{
    g_ptr_array_unref(table->words);
    g_free(table);
}

void table_add(Table *table, const char *word)
{
    GString *shown = g_string_new(NULL);

    /* Who chooses a name of thousands of characters shall not spoil the table. */
    text_append_name(shown, *word == '\0' ? "-" : word, TEXT_NAME_MOST);
    g_ptr_array_add(table->words, g_string_free(shown, FALSE));
}

static bool is_right(const Table *table, guint column)
{
    return table->columns[column][0] == '>';
}

static const char *name_of(const Table *table, guint column)
{
    return table->columns[column] + is_right(table, column);
}

static glong width_of(const Table *table, guint column, bool header)
{
    glong width = header ? g_utf8_strlen(name_of(table, column), -1) : 0;

    for (guint i = column; i < table->words->len; i += table->count)
        width = MAX(width, g_utf8_strlen(g_ptr_array_index(table->words, i), -1));
    return width;
}

static void append_word(const Table *table, GString *to, guint column, glong width,
                        const char *word)
{
    int fill = (int)(width - g_utf8_strlen(word, -1));
    bool last = column + 1 == table->count;

    if (is_right(table, column))
        g_string_append_printf(to, "%*s%s", fill, "", word);
    else
        g_string_append_printf(to, "%s%*s", word, last ? 0 : fill, "");
    g_string_append(to, last ? "\n" : "  ");
}

void table_append(const Table *table, GString *to, bool header)
{
    g_autofree glong *widths = g_new(glong, table->count);

    for (guint i = 0; i < table->count; i++)
        widths[i] = width_of(table, i, header);
    for (guint i = 0; header && i < table->count; i++)
        append_word(table, to, i, widths[i], name_of(table, i));
    for (guint i = 0; i < table->words->len; i++)
        append_word(table, to, i % table->count, widths[i % table->count],
                    g_ptr_array_index(table->words, i));
}
