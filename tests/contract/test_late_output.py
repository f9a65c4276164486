"""What a container leaves behind: processes that hold its output when it has ended. What they print within
--late-output is its output too; nothing is logged afterwards, and nobody waits for them any longer. The same for a
further process in a container and for a command of `conward run`."""

import functools
import os
import subprocess

import pytest

import engine
import procfs
from waiting import wait_readable, wait_until

pytestmark = pytest.mark.balanced

# Longer than what is waited for; if that does not come at all, a test ends all the same.
LONG = "4000"

ONCE_ALONE = "while kill -0 $$ 2> /dev/null; do :; done"
PRINTS = f"({ONCE_ALONE}; echo late; echo late >&2) & echo hello; exit 7"
# Prints when it is told to, which shows that it lives.
STAYS = "(trap '' PIPE; read word < go; echo late; echo told > told; read word < go) & echo hello; exit 7"
FLOODS = "yes & echo $! > orphan; exit 7"
HOLDS_STDERR = "sleep 1000 > /dev/null & echo hello; exit 7"


@functools.cache
def has_late_output():
    """Whether the monitor under test can be told how long to wait. One that cannot is tested all the same."""
    return "--late-output" in subprocess.run([engine.conward(), "--help"], stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(params=["create", "podman exec", "cri-o exec", "run"])
def new(request, new_container, new_exec, new_exec_sync, new_run):
    """Makes something that runs a script and leaves something behind. It gets the attribute `directory`, where the
    script runs, and is started by begin()."""

    def new(script, late_output):
        kind = request.param
        watched = {"create": new_container, "podman exec": new_exec, "cri-o exec": new_exec_sync, "run": new_run}[kind]
        watched = watched(script)
        if has_late_output():
            watched.options["--late-output"] = late_output
        watched.directory = watched.top if kind == "run" else watched.bundle
        os.mkfifo(watched.directory / "go")
        if kind == "podman exec":
            watched.log_to_file()
        return watched

    def begin(watched):
        """Returns the pid of the monitor."""
        if request.param == "run":
            return watched.launch().pid
        if request.param == "create":
            watched.create()
            watched.start()
        else:
            watched.execute()
        return watched.monitor.pid

    new.begin = begin
    return new


def test_printed_in_time(new):
    watched = new(PRINTS, LONG)
    new.begin(watched)
    assert watched.wait() == 7
    assert watched.output() == b"hello\nlate\n"
    assert watched.output("stderr") == b"late\n"


@pytest.mark.parametrize("late_output", ["0", "50"])
def test_orphan_that_stays(new, late_output):
    watched = new(STAYS, late_output)
    new.begin(watched)
    assert watched.wait() == 7
    assert watched.output() == b"hello\n"
    log = watched.log.read_bytes()
    fd = os.open(watched.directory / "go", os.O_RDWR)
    os.write(fd, b"\n")
    wait_until((watched.directory / "told").exists, "the orphan to have printed")
    os.close(fd)
    assert watched.log.read_bytes() == log


def test_orphan_that_floods(new):
    watched = new(FLOODS, "50")
    new.begin(watched)
    assert watched.wait() == 7
    log = watched.log.read_bytes()
    orphan = procfs.Process(int((watched.directory / "orphan").read_text()))
    wait_until(lambda: not orphan.alive(), "the orphan to find that nobody reads")
    assert watched.log.read_bytes() == log
    assert watched.output().replace(b"y\n", b"") == b""


def test_waiting_costs_nothing(new):
    """One of the streams is at its end meanwhile, and the other has nothing to be read."""
    watched = new(HOLDS_STDERR, "2000")
    pid = new.begin(watched)
    pidfd = os.pidfd_open(pid)
    wait_readable(pidfd, "the monitor to end")
    os.close(pidfd)
    ticks = sum(map(int, procfs.Process(pid).stat()[11:13]))
    assert watched.wait() == 7
    # A loop that turns without a pause has 200 of them if it is alone on its processor.
    assert ticks < 25, "1/100 s of processor time"


@pytest.mark.parametrize("kind", ["create", "exec"])
def test_clients(new_container, new_exec, kind):
    """Who is attached gets it, too."""
    watched = (new_container if kind == "create" else new_exec)(PRINTS)
    watched.options["--late-output"] = LONG
    if kind == "create":
        watched.create()
        client = watched.attach()
        watched.start()
    else:
        watched.begin()
        client = watched.attach()
        watched.go()
    engine.receive_all(client)
    assert client.output() == b"hello\nlate\n"
    assert client.output("stderr") == b"late\n"
    assert watched.wait() == 7
    assert watched.exit_file.read_bytes() == b"7"
