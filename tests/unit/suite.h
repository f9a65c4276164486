#pragma once

#include <check.h>
#include <stdlib.h>

/* The main function of a test program: runs the given tests, prints TAP, no time limit of its own.
 */
#define SUITE(NAME, ...)                                              \
    int main(void)                                                    \
    {                                                                 \
        const TTest *const tests[] = {__VA_ARGS__};                   \
        Suite *suite = suite_create(NAME);                            \
        TCase *tcase = tcase_create(NAME);                            \
        SRunner *runner = srunner_create(suite);                      \
        int failed;                                                   \
                                                                      \
        tcase_set_timeout(tcase, 0);                                  \
        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) \
            tcase_add_test(tcase, tests[i]);                          \
        suite_add_tcase(suite, tcase);                                \
        srunner_set_tap(runner, "-");                                 \
        srunner_run_all(runner, CK_SILENT);                           \
        failed = srunner_ntests_failed(runner);                       \
        srunner_free(runner);                                         \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;             \
    }
