#include "settings/conf-file.h"
#include "settings/take.h"
#include "state/page.h"
#include "state/settings.h"

#include "suite.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const Messages SILENT = {.level = LEVEL_ERROR};

/* The line that is wrong, 0 if none is. */
static unsigned bad_line(const char *text, size_t length)
{
    unsigned line = 0;
    Error error = ERROR_NULL;
    g_autoptr(GKeyFile) file = conf_parse(text, length, &line, &error);

    ck_assert_int_eq(file != NULL, error.text[0] == '\0');
    return line;
}

START_TEST(test_the_line_that_is_wrong)
{
    static const struct {
        const char *text;
        unsigned line;
    } TEXTS[] = {
        {"", 0},
        {"\n", 0},
        {"# nothing\n", 0},
        {"[conward]", 0},
        {"[conward]\na=1\r\n b = 2\n", 0},
        {"a=1\n", 1},
        {"x", 1},
        {"[conward]\nx", 2},
        {"[conward]\nx\n", 2},
        {"[conward]\na=1\nx\nb=1\n", 3},
        {"[conward]\na=1\nx\ny\nz\n", 3},
        {"# 1\n# 2\n\n[conward\n", 4},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(TEXTS); i++)
        ck_assert_uint_eq(bad_line(TEXTS[i].text, strlen(TEXTS[i].text)), TEXTS[i].line);
    ck_assert_uint_eq(bad_line("[conward]\n\0", 11), 0);
}
END_TEST

START_TEST(test_every_line_of_a_long_text_is_found)
{
    enum { LINES = 300 };

    for (unsigned bad = 2; bad <= LINES; bad += 7) {
        g_autoptr(GString) text = g_string_new("[conward]\n");

        for (unsigned line = 2; line <= LINES; line++)
            g_string_append(text, line == bad ? "oops\n" : "key = value\n");
        ck_assert_uint_eq(bad_line(text->str, text->len), bad);
    }
}
END_TEST

static bool on_setting(size_t number, const char *text, Error *error, void *owner)
{
    GString *seen = owner;

    if (strcmp(text, "wrong") == 0) {
        error_set(error, 0, "it is wrong");
        return false;
    }
    g_string_append_printf(seen, "%s=%s;", TUNABLES[number].name, text);
    return true;
}

static void on_problem(const char *key, const char *why, void *owner)
{
    ck_assert_str_ne(why, "");
    g_string_append_printf(owner, "!%s;", key);
}

START_TEST(test_walk)
{
    static const char TEXT[] = "[other]\nlog-line-max = 1\n"
                               "[conward]\nlog-line-max=  300 \nlog-size-max = wrong\nx = 1\n"
                               "late-output = 1\nlate-output = 2\n"
                               "[conward]\ncrash-core =\n";
    g_autoptr(GString) seen = g_string_new(NULL);
    unsigned line;
    Error error = ERROR_NULL;
    g_autoptr(GKeyFile) file = conf_parse(TEXT, strlen(TEXT), &line, &error);

    ck_assert_ptr_nonnull(file);
    conf_walk(file, &(ConfVisitor){on_setting, on_problem, seen});
    ck_assert_str_eq(seen->str, "![other];log-line-max=300;!log-size-max;!x;late-output=2;"
                                "crash-core=;");
}
END_TEST

static bool is_safe(unsigned user, unsigned group, unsigned mode, bool is_users)
{
    const struct stat st = {.st_uid = user, .st_gid = group, .st_mode = S_IFREG | mode};
    Error error = ERROR_NULL;
    bool safe = conf_is_safe(&st, is_users, &error);

    ck_assert_int_eq(safe, error.text[0] == '\0');
    return safe;
}

START_TEST(test_who_may_write)
{
    enum { SOMEBODY = 4711 };

    ck_assert(is_safe(0, 0, 0644, false));
    ck_assert(is_safe(0, 0, 0664, false));
    ck_assert(is_safe(0, SOMEBODY, 0644, false));
    ck_assert(!is_safe(0, SOMEBODY, 0664, false));
    ck_assert(!is_safe(0, 0, 0646, false));
    ck_assert(!is_safe(SOMEBODY, 0, 0400, false));
    ck_assert(!is_safe(SOMEBODY, 0, 0400, true));
    ck_assert(is_safe(geteuid(), getegid(), 0664, true));
    ck_assert(!is_safe(geteuid(), getegid(), 0666, true));
}
END_TEST

/* Whether the setting takes the text. */
static bool takes(const char *name, const char *text, Config *config)
{
    const Config before = *config;
    Error error = ERROR_NULL;
    bool taken = TUNABLES[tunable_find(name)].set(text, config, &error);

    ck_assert_int_eq(taken, error.text[0] == '\0');
    ck_assert(taken || memcmp(&before, config, sizeof(before)) == 0);
    return taken;
}

START_TEST(test_values)
{
    static const char *const NUMBERS[] = {"log-line-max", "log-partial-flush",    "log-size-max",
                                          "late-output",  "attach-spool-max",     "attach-linger",
                                          "crash-core",   "attach-stall-timeout", NULL};
    static const char *const WRONG[] = {"",    " ",   "x",    "1x",  "0x10", "1 2", "+1",
                                        "1e3", "1.5", "\xff", "10M", "--1",  NULL};
    Config config = CONFIG_NULL;

    for (size_t i = 0; NUMBERS[i] != NULL; i++) {
        for (size_t j = 0; WRONG[j] != NULL; j++) {
            /* conmon's own number may have a sign. */
            if (strcmp(WRONG[j], "+1") != 0 || strcmp(NUMBERS[i], "log-size-max") != 0)
                ck_assert_msg(!takes(NUMBERS[i], WRONG[j], &config), "%s takes '%s'", NUMBERS[i],
                              WRONG[j]);
        }
    }
    ck_assert(takes("log-size-max", "104857600", &config));
    ck_assert_int_eq(config.log.log_size_max, 104857600);
    ck_assert(takes("log-size-max", "-1", &config));
    ck_assert_int_eq(config.log.log_size_max, 0);
    ck_assert(takes("log-partial-flush", "never", &config));
    ck_assert_int_eq(config.log.log_partial_flush, LOG_PARTIAL_FLUSH_NEVER);
    ck_assert(takes("crash-core", "Yes", &config) && config.crash_core);
    ck_assert(takes("crash-core", "off", &config) && !config.crash_core);
    ck_assert(takes("crash-core", "true", &config) && config.crash_core);
    ck_assert(takes("log-priority-prefix", "yes", &config) && config.log_priority_prefix);
    ck_assert(!takes("log-priority-prefix", "6", &config) && config.log_priority_prefix);
    ck_assert(!takes("log-line-max", "unlimited", &config));
    ck_assert(!takes("attach-spool-max", "-1", &config));
    ck_assert(!takes("late-output", "4001", &config));
}
END_TEST

/* Whether the setting can have that number; it then has it. */
static bool has_after(const char *name, int64_t number, Config *config)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, number);
    return takes(name, text, config);
}

START_TEST(test_both_ends_of_each_range)
{
    Config config = CONFIG_NULL;
    const struct {
        const char *name;
        int64_t least;
        int64_t most;
        const void *field;
        bool is_long;
    } RANGES[] = {
        {"log-line-max", 256, 1048576, &config.log.log_line_max, false},
        {"log-partial-flush", 0, 3600000, &config.log.log_partial_flush, false},
        {"log-max-files", 1, 1000, &config.log_max_files, false},
        {"late-output", 0, 4000, &config.late_output, false},
        {"attach-spool-max", 0, INT64_C(68719476736), &config.attach_spool_max, true},
        {"attach-stall-timeout", 1, 86400, &config.attach_stall_timeout, false},
        {"attach-linger", 0, 3600, &config.attach_linger, false},
        {"log-rate-limit", 0, INT64_C(1099511627776), &config.log.log_rate_limit, true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(RANGES); i++) {
        const int64_t ends[] = {RANGES[i].least, RANGES[i].most};

        for (size_t j = 0; j < G_N_ELEMENTS(ends); j++) {
            int64_t value;

            ck_assert_msg(has_after(RANGES[i].name, ends[j], &config), "%s", RANGES[i].name);
            value = RANGES[i].is_long ? *(const int64_t *)RANGES[i].field
                                      : *(const int32_t *)RANGES[i].field;
            ck_assert_int_eq(value, ends[j]);
        }
        ck_assert_msg(!has_after(RANGES[i].name, RANGES[i].least - 1, &config), "%s",
                      RANGES[i].name);
        ck_assert_msg(!has_after(RANGES[i].name, RANGES[i].most + 1, &config), "%s",
                      RANGES[i].name);
        ck_assert(!takes(RANGES[i].name, "9223372036854775808", &config));
        ck_assert(!takes(RANGES[i].name, "01", &config) && !takes(RANGES[i].name, "00", &config));
    }
    ck_assert(takes("log-size-max", "9223372036854775807", &config));
    ck_assert_int_eq(config.log.log_size_max, INT64_MAX);
    ck_assert(!takes("log-size-max", "9223372036854775808", &config));
    ck_assert(takes("log-size-max", "1", &config));
    ck_assert_int_eq(config.log.log_size_max, 1);
    ck_assert(takes("log-size-max", "0", &config));
    ck_assert_int_eq(config.log.log_size_max, 0);
}
END_TEST

/* Why a value is refused, and whether that is because it asks for no limit. */
static bool is_unlimited(const char *name, const char *text)
{
    Config config = CONFIG_NULL;
    Error error = ERROR_NULL;

    ck_assert(!TUNABLES[tunable_find(name)].set(text, &config, &error));
    return strstr(error.text, "without a limit") != NULL;
}

START_TEST(test_no_limit_is_refused_with_its_own_reason)
{
    ck_assert(is_unlimited("log-line-max", "0"));
    ck_assert(is_unlimited("log-line-max", "-1"));
    ck_assert(is_unlimited("log-line-max", "unlimited"));
    ck_assert(!is_unlimited("log-line-max", "-2"));
    ck_assert(!is_unlimited("log-line-max", "255"));
    ck_assert(is_unlimited("attach-spool-max", "-1"));
    ck_assert(is_unlimited("attach-spool-max", "unlimited"));
    ck_assert(!is_unlimited("attach-spool-max", "-2"));
    ck_assert(!is_unlimited("attach-spool-max", "68719476737"));
}
END_TEST

/* Bytes a second and, behind a colon, at once. */
START_TEST(test_a_rate_has_two_numbers)
{
    static const char *const WRONG[] = {"1:",   "1:0",
                                        ":1",   "1:01",
                                        "01:1", "1:1:1",
                                        "1 :1", "1: 1",
                                        "-1:1", "1:1099511627777",
                                        ":",    "1099511627777:1"};
    SettingsPage settings = {.log_rate_limit = 7, .log_rate_burst = 8};
    char text[SETTING_TEXT_MOST];

    for (size_t i = 0; i < G_N_ELEMENTS(WRONG); i++) {
        ck_assert_msg(settings_set(&settings, "log-rate-limit", WRONG[i]) == SETTING_WRONG, "%s",
                      WRONG[i]);
        ck_assert(settings.log_rate_limit == 7 && settings.log_rate_burst == 8);
    }
    ck_assert_int_eq(settings_set(&settings, "log-rate-limit", "5"), SETTING_OK);
    ck_assert(settings.log_rate_limit == 5 && settings.log_rate_burst == 5);
    ck_assert_int_eq(settings_set(&settings, "log-rate-limit", "0:1"), SETTING_OK);
    ck_assert(settings.log_rate_limit == 0 && settings.log_rate_burst == 1);
    ck_assert_int_eq(settings_set(&settings, "log-rate-limit", "1099511627776:1099511627776"),
                     SETTING_OK);
    settings_get(&settings, "log-rate-limit", text);
    ck_assert_str_eq(text, "1099511627776:1099511627776");
}
END_TEST

/* As the control fifo has it; what a setting says is what it takes. */
START_TEST(test_a_line_is_a_name_and_a_value)
{
    static const char *const LINES[] = {"log-line-max 300",     "log-partial-flush never",
                                        "log-partial-flush 0",  "log-on-error wait",
                                        "log-on-error drop",    "log-rate-limit 10:20",
                                        "log-rate-policy drop", "log-rate-policy wait"};
    SettingsPage settings = {.log_line_max = 1};
    char text[SETTING_TEXT_MOST];
    size_t count = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(LINES); i++) {
        g_auto(GStrv) words = g_strsplit(LINES[i], " ", 2);

        ck_assert_int_eq(settings_set_line(&settings, LINES[i]), SETTING_OK);
        settings_get(&settings, words[0], text);
        ck_assert_str_eq(text, words[1]);
        ck_assert_ptr_nonnull(settings_values(words[0]));
    }
    ck_assert_int_eq(settings_set_line(&settings, "log-line-max"), SETTING_UNKNOWN);
    ck_assert_int_eq(settings_set_line(&settings, ""), SETTING_UNKNOWN);
    ck_assert_int_eq(settings_set_line(&settings, " 300"), SETTING_UNKNOWN);
    ck_assert_int_eq(settings_set_line(&settings, "log-line-max "), SETTING_WRONG);
    ck_assert_int_eq(settings_set_line(&settings, "log-line-max  300"), SETTING_WRONG);
    ck_assert_int_eq(settings_set_line(&settings, "log-line-max 300 "), SETTING_WRONG);
    ck_assert_int_eq(settings_set_line(&settings, "log-on-error Wait"), SETTING_WRONG);
    ck_assert_int_eq(settings_set_line(&settings, "log-size-max 1"), SETTING_UNKNOWN);
    ck_assert_int_eq(settings_set_line(&settings, "1234567890123456789012345678901 1"),
                     SETTING_UNKNOWN);
    ck_assert_int_eq(settings_set_line(&settings, "12345678901234567890123456789012 1"),
                     SETTING_UNKNOWN);
    ck_assert_uint_eq(settings.log_line_max, 300);
    settings_get(&settings, "log-size-max", text);
    ck_assert_str_eq(text, "");
    ck_assert_ptr_null(settings_values("log-size-max"));
    while (settings_name(count) != NULL)
        count++;
    ck_assert_uint_eq(count, 5);
    ck_assert_ptr_null(settings_name(SIZE_MAX));
}
END_TEST

/* The texts behind a page of a descriptor that the caller closes. */
static int put_texts(const char *texts, size_t length)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    ck_assert_int_eq(pwrite(fd, texts, length, PAGE_SIZE_BYTES), (ssize_t)length);
    return fd;
}

START_TEST(test_the_next_image_takes_the_same)
{
    static const struct {
        const char *name;
        const char *value;
    } VALUES[] = {
        {"CONWARD_LOG_LINE_MAX", "300"},      {"CONWARD_LOG_PARTIAL_FLUSH", "never"},
        {"CONWARD_LOG_SIZE_MAX", "12345678"}, {"CONWARD_LATE_OUTPUT", "4000"},
        {"CONWARD_CRASH_CORE", "yes"},        {"CONWARD_ATTACH_SPOOL_MAX", "0"},
        {"CONWARD_ATTACH_LINGER", "3600"},    {"CONWARD_ATTACH_STALL_TIMEOUT", "86400"},
    };
    char *given[TUNABLES_MAX] = {NULL};
    const TakeOptions options = {given, false, false, &SILENT};
    Config first = CONFIG_NULL;
    Config next = CONFIG_NULL;
    int fd;

    for (size_t i = 0; i < G_N_ELEMENTS(VALUES); i++)
        setenv(VALUES[i].name, VALUES[i].value, 1);
    ck_assert(settings_take(&options, &first));
    for (size_t i = 0; i < G_N_ELEMENTS(VALUES); i++)
        setenv(VALUES[i].name, "1", 1);
    fd = put_texts(first.settings, first.settings_length);
    ck_assert(settings_take_again(&options, fd, &next));
    ck_assert_int_eq(next.log.log_line_max, 300);
    ck_assert_int_eq(next.log.log_partial_flush, LOG_PARTIAL_FLUSH_NEVER);
    ck_assert_int_eq(next.log.log_size_max, 12345678);
    ck_assert_int_eq(next.late_output, 4000);
    ck_assert(next.crash_core);
    ck_assert_int_eq(next.attach_spool_max, 0);
    ck_assert_int_eq(next.attach_linger, 3600);
    ck_assert_int_eq(next.attach_stall_timeout, 86400);
    /* Whatever else there is comes out the same, too. */
    g_free((char *)first.settings);
    first.settings = NULL;
    first.settings_length = 0;
    ck_assert_mem_eq(&first, &next, sizeof(first));
    close(fd);
}
END_TEST

START_TEST(test_of_what_is_written_down_nothing_needs_to_be_true)
{
    static const char TEXTS[] = "name=x\0set:\0set:=\0set:log-line-max\0set:log-line-max=f0\0"
                                "set:log-line-max=e 0\0set:what=e 1\0\0\0set:log-line-max=e 400";
    char *given[TUNABLES_MAX] = {NULL};
    const TakeOptions options = {given, false, false, &SILENT};
    Config config = CONFIG_NULL;
    int fd = put_texts(TEXTS, sizeof(TEXTS));

    ck_assert(settings_take_again(&options, fd, &config));
    ck_assert_int_eq(config.log.log_line_max, 400);
    close(fd);
    config = (Config)CONFIG_NULL;
    ck_assert(settings_take_again(&options, -1, &config));
    ck_assert_int_eq(config.log.log_line_max, LOG_LINE_MAX_DEFAULT);
}
END_TEST

START_TEST(test_of_an_exec_the_log_is_left_alone)
{
    char *given[TUNABLES_MAX] = {NULL};
    const TakeOptions options = {given, true, false, &SILENT};
    Config config = CONFIG_NULL;

    setenv("CONWARD_LOG_LINE_MAX", "300", 1);
    setenv("CONWARD_LATE_OUTPUT", "1", 1);
    setenv("CONWARD_ATTACH_LINGER", "7", 1);
    ck_assert(settings_take(&options, &config));
    ck_assert_int_eq(config.log.log_line_max, LOG_LINE_MAX_DEFAULT);
    ck_assert_int_eq(config.late_output, LATE_OUTPUT_DEFAULT);
    ck_assert_int_eq(config.attach_linger, 7);
    config_deinit(&config);
}
END_TEST

SUITE("settings", test_the_line_that_is_wrong, test_every_line_of_a_long_text_is_found, test_walk,
      test_who_may_write, test_values, test_both_ends_of_each_range, test_a_rate_has_two_numbers,
      test_no_limit_is_refused_with_its_own_reason, test_a_line_is_a_name_and_a_value,
      test_the_next_image_takes_the_same, test_of_what_is_written_down_nothing_needs_to_be_true,
      test_of_an_exec_the_log_is_left_alone)
