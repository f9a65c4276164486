#include "process/spawn.h"
#include "util/ignored.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a new process is before it executes its program, and what is said if it cannot. */

enum { CANNOT_EXECUTE = 127 };

static ChildSignals no_signals;
static char *environment[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};

/* A shell that runs `script`, with the caller's own standard streams. */
static Spawn shell(const char **argv, const char *script)
{
    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = script;
    argv[3] = NULL;
    return (Spawn){.file = "/bin/sh",
                   .argv = (char *const *)argv,
                   .environment = environment,
                   .stdio = {0, 1, 2},
                   .signals = &no_signals,
                   .file_limit = RLIM_INFINITY,
                   .gate_fd = -1,
                   .failure_fd = -1,
                   .cgroup_fd = -1};
}

/* Its exit status, or 128 and a signal. */
static int wait_for(pid_t pid)
{
    int status;

    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const Spawn *what)
{
    Error error;

    return wait_for(spawn(what, &error));
}

static int temporary_file(void)
{
    char path[] = "/tmp/conward-XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    unlink(path);
    return fd;
}

/* What the test's program has written to a file. */
static char *written(int fd)
{
    char *text = g_malloc0(4096);

    ck_assert_int_ge(pread(fd, text, 4095, 0), 0);
    return text;
}

/* Whatever numbers the files have that become its standard streams, and if these are them already.
 */
START_TEST(standard_streams_may_be_any_descriptors)
{
    static const char script[] =
        "exec 6<&0 7<&1 8<&2; stat -L -c %t:%i /proc/self/fd/6 /proc/self/fd/7 /proc/self/fd/8 >&9";
    struct stat st[4];
    int report = fcntl(temporary_file(), F_DUPFD, 20);
    int other = fcntl(temporary_file(), F_DUPFD_CLOEXEC, 30);
    const char *argv[4];
    Spawn what = shell(argv, script);

    ck_assert_int_eq(dup2(report, 9), 9);
    for (int i = 0; i < 3; i++) {
        int fd = temporary_file();

        ck_assert_int_eq(dup3(fd, i + 40, O_CLOEXEC), i + 40);
        close(fd);
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(dup3(i + 40, i, O_CLOEXEC), i);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fstat(i, &st[i]), 0);
    ck_assert_int_eq(fstat(other, &st[3]), 0);

    /* 0 to 2, another one, and none. */
    for (int number = 0; number < 125; number++) {
        const int choice[3] = {number % 5, number / 5 % 5, number / 25};
        char *lines[3];
        const char *at;
        char *got;

        for (int i = 0; i < 3; i++)
            what.stdio[i] = choice[i] == 4 ? -1 : choice[i] == 3 ? other : choice[i];
        ck_assert_int_eq(ftruncate(report, 0), 0);
        ck_assert_int_eq(lseek(report, 0, SEEK_SET), 0);
        ck_assert_int_eq(run(&what), 0);
        got = written(report);
        for (int i = 0; i < 3; i++) {
            struct stat null;
            const struct stat *expected = choice[i] == 4 ? &null : &st[choice[i]];

            ck_assert_int_eq(stat("/dev/null", &null), 0);
            lines[i] = g_strdup_printf("%x:%lu\n", choice[i] == 4 ? 1 : 0, expected->st_ino);
        }
        at = got;
        for (int i = 0; i < 3; i++) {
            ck_assert(g_str_has_prefix(at, lines[i]));
            at += strlen(lines[i]);
            g_free(lines[i]);
        }
        g_free(got);
    }
}
END_TEST

/* The number that is sent to who waits for it; 0 if nothing is. */
static int failure_of(Spawn *what)
{
    int ends[2];
    int number = 0;
    ssize_t n;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    what->failure_fd = ends[1];
    ck_assert_int_eq(run(what), CANNOT_EXECUTE);
    close(ends[1]);
    n = read(ends[0], &number, sizeof(number));
    ck_assert(n == 0 || n == (ssize_t)sizeof(number));
    close(ends[0]);
    return number;
}

/* And the words, if nobody does. */
static void check_words(Spawn *what, const char *expected)
{
    int fd = temporary_file();
    char *words;

    what->failure_fd = -1;
    what->stdio[2] = fd;
    ck_assert_int_eq(run(what), CANNOT_EXECUTE);
    words = written(fd);
    ck_assert_str_eq(words, expected);
    g_free(words);
    close(fd);
}

START_TEST(a_failure_is_said)
{
    const char *argv[4];
    Spawn what = shell(argv, "exit 0");
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    what.file = "/nowhere/at/all";
    ck_assert_int_eq(failure_of(&what), ENOENT);
    check_words(&what, "conward: cannot execute /nowhere/at/all: No such file or directory\n");
    what.file = "/dev/null";
    ck_assert_int_eq(failure_of(&what), EACCES);
    check_words(&what, "conward: cannot execute /dev/null: Permission denied\n");

    what = shell(argv, "exit 0");
    what.stdio[1] = 999;
    ck_assert_int_eq(failure_of(&what), EBADF);

    /* A negative number says that it is the cgroup. */
    what = shell(argv, "exit 0");
    what.cgroup_fd = full;
    ck_assert_int_eq(failure_of(&what), -ENOSPC);
    close(full);
}
END_TEST

START_TEST(the_path_is_looked_for_only_if_asked_for)
{
    const char *argv[4];
    Spawn what = shell(argv, "exit 7");

    what.file = "sh";
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(run(&what), CANNOT_EXECUTE);
    what.search = true;
    ck_assert_int_eq(run(&what), 7);
}
END_TEST

START_TEST(it_enters_its_cgroup_itself)
{
    const char *argv[4];
    Spawn what = shell(argv, "exit 7");
    char *text;

    what.cgroup_fd = temporary_file();
    ck_assert_int_eq(run(&what), 7);
    text = written(what.cgroup_fd);
    ck_assert_str_eq(text, "0");
    g_free(text);
}
END_TEST

START_TEST(its_limit_of_file_sizes_is_its_own)
{
    const char *argv[4];
    Spawn what = shell(argv, "test $(ulimit -S -f) = 2048 && exit 7");

    what.file_limit = 2048 * 512;
    ck_assert_int_eq(run(&what), 7);
}
END_TEST

START_TEST(it_knows_its_own_number)
{
    char variable[32] = "NUMBER=";
    char *with_number[] = {variable, environment[0], NULL};
    const char *argv[4];
    Spawn what = shell(argv, "test $NUMBER = $$ && exit 7");
    int32_t pid = 0;
    Error error;
    pid_t made;

    what.environment = with_number;
    what.pid_text = variable + strlen("NUMBER=");
    what.pid = &pid;
    made = spawn(&what, &error);
    ck_assert_int_eq(pid, made);
    ck_assert_int_eq(wait_for(made), 7);
}
END_TEST

/* A bit for each of those signals, as /proc shows them. */
static uint64_t bits(int one, int other)
{
    return UINT64_C(1) << (one - 1) | UINT64_C(1) << (other - 1);
}

START_TEST(its_signals_are_as_they_are_to_be)
{
    ChildSignals signals = {.ignored = signal_bit(SIGUSR1) | signal_bit(SIGWINCH)};
    int fd = temporary_file();
    const char *argv[5] = {NULL};
    Spawn what = shell(argv, "");
    char *expected;
    char *got;

    argv[0] = "grep";
    argv[1] = "-E";
    argv[2] = "Sig(Blk|Ign)";
    argv[3] = "/proc/self/status";
    what.file = "grep";
    what.search = true;
    what.signals = &signals;
    what.stdio[1] = fd;
    sigemptyset(&signals.mask);
    sigaddset(&signals.mask, SIGUSR2);
    sigaddset(&signals.mask, SIGHUP);
    /* The monitor ignores and blocks others. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(run(&what), 0);
    expected = g_strdup_printf("SigBlk:\t%016lx\nSigIgn:\t%016lx\n", bits(SIGUSR2, SIGHUP),
                               bits(SIGUSR1, SIGWINCH));
    got = written(fd);
    ck_assert_str_eq(got, expected);
    g_free(got);
    g_free(expected);
}
END_TEST

START_TEST(others_are_closed_only_if_asked_for)
{
    const char *argv[4];
    Spawn what = shell(argv, "test -e /proc/$$/fd/9 && exit 7; exit 8");

    ck_assert_int_eq(dup2(temporary_file(), 9), 9);
    ck_assert_int_eq(run(&what), 7);
    what.close_others = true;
    ck_assert_int_eq(run(&what), 8);
}
END_TEST

START_TEST(it_waits_at_the_gate)
{
    const char *argv[4];
    Spawn what = shell(argv, "exit 7");
    int ends[2];
    Error error;
    pid_t pid;

    for (int allowed = 0; allowed <= 1; allowed++) {
        int fd = temporary_file();
        char *words;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        what.gate_fd = ends[0];
        what.stdio[2] = fd;
        pid = spawn(&what, &error);
        close(ends[0]);
        if (allowed)
            ck_assert_int_eq(write(ends[1], "x", 1), 1);
        else
            shutdown(ends[1], SHUT_WR);
        ck_assert_int_eq(wait_for(pid), allowed ? 7 : CANNOT_EXECUTE);
        close(ends[1]);
        words = written(fd);
        ck_assert_str_eq(words, allowed ? ""
                                        : "conward: the engine went away before it allowed the "
                                          "start\n");
        g_free(words);
        close(fd);
    }
}
END_TEST

/* A process that starts another one and is killed; returns how that one ends. */
static int end_with_parent(bool die_with_us)
{
    const char *argv[4];
    Spawn what = shell(argv, "read word; exit 7");
    int ends[2];
    int pids[2];
    pid_t parent;
    pid_t pid;
    Error error;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(pids, O_CLOEXEC), 0);
    what.stdio[0] = ends[0];
    what.die_with_us = die_with_us;
    parent = fork();
    if (parent == 0) {
        pid = spawn(&what, &error);
        if (write(pids[1], &pid, sizeof(pid)) == (ssize_t)sizeof(pid))
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(pids[0], &pid, sizeof(pid)), (ssize_t)sizeof(pid));
    /* It executes, so it has made all arrangements. */
    for (char name[16] = ""; strcmp(name, "sh\n") != 0;) {
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int)pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, name, sizeof(name) - 1);

        ck_assert_int_gt(n, 0);
        name[n] = '\0';
        close(fd);
    }
    kill(parent, SIGKILL);
    ck_assert_int_eq(wait_for(parent), 128 + SIGKILL);
    if (!die_with_us)
        ck_assert_int_eq(write(ends[1], "x\n", 2), 2);
    return wait_for(pid);
}

START_TEST(it_dies_with_its_parent_only_if_asked_for)
{
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(end_with_parent(true), 128 + SIGKILL);
    ck_assert_int_eq(end_with_parent(false), 7);
}
END_TEST

SUITE("spawn", standard_streams_may_be_any_descriptors, a_failure_is_said,
      the_path_is_looked_for_only_if_asked_for, it_enters_its_cgroup_itself,
      its_limit_of_file_sizes_is_its_own, it_knows_its_own_number,
      its_signals_are_as_they_are_to_be, others_are_closed_only_if_asked_for, it_waits_at_the_gate,
      it_dies_with_its_parent_only_if_asked_for)
