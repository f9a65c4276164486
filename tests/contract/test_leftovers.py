"""What a monitor does not leave behind, also where something fails: descriptors of its own, files, and settings of what
it was only lent."""

import contextlib
import fcntl
import os
import socket

import pytest

import engine
import procfs
import rest
from crashes import descriptors_at_rest, page
from fake_journal import FakeJournal
from memory import Cgroup, needed
from waiting import wait_until

# Descriptors, while the container goes on


def reopen(container):
    before = container.log.stat().st_ino
    container.control("2 0 0\n")
    wait_until(lambda: container.log.exists() and container.log.stat().st_ino != before, "the new log")


def fail_to_reopen(container):
    container.control("2 0 0\n")
    wait_until(lambda: page(container.monitor.pid)["rotation_failures"] > 0, "a failure")
    assert not list(container.logs.glob("*.tmp"))


def reopen_without_directory(container):
    container.logs.rename(container.top / "elsewhere")
    container.control("2 0 0\n")
    wait_until(lambda: page(container.monitor.pid)["rotation_failures"] > 0, "a failure")


def reopen_beside_a_directory(container):
    """The last step fails that can."""
    (container.logs / "ctr.log.1").mkdir()
    fail_to_reopen(container)
    assert container.log.is_file()


def reopen_over_a_directory(container):
    container.log.rename(container.logs / "moved")
    container.log.mkdir()
    fail_to_reopen(container)


def reopen_through_another_link(container):
    container.logs.rename(container.top / "elsewhere")
    container.logs.symlink_to(make_directory(container.top / "planted"))
    fail_to_reopen(container)
    assert not os.listdir(container.top / "planted")


def make_directory(path):
    path.mkdir()
    return path


def attach_and_leave(container):
    for _ in range(3):
        client = container.attach()
        wait_until(lambda: page(container.monitor.pid)["clients"] == 1, "the client")
        client.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: page(container.monitor.pid)["clients"] == 0, "it to be gone")


DOINGS = [
    reopen,
    reopen_without_directory,
    reopen_beside_a_directory,
    reopen_over_a_directory,
    reopen_through_another_link,
    attach_and_leave,
]


@pytest.mark.parametrize("do", DOINGS, ids=lambda do: do.__name__)
def test_descriptors(new_container, do):
    container = new_container(command="echo hello; read word < go; exit 7")
    container.options.update({"--log-rotate": True, "--stdin": True})
    container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"hello")
    before = set(descriptors_at_rest(container.monitor.pid))
    do(container)
    wait_until(lambda: set(descriptors_at_rest(container.monitor.pid)) == before, "the same descriptors as before")


@pytest.mark.parametrize("trouble", ["stop", "kill", "remove"])
def test_descriptors_after_trouble_with_the_journal(new_container, directory, trouble):
    with contextlib.closing(FakeJournal(directory / "node")) as journal:
        container = new_container(command="echo hello; while read word < go; do seq 1 1000; echo $word; done")
        container.options["--log-path"] = "journald"
        go = container.fifo("go")
        container.create(prepare=journal.enter)
        container.start()
        journal.wait_output(b"hello")
        before = set(descriptors_at_rest(container.monitor.pid))
        getattr(journal, trouble)()
        os.write(go, b"one\n")
        wait_until(lambda: page(container.monitor.pid)["stdout_read"] > 3000, "the output")
        journal.start()
        os.write(go, b"two\n")
        journal.wait_output(b"two")
        wait_until(lambda: set(descriptors_at_rest(container.monitor.pid)) == before, "the same descriptors as before")


# Descriptors at the end


def ways_to_others(pid):
    """Which descriptors of a process at rest lead to somebody else."""
    rest.wait_asleep(pid)
    found = procfs.Process(pid).descriptors()
    return {fd: name for fd, name in found.items() if name.startswith(("socket:", "pipe:", "/dev/pt"))}


@pytest.mark.parametrize("kind", ["pipes", "pipes that others hold", "terminal"])
def test_descriptors_while_the_exit_command_runs(new_container, kind):
    """Only the ways for requests, and what the monitor needs itself."""
    container = new_container(command=f"{'sleep 1000 &' * ('others' in kind)} echo hello; exit 7")
    container.options["--terminal" if kind == "terminal" else "--stdin"] = True
    container.options["--late-output"] = "0"
    hold = container.hold_exit_command()
    container.create()
    client = container.attach()
    client.send(b"input")
    container.start()
    hold.wait()
    engine.receive_all(client)
    assert ways_to_others(container.monitor.pid) == {}
    hold.let_go()
    assert container.wait() == 7


@needed
def test_cgroup_while_the_exit_command_runs(new_container):
    """It is the engine's to remove."""
    container = new_container(command="exit 7")
    hold = container.hold_exit_command()
    with contextlib.closing(Cgroup()) as cgroup:
        cgroup.take(container)
        container.create()
        before = procfs.Process(container.monitor.pid).descriptors().values()
        assert [name for name in before if cgroup.path.name in name]
        container.start()
        hold.wait()
        rest.wait_asleep(container.monitor.pid)
        now = procfs.Process(container.monitor.pid).descriptors().values()
        assert not [name for name in now if cgroup.path.name in name]
        hold.let_go()
        assert container.wait() == 7


def test_descriptors_of_a_detached_run(new_run):
    """The command's two pipes, and nothing of the process in front."""
    run = new_run("read word < go; exit 7")
    os.mkfifo(run.top / "go")
    run.options.update({"--detach": True, "--pidfile": run.monitor_pidfile})
    run.launch()
    assert run.wait() == 0
    names = ways_to_others(run.monitor_pid()).values()
    assert [name.split(":")[0] for name in names] == ["pipe", "pipe"]


def test_descriptors_of_a_terminal(new_container):
    """Of sockets only the engine's and that for clients: a terminal has come over its own, which is gone."""
    container = new_container(command="echo hello; read word < go; exit 7")
    container.options["--terminal"] = True
    container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"hello")
    names = ways_to_others(container.monitor.pid).values()
    assert sum(not name.startswith("/dev/pt") for name in names) == 2


def test_pipes_of_the_engine(new_container):
    container = new_container(command="exit 7")
    container.create()
    assert container.line("start") == b""
    container.start()
    assert container.wait() == 7


def test_pipes_of_the_engine_of_an_exec(new_exec):
    process = new_exec(command="read word < go; exit 7")
    go = process.fifo("go")
    process.begin()
    assert process.line("attach") == b""
    process.go()
    assert process.report()["data"] > 0
    assert process.line("start") == b""
    os.write(go, b"\n")
    assert process.wait() == 7


# Files


def without_runtime(container):
    container.stub("exit", "1")


def without_pid_file(container):
    container.stub("no-pidfile")


def without_attach_socket(container):
    (container.bundle / "attach").mkdir()


def without_link(container):
    container.sockets.rmdir()


def without_ctl(container):
    (container.bundle / "ctl").mkdir()


def without_winsz(container):
    (container.bundle / "winsz").mkdir()


def without_notify_socket(container):
    (container.bundle / "notify").touch()
    container.options["--sdnotify-socket"] = str(container.top / "host")


def without_activation(container):
    container.environment["LISTEN_PID"] = "nobody"


def without_terminal(container):
    container.stub("console-never")


FAILURES = [
    without_runtime,
    without_pid_file,
    without_attach_socket,
    without_link,
    without_ctl,
    without_winsz,
    without_notify_socket,
    without_activation,
    without_terminal,
]


def inventory(top):
    """Every file but the stub's, the pid files and the log, all of which are the engine's to remove."""
    found = {str(path.relative_to(top)) for path in top.rglob("*") if "stub" not in path.parts}
    return found - {"bundle/pidfile", "bundle/conmon-pidfile", "logs/ctr.log"}


@pytest.mark.parametrize("terminal", [False, True], ids=["", "terminal"])
@pytest.mark.parametrize("spoil", FAILURES, ids=lambda spoil: spoil.__name__)
def test_start_that_fails(new_container, spoil, terminal):
    """It leaves what an engine expects of one, and nothing else."""
    container = new_container(command="sleep 1000", family=engine.CRIO)
    if terminal or spoil is without_terminal:
        container.options["--terminal"] = True
    spoil(container)
    before = inventory(container.top)
    container.create_fails()
    assert container.line() == b""
    assert container.wait() == 1
    assert inventory(container.top) - before <= {"bundle/ctl", "bundle/winsz"}
    assert before <= inventory(container.top)


@needed
def test_directory_that_can_have_no_socket(new_container):
    """Among those for the socket of the terminal: what was made there is removed before the next one is tried."""
    container = new_container(command="echo hello")
    container.options["--terminal"] = True
    with contextlib.closing(Cgroup()) as cgroup:
        container.environment["TMPDIR"] = str(cgroup.path)
        assert container.run() == 0
        assert not list(cgroup.path.glob("conward-*"))
    assert container.output() == b"hello\r\n"


# What was lent


@pytest.fixture(params=["pipe", "socket", "terminal"])
def lent(request):
    """Both ends of what `conward run` gets as its standard streams: the other end, and its own."""
    if request.param == "terminal":
        other, own = os.openpty()
    elif request.param == "pipe":
        other, own = os.pipe()
    else:
        other, own = (end.detach() for end in socket.socketpair())
    yield other, own
    os.close(other)
    os.close(own)


@pytest.mark.parametrize("fate", ["ends", "is killed", "cannot start"])
def test_flags(new_run, lent, fate):
    """Whoever has lent it may use it at the same time, and afterwards."""
    other, own = lent
    before = fcntl.fcntl(own, fcntl.F_GETFL)
    run = new_run(["/nonexistent"] if fate == "cannot start" else "echo hello; read word < go; exit 7")
    os.mkfifo(run.top / "go")
    go = os.open(run.top / "go", os.O_RDWR)
    run.launch(stdout=own, stderr=own)
    if fate != "cannot start":
        assert b"hello" in os.read(other, 1000)
        rest.wait_asleep(run.pid)
        assert fcntl.fcntl(own, fcntl.F_GETFL) == before
    if fate == "is killed":
        run.signal(9)
    os.write(go, b"\n")
    run.wait()
    os.close(go)
    assert fcntl.fcntl(own, fcntl.F_GETFL) == before
