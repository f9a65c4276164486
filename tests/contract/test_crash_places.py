"""Crashes of the monitor in places where they are hard to survive: within the C library or GLib, with no stack left,
with news that have not been read, in a write that does not return, in a child that is not yet another program.

Most are made by trouble.c ($TROUBLE_LIBRARY, default: build/tests/trouble.so); what the monitor notes of a crash is
read by page.c ($PAGE, default: build/tests/page). fault.c is as in test_crash.py."""

import os
import resource
import signal

import pytest

import engine
import k8slog
import procfs
from crashes import (
    ON_BOTH,
    FaultAfter,
    HeldFault,
    Trouble,
    Witness,
    appearance,
    check_appearance,
    end,
    fault_tool,
    image,
    page,
    page_tool,
    printed,
    reading,
    trouble_library,
    wait_image,
)
from waiting import wait_until

pytestmark = pytest.mark.survival

STACK = 8 << 20


@pytest.fixture(scope="module", autouse=True)
def built():
    for path in (fault_tool(), page_tool(), trouble_library()):
        assert os.access(path, os.X_OK), f"{path} is missing: build first, or set FAULT, PAGE and TROUBLE_LIBRARY"


@pytest.fixture
def new_troubled(new_container):
    """Makes containers whose monitors can have troubles, which are in the attribute `trouble`."""

    def new(*args, **kwargs):
        container = new_container(*args, **kwargs)
        container.trouble = Trouble(container)
        return container

    return new


def limit_stack():
    """Without a limit, the memory of the machine would be used up before the stack."""
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def programs(top):
    """The processes of a test that run the monitor's program."""
    found = []
    for pid in procfs.with_environment(f"{engine.MARK}={top}".encode()):
        try:
            if os.readlink(f"/proc/{pid}/exe") == os.path.realpath(engine.conward()):
                found.append(pid)
        except OSError:
            continue
    return found


# Within an allocation


@pytest.mark.parametrize(
    "place, sig",
    [("malloc", signal.SIGABRT), ("overflow", signal.SIGSEGV), ("g_error", signal.SIGTRAP)],
    ids=["malloc", "overflow", "g_error"],
)
def test_within_an_allocation(new_troubled, place, sig):
    """A client that comes makes the monitor allocate memory."""
    container = new_troubled(command=ON_BOTH)
    go = container.fifo("go")
    witness = Witness(container)
    container.create(prepare=limit_stack)
    pid = container.monitor.pid
    client = container.attach()
    container.start()
    with reading(client):
        wait_until(lambda: client.packets, "output for who came before")
        before = appearance(pid)
        old = image(pid)
        container.trouble.ask_for(place)
        latecomer = container.attach()
        wait_image(pid, old)
        with reading(latecomer):
            wait_until(lambda: latecomer.packets, "output for who came at the moment of the crash")
            check_appearance(pid, before, but=["descriptors"])
            descriptors = len(before["descriptors"]) + 1
            wait_until(lambda: len(container.monitor.descriptors()) == descriptors, "one client more, and nothing else")
            noted = page(pid)
            assert (noted["crashes"], noted["signal"]) == (1, sig)
            end(container, go)
            os.write(go, b"\n")
    witness.check(7)
    assert container.trouble.images()[1:] == [pid]
    for stream in ("stdout", "stderr"):
        assert container.output(stream) == printed(container)
        assert client.output(stream) == printed(container)
        assert printed(container).endswith(latecomer.output(stream))


# With the end of a child unread


def wait_unread(container, child):
    """Waits until the child is dead, and the monitor, which is stopped, has not yet heard of it."""
    wait_until(lambda: procfs.Process(child).stat()[0] == "Z", "the child to end")
    wait_until(lambda: signal.SIGCHLD in container.monitor.signals("ShdPnd"), "SIGCHLD for the monitor")


@pytest.mark.parametrize("killed", [False, True], ids=["exit", "kill"])
def test_end_of_the_container_unread(new_container, killed):
    container = new_container(command="echo one; read word < go; seq 1 1000; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    container.wait_log(b"one")
    fault = HeldFault(container.monitor.pid)
    if killed:
        os.kill(container.pid, signal.SIGKILL)
    else:
        os.write(go, b"\n")
    wait_unread(container, container.pid)
    fault.let_go()
    engine.receive_all(client)
    witness.check(137 if killed else 7)
    wanted = b"one\n" + (b"" if killed else k8slog.numbered(1, 1000))
    assert container.output() == wanted
    assert client.output() == wanted


def test_end_of_the_runtime_unread(new_container):
    container = new_container(command="echo hello; exit 7")
    hold = container.hold_runtime()
    witness = Witness(container)
    container.launch()
    container.let_go()
    runtime = hold.wait()
    fault = HeldFault(container.monitor.pid)
    hold.let_go()
    wait_unread(container, runtime)
    fault.let_go()
    container.pid = container.report()["data"]
    assert container.pid > 0
    container.start()
    witness.check(7)
    assert container.output() == b"hello\n"


def test_end_of_the_exit_command_unread(new_container):
    container = new_container(command="echo hello; exit 7")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    command = hold.wait()
    fault = HeldFault(container.monitor.pid)
    hold.let_go(5)
    wait_unread(container, command)
    fault.let_go()
    assert container.wait() == 5
    assert container.exit_file.read_text() == "7"
    assert container.output() == b"hello\n"


# With something in hand that cannot be had again


def test_client_just_accepted(new_container):
    container = new_container(command="seq 1 1000; exit 7")
    witness = Witness(container)
    container.create()
    fault = FaultAfter(container.monitor.pid, "accept4")
    client = container.attach()
    fault.wait()
    container.start()
    engine.receive_all(client)
    witness.check(7)
    assert client.output() == k8slog.numbered(1, 1000)


def test_terminal_just_received(new_container):
    container = new_container(command="read word; echo got $word; exit 7")
    container.options["--terminal"] = True
    hold = container.hold_runtime_at("console-ready")
    container.launch()
    container.let_go()
    hold.wait()
    fault = FaultAfter(container.monitor.pid, "recvmsg")
    hold.let_go()
    fault.wait()
    container.pid = container.report()["data"]
    client = container.attach()
    container.start()
    client.send(b"word\n")
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output().endswith(b"got word\r\n")


# In a write that does not return


def hangs_at(pid, path):
    """Whether a process waits until it can read from a file."""
    try:
        call = procfs.Process(pid).path.joinpath("syscall").read_text().split()
        return call[0] == "0" and os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}") == str(path)
    except (OSError, ValueError):
        return False


@pytest.mark.parametrize(
    "place, sig",
    [("blocked-write", signal.SIGSEGV), ("torn-write", signal.SIGABRT)],
    ids=["blocked-write", "torn-write"],
)
def test_while_the_log_hangs(new_troubled, place, sig):
    """The monitor is asked to take over from itself, and cannot before a while has passed: the write that hangs may be
    made again, but is not made twice."""
    container = new_troubled(command=ON_BOTH)
    go = container.fifo("go")
    gate = container.trouble.make_gate()
    witness = Witness(container)
    container.create()
    pid = container.monitor.pid
    client = container.attach()
    container.start()
    with reading(client):
        container.wait_log(b"1")
        before = appearance(pid)
        old = image(pid)
        container.trouble.ask_for(place)
        wait_until(lambda: hangs_at(pid, gate), "the monitor to hang")
        os.kill(pid, sig)
        wait_image(pid, old)
        end(container, go)
        check_appearance(pid, before)
        noted = page(pid)
        assert (noted["crashes"], noted["signal"]) == (1, sig)
        os.write(go, b"\n")
    witness.check(7)
    assert container.trouble.images()[1:] == [pid]
    for stream in ("stdout", "stderr"):
        assert container.output(stream) == printed(container)
        assert client.output(stream) == printed(container)


# Before it has found nothing to do: there is no point in going on like that

STUCK = 5


def crash_in_each_poll(container):
    """Each image of the monitor, from now on."""
    container.trouble.ask_for("poll")
    container.signal_monitor(signal.SIGUSR1)  # which only wakes it up


def test_stuck_while_running(new_troubled):
    """Nothing else can be done: what the container has written is logged, its end is reported, with a status that
    nobody knows."""
    container = new_troubled(command="echo one; read word < go")
    container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    crash_in_each_poll(container)
    wait_until(container.exit_file.exists, "the exit file")
    assert len(container.trouble.images()) > STUCK
    (container.trouble.directory / "poll").unlink()
    witness.check(255, reported=-1)
    assert container.output() == b"one\n"


def test_stuck_while_the_runtime_runs(new_troubled):
    """The engine waits for a pid or a reason why there is none."""
    container = new_troubled()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    crash_in_each_poll(container)
    report = container.report()
    assert report["data"] == -1
    assert report["message"]
    assert container.line() == b""
    assert container.wait() == 1
    assert not container.exit_file.exists(), "there was no container"
    wait_until(lambda: not runtime.alive(), "the runtime to be gone, too")


# In a child of the monitor


PLACES_IN_CHILD = pytest.mark.parametrize("place", ["child", "child-later"])


@PLACES_IN_CHILD
def test_child_that_was_to_be_the_runtime(new_troubled, place):
    container = new_troubled()
    hold = container.hold_exit_command()
    container.trouble.ask_for(place)
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert report["message"]
    hold.wait()
    assert container.trouble.is_taken(place)
    assert programs(container.top) == [container.monitor.pid]
    assert page(container.monitor.pid)["crashes"] == 0
    hold.let_go()
    assert container.line() == b""
    assert container.wait() == 1
    assert len(container.trouble.images()) == 1, "another image of the program has run"
    assert not container.pidfile.exists(), "the runtime was started all the same"
    assert not container.exit_file.exists()


@PLACES_IN_CHILD
def test_child_that_was_to_be_the_exit_command(new_troubled, place):
    container = new_troubled(command="echo hello; exit 7")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.trouble.ask_for(place)
    container.start()
    engine.receive_all(client)
    assert container.wait() == 128 + signal.SIGSEGV
    witness.watch.close()
    assert container.trouble.is_taken(place)
    assert len(container.trouble.images()) == 1, "another image of the program has run"
    assert not witness.commands.exists(), "the exit command was started all the same"
    assert container.exit_file.read_text() == "7"
    assert container.line() == b""
    assert client.output() == b"hello\n"
    assert container.output() == b"hello\n"


@PLACES_IN_CHILD
def test_child_that_was_to_be_a_command(new_run, place):
    """It counts as the command's own end: whoever runs it sees by what signal."""
    run = new_run("echo began >> beginnings")
    trouble = Trouble(run)
    trouble.ask_for(place)
    run.launch()
    status = run.wait()
    assert trouble.is_taken(place)
    assert trouble.images() == [run.pid], "another image of the program has run"
    assert not (run.top / "beginnings").exists()
    assert status == 128 + signal.SIGSEGV
    assert run.exit_file.read_text() == str(status)
    assert run.records() == []


def test_write_of_what_has_waited_at_the_end(new_container):
    """The container has ended, and a log that could not be written takes the first of many batches again. All that it
    prints has room in a pipe."""
    container = new_container(command="seq 1 12000; exit 7")
    container.options["--log-on-error"] = "wait"
    container.create()
    pid = container.monitor.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_003, resource.RLIM_INFINITY))
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    fault = FaultAfter(pid, "write")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert fault.wait()
    assert container.wait() == 7
    assert container.output() == k8slog.numbered(1, 12000)
