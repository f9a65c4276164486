/*
 * A stand-in for runc or crun that does what a test tells it, and nothing else. It needs no root,
 * no cgroup and no namespace, starts in a millisecond, and can misbehave on purpose.
 *
 *   stub-runtime [ANY]… create|restore [ANY]… --bundle DIR --pid-file FILE [ANY]… ID
 *   stub-runtime [ANY]… exec [ANY]… --pid-file FILE --process DIR/SPEC --detach [ANY]… ID
 *   stub-runtime hold DIR [ANY]…
 *
 * `create`, `restore` and `exec` follow the files they find in DIR/stub; every one may be missing.
 * What is made is called the container, though for `exec` it is a further process of one:
 *
 *   held, hold   two fifos: the runtime writes its pid and a newline to `held`, then reads `hold`;
 *                an empty text lets it go on, a number is its exit status. Meanwhile a test can
 *                look at it in /proc. A test that never answers has a runtime that hangs.
 *   leftover     a shell script that runs beside the runtime from its beginning, with the same
 *                output, and is left to itself
 *   stdout       these bytes go to standard output
 *   stderr       these bytes go to standard error
 *   exit         a number: the runtime ends with it and makes no container
 *   command      the shell script that the container process runs in DIR; if missing, it just ends
 *   start        a fifo: the container process waits for one byte from it, as for `start`; if
 *                missing, it runs at once, as after `restore` and `exec`
 *   cgroup       the path of a cgroup's directory, which the container enters first of all
 *   no-session   the container stays in its creator's process group instead of a session of its own
 *   no-pidfile   the pid file is not written
 *   pidfile      this text is written to the pid file in place of the pid
 *   newline      the pid file ends with a newline
 *   fast         the runtime waits for the end of the container and leaves it unreaped
 *   reap         the runtime waits for the end of the container and reaps it
 *   last         a directory with fifos `held` and `hold`, as above: the runtime waits there when
 *                all is done, and a number is the status it ends with in spite of that
 *   parent       a fifo: the container is the child of a process of its own, which ends, without
 *                having reaped it, after one byte from the fifo
 *
 * `hold` does only the dance of `held` and `hold`, in DIR itself; it serves as an exit command.
 *
 * With --console-socket PATH the container gets a terminal, made and handed over as runc does it;
 * fd 2 of the runtime itself stays what it was. Further files in DIR/stub:
 *
 *   console         a directory with fifos `held` and `hold`, as above, with which the runtime
 *                   waits before it connects
 *   console-ready   the same, before it sends the terminal
 *   console-never   it does not connect, and the container has no terminal
 *   console-silent  it connects and sends nothing; as above
 *   console-noise   somebody who only sends a text connects before it
 *   console-two     it sends another descriptor along with the terminal's
 *   console-socket  it sends a socket, whose other end the container gets in place of a terminal
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* A status of its own, so that a test never takes a fault of the stub for a fault it asked for. */
enum { STUB_FAILED = 111 };

static _Noreturn void fail(const char *what, const char *on)
{
    fprintf(stderr, "stub-runtime: %s %s: %s\n", what, on, strerror(errno));
    exit(STUB_FAILED);
}

/* The path of file `name` in `directory`; never freed, the program is short-lived. */
static char *path_in(const char *directory, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        fail("no memory for the path of", name);
    }
    return path;
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);

        if (n < 0 && errno != EINTR) {
            fail("cannot write to", "a descriptor");
        }
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
}

/* Writes the bytes of the file at `path` to `fd`; a missing file has none. */
static void copy_file_to(const char *path, int fd)
{
    int source = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[65536];
    ssize_t n;

    if (source < 0) {
        return;
    }
    while ((n = read(source, bytes, sizeof bytes)) > 0) {
        write_all(fd, bytes, (size_t)n);
    }
    close(source);
}

/* The number in the file at `path`, or `missing` without such a file or a number in it. */
static int number_in(const char *path, int missing)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *end;
    long number;

    if (fd < 0) {
        return missing;
    }
    if (read(fd, text, sizeof text - 1) < 0) {
        fail("cannot read", path);
    }
    close(fd);
    number = strtol(text, &end, 10);
    return end == text ? missing : (int)number;
}

/* Tells the test our pid and waits for its answer: the exit status to end with, or -1 to go on. */
static int hold(const char *directory)
{
    const char *held = path_in(directory, "held");
    int fd;

    if (!exists(held)) {
        return -1;
    }
    fd = open(held, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        fail("cannot open", held);
    }
    dprintf(fd, "%d\n", (int)getpid());
    close(fd);
    return number_in(path_in(directory, "hold"), -1);
}

/* The value of --console-socket, NULL if there is none. */
static const char *console_socket;

static int connect_to_console_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strncpy(address.sun_path, console_socket, sizeof address.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("cannot connect to", console_socket);
    }
    return fd;
}

static void send_descriptors(int socket_fd, const int *fds, size_t count)
{
    static char name[] = "/dev/ptmx";
    char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec text = {name, sizeof name};
    struct msghdr message = {
        .msg_iov = &text,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = CMSG_SPACE(count * sizeof(int)),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    if (sendmsg(socket_fd, &message, 0) != (ssize_t)sizeof name) {
        fail("cannot send a terminal to", console_socket);
    }
}

/* A terminal as runc makes it: newlines stay what they are on output. */
static void open_terminal(int *ours, int *theirs)
{
    struct termios settings;

    *ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*ours < 0 || grantpt(*ours) != 0 || unlockpt(*ours) != 0) {
        fail("cannot make", "a terminal");
    }
    *theirs = open(ptsname(*ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*theirs < 0 || tcgetattr(*theirs, &settings) != 0) {
        fail("cannot open", ptsname(*ours));
    }
    settings.c_oflag &= ~(tcflag_t)ONLCR;
    tcsetattr(*theirs, TCSANOW, &settings);
}

/* The container process makes its terminal itself and hands our side of it over. */
static void set_up_terminal(const char *plan)
{
    int fds[2];
    int theirs;
    int peer;

    hold(path_in(plan, "console"));
    if (console_socket == NULL || exists(path_in(plan, "console-never"))) {
        return;
    }
    if (exists(path_in(plan, "console-noise"))) {
        peer = connect_to_console_socket();
        write_all(peer, "noise", strlen("noise"));
        close(peer);
    }
    peer = connect_to_console_socket();
    hold(path_in(plan, "console-ready"));
    if (exists(path_in(plan, "console-silent"))) {
        close(peer);
        return;
    }
    if (exists(path_in(plan, "console-socket"))) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
            fail("cannot make", "a socket");
        }
        theirs = fds[1];
    } else {
        open_terminal(&fds[0], &theirs);
    }
    fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
    send_descriptors(peer, fds, exists(path_in(plan, "console-two")) ? 2 : 1);
    for (int fd = 0; fd < 3; fd++) {
        dup2(theirs, fd);
    }
    ioctl(0, TIOCSCTTY, 0);
}

/* Enters the cgroup whose path is in the file; if missing, there is none to enter. */
static void enter_cgroup(const char *file)
{
    int from = open(file, O_RDONLY | O_CLOEXEC);
    char directory[PATH_MAX] = "";
    const char *processes;
    int to;

    if (from < 0) {
        return;
    }
    if (read(from, directory, sizeof directory - 1) < 0) {
        fail("cannot read", file);
    }
    close(from);
    processes = path_in(directory, "cgroup.procs");
    to = open(processes, O_WRONLY | O_CLOEXEC);
    if (to < 0 || write(to, "0", 1) != 1) {
        fail("cannot write to", processes);
    }
    close(to);
}

/* The container process: waits for `start`, then becomes the script. `ready` is closed once the
 * session is its own. */
static _Noreturn void be_container(const char *bundle, const char *plan, int ready)
{
    const char *start = path_in(plan, "start");
    const char *command = path_in(plan, "command");

    enter_cgroup(path_in(plan, "cgroup"));
    if (!exists(path_in(plan, "no-session"))) {
        setsid();
    }
    set_up_terminal(plan);
    close(ready);
    /* A runtime hands none of its caller's descriptors to a container. */
    close_range(3, UINT_MAX, 0);

    if (exists(start)) {
        char byte;
        int fd = open(start, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || read(fd, &byte, 1) != 1) {
            fail("cannot read", start);
        }
        close(fd);
    }
    if (!exists(command)) {
        _exit(0);
    }
    if (chdir(bundle) != 0) {
        fail("cannot enter", bundle);
    }
    execl("/bin/sh", "sh", "stub/command", (char *)NULL);
    fail("cannot execute", "/bin/sh");
}

/* Runs what a careless runtime leaves behind. */
static void start_leftover(const char *script)
{
    pid_t pid;

    if (!exists(script)) {
        return;
    }
    pid = fork();
    if (pid < 0) {
        fail("cannot fork for", script);
    }
    if (pid == 0) {
        execl("/bin/sh", "sh", script, (char *)NULL);
        fail("cannot execute", "/bin/sh");
    }
}

/* The process between the runtime and the container: tells the container's pid, and stays. */
static _Noreturn void be_parent(const char *bundle, const char *plan, int ready, int told)
{
    const char *parent = path_in(plan, "parent");
    pid_t container = fork();
    char byte;
    int fd;

    if (container < 0) {
        fail("cannot fork", "the container process");
    }
    if (container == 0) {
        be_container(bundle, plan, ready);
    }
    write_all(told, (const char *)&container, sizeof container);
    /* The container's pipes and `ready` are not this one's to hold. */
    close_range(0, UINT_MAX, 0);
    fd = open(parent, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &byte, 1) != 1) {
        _exit(STUB_FAILED);
    }
    _exit(0);
}

/* Makes the container through a parent that is not the runtime; returns the container's pid. */
static pid_t fork_with_parent(const char *bundle, const char *plan, int ready)
{
    pid_t container;
    int told[2];
    pid_t parent;

    if (pipe2(told, O_CLOEXEC) != 0) {
        fail("cannot make", "a pipe");
    }
    parent = fork();
    if (parent < 0) {
        fail("cannot fork", "the parent of the container");
    }
    if (parent == 0) {
        be_parent(bundle, plan, ready, told[1]);
    }
    close(told[1]);
    if (read(told[0], &container, sizeof container) != (ssize_t)sizeof container) {
        fail("cannot hear of", "the container process");
    }
    close(told[0]);
    return container;
}

static pid_t fork_container(const char *bundle, const char *plan, int ready)
{
    pid_t container;

    if (exists(path_in(plan, "parent"))) {
        return fork_with_parent(bundle, plan, ready);
    }
    container = fork();
    if (container < 0) {
        fail("cannot fork", "the container process");
    }
    if (container == 0) {
        be_container(bundle, plan, ready);
    }
    return container;
}

static void write_pidfile(const char *path, const char *plan, pid_t pid)
{
    const char *instead = path_in(plan, "pidfile");
    int fd;

    if (exists(path_in(plan, "no-pidfile"))) {
        return;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        fail("cannot create", path);
    }
    if (exists(instead)) {
        copy_file_to(instead, fd);
    } else {
        dprintf(fd, exists(path_in(plan, "newline")) ? "%d\n" : "%d", (int)pid);
    }
    close(fd);
}

/* Makes a container as the plan in the directory says; returns the exit status. */
static int create(const char *bundle, const char *pidfile)
{
    const char *plan = path_in(bundle, "stub");
    int told;
    int status;
    int ready[2];
    pid_t container;
    char nothing;
    bool reap;

    start_leftover(path_in(plan, "leftover"));
    told = hold(plan);
    if (told >= 0) {
        return told;
    }
    copy_file_to(path_in(plan, "stdout"), STDOUT_FILENO);
    copy_file_to(path_in(plan, "stderr"), STDERR_FILENO);
    status = number_in(path_in(plan, "exit"), -1);
    if (status >= 0) {
        return status;
    }

    if (pipe2(ready, O_CLOEXEC) != 0) {
        fail("cannot make", "a pipe");
    }
    container = fork_container(bundle, plan, ready[1]);
    close(ready[1]);
    if (read(ready[0], &nothing, 1) != 0) {
        fail("cannot wait for", "the container process");
    }

    write_pidfile(pidfile, plan, container);
    reap = exists(path_in(plan, "reap"));
    if (reap || exists(path_in(plan, "fast"))) {
        siginfo_t info;

        if (waitid(P_PID, (id_t)container, &info, WEXITED | (reap ? 0 : WNOWAIT)) != 0) {
            fail("cannot wait for", "the container process");
        }
    }
    told = hold(path_in(plan, "last"));
    return told < 0 ? 0 : told;
}

/* The word after `option`, or NULL. */
static const char *find_value(char **argv, const char *option)
{
    for (char **word = argv; *word != NULL; word++) {
        if (strcmp(*word, option) == 0) {
            return word[1];
        }
    }
    return NULL;
}

/* The word after `option`, searched from argv[from]; ends the program if there is none. */
static const char *value_of(char **argv, int from, const char *option)
{
    for (char **word = argv + from; *word != NULL; word++) {
        if (strcmp(*word, option) == 0 && word[1] != NULL) {
            return word[1];
        }
    }
    errno = EINVAL;
    fail("missing option", option);
}

/* The directory of the file at `path`. */
static const char *directory_of(const char *path)
{
    char *directory = path_in(path, "");

    return dirname(directory);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "hold") == 0) {
        int status = hold(argv[2]);

        return status < 0 ? 0 : status;
    }
    console_socket = find_value(argv, "--console-socket");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "create") == 0 || strcmp(argv[i], "restore") == 0) {
            return create(value_of(argv, i, "--bundle"), value_of(argv, i, "--pid-file"));
        }
        if (strcmp(argv[i], "exec") == 0) {
            value_of(argv, i, "--detach"); /* without it, runtimes stay */
            return create(directory_of(value_of(argv, i, "--process")),
                          value_of(argv, i, "--pid-file"));
        }
    }
    errno = EINVAL;
    fail("no create, restore, exec or hold among", "the arguments");
}
