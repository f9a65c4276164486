#include "log/log-path.h"

#include <check.h>
#include <stdlib.h>

static void assert_driver(const char *value, LogDriver driver)
{
    LogPath path;

    ck_assert_msg(log_path_parse(value, &path) == LOG_PATH_OK, "'%s' was refused", value);
    ck_assert_msg(path.driver == driver, "'%s' chose driver %d", value, (int)path.driver);
    ck_assert_msg(path.file == NULL, "'%s' has a file", value);
}

static void assert_file(const char *value, const char *file)
{
    LogPath path;

    ck_assert_msg(log_path_parse(value, &path) == LOG_PATH_OK, "'%s' was refused", value);
    ck_assert_msg(path.driver == LOG_DRIVER_K8S_FILE, "'%s' chose driver %d", value,
                  (int)path.driver);
    ck_assert_str_eq(path.file, file);
}

static void assert_error(const char *value, LogPathError error)
{
    LogPath path;
    LogPathError got = log_path_parse(value, &path);

    ck_assert_msg(got == error, "'%s' gave %d", value, (int)got);
}

static void assert_no_driver(const char *value, const char *name)
{
    LogPath path;

    ck_assert_msg(log_path_parse(value, &path) == LOG_PATH_NO_DRIVER, "'%s' was taken", value);
    ck_assert_int_eq(path.driver_length, (int)strlen(name));
    ck_assert_mem_eq(path.driver_name, name, strlen(name));
}

START_TEST(test_a_word_alone_is_a_driver_if_it_names_one)
{
    assert_driver("none", LOG_DRIVER_NONE);
    assert_driver("off", LOG_DRIVER_NONE);
    assert_driver("null", LOG_DRIVER_NONE);
    assert_driver("journald", LOG_DRIVER_JOURNALD);
    assert_driver("passthrough", LOG_DRIVER_PASSTHROUGH);
}
END_TEST

START_TEST(test_what_follows_a_driver_without_a_file_is_ignored)
{
    assert_driver("none:", LOG_DRIVER_NONE);
    assert_driver("none::", LOG_DRIVER_NONE);
    assert_driver("off:", LOG_DRIVER_NONE);
    assert_driver("null::x", LOG_DRIVER_NONE);
    assert_driver("journald:", LOG_DRIVER_JOURNALD);
    assert_driver("journald:x", LOG_DRIVER_JOURNALD);
    assert_driver("journald:x:y", LOG_DRIVER_JOURNALD);
    assert_driver("passthrough:", LOG_DRIVER_PASSTHROUGH);
    assert_driver(":journald:x", LOG_DRIVER_JOURNALD);
    assert_driver(":none:x", LOG_DRIVER_NONE);
}
END_TEST

START_TEST(test_a_word_that_is_no_driver_is_a_file)
{
    assert_file("/var/log/x.log", "/var/log/x.log");
    assert_file("x", "x");
    assert_file(" ", " ");
    assert_file("json-file", "json-file");
    assert_file("passthrough-tty", "passthrough-tty");
    assert_file("Journald", "Journald");
    assert_file("k8s-files", "k8s-files");
    assert_file("k8s", "k8s");
}
END_TEST

START_TEST(test_k8s_file_names_its_file)
{
    assert_file("k8s-file:/x", "/x");
    assert_file("k8s-file::x", "x");
    assert_file("k8s-file::::s", "s");
    assert_file(":k8s-file:/x", "/x");
    assert_file("::k8s-file::y", "y");
    assert_file("k8s-file: x", " x");
    assert_file("k8s-file:none", "none");
}
END_TEST

START_TEST(test_a_leading_colon_makes_a_word_a_file)
{
    assert_file(":/x", "/x");
    assert_file("::p", "p");
    assert_file(":journald", "journald");
    assert_file(":none", "none");
    assert_file(":passthrough", "passthrough");
    assert_file(":k8s-file", "k8s-file");
}
END_TEST

START_TEST(test_colons_in_a_file_name_are_kept)
{
    assert_file("k8s-file:/a:b", "/a:b");
    assert_file("k8s-file:/a::b:c", "/a::b:c");
    assert_file("k8s-file:u:", "u:");
    assert_file(":k8s-file:/a:b", "/a:b");
    assert_file(":v:", "v:");
}
END_TEST

START_TEST(test_k8s_file_requires_a_file)
{
    assert_error("k8s-file", LOG_PATH_NO_FILENAME);
    assert_error("k8s-file:", LOG_PATH_NO_FILENAME);
    assert_error("k8s-file::", LOG_PATH_NO_FILENAME);
}
END_TEST

START_TEST(test_nothing_but_colons_is_empty)
{
    assert_error("", LOG_PATH_EMPTY);
    assert_error(":", LOG_PATH_EMPTY);
    assert_error("::", LOG_PATH_EMPTY);
    assert_error("::::", LOG_PATH_EMPTY);
}
END_TEST

START_TEST(test_an_unknown_driver_is_named)
{
    assert_no_driver("foo:", "foo");
    assert_no_driver("foo:::", "foo");
    assert_no_driver("foo:bar", "foo");
    assert_no_driver(":foo:bar", "foo");
    assert_no_driver("json-file:x", "json-file");
    assert_no_driver("/a:b", "/a");
    assert_no_driver("/a:", "/a");
    assert_no_driver(":/a:b", "/a");
    assert_no_driver(" :x", " ");
    assert_no_driver("nonex:x", "nonex");
    assert_no_driver("non:x", "non");
}
END_TEST

START_TEST(test_the_result_points_into_the_value)
{
    const char *value = "k8s-file:/x";
    LogPath path;

    ck_assert_int_eq(log_path_parse(value, &path), LOG_PATH_OK);
    ck_assert_ptr_eq(path.file, value + strlen("k8s-file:"));
    ck_assert_ptr_eq(path.driver_name, value);
}
END_TEST

int main(void)
{
    TCase *grammar = tcase_create("grammar");
    Suite *suite = suite_create("log-path");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(grammar, test_a_word_alone_is_a_driver_if_it_names_one);
    tcase_add_test(grammar, test_what_follows_a_driver_without_a_file_is_ignored);
    tcase_add_test(grammar, test_a_word_that_is_no_driver_is_a_file);
    tcase_add_test(grammar, test_k8s_file_names_its_file);
    tcase_add_test(grammar, test_a_leading_colon_makes_a_word_a_file);
    tcase_add_test(grammar, test_colons_in_a_file_name_are_kept);
    tcase_add_test(grammar, test_k8s_file_requires_a_file);
    tcase_add_test(grammar, test_nothing_but_colons_is_empty);
    tcase_add_test(grammar, test_an_unknown_driver_is_named);
    tcase_add_test(grammar, test_the_result_points_into_the_value);

    suite_add_tcase(suite, grammar);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
