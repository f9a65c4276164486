#include "process/children.h"
#include "process/listen-pid.h"
#include "process/runtime.h"
#include "process/sync-pipe.h"
#include "util/fd.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is read of processes: numbers, names and how they have ended. */

static int read_pid(const char *text, size_t length)
{
    g_autofree char *dir = g_dir_make_tmp("conward-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "pidfile", NULL);
    int pid;

    ck_assert(g_file_set_contents(path, text, (gssize)length, NULL));
    pid = runtime_read_pidfile(path);
    g_remove(path);
    g_rmdir(dir);
    return pid;
}

START_TEST(a_pid_file_names_a_process_that_can_be_the_container)
{
    static const struct {
        const char *text;
        int pid;
    } files[] = {
        {"2", 2},
        {"2\n", 2},
        {"  2 \n\n", 2},
        {"+2", 2},
        {"2147483647", INT_MAX},
        {"2147483648", 0},
        {"99999999999999999999", 0},
        {"1", 0},
        {"0", 0},
        {"-2", 0},
        {"", 0},
        {"\n", 0},
        {"x", 0},
        {"2x", 0},
        {"2 3", 0},
        {"2\t", 0},
        {"2.0", 0},
        {"0x2", 0},
        {"4711                           ", 4711}, /* 31 bytes are read */
        {"1111111111111111111111111111111", 0},
    };
    char own[16];

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        ck_assert_msg(read_pid(files[i].text, strlen(files[i].text)) == files[i].pid, "%s",
                      files[i].text);
    ck_assert_int_eq(read_pid("2\0003", 3), 2);
    snprintf(own, sizeof(own), "%d\n", (int)getpid());
    ck_assert_int_eq(read_pid(own, strlen(own)), 0);
    snprintf(own, sizeof(own), "%d\n", (int)getppid());
    ck_assert_int_eq(read_pid(own, strlen(own)), (int)getppid());
    ck_assert_int_eq(runtime_read_pidfile("/nonexistent/pidfile"), -ENOENT);
    ck_assert_int_eq(runtime_read_pidfile("/"), -EISDIR);
}
END_TEST

static void check_argv(const RuntimeCall *call, const char *expected)
{
    g_autofree char **argv = runtime_argv(call);
    g_autofree char *line = g_strjoinv(" ", argv);

    ck_assert_str_eq(line, expected);
}

START_TEST(a_runtime_is_called_as_engines_expect)
{
    static const char *const before[] = {"--log", "x", NULL};
    static const char *const behind[] = {"--cgroup-manager", "y", NULL};
    RuntimeCall call = {
        .command = RUNTIME_CREATE,
        .runtime = "/bin/rt",
        .cid = "id",
        .bundle = "/b",
        .pidfile = "/p",
        .process_spec = "/s",
        .checkpoint = "/c",
    };

    check_argv(&call, "/bin/rt create --bundle /b --pid-file /p id");
    call.systemd_cgroup = call.no_pivot = call.no_new_keyring = true;
    call.arguments = before;
    call.options = behind;
    call.console_socket = "/t";
    check_argv(&call,
               "/bin/rt --systemd-cgroup --log x create --bundle /b --pid-file /p --no-pivot "
               "--no-new-keyring --cgroup-manager y --console-socket /t id");
    call.command = RUNTIME_RESTORE;
    call.no_pivot = false;
    check_argv(&call, "/bin/rt --systemd-cgroup --log x restore --bundle /b --pid-file /p "
                      "--no-new-keyring --detach --image-path /c --work-path /b --cgroup-manager y "
                      "--console-socket /t id");
    call.command = RUNTIME_EXEC;
    call.console_socket = NULL;
    check_argv(&call, "/bin/rt --log x exec --pid-file /p --process /s --detach --cgroup-manager y "
                      "id");
}
END_TEST

/* A child that ends so; it can be reaped when this returns. */
static pid_t start_child(int status, int number)
{
    pid_t pid = fork();
    siginfo_t info;

    if (pid == 0) {
        if (number != 0) {
            signal(number, SIG_DFL);
            raise(number);
        }
        _exit(status);
    }
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

static bool is_reaped(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

START_TEST(each_end_is_noted_for_the_process_that_it_is_of)
{
    State state;
    Error error;
    Page *page;
    pid_t orphan;

    ck_assert_int_eq(state_create(&state, &error), 0);
    page = state.page;
    page->phase = PHASE_RUNNING;
    page->container_pid = start_child(7, 0);
    page->runtime_pid = start_child(0, SIGTERM);
    page->command_pid = start_child(255, 0);
    orphan = start_child(3, 0);
    children_reap(&state);
    ck_assert_uint_eq(page->ended, ENDED_CONTAINER | ENDED_RUNTIME | ENDED_COMMAND);
    ck_assert_int_eq(page->container_status, 7);
    ck_assert_int_eq(page->container_signal, 0);
    ck_assert_int_eq(page->runtime_status, 128 + SIGTERM);
    ck_assert_int_eq(page->command_status, 255);
    ck_assert(is_reaped(orphan) && is_reaped(page->container_pid));
    ck_assert(is_reaped(page->runtime_pid) && is_reaped(page->command_pid));
    children_reap(&state); /* there is none */
    state_deinit(&state);
}
END_TEST

START_TEST(a_signal_is_noted_as_such)
{
    State state;
    Error error;

    ck_assert_int_eq(state_create(&state, &error), 0);
    state.page->phase = PHASE_DRAINING;
    state.page->container_pid = start_child(0, SIGKILL);
    children_reap(&state);
    ck_assert_int_eq(state.page->container_status, 128 + SIGKILL);
    ck_assert_int_eq(state.page->container_signal, SIGKILL);
    state_deinit(&state);
}
END_TEST

/* Once reaped, a number can come back as some orphan's: its end is not the container's. */
START_TEST(only_the_first_end_of_a_number_counts)
{
    State state;
    Error error;
    Page *page;
    pid_t pid;

    ck_assert_int_eq(state_create(&state, &error), 0);
    page = state.page;
    page->phase = PHASE_RUNNING;
    pid = start_child(9, 0);
    page->container_pid = page->runtime_pid = page->command_pid = pid;
    page->ended = ENDED_CONTAINER | ENDED_RUNTIME | ENDED_COMMAND;
    page->container_status = page->runtime_status = page->command_status = 4;
    children_reap(&state);
    ck_assert(is_reaped(pid));
    ck_assert_int_eq(page->container_status, 4);
    ck_assert_int_eq(page->runtime_status, 4);
    ck_assert_int_eq(page->command_status, 4);

    /* The next one that has the number and has not ended. */
    page->ended = ENDED_CONTAINER;
    page->container_pid = page->runtime_pid = start_child(9, 0);
    children_reap(&state);
    ck_assert_uint_eq(page->ended, ENDED_CONTAINER | ENDED_RUNTIME);
    ck_assert_int_eq(page->container_status, 4);
    ck_assert_int_eq(page->runtime_status, 9);
    state_deinit(&state);
}
END_TEST

/* While the runtime runs, only the runtime is reaped. */
START_TEST(during_the_start_nobody_but_the_runtime_is_reaped)
{
    State state;
    Error error;
    pid_t container;

    ck_assert_int_eq(state_create(&state, &error), 0);
    state.page->phase = PHASE_STARTING;
    container = start_child(5, 0);
    children_reap(&state);
    ck_assert(!is_reaped(container));
    state.page->runtime_pid = start_child(1, 0);
    children_reap(&state);
    ck_assert_uint_eq(state.page->ended, ENDED_RUNTIME);
    ck_assert_int_eq(state.page->runtime_status, 1);
    ck_assert(!is_reaped(container));
    state.page->phase = PHASE_RUNNING;
    state.page->container_pid = container;
    children_reap(&state);
    ck_assert_int_eq(state.page->container_status, 5);
    state_deinit(&state);
}
END_TEST

START_TEST(a_process_that_is_not_ours_is_watched)
{
    pid_t child = start_child(0, 0);
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (pidfd < 0 && errno == ENOSYS)
        return; /* valgrind does not know it */
    close(pidfd);
    ck_assert_int_eq(children_watch_foreign(child, &pidfd), 0);
    ck_assert_int_eq(pidfd, -1);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(children_watch_foreign(child, &pidfd), -ESRCH);
    ck_assert_int_eq(pidfd, -1);
    ck_assert_int_eq(children_watch_foreign(getppid(), &pidfd), 0);
    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    close(pidfd);
}
END_TEST

START_TEST(the_name_of_a_process_may_have_anything_in_it)
{
    static const char *const names[] = {"", "a", "a) S (b c", "fifteen letters", "ends here\n"};
    char comm[PAGE_COMM_MAX];

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        ck_assert_int_eq(prctl(PR_SET_NAME, names[i]), 0);
        child_comm(getpid(), comm);
        ck_assert_str_eq(comm, names[i]);
    }
    memset(comm, 'x', sizeof(comm));
    child_comm(INT_MAX, comm);
    ck_assert_str_eq(comm, "");
}
END_TEST

/* What LISTEN_PID becomes in the runtime's environment; NULL: it is refused. */
static const char *listen_pid(const char *value, bool replace)
{
    ListenPid listen;
    Error error = ERROR_NULL;
    const char *result = "as it is";

    setenv("LISTEN_FDS", "1", 1);
    if (value != NULL)
        setenv("LISTEN_PID", value, 1);
    else
        unsetenv("LISTEN_PID");
    if (listen_pid_init(&listen, replace, &error) < 0)
        return NULL;
    if (listen.pid_text != NULL) {
        ck_assert_ptr_ne(listen.environment, environ);
        ck_assert_uint_eq(g_strv_length(listen.environment), g_strv_length(environ));
        ck_assert(g_strv_contains((const char *const *)listen.environment, "LISTEN_PID="));
        ck_assert(g_strv_contains((const char *const *)listen.environment, "LISTEN_FDS=1"));
        strcpy(listen.pid_text, "2147483647"); /* there is room for any */
        ck_assert(
            g_strv_contains((const char *const *)listen.environment, "LISTEN_PID=2147483647"));
        result = "replaced";
    } else {
        ck_assert_ptr_eq(listen.environment, environ);
    }
    listen_pid_deinit(&listen);
    return result;
}

START_TEST(descriptors_for_the_monitor_are_for_the_runtime)
{
    static const char *const wrong[] = {"",   "0",  "-1",         "x",
                                        "1x", "1 ", "2147483648", "99999999999999999999"};
    char own[16];

    snprintf(own, sizeof(own), "%d", (int)getpid());
    ck_assert_str_eq(listen_pid(NULL, false), "as it is");
    ck_assert_str_eq(listen_pid(NULL, true), "as it is");
    ck_assert_str_eq(listen_pid(own, false), "replaced");
    ck_assert_str_eq(listen_pid("1", false), "as it is");
    ck_assert_str_eq(listen_pid("1", true), "replaced");
    ck_assert_str_eq(listen_pid("2147483647", true), "replaced");
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        ck_assert_msg(listen_pid(wrong[i], true) == NULL, "%s", wrong[i]);
}
END_TEST

/* What an engine says in a variable, as a descriptor; -1: it has said nothing, -2: that is none. */
static int pipe_of(const char *value)
{
    Error error = ERROR_NULL;
    int fd;

    setenv("_OCI_SYNCPIPE", value, 1);
    fd = engine_pipe("_OCI_SYNCPIPE", &error);
    ck_assert_int_eq(fd == -2, error.text[0] != '\0');
    return fd;
}

START_TEST(an_engine_names_a_descriptor_that_is_open_and_its_own)
{
    static const char *const wrong[] = {"",   "x",          "3x",   "3 ",
                                        "-1", "2147483648", "1000", "99999999999999999999"};
    Error error = ERROR_NULL;
    char value[16];
    int fd = open("/dev/null", O_RDONLY);

    unsetenv("_OCI_SYNCPIPE");
    ck_assert_int_eq(engine_pipe("_OCI_SYNCPIPE", &error), -1);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        ck_assert_msg(pipe_of(wrong[i]) == -2, "%s", wrong[i]);
    snprintf(value, sizeof(value), "%d", fd);
    ck_assert_int_eq(pipe_of(value), fd);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(pipe_of(value), -2); /* by now it is one of our own */
    ck_assert_int_eq(pipe_of("0"), 0);
    close(fd);
}
END_TEST

START_TEST(a_start_is_a_word_or_the_end_of_a_pipe)
{
    int ends[2];
    int sockets[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_int_eq(start_pipe_wait(ends[0]), 0);
    close(ends[1]);
    ck_assert_int_eq(start_pipe_wait(ends[0]), 0);
    close(ends[0]);
    ck_assert_int_eq(start_pipe_wait(ends[0]), -EBADF);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    close(sockets[1]);
    ck_assert_int_eq(start_pipe_wait(sockets[0]), -EPIPE);
    close(sockets[0]);
}
END_TEST

/* Whether the engine's end is a pipe or a socket: nothing waits for who does not read. */
START_TEST(a_line_is_sent_or_lost_and_never_waits)
{
    char line[4096];
    char got[sizeof(line)];
    int ends[2];
    int r = 0;

    memset(line, 'x', sizeof(line));
    for (int is_socket = 0; is_socket <= 1; is_socket++) {
        ck_assert_int_eq(is_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
        ck_assert_int_eq(sync_send(ends[1], line, 10), 0);
        ck_assert_int_eq(read(ends[0], got, sizeof(got)), 10);
        for (int i = 0; i < 10000 && (r = sync_send(ends[1], line, sizeof(line))) == 0; i++)
            ;
        ck_assert_int_eq(r, is_socket ? -EAGAIN : -ENOTSOCK);
        close(ends[0]);
        close(ends[1]);
    }
    ck_assert_int_eq(sync_send(-1, line, 1), -EBADF);
}
END_TEST

SUITE("processes", a_runtime_is_called_as_engines_expect,
      a_pid_file_names_a_process_that_can_be_the_container,
      each_end_is_noted_for_the_process_that_it_is_of, a_signal_is_noted_as_such,
      only_the_first_end_of_a_number_counts, during_the_start_nobody_but_the_runtime_is_reaped,
      a_process_that_is_not_ours_is_watched, the_name_of_a_process_may_have_anything_in_it,
      descriptors_for_the_monitor_are_for_the_runtime,
      an_engine_names_a_descriptor_that_is_open_and_its_own, a_start_is_a_word_or_the_end_of_a_pipe,
      a_line_is_sent_or_lost_and_never_waits)
