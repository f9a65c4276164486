#include "doctor/diff.h"
#include "doctor/ini.h"
#include "doctor/toml.h"
#include "doctor/yaml.h"

#include "suite.h"

#include <string.h>

/* The settings as LINE:PATH=TEXT lines, or the line and reason of the error. The caller frees it.
 */
static char *read_with(Reader *reader, const char *text, size_t length)
{
    g_autoptr(Settings) settings = settings_new();
    GString *all = g_string_new(NULL);
    ReadError error = {0};

    if (!reader(text, length, settings, &error)) {
        g_string_printf(all, "%u: %s", error.line, error.what);
        return g_string_free(all, FALSE);
    }
    for (guint i = 0; i < settings->all->len; i++) {
        const Setting *setting = settings->all->pdata[i];

        g_string_append_printf(all, "%u:%s=%s%s\n", setting->line, setting->path,
                               setting->kind == SETTING_INTEGER ? "#" : "", setting->text);
    }
    return g_string_free(all, FALSE);
}

typedef struct Case {
    const char *text;
    const char *read; /* an error: its beginning */
} Case;

static void check_cases(Reader *reader, const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g_autofree char *read = read_with(reader, cases[i].text, strlen(cases[i].text));

        if (strstr(cases[i].read, "=") == NULL && *cases[i].read != 0)
            ck_assert_msg(g_str_has_prefix(read, cases[i].read), "'%s' gave '%s'", cases[i].text,
                          read);
        else
            ck_assert_str_eq(read, cases[i].read);
    }
}

static const Case YAML[] = {
    {"", ""},
    {"a: 1\nb: text\n", "1:a=#1\n2:b=text\n"},
    {"---\na:\n  b: -1 # one\n  c: \"10\"\n", "3:a.b=#-1\n4:a.c=10\n"},
    {"a:\n- x\n- {b: 1}\nc: ~\n", "2:a=\n2:a[]=x\n3:a[].b=#1\n4:c=~\n"},
    {"a: |\n  b: 1\n  c: 2\nd: 3\n", "1:a=b: 1\nc: 2\n\n4:d=#3\n"},
    {"{\"log-driver\": \"json-file\",\n\t\"log-opts\": {\"max-size\": \"10m\"}\n}",
     "1:log-driver=json-file\n2:log-opts.max-size=10m\n"},
    {"{\"a\": [], \"b\": {}, \"c.d\": true, \"e\": \"\\/\\u00e9\"}",
     "1:a=\n1:\"c.d\"=true\n1:e=/é\n"},
    {"a: &x 1\nb: *x\n", "2: it uses an alias"},
    {"a: &x {b: 1}\nc:\n  <<: *x\n", "3: it merges"},
    {"? [a]\n: 1\n", "1: a key is a mapping"},
    {"a: 1\n---\nb: 2\n", "2: it has more than one document"},
    {"a: [1\n", "1: it is not well-formed"},
    {"\"a\": \"x\\0y\"\n", "1: a string contains a NUL byte"},
    {"{\"a\":", "1: it is not well-formed"},
};

START_TEST(yaml_and_json_are_read)
{
    check_cases(yaml_read, YAML, G_N_ELEMENTS(YAML));
}
END_TEST

START_TEST(yaml_is_bounded)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *deep = NULL;

    for (int i = 0; i < 1 << 20; i++)
        g_string_append_c(text, '[');
    deep = read_with(yaml_read, text->str, text->len);
    ck_assert_str_eq(deep, "1: it is nested too deep");
}
END_TEST

static const Case INI[] = {
    {"[Journal]\nRateLimitBurst=0\n#Storage=auto\n; x=y\n LineMax = 48K \r\n",
     "2:Journal.RateLimitBurst=#0\n5:Journal.LineMax=48K\n"},
    {"a=1\n[b]\nno assignment\nc=", "4:b.c=\n"},
    {"[a]\nb=1 \\\nc=2\nd=3\n", "2:a.b=1 \\\n4:a.d=#3\n"},
    {"[a]\nb=1 \\\n# a comment between\nc=2\nd=3\n", "2:a.b=1 \\\n5:a.d=#3\n"},
    {"[a]\nb=x=y\n[\n=\n", "2:a.b=x=y\n4:a.\"\"=\n"},
};

START_TEST(ini_is_read)
{
    check_cases(ini_read, INI, G_N_ELEMENTS(INI));
    check_cases(environment_read, (const Case[]){{"A=\"--b=1\"\n#C=2\n", "1:A=\"--b=1\"\n"}}, 1);
}
END_TEST

static void read_exactly(Reader *reader, const char *text, size_t length)
{
    g_autofree char *copy = g_malloc(length > 0 ? length : 1);

    memcpy(copy, text, length);
    g_free(read_with(reader, copy, length));
}

static void damage(Reader *reader, const char *text, GRand *rand)
{
    size_t length = strlen(text);

    for (size_t cut = 0; cut <= length; cut++)
        read_exactly(reader, text, cut);
    for (int round = 0; round < 200 && length > 0; round++) {
        g_autofree char *damaged = g_strdup(text);

        damaged[g_rand_int_range(rand, 0, (gint32)length)] = (char)g_rand_int_range(rand, 0, 256);
        read_exactly(reader, damaged, length);
    }
}

START_TEST(cut_and_damaged_texts_do_no_harm)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240610);

    for (size_t i = 0; i < G_N_ELEMENTS(YAML); i++)
        damage(yaml_read, YAML[i].text, rand);
    for (size_t i = 0; i < G_N_ELEMENTS(INI); i++)
        damage(ini_read, INI[i].text, rand);
}
END_TEST

/* The files of real programs, cut at random places and with one byte changed. */
START_TEST(real_files_are_read_and_their_ruins_do_no_harm)
{
    static const struct {
        const char *name;
        Reader *reader;
    } FILES[] = {
        {"containerd-1.6-default.toml", toml_read},
        {"containerd-2-default.toml", toml_read},
        {"containers.conf", toml_read},
        {"10-crio.conf", toml_read},
        {"kubelet-config.yaml", yaml_read},
        {"kubelet-config.yaml", ini_read},
        {"containers.conf", yaml_read},
        {"kubelet-config.yaml", toml_read},
    };
    enum { REAL = 5 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240610);

    for (size_t i = 0; i < G_N_ELEMENTS(FILES); i++) {
        g_autofree char *path = g_build_filename(DOCTOR_FILES, FILES[i].name, NULL);
        g_autofree char *text = NULL;
        g_autofree char *read = NULL;
        gsize length;

        ck_assert(g_file_get_contents(path, &text, &length, NULL));
        read = read_with(FILES[i].reader, text, length);
        ck_assert_msg(i >= REAL || strchr(read, '=') != NULL, "%s: %s", path, read);
        for (int round = 0; round < 300; round++) {
            size_t place = (size_t)g_rand_int_range(rand, 0, (gint32)length);
            char before = text[place];

            read_exactly(FILES[i].reader, text, place);
            text[place] = (char)g_rand_int_range(rand, 0, 256);
            read_exactly(FILES[i].reader, text, length);
            text[place] = before;
        }
    }
}
END_TEST

START_TEST(numbers_and_amounts)
{
    int64_t number;
    double amount;

    ck_assert(number_parse("-1", &number) && number == -1);
    ck_assert(!number_parse("", &number));
    ck_assert(!number_parse("-", &number));
    ck_assert(!number_parse("1x", &number));
    ck_assert(!number_parse("99999999999999999999", &number));
    ck_assert(amount_parse("10m", &amount) && amount == 10 << 20);
    ck_assert(amount_parse("10Mi", &amount) && amount == 10 << 20);
    ck_assert(amount_parse("1.5 GB", &amount) && amount == 1.5 * (1 << 30));
    ck_assert(amount_parse("-1", &amount) && amount == -1);
    ck_assert(amount_parse("48K", &amount) && amount == 48 << 10);
    ck_assert(!amount_parse("", &amount));
    ck_assert(!amount_parse("infinity", &amount));
    ck_assert(!amount_parse("10 apples", &amount));
}
END_TEST

START_TEST(a_diff_shows_the_changed_line_in_its_place)
{
    g_autoptr(GString) diff = g_string_new(NULL);

    diff_append(diff, "f", "1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\n3\n4\nfive\n6\n7\n8\n9");
    ck_assert_str_eq(diff->str,
                     "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
    g_string_truncate(diff, 0);
    diff_append(diff, "f", "a", "b");
    ck_assert_str_eq(diff->str, "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n"
                                "+b\n\\ No newline at end of file\n");
    g_string_truncate(diff, 0);
    diff_append(diff, "f", NULL, "a\nb\n");
    ck_assert_str_eq(diff->str, "--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n");
}
END_TEST

SUITE("doctor-readers", yaml_and_json_are_read, yaml_is_bounded, ini_is_read,
      cut_and_damaged_texts_do_no_harm, real_files_are_read_and_their_ruins_do_no_harm,
      numbers_and_amounts, a_diff_shows_the_changed_line_in_its_place)
