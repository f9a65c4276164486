#include "cli/options.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ID "0123456789abcdefghijklmnopqrstuvwxyz"

/* Parses an engine's words, after those no engine leaves out. */
#define ENGINE(...)                                                                           \
    parse((char *[]){"conmon", "-c", ID, "-u", "uuid", "-r", "/bin/true", "-l", "none", "-b", \
                     "/tmp", ##__VA_ARGS__, NULL})

#define RUN(...) parse((char *[]){"conward", "run", ##__VA_ARGS__, NULL})

/* A Config lives as long as the process: this keeps them all, so that nothing counts as leaked. */
static Config parse(char **argv)
{
    enum { ENOUGH = 32 };
    static Config kept[ENOUGH];
    static int used = 0;
    int argc = 0;

    ck_assert_int_lt(used, ENOUGH);
    while (argv[argc] != NULL)
        argc++;
    ck_assert_int_eq(options_parse(argc, argv, NULL, &kept[used]), -1);
    return kept[used++];
}

static void assert_words(const char *const *words, const char *const *expected)
{
    ck_assert_ptr_nonnull(words);
    for (; *expected != NULL; words++, expected++) {
        ck_assert_ptr_nonnull(*words);
        ck_assert_str_eq(*words, *expected);
    }
    ck_assert_ptr_null(*words);
}

START_TEST(test_engine_defaults)
{
    Config config = ENGINE();

    ck_assert_int_eq(config.kind, KIND_CREATE);
    ck_assert_int_eq(config.api_version, 0);
    ck_assert_str_eq(config.cid, ID);
    ck_assert_str_eq(config.cuuid, "uuid");
    ck_assert_str_eq(config.runtime, "/bin/true");
    ck_assert_str_eq(config.bundle, "/tmp");
    ck_assert_ptr_null(config.name);
    ck_assert_ptr_null(config.runtime_args);
    ck_assert_ptr_null(config.runtime_opts);
    ck_assert(!config.systemd_cgroup && !config.no_pivot && !config.no_new_keyring);
    ck_assert_ptr_null(config.monitor_pidfile);
    ck_assert_ptr_null(config.exit_dir);
    ck_assert_ptr_null(config.persist_dir);
    ck_assert_ptr_null(config.exit_command);
    ck_assert_ptr_null(config.exit_command_args);
    ck_assert_int_eq(config.exit_delay, 0);
    ck_assert_int_eq(config.timeout, 0);
    ck_assert_str_eq(config.socket_dir, "/var/run/crio");
    ck_assert(config.detach);
    ck_assert_ptr_null(config.log_path);
    ck_assert_int_eq(config.log_fd, -1);
    ck_assert_int_eq(config.log.log_size_max, 0);
    ck_assert_int_eq(config.log.log_global_size_max, 0);
    ck_assert_uint_eq(config.log.log_line_max, 16384);
    ck_assert_int_eq(config.log.log_partial_flush, 100);
    ck_assert(config.log_sync);
    ck_assert_int_eq(config.attach_spool_max, -1);
    ck_assert_int_eq(config.attach_stall_timeout, 30);
    ck_assert_int_eq(config.attach_linger, 10);
    ck_assert_int_eq(config.messages.level, LEVEL_WARNING);
    ck_assert(config.messages.engine_style);
    ck_assert(!config.messages.syslog);
}
END_TEST

START_TEST(test_engine_values)
{
    Config config =
        ENGINE("--api-version", "1", "-n", "name", "--exit-dir", "exits", "-0", "persist",
               "--exit-command", "/bin/podman", "--exit-delay", "7", "-T", "5", "--full-attach",
               "--socket-dir-path", "/ignored", "-P", "monitor", "-p", "container", "--syslog",
               "-s", "--no-pivot", "--no-new-keyring", "--no-sync-log", "--sync", "--log-size-max",
               "9223372036854775807", "--log-global-size-max", "16777216", "--log-line-max", "256",
               "--log-partial-flush", "0", "--log-level", "TrAcE", "--attach-spool-max", "0",
               "--attach-stall-timeout", "86400", "--attach-linger", "3600");

    ck_assert_int_eq(config.api_version, 1);
    ck_assert_str_eq(config.name, "name");
    ck_assert_str_eq(config.exit_dir, "exits");
    ck_assert_str_eq(config.persist_dir, "persist");
    ck_assert_str_eq(config.exit_command, "/bin/podman");
    ck_assert_int_eq(config.exit_delay, 7);
    ck_assert_int_eq(config.timeout, 5);
    ck_assert_ptr_null(config.socket_dir);
    ck_assert_str_eq(config.monitor_pidfile, "monitor");
    ck_assert_str_eq(config.container_pidfile, "container");
    ck_assert(config.systemd_cgroup && config.no_pivot && config.no_new_keyring);
    ck_assert(!config.log_sync);
    ck_assert(!config.detach);
    ck_assert_int_eq(config.log.log_size_max, INT64_MAX);
    ck_assert_int_eq(config.log.log_global_size_max, 16777216);
    ck_assert_uint_eq(config.log.log_line_max, 256);
    ck_assert_int_eq(config.log.log_partial_flush, 0);
    ck_assert_int_eq(config.attach_spool_max, 0);
    ck_assert_int_eq(config.attach_stall_timeout, 86400);
    ck_assert_int_eq(config.attach_linger, 3600);
    ck_assert_int_eq(config.messages.level, LEVEL_TRACE);
    ck_assert(config.messages.syslog);
}
END_TEST

START_TEST(test_engine_notifications_and_activation)
{
    Config config = ENGINE("--sdnotify-socket=@name", "--replace-listen-pid");

    ck_assert_str_eq(config.sdnotify_socket, "@name");
    ck_assert(config.replace_listen_pid);
    config = ENGINE("--sdnotify-socket", "");
    ck_assert_ptr_null(config.sdnotify_socket);
    ck_assert(!config.replace_listen_pid);
}
END_TEST

START_TEST(test_engine_passthrough_leaves_nothing_to_log)
{
    char directory[] = "/tmp/test-options-XXXXXX";
    Config config = ENGINE();

    ck_assert(!config.passthrough);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    config = ENGINE("-l", "passthrough", "-l", "k8s-file:log", "--log-level", "error");
    ck_assert(config.passthrough);
    ck_assert_ptr_null(config.log_path);
    ck_assert_int_eq(config.log_fd, -1);
    ck_assert_int_eq(unlink("log"), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(test_engine_numbers_below_zero_mean_no_limit)
{
    Config config = ENGINE("--log-size-max", "-1", "--log-global-size-max=-5", "--timeout=-5",
                           "--log-partial-flush", "never");

    ck_assert_int_eq(config.log.log_size_max, 0);
    ck_assert_int_eq(config.log.log_global_size_max, 0);
    ck_assert_int_eq(config.timeout, 0);
    ck_assert_int_eq(config.log.log_partial_flush, -1);
}
END_TEST

START_TEST(test_engine_numbers_may_be_hexadecimal_and_octal)
{
    Config config = ENGINE("--timeout", "0x10", "--exit-delay", "010");

    ck_assert_int_eq(config.timeout, 16);
    ck_assert_int_eq(config.exit_delay, 8);
}
END_TEST

START_TEST(test_engine_last_value_wins)
{
    Config config =
        ENGINE("-T", "5", "--timeout=6", "-n", "a", "--name", "b", "-p", "c", "--pidfile", "d");

    ck_assert_int_eq(config.timeout, 6);
    ck_assert_str_eq(config.name, "b");
    ck_assert_str_eq(config.container_pidfile, "d");
}
END_TEST

START_TEST(test_engine_lists_accumulate)
{
    Config config =
        ENGINE("--runtime-arg", "--log-format=json", "--runtime-arg", "--log", "--runtime-arg=/x",
               "--runtime-opt", "--tcp-established", "--restore-arg", "y",
               "--runtime-opt=", "--exit-command-arg", "--root", "--exit-command-arg", "--");
    const char *const args[] = {"--log-format=json", "--log", "/x", NULL};
    const char *const opts[] = {"--tcp-established", "y", "", NULL};
    const char *const exit_args[] = {"--root", "--", NULL};

    assert_words(config.runtime_args, args);
    assert_words(config.runtime_opts, opts);
    assert_words(config.exit_command_args, exit_args);
}
END_TEST

START_TEST(test_engine_defaults_from_the_working_directory)
{
    char *argv[] = {"conmon", "-c", ID, "-u", "u", "-r", "/bin/true", "-l", "none", NULL};
    char directory[PATH_MAX];
    char pidfile[PATH_MAX + 64];
    Config config;

    ck_assert_int_eq(chdir("/tmp"), 0);
    ck_assert_ptr_nonnull(getcwd(directory, sizeof(directory)));
    snprintf(pidfile, sizeof(pidfile), "%s/pidfile-" ID, directory);

    config = parse(argv);
    ck_assert_str_eq(config.bundle, directory);
    ck_assert_str_eq(config.container_pidfile, pidfile);
}
END_TEST

START_TEST(test_message_id_is_cut_to_twenty_bytes)
{
    Config config = ENGINE();

    ck_assert_str_eq(config.messages.id, "0123456789abcdefghij");
    config = ENGINE("-c", "short", "--log-tag", "tag");
    ck_assert_str_eq(config.messages.id, "short: tag");
    config = ENGINE("-c", "short", "--log-tag", "a tag that is long");
    ck_assert_str_eq(config.messages.id, "short: a tag that is");
}
END_TEST

START_TEST(test_ident_is_the_program_file)
{
    Config config = ENGINE();

    ck_assert_ptr_nonnull(strstr("test-options", config.messages.ident));
    ck_assert_str_ne(config.messages.ident, "");
}
END_TEST

START_TEST(test_argv_is_left_alone)
{
    char *argv[] = {"conmon", "1",    "-c", ID,     "-u", "u",  "-r", "/bin/true",
                    "-l",     "none", "-b", "/tmp", "2",  "--", "3",  NULL};
    char *before[sizeof(argv) / sizeof(argv[0])];

    memcpy(before, argv, sizeof(argv));
    parse(argv);
    ck_assert_mem_eq(before, argv, sizeof(argv));
}
END_TEST

START_TEST(test_the_log_is_open_and_the_last_one_wins)
{
    char directory[] = "/tmp/test-options-XXXXXX";
    Config config;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    config = ENGINE("-l", "first", "-l", "k8s-file:a:b", "-l", "off");

    ck_assert_str_eq(config.log_path, "a:b");
    ck_assert_int_ge(config.log_fd, 3);
    ck_assert(fcntl(config.log_fd, F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(access("first", F_OK), -1);
    ck_assert_int_eq(unlink("a:b"), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(test_run_defaults)
{
    char directory[] = "/tmp/test-options-XXXXXX";
    char cid[64];
    char log[128];
    Config config;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    config = RUN("/bin/echo x:y", "hi");

    snprintf(cid, sizeof(cid), "echo_x_y-%d", (int)getpid());
    snprintf(log, sizeof(log), "./%s.log", cid);
    ck_assert_int_eq(config.kind, KIND_RUN);
    ck_assert_str_eq(config.cid, cid);
    ck_assert_str_eq(config.name, cid);
    ck_assert_str_eq(config.log_path, log);
    ck_assert_int_ge(config.log_fd, 3);
    ck_assert(!config.quiet && !config.detach && config.log_sync);
    ck_assert_uint_eq(config.log.log_line_max, 16384);
    ck_assert_int_eq(config.log.log_partial_flush, 100);
    ck_assert_ptr_null(config.container_pidfile);
    ck_assert_ptr_null(config.monitor_pidfile);
    ck_assert_ptr_null(config.socket_dir);
    ck_assert(!config.messages.engine_style);
    ck_assert_int_eq(unlink(log), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(test_run_values)
{
    Config config = RUN("-c", "me", "-n", "my name", "-l", "none", "-d", "-P", "m", "-p", "c", "-T",
                        "3", "--exit-dir", "e", "--", "true");

    ck_assert_str_eq(config.cid, "me");
    ck_assert_str_eq(config.name, "my name");
    ck_assert_ptr_null(config.log_path);
    ck_assert_int_eq(config.log_fd, -1);
    ck_assert(config.detach);
    ck_assert_msg(config.quiet, "--detach must include --quiet");
    ck_assert_str_eq(config.monitor_pidfile, "m");
    ck_assert_str_eq(config.container_pidfile, "c");
    ck_assert_int_eq(config.timeout, 3);
    ck_assert_str_eq(config.exit_dir, "e");
}
END_TEST

START_TEST(test_run_leaves_the_command_its_words)
{
    const char *const plain[] = {"echo", "--version", "--", "-q", NULL};
    const char *const separated[] = {"-q", "--", "x", "--help", NULL};
    Config config = RUN("-l", "none", "echo", "--version", "--", "-q");

    assert_words((const char *const *)config.command, plain);
    ck_assert(!config.quiet);

    config = RUN("-l", "none", "--", "-q", "--", "x", "--help");
    assert_words((const char *const *)config.command, separated);
    ck_assert(!config.quiet);
}
END_TEST

START_TEST(test_run_makes_a_safe_id_of_any_command)
{
    char name[4096];
    Config config;

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    config = RUN("-l", "none", name);
    ck_assert_uint_le(strlen(config.cid), 200);
    config = RUN("-l", "none", "/");
    ck_assert_ptr_null(strchr(config.cid, '/'));
    config = RUN("-l", "none", "");
    ck_assert_str_ne(config.cid, "");
    config = RUN("-l", "none", "a\nb\xc3\xa4");
    ck_assert_mem_eq(config.cid, "a_b__-", 6);
}
END_TEST

int main(void)
{
    TCase *engine = tcase_create("engine");
    TCase *run = tcase_create("run");
    Suite *suite = suite_create("options");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(engine, test_engine_defaults);
    tcase_add_test(engine, test_engine_values);
    tcase_add_test(engine, test_engine_numbers_below_zero_mean_no_limit);
    tcase_add_test(engine, test_engine_numbers_may_be_hexadecimal_and_octal);
    tcase_add_test(engine, test_engine_last_value_wins);
    tcase_add_test(engine, test_engine_notifications_and_activation);
    tcase_add_test(engine, test_engine_passthrough_leaves_nothing_to_log);
    tcase_add_test(engine, test_engine_lists_accumulate);
    tcase_add_test(engine, test_engine_defaults_from_the_working_directory);
    tcase_add_test(engine, test_message_id_is_cut_to_twenty_bytes);
    tcase_add_test(engine, test_ident_is_the_program_file);
    tcase_add_test(engine, test_argv_is_left_alone);
    tcase_add_test(engine, test_the_log_is_open_and_the_last_one_wins);

    tcase_add_test(run, test_run_defaults);
    tcase_add_test(run, test_run_values);
    tcase_add_test(run, test_run_leaves_the_command_its_words);
    tcase_add_test(run, test_run_makes_a_safe_id_of_any_command);

    suite_add_tcase(suite, engine);
    suite_add_tcase(suite, run);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
