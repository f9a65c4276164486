"""A hostile environment: readers that die or stall, descriptors that are closed, missing or full, links and devices in
the place of files, pids that are none, little memory. The container, its log and its report come first in all of it."""

import fcntl
import itertools
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import termios
import tty

import pytest

import engine
import k8slog
import procfs
from engine import BATS
from waiting import is_readable, wait_until

MEBIBYTE = 1 << 20
CLOSED = [fds for count in (1, 2, 3) for fds in itertools.combinations(range(3), count)]
WITHOUT = pytest.mark.parametrize("closed", CLOSED, ids=lambda fds: "without-" + "-".join(map(str, fds)))


def close_all(fds):
    for fd in fds:
        os.close(fd)


# Attach clients


@pytest.mark.parametrize("held, other", [("stderr", "stdout"), ("stdout", "stderr")])
def test_dead_client_held_the_other_stream(new_container, held, other):
    """A stream is not read while a client lags behind on it. The client dies, and that is first noticed when the other
    stream is sent to it: the one it held goes on all the same."""
    to_held, to_other = {"stderr": (">&2", ""), "stdout": ("", ">&2")}[held]
    flood = 3_000_000
    container = new_container(
        command=f"""
            head -c {flood} /dev/zero {to_held} & flood=$!
            read word < go
            echo line {to_other}
            wait $flood
            exit 5"""
    )
    container.without_spool()
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    fds = {"stdout": 1, "stderr": 2}
    seen = [0, None]  # how often in a row nothing has moved, and where

    def is_held():
        full = procfs.waiting_in_pipe(container.pid, fds[held]) >= 65536 and container.monitor.stat()[0] == "S"
        place = container.log.stat().st_size
        seen[:] = [seen[0] + 1 if full and place == seen[1] else 0, place]
        return seen[0] > 50

    wait_until(is_held, f"{held} to be held")
    container.pause_monitor()
    os.write(go, b"\n")
    wait_until(lambda: procfs.waiting_in_pipe(container.pid, fds[other]) == 5, "the line in the pipe")
    client.close()
    container.resume_monitor()
    assert container.wait() == 5
    assert container.exit_file.read_bytes() == b"5"
    assert container.output(other) == b"line\n"
    assert container.output(held) == bytes(flood)


def sockets(process):
    return {target for target in process.descriptors().values() if target.startswith("socket:")}


def test_more_clients_than_descriptors(new_container):
    """A connection that cannot be accepted makes no busy loop; it is served when descriptors are free again."""
    container = new_container(command="echo one; read word < go; echo two; exit 5")
    go = container.fifo("go")
    container.create(prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    container.start()
    container.wait_log(b"one")
    free = 24 - len(container.monitor.descriptors())
    assert 0 < free < 20
    clients = [container.attach() for _ in range(free + 5)]
    wait_until(lambda: len(container.monitor.descriptors()) == 24, "all descriptors to be used")
    # A monitor in a busy loop never sleeps.
    wait_until(lambda: container.monitor.stat()[0] == "S", "the monitor to sleep")
    before = sockets(container.monitor)
    for client in clients[:free]:
        client.close()
    wait_until(lambda: len(sockets(container.monitor) - before) == 5, "the waiting clients to be accepted")
    os.write(go, b"\n")
    engine.receive_all(*clients[free:])
    for client in clients[free:]:
        assert client.output() == b"two\n"
    assert container.wait() == 5


# Closed descriptors

STDIO = "readlink /proc/$$/fd/0 || echo closed"


@WITHOUT
def test_engine_without_stdio(new_container, closed):
    """What the monitor opens itself never takes a number below 3."""
    container = new_container(command=f"{STDIO}; seq 1 5000; seq 5001 10000 >&2; exit 5")
    assert container.run(prepare=lambda: close_all(closed)) == 5
    assert container.exit_file.read_bytes() == b"5"
    assert container.output() == b"/dev/null\n" + k8slog.numbered(1, 5000)
    assert container.output("stderr") == k8slog.numbered(5001, 10000)


@WITHOUT
def test_runtime_of_an_engine_without_stdio(new_container, closed):
    container = new_container()
    hold = container.hold_runtime()
    container.launch(prepare=lambda: close_all(closed))
    container.let_go()
    runtime = procfs.Process(hold.wait())
    found = runtime.descriptors()
    assert found[0] == "/dev/null"
    assert found[1].startswith("pipe:") and found[2].startswith("pipe:") and found[1] != found[2]
    assert not any("memfd" in target or target == str(container.log) for target in found.values())


@WITHOUT
def test_run_without_stdio(new_run, closed):
    run = new_run(f"{STDIO}; seq 1 5000; seq 5001 10000 >&2; exit 5").launch(closed=closed)
    assert run.wait() == 5
    assert run.exit_file.read_bytes() == b"5"
    stdout, stderr = run.output(), run.output("stderr")
    assert stdout in (b"/dev/null\n" + k8slog.numbered(1, 5000), b"closed\n" + k8slog.numbered(1, 5000))
    assert stderr == k8slog.numbered(5001, 10000)
    assert (run.top / "stdout").read_bytes() == (b"" if 1 in closed else stdout)
    assert (run.top / "stderr").read_bytes() == (b"" if 2 in closed else stderr)


@WITHOUT
def test_detached_run_without_stdio(new_run, closed):
    run = new_run(f"{STDIO}; seq 1 5000; seq 5001 10000 >&2; exit 5")
    run.options["--detach"] = True
    run.options["--pidfile"] = run.monitor_pidfile
    run.launch(closed=closed)
    assert run.wait_monitor() == 5
    assert run.exit_file.read_bytes() == b"5"
    assert run.output() == b"/dev/null\n" + k8slog.numbered(1, 5000)
    assert run.output("stderr") == k8slog.numbered(5001, 10000)


@pytest.mark.parametrize("variable", ["_OCI_SYNCPIPE", "_OCI_STARTPIPE"])
@pytest.mark.parametrize("number", range(5, 12))
def test_pipe_that_was_not_passed(new_container, variable, number):
    """The number is one that a file of the monitor's own may get: that is not taken for the engine's pipe."""
    container = new_container(command="echo hello")
    # In the child only, behind the numbers of the pipes that it was given.
    container.launch(prepare=lambda: container.environment.update({variable: str(number)}))
    container.say_go()
    text = container.wait_first(status=1)
    assert b"unable to make %s CLOEXEC" % variable.encode() in text
    assert container.line() == b""
    assert not container.log.exists() or container.log.read_bytes() == b""


# What lies at the log's path


def link_log(container):
    """Makes the log's path a symbolic link into another directory, and returns the file that it names."""
    target = container.top / "elsewhere" / "real.log"
    target.parent.mkdir()
    target.touch()
    container.log.symlink_to("../elsewhere/real.log")
    return target


def check_link(container, target):
    assert os.readlink(container.log) == "../elsewhere/real.log"
    assert os.listdir(container.logs) == ["ctr.log"]
    assert stat.S_ISREG(target.lstat().st_mode)


STRANGER = 4321  # a user ID


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
@pytest.mark.parametrize("through", [False, True], ids=["the-log", "where-its-link-leads"])
def test_link_of_a_stranger_in_a_sticky_directory(new_container, through):
    """It is not followed, whatever the sysctl says: not even to create a file."""
    container = new_container(command="echo one")
    target = link_log(container)
    target.unlink()
    shared = container.logs
    if through:
        shared = container.top / "shared"
        shared.mkdir()
        target.symlink_to(shared / "planted")
        (shared / "planted").symlink_to(container.top / "victim")
        os.lchown(shared / "planted", STRANGER, STRANGER)
    else:
        os.lchown(container.log, STRANGER, STRANGER)
    shared.chmod(0o1777)
    container.launch()
    text = container.wait_first(status=1)
    assert b"is a symbolic link that another user has made" in text
    assert not target.exists() and not (container.top / "victim").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
@pytest.mark.parametrize("owner", ["ours", "the-directory's"])
def test_link_in_a_sticky_directory_that_is_followed(new_container, owner):
    container = new_container(command="echo one; exit 5")
    target = link_log(container)
    container.logs.chmod(0o1777)
    if owner != "ours":
        os.lchown(container.log, STRANGER, STRANGER)
        os.chown(container.logs, STRANGER, STRANGER)
    assert container.run() == 5
    check_link(container, target)
    assert container.output() == b"one\n"


def test_size_limit_of_a_linked_log(new_container):
    container = new_container(command="seq 1 5000")
    container.options["--log-size-max"] = "500"
    target = link_log(container)
    with target.open() as first:  # held open, so that its inode number is not used again
        assert container.run() == 0
        check_link(container, target)
        assert os.listdir(target.parent) == ["real.log"]
        assert not os.path.samestat(target.stat(), os.fstat(first.fileno())), "the limit was kept by replacing the file"
    assert 0 < target.stat().st_size <= 500
    output = k8slog.output(k8slog.records(target.read_bytes()))
    assert k8slog.numbered(1, 5000).endswith(output) and output.endswith(b"\n5000\n")


@pytest.mark.parametrize("moved", ["there", "moved"])
def test_reopen_of_a_linked_log(new_container, moved):
    """Whether somebody has moved the file away or not, a new one is where the link leads."""
    container = new_container(command="echo one; read word < go; echo two; exit 5")
    target = link_log(container)
    first = target.stat().st_ino
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    if moved == "moved":
        target.rename(target.parent / "old.log")
    container.control("2 0 0\n")
    wait_until(lambda: target.exists() and target.stat().st_ino != first, "the new log")
    os.write(go, b"\n")
    assert container.wait() == 5
    check_link(container, target)
    assert k8slog.output(k8slog.records(target.read_bytes())) == b"two\n"
    if moved == "moved":
        assert sorted(os.listdir(target.parent)) == ["old.log", "real.log"]
        assert k8slog.output(k8slog.records((target.parent / "old.log").read_bytes())) == b"one\n"
    else:
        assert os.listdir(target.parent) == ["real.log"]


def make_special(path, kind):
    """A device that takes everything, or a fifo with a reader; returns the reader, or None."""
    if kind == "fifo":
        os.mkfifo(path, 0o600)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except PermissionError as error:
        pytest.skip(f"no devices can be made or used here: {error}")
    return None


SPECIAL = pytest.mark.parametrize("kind", ["device", "fifo"])


def what_is(path):
    status = path.lstat()
    return stat.S_IFMT(status.st_mode), status.st_rdev, status.st_ino


@SPECIAL
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "linked"])
def test_log_that_is_no_file(new_container, kind, linked):
    """It is never replaced. A log that was a link to /dev/null would cost the machine its /dev/null."""
    container = new_container(command="seq 1 1000; read word < go; echo end; exit 5")
    container.options["--log-size-max"] = "500"
    special = container.top / "special" if linked else container.log
    reader = make_special(special, kind)
    if linked:
        container.log.symlink_to(special)
    before = what_is(special), what_is(container.log)
    go = container.fifo("go")
    container.create()
    container.start()
    container.control("2 0 0\n")
    os.write(go, b"\n")
    assert container.wait() == 5
    assert (what_is(special), what_is(container.log)) == before
    assert os.listdir(container.logs) == ["ctr.log"]
    if reader is not None:
        os.close(reader)


@SPECIAL
def test_log_that_has_become_a_link_to_no_file(new_container, kind):
    """Somebody who wants no log any more links its path to /dev/null."""
    container = new_container(command="echo one; read word < go; seq 1 1000; exit 5")
    container.options["--log-size-max"] = "500"
    special = container.top / "special"
    reader = make_special(special, kind)
    before = what_is(special)
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    container.log.unlink()
    container.log.symlink_to(special)
    container.control("2 0 0\n")
    os.write(go, b"\n")
    assert container.wait() == 5
    assert what_is(special) == before
    assert not [name for name in os.listdir(container.top) if name.endswith(".tmp")]
    if reader is not None:
        os.close(reader)


# A terminal of somebody else's

NUMBERS = k8slog.numbered(10001, 19000)  # more than a terminal takes unread, less than makes the command wait


class TerminalRun:
    """A `conward run` by the user nobody on a terminal of root's, which it cannot open by its name. Nobody reads the
    terminal yet; the command has printed NUMBERS and waits for a signal."""

    def __init__(self, run, directory, controlling):
        self.run = run
        directory.chmod(0o711)
        for path in (run.top, run.exits, run.logs):
            os.chown(path, 65534, 65534)
        run.program = shutil.copy(run.program, directory / "conward")
        os.chmod(run.program, 0o755)
        self.master, slave = os.openpty()
        os.fchmod(slave, 0o600)
        tty.setraw(slave)
        as_nobody = {"user": 65534, "group": 65534, "extra_groups": [], "start_new_session": True}
        if controlling:
            as_nobody["preexec_fn"] = lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0)
        run.launch(stdout=slave, stderr=slave, **as_nobody)
        os.close(slave)
        wait_until(lambda: run.log.exists() and run.log.read_bytes().endswith(b" 19000\n"), "the log to be complete")
        self.command = procfs.Process(run.command_pid())

    def end_command(self):
        self.run.signal(signal.SIGTERM)
        wait_until(lambda: not self.command.exists(), "the command to end by the signal")

    def read_to_end(self):
        """Everything until nobody holds the other side any more."""
        parts = []
        while True:
            engine.wait_readable(self.master, "more on the terminal")
            try:
                parts.append(os.read(self.master, 65536))
            except OSError:  # EIO: nobody is there
                return b"".join(parts)

    def check(self):
        assert self.run.wait() == 9
        assert self.run.exit_file.read_bytes() == b"9"
        assert self.run.output() == NUMBERS


@pytest.fixture
def on_terminal(directory, new_run):
    if os.geteuid() != 0:
        pytest.skip("another user's terminal needs root")
    made = []

    def new(controlling):
        run = new_run("trap 'exit 9' TERM; seq 10001 19000; while :; do sleep 1000 & wait; done")
        made.append(TerminalRun(run, directory, controlling))
        return made[-1]

    yield new
    for terminal in made:
        os.close(terminal.master)


def test_foreign_terminal(on_terminal):
    """A write to it could block, whatever poll says: there is no copy, and a sentence about that."""
    terminal = on_terminal(controlling=False)
    terminal.end_command()
    terminal.check()
    assert b"--quiet" in terminal.read_to_end()


def test_controlling_terminal_that_stalls_and_goes_on(on_terminal):
    terminal = on_terminal(controlling=True)
    terminal.end_command()
    wait_until(terminal.run.exit_file.exists, "the exit file")
    assert terminal.read_to_end() == NUMBERS
    terminal.check()


def test_controlling_terminal_that_stalls_for_ever(on_terminal):
    terminal = on_terminal(controlling=True)
    terminal.end_command()
    terminal.run.signal(signal.SIGTERM)  # enough of waiting for the reader
    terminal.check()


# Little memory


def limit_memory(pid):
    """A limit under which a monitor like this one starts but has no room for its state. The state's buffers are larger
    than this."""
    peak = int(procfs.Process(pid).status()["VmPeak"].split()[0]) * 1024
    if peak > 1 << 40:
        pytest.skip("the program is built with a sanitizer, which needs all addresses")
    limit = peak - 4 * MEBIBYTE
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def test_no_memory_under_an_engine(new_container):
    usual = new_container()
    usual.create()
    container = new_container()
    assert container.create_fails(prepare=limit_memory(usual.monitor.pid)) != ""
    assert container.wait() == 1
    assert not container.exit_file.exists()


def test_no_memory_under_run(new_run):
    usual = new_run("echo ready; read word").launch(stdin=subprocess.PIPE)
    wait_until(lambda: usual.log.exists() and usual.log.read_bytes(), "the log")
    limit = limit_memory(usual.pid)
    for words in ([], ["--detach"]):
        run = new_run("echo hello")
        run.options.update({word: True for word in words})
        run.launch(preexec_fn=limit)
        assert run.wait() == 125
        assert b"conward" in (run.top / "stderr").read_bytes()
        assert run.log.read_bytes() == b""


# Small limits on resources

LOADER = b"error while loading shared libraries"


def is_sanitized():
    """Whether a sanitizer takes the memory before the program has begun."""
    return b"__asan_init" in pathlib.Path(engine.conward()).read_bytes()


def run_limited(limit, value, directory):
    """Runs a command under a limit. Returns the exit status, what was said, and whether the command was started."""
    started = directory / "started"
    started.unlink(missing_ok=True)
    words = [engine.conward(), "run", "--log-path", directory / "limited.log", "--", "/bin/sh", "-c"]
    done = subprocess.run(
        [*words, f"echo >{started}; exit 7"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(limit, (value, value)),
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr, started.exists()


@pytest.mark.parametrize("limit", range(4, 25))
def test_few_descriptors_under_run(limit, directory):
    """The command runs, or is not started, and a sentence says why: it is never a signal that ends the monitor."""
    status, said, started = run_limited(resource.RLIMIT_NOFILE, limit, directory)
    if LOADER in said:
        pytest.skip("the libraries cannot be loaded")
    assert b"GLib" not in said
    if started:
        assert status == 7
    else:
        assert status in (2, 125)
        assert said.splitlines()[-1].startswith(b"conward: ") and b"Too many open files" in said


def test_little_data_under_run(directory):
    if is_sanitized():
        pytest.skip("the program is built with a sanitizer, which needs more than that")
    seen = set()
    for limit in range(100_000, 600_000, 10_000):
        status, said, started = run_limited(resource.RLIMIT_DATA, limit, directory)
        if LOADER in said or (status == -signal.SIGSEGV and not said):
            continue  # the loader itself had no memory
        assert (status, started) == (7, True) or (status, started) == (125, False), (limit, status, said)
        if not started:
            assert said.startswith(b"conward: There is not enough memory to start the monitor;")
        seen.add(status)
    assert seen == {7, 125}


@pytest.mark.parametrize("limit", range(5, 15))
def test_few_descriptors_under_an_engine(new_container, limit):
    container = new_container()
    container.launch(prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    try:
        container.let_go()
    except AssertionError as failure:  # what was started has failed itself
        said = str(failure).encode()
        assert b"GLib" not in said and (b"exit status 1 " in said or LOADER in said)
        return
    report = container.report()
    assert report["data"] == -1 and "Too many open files" in report["message"], report
    assert container.wait() == 1
    assert b"GLib" not in container.said()


def test_little_data_under_an_engine(new_container):
    if is_sanitized():
        pytest.skip("the program is built with a sanitizer, which needs more than that")
    container = new_container()
    container.launch(prepare=lambda: resource.setrlimit(resource.RLIMIT_DATA, (250_000, 250_000)))
    assert container.wait_first(status=1).startswith(b"[conmon:e]: There is not enough memory to start the monitor;")


# Whose child the container is


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_container_that_becomes_a_child_later(new_container, paused):
    """Its parent ends while it runs, and so the monitor can know its status. It hears of the end in two ways, perhaps
    of both at once, and they must not contradict each other."""
    for _ in range(1 if paused else 10):
        container = new_container(command="exit 7")
        parent = container._fifo_in(container.plan, "parent")
        container.create()
        process = procfs.Process(container.pid)
        assert int(process.stat()[1]) != container.monitor.pid
        os.write(parent, b"\n")
        wait_until(lambda: int(process.stat()[1]) == container.monitor.pid, "the monitor to inherit the container")
        if paused:
            container.pause_monitor()
        container.start()
        if paused:
            container.wait_dead()
            container.resume_monitor()
        assert container.wait() == 7
        assert container.exit_file.read_bytes() == b"7"
        assert (container.persist / "exit").read_bytes() == b"7"


def test_container_that_is_never_a_child(new_container, system_log):
    receiver, enter = system_log
    container = new_container(command="echo hello; exit 7")
    container.options["--syslog"] = True
    container._fifo_in(container.plan, "parent")
    container.create(prepare=enter)
    container.start()
    assert container.wait() == 255
    assert container.exit_file.read_bytes() == b"-1"
    assert container.output() == b"hello\n"
    assert b"process %d was not left to this monitor by the runtime" % container.pid in receiver.recv(65536)
    assert not is_readable(receiver.fileno()), "it says more than once"


# The end that nobody waits for


def test_full_pipe_behind_a_stalled_reader(new_run, request):
    """More in the pipe than there is room for while a reader stalls: the exit report waits for nobody."""
    size = 4 * MEBIBYTE
    run = new_run(f"read word < go; head -c {size - 65536} /dev/zero; exit 5")
    os.mkfifo(run.top / "go")
    reader, theirs = os.pipe()
    request.addfinalizer(lambda: os.close(reader))
    run.launch(stdout=theirs)
    os.close(theirs)
    pipe = os.open(f"/proc/{run.command_pid()}/fd/1", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        grow_pipe(pipe, size, request)
    finally:
        os.close(pipe)
    monitor = procfs.Process(run.pid)
    command = procfs.Process(run.command_pid())
    run.signal(signal.SIGSTOP)
    wait_until(lambda: monitor.stat()[0] in "Tt", "the monitor to stop")
    (run.top / "go").write_text("\n")
    wait_until(lambda: not command.alive(), "the command to end")
    run.signal(signal.SIGCONT)
    wait_until(run.exit_file.exists, "the exit file")
    assert run.exit_file.read_bytes() == b"5"
    engine.read_to_end(reader, "the monitor to close its output")
    assert run.wait() == 5
    assert run.output() == bytes(size - 65536)


def grow_pipe(pipe, size, request):
    """Makes the pipe that large, which may need another limit of the system meanwhile."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
        return
    except PermissionError:
        pass
    setting = pathlib.Path("/proc/sys/fs/pipe-max-size")
    before = setting.read_text()
    try:
        setting.write_text(str(size))
    except OSError as error:
        pytest.skip(f"no pipe of {size} bytes: {setting} cannot be changed: {error}")
    request.addfinalizer(lambda: setting.write_text(before))
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)


@pytest.mark.parametrize("create", ["succeeds", "fails"])
def test_sync_pipe_that_is_full(new_container, create):
    """Nobody reads it, and it has no room for a line: that is the engine's loss."""
    container = new_container(command="echo hello; exit 5", family=BATS)
    if create == "fails":
        container.stub("exit", "1")
    hold = container.hold_runtime()
    container.launch()
    sync = os.open(container.top / "sync-pipe", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            os.write(sync, b"x" * 4096)
    except BlockingIOError:
        pass
    finally:
        os.close(sync)
    container.let_go()
    runtime = procfs.Process(hold.wait())
    hold.let_go()
    if create == "fails":
        assert container.wait() == 1
        return
    wait_until(lambda: not runtime.exists() and container.monitor.stat()[0] == "S", "the container to exist")
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_bytes() == b"5"
    assert container.wait() == 5
    assert (container.persist / "exit").read_bytes() == b"5"
    assert container.output() == b"hello\n"


def test_exit_delay_cut_short(new_container):
    """A signal after the container's end: whoever sends it wants the monitor to be done."""
    container = new_container(command="exit 5")
    container.options["--exit-delay"] = "600"
    hold = container.hold_exit_command()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert not hold.reached()
    container.signal_monitor(signal.SIGTERM)
    hold.wait()
    hold.let_go()
    assert container.wait() == 5


# Runtimes that are not careful


@pytest.mark.parametrize("text", ["1", "12abc", "99999999999", "4294967297", "-5", "0x10", "12 34"])
def test_pid_file_with_a_wrong_pid(new_container, text):
    """4294967297 is 1 to whoever takes only 32 bits of it."""
    container = new_container()
    container.stub("pidfile", text)
    assert str(container.pidfile) in container.create_fails()
    assert container.wait() == 1
    assert not container.exit_file.exists()


def test_pid_file_with_the_monitor_s_pid(new_container):
    container = new_container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    container.stub("pidfile", str(container.monitor.pid))
    hold.let_go()
    report = container.report()
    assert report["data"] == -1
    assert str(container.pidfile) in report["message"]
    assert container.wait() == 1


def test_pid_file_with_a_newline(new_container):
    """That is no fault."""
    container = new_container(command="exit 5")
    container.stub("newline")
    assert container.run() == 5


def test_leftover_of_a_failed_create(new_container):
    """It writes on and on to what would have been the container's streams. That is nobody's output."""
    container = new_container()
    container.stub("leftover", "touch $XDG_RUNTIME_DIR/flooding; yes leftover & exec yes leftover >&2")
    hold = container.hold_runtime()
    exit_command = container.hold_exit_command()
    container.launch()
    container.let_go()
    hold.wait()
    client = container.attach()
    wait_until((container.top / "flooding").exists, "the leftover to write")
    hold.let_go(1)
    assert container.report()["data"] == -1
    exit_command.wait()
    engine.receive_all(client)
    assert client.output("stdout") == client.output("stderr") == b""
    exit_command.let_go()
    assert container.wait() == 1
    assert container.log.read_bytes() == b""


@pytest.mark.parametrize("status", ["succeeds", "fails"])
def test_standard_output_of_the_runtime(new_container, status):
    container = new_container(command="echo hello; exit 5")
    container.stub("stdout", k8slog.numbered(1, 50_000) + b"no newline")
    if status == "fails":
        container.stub("exit", "1")
        container.create_fails()
        assert container.wait() == 1
        assert container.log.read_bytes() == b""
        return
    container.create()
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert container.output() == client.output() == b"hello\n"
    assert container.output("stderr") == b""
