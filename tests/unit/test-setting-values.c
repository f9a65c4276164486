#include "state/settings.h"

#include "suite.h"

#include <stdbool.h>
#include <string.h>

/* What is said of a setting is what would set it: conwardctl tells from it whether a monitor has
 * what was asked for. */

static const struct {
    const char *name;
    const char *value;
    const char *said; /* NULL: the same */
} VALUES[] = {
    {"log-line-max", "256", NULL},          {"log-line-max", "1048576", NULL},
    {"log-partial-flush", "0", NULL},       {"log-partial-flush", "1", NULL},
    {"log-partial-flush", "3600000", NULL}, {"log-partial-flush", "never", NULL},
    {"log-on-error", "drop", NULL},         {"log-on-error", "wait", NULL},
    {"log-rate-policy", "drop", NULL},      {"log-rate-policy", "wait", NULL},
    {"log-rate-limit", "1000:5000", NULL},  {"log-rate-limit", "1000", "1000:1000"},
    {"log-rate-limit", "0", NULL},          {"log-rate-limit", "1099511627776:1099511627776", NULL},
};

START_TEST(each_value_is_said_as_it_is_set)
{
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        const char *said = VALUES[i].said != NULL ? VALUES[i].said : VALUES[i].value;
        SettingsPage settings = {0};
        SettingsPage again = {0};
        char text[SETTING_TEXT_MOST];

        ck_assert_int_eq(settings_set(&settings, VALUES[i].name, VALUES[i].value), SETTING_OK);
        settings_get(&settings, VALUES[i].name, text);
        ck_assert_str_eq(text, said);
        ck_assert_int_eq(settings_set(&again, VALUES[i].name, text), SETTING_OK);
        ck_assert_mem_eq(&settings, &again, sizeof(settings));
    }
}
END_TEST

/* None of them changes another one. */
START_TEST(each_setting_is_one_of_its_own)
{
    SettingsPage settings = {0};
    char text[SETTING_TEXT_MOST];

    ck_assert_int_eq(settings_set(&settings, "log-line-max", "300"), SETTING_OK);
    ck_assert_int_eq(settings_set(&settings, "log-partial-flush", "7"), SETTING_OK);
    ck_assert_int_eq(settings_set(&settings, "log-on-error", "wait"), SETTING_OK);
    ck_assert_int_eq(settings_set(&settings, "log-rate-policy", "drop"), SETTING_OK);
    ck_assert_int_eq(settings_set(&settings, "log-rate-limit", "8:9"), SETTING_OK);
    settings_get(&settings, "log-line-max", text);
    ck_assert_str_eq(text, "300");
    settings_get(&settings, "log-partial-flush", text);
    ck_assert_str_eq(text, "7");
    settings_get(&settings, "log-on-error", text);
    ck_assert_str_eq(text, "wait");
    settings_get(&settings, "log-rate-policy", text);
    ck_assert_str_eq(text, "drop");
    settings_get(&settings, "log-rate-limit", text);
    ck_assert_str_eq(text, "8:9");
}
END_TEST

START_TEST(what_is_no_setting_has_no_value)
{
    SettingsPage settings = {0};
    char text[SETTING_TEXT_MOST] = "something";

    settings_get(&settings, "log-line", text);
    ck_assert_str_eq(text, "");
    ck_assert_ptr_null(settings_values("log-line"));
    ck_assert_int_eq(settings_set(&settings, "log-line", "300"), SETTING_UNKNOWN);
}
END_TEST

START_TEST(a_line_has_a_name_one_space_and_a_value)
{
    static const struct {
        const char *line;
        SettingResult result;
    } lines[] = {
        {"log-line-max 300", SETTING_OK},
        {"log-line-max", SETTING_UNKNOWN},
        {"log-line-max  300", SETTING_WRONG},
        {"log-line-max ", SETTING_WRONG},
        {" log-line-max 300", SETTING_UNKNOWN},
        {"", SETTING_UNKNOWN},
        {"log-line-maxlog-line-maxlog-lin 300", SETTING_UNKNOWN}, /* 31 bytes */
        {"log-line-maxlog-line-maxlog-line 300", SETTING_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        SettingsPage settings = {0};

        ck_assert_int_eq(settings_set_line(&settings, lines[i].line), lines[i].result);
        ck_assert_uint_eq(settings.log_line_max, lines[i].result == SETTING_OK ? 300 : 0);
    }
}
END_TEST

START_TEST(all_settings_can_be_walked_through)
{
    size_t count = 0;

    for (; settings_name(count) != NULL; count++)
        ck_assert_ptr_nonnull(settings_values(settings_name(count)));
    ck_assert_uint_eq(count, 5);
    ck_assert_ptr_null(settings_name(count + 1));
}
END_TEST

SUITE("setting values", each_value_is_said_as_it_is_set, each_setting_is_one_of_its_own,
      what_is_no_setting_has_no_value, a_line_has_a_name_one_space_and_a_value,
      all_settings_can_be_walked_through)
