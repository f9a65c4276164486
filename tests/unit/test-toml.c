#include "doctor/toml.h"

#include "suite.h"

#include <string.h>

/* The settings as PATH=TEXT lines, or the line and reason of the error. The caller frees it. */
static char *read_bytes(const char *text, size_t length)
{
    g_autoptr(Settings) settings = settings_new();
    GString *all = g_string_new(NULL);
    ReadError error = {0};

    if (!toml_read(text, length, settings, &error)) {
        g_string_printf(all, "%u: %s", error.line, error.what);
        return g_string_free(all, FALSE);
    }
    for (guint i = 0; i < settings->all->len; i++) {
        const Setting *setting = settings->all->pdata[i];

        g_string_append_printf(all, "%u:%s=", setting->line, setting->path);
        if (setting->kind == SETTING_INTEGER)
            g_string_append_printf(all, "%" G_GINT64_FORMAT, setting->number);
        else
            g_string_append(all, setting->text);
        g_string_append_c(all, '\n');
    }
    return g_string_free(all, FALSE);
}

static char *read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static const struct {
    const char *text;
    const char *settings;
} RIGHT[] = {
    {"", ""},
    {"a = 1", "1:a=1\n"},
    {"\xef\xbb\xbf"
     "a = 1\n",
     "1:a=1\n"},
    {"a=1 # two\r\n\r\nb = 2\r\n", "1:a=1\n3:b=2\n"},
    {"a = -1_000\nb = 0x4_000\nc = 0o17\nd = 0b11\ne = +7\nf = -0\n",
     "1:a=-1000\n2:b=16384\n3:c=15\n4:d=3\n5:e=7\n6:f=0\n"},
    {"a = -9223372036854775808\n", "1:a=-9223372036854775808\n"},
    {"a = true\nb = 1.5\nc = 1979-05-27 07:32:00Z\nd = 07:32:00\ne = -inf\nf = 5e+22\n",
     "1:a=true\n2:b=1.5\n3:c=1979-05-27 07:32:00Z\n4:d=07:32:00\n5:e=-inf\n6:f=5e+22\n"},
    {"a = \"x # y\" # z\n", "1:a=x # y\n"},
    {"a = 'x \\ \" #'\n", "1:a=x \\ \" #\n"},
    {"a = \"\\\"\\u00e9\\U0001F600\\t\"\n", "1:a=\"é😀\t\n"},
    {"[plugins.\"io.containerd.grpc.v1.cri\"]\n  max = -1\n",
     "2:plugins.\"io.containerd.grpc.v1.cri\".max=-1\n"},
    {"[ plugins . 'io.x' ]\na . \"b c\" = 1\n", "2:plugins.\"io.x\".a.\"b c\"=1\n"},
    /* What looks like a setting inside a string is none. */
    {"a = \"\"\"\n[plugins]\nmax = -1\\\n   \n \"\" \\\"\"\"\"\nb = 2\n",
     "1:a=[plugins]\nmax = -1\"\" \"\n6:b=2\n"},
    {"a = '''one\nmax = -1 ''''\nb = 1\n", "1:a=one\nmax = -1 '\n3:b=1\n"},
    {"a = \"\"\"x\"\"\"\"\"\n", "1:a=x\"\"\n"},
    {"a = [ # comment ]\n  \"]\", 'b' , # x\n]\nb = 1\n", "1:a=\n2:a[]=]\n2:a[]=b\n4:b=1\n"},
    {"a = [[1, 2], []]\n", "1:a=\n1:a[]=\n1:a[][]=1\n1:a[][]=2\n1:a[]=\n"},
    {"a = { b = 1, c.d = \"}\" }\n", "1:a=\n1:a.b=1\n1:a.c.d=}\n"},
    {"a = [\"x\", {append=true}]\n", "1:a=\n1:a[]=x\n1:a[]=\n1:a[].append=true\n"},
    {"[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3\n", "2:a[].b=1\n4:a[].b=2\n6:a[].c.d=3\n"},
    {"\"\" = 1\n1234 = 2\n", "1:\"\"=1\n2:1234=2\n"},
    {"\"a.b\" = 1\na.b = 2\n", "1:\"a.b\"=1\n2:a.b=2\n"},
};

START_TEST(what_is_right_is_read)
{
    for (size_t i = 0; i < G_N_ELEMENTS(RIGHT); i++) {
        g_autofree char *settings = read_text(RIGHT[i].text);

        ck_assert_str_eq(settings, RIGHT[i].settings);
    }
}
END_TEST

static const struct {
    const char *text;
    const char *error; /* its beginning */
} WRONG[] = {
    {"a", "1: a key has no '='"},
    {"\na = ", "2: a value is missing"},
    {"a = 1 b = 2\n", "1: there is something behind"},
    {"[a] b = 1\n", "1: there is something behind"},
    {"a = 1\na = 2\n", "2: a key is set twice"},
    {"a.b = 1\n[a]\nb = 2\n", "3: a key is set twice"},
    {"a = \"x\nb\"\n", "1: a string has no end"},
    {"a = 'x", "1: a string has no end"},
    {"a = \"\"\"x\n\n", "3: a string of several lines"},
    {"a = \"\\x\"\n", "1: a string has a backslash"},
    {"a = \"\\", "1: a string has a backslash"},
    {"a = \"\\ud800\"\n", "1: an escape"},
    {"a = \"\\u12\"\n", "1: an escape"},
    {"a = \"\\u0000\"\n", "1: an escape"},
    {"a = [1, 2\nb = 3\n", "2: an array has no end"},
    {"a = [1 2]\n", "1: an array has no end or lacks"},
    {"a = {b = 1\n}\n", "1: an inline table"},
    {"a = {b = 1, }\n", "1: a key is missing"},
    {"[a\nb = 1\n", "1: the name of a table"},
    {"[[a]\n", "1: the name of a table"},
    {"[]\n", "1: a key is missing"},
    {"= 1\n", "1: a key is missing"},
    {"a = 01\n", "1: a value is missing"},
    {"a = 1__0\n", "1: a value is missing"},
    {"a = 1_\n", "1: a value is missing"},
    {"a = 0x\n", "1: a value is missing"},
    {"a = -0x10\n", "1: a value is missing"},
    {"a = 9223372036854775808\n", "1: a value is missing"},
    {"a = yes\n", "1: a value is missing"},
    {"a = 1 # x\ry = 2\n", "1: there is something behind"},
    {"\x01", "1: a control character"},
    {"\"\"\"a\"\"\" = 1\n", "1: a key cannot be"},
};

START_TEST(what_is_wrong_is_told_with_its_line)
{
    for (size_t i = 0; i < G_N_ELEMENTS(WRONG); i++) {
        g_autofree char *error = read_text(WRONG[i].text);

        ck_assert_msg(g_str_has_prefix(error, WRONG[i].error), "'%s' gave '%s'", WRONG[i].text,
                      error);
    }
}
END_TEST

START_TEST(a_value_is_found_at_its_place)
{
    static const char TEXT[] = "# é\n[a]\nb = \"x\"\nc   =   -1 # one\n";
    g_autoptr(Settings) settings = settings_new();
    ReadError error;
    const Setting *b, *c;

    ck_assert(toml_read(TEXT, strlen(TEXT), settings, &error));
    b = settings_find(settings, "a.b");
    c = settings_find_integer(settings, "a.c");
    ck_assert_uint_eq(b->length, 3);
    ck_assert_int_eq(memcmp(TEXT + b->at, "\"x\"", 3), 0);
    ck_assert_uint_eq(c->length, 2);
    ck_assert_int_eq(memcmp(TEXT + c->at, "-1", 2), 0);
    ck_assert_ptr_null(settings_find_integer(settings, "a.b"));
    ck_assert_ptr_null(settings_find(settings, "a"));
}
END_TEST

/* What a file can make of memory and of the stack is bounded. */
START_TEST(size_and_depth_are_bounded)
{
    g_autoptr(GString) text = g_string_new("a = ");
    g_autofree char *deep = NULL;
    g_autofree char *many = NULL;
    g_autofree char *longest = NULL;

    for (int i = 0; i < 100000; i++)
        g_string_append_c(text, '[');
    deep = read_text(text->str);
    ck_assert(g_str_has_prefix(deep, "1: arrays or tables are nested too deep"));

    g_string_truncate(text, 0);
    for (int i = 0; i < 5000; i++)
        g_string_append_printf(text, "a%d = 1\n", i);
    many = read_text(text->str);
    ck_assert(g_str_has_prefix(many, "4001: there are too many settings"));

    g_string_truncate(text, 0);
    for (int i = 0; i < 600; i++)
        g_string_append_c(text, 'a');
    g_string_append(text, " = 1\n");
    longest = read_text(text->str);
    ck_assert(g_str_has_prefix(longest, "1: there are too many settings, or a name is too long"));
}
END_TEST

/* Each text is put into memory of its own size, so that the sanitizers see one byte too many. */
static void read_exactly(const char *text, size_t length)
{
    g_autofree char *copy = g_malloc(length > 0 ? length : 1);

    memcpy(copy, text, length);
    g_free(read_bytes(copy, length));
}

START_TEST(cut_and_damaged_texts_do_no_harm)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240610);

    for (size_t i = 0; i < G_N_ELEMENTS(RIGHT); i++) {
        size_t length = strlen(RIGHT[i].text);

        for (size_t cut = 0; cut <= length; cut++)
            read_exactly(RIGHT[i].text, cut);
        for (int round = 0; round < 200 && length > 0; round++) {
            g_autofree char *damaged = g_strdup(RIGHT[i].text);

            damaged[g_rand_int_range(rand, 0, (gint32)length)] =
                (char)g_rand_int_range(rand, 0, 256);
            read_exactly(damaged, length);
        }
    }
}
END_TEST

SUITE("toml", what_is_right_is_read, what_is_wrong_is_told_with_its_line,
      a_value_is_found_at_its_place, size_and_depth_are_bounded, cut_and_damaged_texts_do_no_harm)
