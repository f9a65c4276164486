"""Log driver passthrough: the container writes to where its engine does, and the monitor only waits for its end."""

import os
import signal
import stat
import subprocess

import pytest

import engine
import procfs
from crashes import crash, page
from engine import BATS, CRIO, PODMAN
from waiting import is_readable, read_to_end, wait_readable, wait_until

FAMILIES = pytest.mark.parametrize("family", [PODMAN, CRIO, BATS], ids=lambda family: family.name)


class Caller:
    """The standard streams of an engine: files."""

    def __init__(self, container):
        self.paths = [container.top / name for name in ("stdin", "stdout", "stderr")]
        for path in self.paths:
            path.touch()
        container.options["--log-path"] = "passthrough"

    def prepare(self):
        for number, path in enumerate(self.paths):
            os.dup2(os.open(path, (os.O_WRONLY | os.O_APPEND) if number else os.O_RDONLY), number)

    def said(self):
        return [path.read_text() for path in self.paths[1:]]


def files(container):
    return {path.name for path in container.bundle.iterdir()} - {"stub"}


@FAMILIES
def test_output(new_container, family):
    container = new_container(command="cat; echo out; echo err >&2; exit 7", family=family)
    caller = Caller(container)
    caller.paths[0].write_text("from the caller\n")
    assert container.run(prepare=caller.prepare) == 7
    assert caller.said() == ["from the caller\nout\n", "err\n"]
    assert container.exit_file.read_bytes() == b"7"
    assert (container.persist / "exit").read_bytes() == b"7"
    assert files(container) == {"pidfile", "conmon-pidfile"}
    assert os.listdir(container.sockets) == []
    assert os.listdir(container.logs) == []


@pytest.mark.parametrize("sync", [False, True], ids=["detached", "sync"])
def test_descriptors(new_container, sync):
    """The runtime has its caller's files, the monitor has let go of them."""
    container = new_container(command="exit 7")
    caller = Caller(container)
    container.options["--sync"] = True if sync else None
    hold = container.hold_runtime()
    container.launch(prepare=caller.prepare)
    container.let_go()
    runtime = procfs.Process(hold.wait())
    assert runtime.descriptors() == {number: str(path) for number, path in enumerate(caller.paths)}
    monitor = container.monitor

    def stdio():
        return {target for fd, target in monitor.descriptors().items() if fd <= 2}

    wait_until(lambda: stdio() == {"/dev/null"}, "the monitor to let go of its caller's files")
    assert not {str(path) for path in caller.paths} & set(monitor.descriptors().values())
    assert files(container) <= {"conmon-pidfile"}
    hold.let_go()
    assert container.report()["data"] > 0
    container.start()
    assert container.wait() == 7


def test_runtime_fails(new_container):
    """What it says goes to the caller; the engine hears that, and its status."""
    container = new_container()
    caller = Caller(container)
    container.stub("stderr", "no such thing\n")
    container.stub("exit", "3")
    assert container.create_fails(prepare=caller.prepare) == (
        f"The runtime {engine.stub_runtime()} failed with exit status 3 and wrote to its caller's standard error, if it "
        "said why"
    )
    assert container.line() == b""
    assert container.wait() == 1
    assert caller.said() == ["", "no such thing\n"]
    assert os.listdir(container.exits) == []


def test_runtime_writes_no_pidfile(new_container):
    container = new_container()
    caller = Caller(container)
    container.stub("no-pidfile")
    assert "pid file" in container.create_fails(prepare=caller.prepare)
    assert container.wait() == 1


def test_runtime_that_says_much(new_container):
    """Into a pipe that nobody reads at first: nobody but the runtime waits, and nothing is kept or logged."""
    container = new_container(command="exit 7")
    container.options["--log-path"] = "passthrough"
    container.stub("stderr", "x" * 300000)
    container.launch()
    os.write(container._start_pipe, container.family.start_message)
    wait_readable(container._stderr, "the runtime's words")
    said = 0
    while said < 300000:
        said += len(os.read(container._stderr, 65536))
    assert container.report()["data"] > 0
    container.start()
    assert container.wait_first() == b""
    assert container.wait() == 7


def test_exit_command_does_not_hold_the_streams(new_container):
    """Who waits for the end of the container's output does not wait for the engine's cleaning up."""
    container = new_container(command="echo hello; exit 7")
    container.options["--log-path"] = "passthrough"
    hold = container.hold_exit_command()
    container.launch()
    os.write(container._start_pipe, container.family.start_message)
    assert container.report()["data"] > 0
    container.start()
    assert read_to_end(container._stderr, "the end of the container's output") == b"hello\n"
    descriptors = procfs.Process(hold.wait()).descriptors()
    assert {descriptors[fd] for fd in (0, 1, 2)} == {"/dev/null"}
    hold.let_go()
    container.wait_first()
    assert container.wait() == 7


def test_signals(new_container):
    container = new_container(command="trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done")
    caller = Caller(container)
    container.create(prepare=caller.prepare)
    container.start()
    wait_until(lambda: caller.said()[0] == "ready\n", "the container to be ready")
    container.signal_monitor(signal.SIGTERM)
    assert container.wait() == 9


def test_timeout(new_container):
    container = new_container(command="echo hello; read word < go")
    container.fifo("go")
    caller = Caller(container)
    container.options["--timeout"] = "3"
    container.create(prepare=caller.prepare)
    container.start()
    assert container.wait() == 255
    assert container.exit_file.read_bytes() == b"-1"
    assert caller.said()[0] == "hello\n"


@pytest.mark.survival
def test_nothing_of_ours_in_the_journal(new_container, journal, system_log):
    """In a unit, Podman reads the container's output there by the unit's name, which all that we sent would have, too. The
    monitor's page has what is to be known."""
    log, find_log = system_log
    container = new_container(command="read word < go; kill -9 $$", cid="0123456789abcdef" * 4)
    caller = Caller(container)
    container.options.update({"--syslog": True, "--log-level": "debug"})
    container.environment["CONWARD_LOG_LINE_MAX"] = "nonsense"
    go = container.fifo("go")

    def prepare():
        caller.prepare()
        journal.enter()
        find_log()

    container.create(prepare=prepare)
    container.start()
    crash(container.monitor.pid, "fault")
    assert page(container.monitor.pid)["crashes"] == 1
    os.write(go, b"\n")
    assert container.wait() == 137
    journal.settle()
    assert (journal.events, journal.entries) == ([], [])
    assert not is_readable(log.fileno())
    assert "CONWARD_LOG_LINE_MAX" in caller.said()[1], "the engine is told as long as it listens"


def test_standard_input_of_the_caller(new_container):
    """--stdin changes nothing: it is the caller's already."""
    container = new_container(command="cat")
    caller = Caller(container)
    container.options["--stdin"] = True
    caller.paths[0].write_text("typed\n")
    assert container.run(prepare=caller.prepare) == 0
    assert caller.said() == ["typed\n", ""]


@pytest.mark.parametrize("first", [True, False], ids=["passthrough-first", "file-first"])
def test_beside_a_file(new_container, first):
    """As with conmon, the file is made and stays empty; but that is said."""
    container = new_container(command="echo hello; exit 7")
    caller = Caller(container)
    log = f"k8s-file:{container.log}"
    container.options["--log-path"] = ["passthrough", log] if first else [log, "passthrough"]
    assert container.run(prepare=caller.prepare) == 7
    out, err = caller.said()
    assert out == "hello\n"
    assert err.startswith("[conmon:w]: Nothing is logged: ") and err.count("\n") == 1
    assert container.log.read_bytes() == b""
    assert stat.S_IMODE(container.log.stat().st_mode) == 0o640


def test_terminal_of_the_caller(new_container):
    """It is the container's terminal, with its settings and its blocking mode untouched."""
    leader, follower = os.openpty()
    name = os.ttyname(follower)
    container = new_container(command="tty; exit 7")
    container.options["--log-path"] = "passthrough"

    def prepare():
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        for number in range(3):
            os.dup2(fd, number)

    container.create(prepare=prepare)
    flags = (procfs.Process(container.pid).path / "fdinfo" / "1").read_text().split("flags:")[1].split()[0]
    assert not int(flags, 8) & os.O_NONBLOCK
    container.start()
    wait_readable(leader, "the container's words")
    assert os.read(leader, 100) == name.encode() + b"\r\n"
    assert container.wait() == 7
    os.close(leader)
    os.close(follower)


def test_closed_streams(new_container):
    """What the caller has closed is /dev/null for the container, and never a file of ours."""
    container = new_container()
    container.options["--log-path"] = "passthrough"
    hold = container.hold_runtime()
    container.launch(prepare=lambda: os.closerange(0, 3))
    container.let_go()
    assert procfs.Process(hold.wait()).descriptors() == dict.fromkeys(range(3), "/dev/null")


def test_refused_by_run(directory):
    got = subprocess.run(
        [engine.conward(), "run", "-l", "passthrough", "true"], cwd=directory, capture_output=True, timeout=60
    )
    assert got.returncode == 2
    assert b"passthrough" in got.stderr
