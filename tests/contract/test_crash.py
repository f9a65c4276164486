"""Crashes of the monitor: it executes itself once more in the same process and goes on. Nobody notices: not the
container, not the engine, not a client, not the log.

A crash is either a fatal signal that somebody sends, or a real fault, made by fault.c ($FAULT, default:
build/tests/fault). $CRASHES is how many of them a storm has."""

import concurrent.futures
import contextlib
import os
import random
import re
import shutil
import signal
import threading
import time

import pytest

import engine
import k8slog
import procfs
from crashes import (
    AT_FULL_SPEED,
    FATAL,
    LINES,
    ON_BOTH,
    HeldFault,
    Witness,
    appearance,
    check_appearance,
    crash,
    damage_page,
    descriptors_at_rest,
    end,
    fault_tool,
    image,
    page,
    page_files,
    printed,
    wait_at_rest,
)
from engine import CRIO, PODMAN
from notify import Sender, notifying
from waiting import wait_until

pytestmark = pytest.mark.survival

CRASHES = int(os.environ.get("CRASHES", "30"))
STUCK = 5  # so many faults are the end if the monitor has got no further in between, and never found nothing to do
PAUSE = 0.01  # seconds; the longest pause between two crashes of a storm

KINDS = pytest.mark.parametrize("kind", ["signal", "fault"])

IN_HALVES = LINES.format(print='i=$((i + 1)); printf %s "$i"; sleep 0.003; echo')


@pytest.fixture(scope="module", autouse=True)
def tool():
    assert os.access(fault_tool(), os.X_OK), f"{fault_tool()} is not an executable: build first, or set FAULT"


# Crashes


def storm(pid, kind, progress, count=CRASHES):
    """`count` crashes at random moments. Whenever some have come in a row, `progress()` must change."""
    while count > 0:
        for _ in range(min(count, random.randint(1, STUCK - 2))):
            time.sleep(random.uniform(0, PAUSE))
            crash(pid, kind)
            count -= 1
        # Not what was done between two of them: of the faults that then follow, too many would be in a row.
        before = progress()
        wait_until(lambda: progress() != before, "progress after a crash")


def growth(path):
    """For storm(): changes when the file grows or is replaced."""

    def progress():
        while True:
            with contextlib.suppress(FileNotFoundError):  # for a moment of each rotation
                st = path.stat()
                return st.st_ino, st.st_size

    return progress


@KINDS
@pytest.mark.parametrize("script", [AT_FULL_SPEED, ON_BOTH, IN_HALVES], ids=["full-speed", "both-streams", "halves"])
def test_storm(new_container, kind, script):
    container = new_container(command=script)
    container.options["--log-partial-flush"] = "1"
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    before = appearance(container.monitor.pid)
    container.start()
    container.wait_log(b"1")
    storm(container.monitor.pid, kind, growth(container.log))
    end(container, go)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == printed(container)
    assert container.output("stderr") == (printed(container) if script is ON_BOTH else b"")


@KINDS
def test_storm_with_a_reader(new_container, kind):
    """Who is attached gets every byte once, too, and stays connected."""
    container = new_container(command=ON_BOTH)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        reading = threads.submit(engine.receive_all, client)
        container.wait_log(b"1")
        before = appearance(container.monitor.pid)
        storm(container.monitor.pid, kind, growth(container.log))
        end(container, go)
        check_appearance(container.monitor.pid, before)
        os.write(go, b"\n")
        reading.result()
    witness.check(7)
    assert client.output("stdout") == printed(container)
    assert client.output("stderr") == printed(container)
    assert container.output("stdout") == printed(container)
    assert container.output("stderr") == printed(container)


@KINDS
@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
def test_storm_of_a_run(new_run, kind, detach):
    run = new_run("echo began >> beginnings; " + ON_BOTH)
    os.mkfifo(run.top / "go")
    if detach:
        run.options["--detach"] = True
        run.options["--pidfile"] = run.monitor_pidfile
    run.launch()
    pid = run.pid
    if detach:
        assert run.wait() == 0
        pid = int(run.monitor_pidfile.read_bytes())
    command = run.command_pid()
    wait_until(lambda: run.log.exists() and run.log.stat().st_size > 0, "some output")
    before = appearance(pid)
    before["children"] = [command]
    storm(pid, kind, growth(run.log))
    (run.top / "enough").touch()
    wait_until(lambda: (run.top / "printed").exists(), "the command to have printed enough")
    check_appearance(pid, before)
    (run.top / "go").write_text("\n")
    assert (run.wait_monitor() if detach else run.wait()) == 7
    wanted = k8slog.numbered(1, int((run.top / "printed").read_text()))
    assert run.exit_file.read_text() == "7"
    assert (run.top / "beginnings").read_text() == "began\n"
    for stream in ("stdout", "stderr"):
        assert run.output(stream) == wanted
    if not detach:
        assert (run.top / "stdout").read_bytes() == wanted
        said = (run.top / "stderr").read_bytes()
        assert re.sub(rb"conward: .*\n", b"", said) == wanted, "what the monitor says may stand in the midst of a line"


def send_lines(client, enough):
    """Sends numbered lines until it is enough; returns how many."""
    number = 0
    while not enough.is_set():
        client.send(k8slog.numbered(number + 1, number + 100))
        number += 100
    client.half_close()
    engine.receive_all(client)
    return number


@KINDS
@pytest.mark.parametrize("script", ["cat | tee got", "cat > got"], ids=["echo", "silent"])
def test_storm_with_input(new_container, kind, script):
    """Every line that a client sends comes once, through whatever images of the monitor."""
    container = new_container(command=f"{script}; exit 7")
    container.options["--stdin"] = True
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    enough = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send_lines, client, enough)
        try:
            got = container.bundle / "got"
            wait_until(lambda: got.exists() and got.stat().st_size > 0, "the container to have some input")
            before = appearance(container.monitor.pid)
            storm(container.monitor.pid, kind, growth(got))
            check_appearance(container.monitor.pid, before)
        finally:
            enough.set()
        wanted = k8slog.numbered(1, sending.result())
    witness.check(7)
    assert (container.bundle / "got").read_bytes() == wanted
    assert container.output() == client.output() == (wanted if "tee" in script else b"")


def type_lines(client, enough):
    """Types numbered lines, each when the one before has been shown twice: by the terminal and by the program."""
    number = 0
    while not enough.is_set():
        number += 1
        client.send(b"%d\n" % number)
        client.receive_until(b"\n%d\r\n%d\r\n" % (number, number))
    client.send(b"\x04")
    engine.receive_all(client)
    return number


@KINDS
def test_storm_with_a_terminal(new_container, kind):
    container = new_container(command="echo ready; cat; exit 7")
    container.options["--terminal"] = True
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\r\n")
    before = appearance(container.monitor.pid)
    enough = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        typing = threads.submit(type_lines, client, enough)
        try:
            storm(container.monitor.pid, kind, growth(container.log))
            check_appearance(container.monitor.pid, before)
        finally:
            enough.set()
        last = typing.result()
    witness.check(7)
    wanted = b"ready\r\n" + b"".join(b"%d\r\n%d\r\n" % (number, number) for number in range(1, last + 1))
    assert container.output() == client.output() == wanted
    assert container.output("stderr") == b""


# One crash


@pytest.mark.parametrize("sig", FATAL, ids=lambda sig: sig.name)
@pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)
def test_fatal_signal(new_container, family, sig):
    container = new_container(command="echo one; read word < go; echo two; exit 7", family=family)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    before = appearance(container.monitor.pid)
    for _ in range(2 * STUCK):  # who is sent a signal is not stuck
        crash(container.monitor.pid, sig)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\ntwo\n"


@KINDS
def test_fatal_signals_blocked_by_the_engine(new_container, kind):
    """A signal mask outlives execve: an engine may have blocked what the monitor must notice."""
    container = new_container(command="read word < go; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create(prepare=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, FATAL))
    container.start()
    before = appearance(container.monitor.pid)
    crash(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)


@KINDS
def test_program_that_has_been_replaced(new_container, directory, monkeypatch, kind):
    """An upgrade of the package must not lead to the state of one version in the hands of another."""
    program = directory / "conmon"
    shutil.copy(engine.conward(), program)
    monkeypatch.setenv("CONWARD", str(program))
    container = new_container(command="read word < go; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    shutil.copy("/bin/false", directory / "other")
    os.rename(directory / "other", program)
    before = appearance(container.monitor.pid)
    crash(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)


# Each phase


def several(pid, kind):
    """Crashes without anything that happens between them: of faults, only as many as are survived."""
    for _ in range(STUCK - 1 if kind == "fault" else CRASHES):
        time.sleep(random.uniform(0, PAUSE))
        crash(pid, kind)


@KINDS
def test_while_the_runtime_runs(new_container, kind):
    container = new_container(command="echo hello; exit 7")
    container.stub("stderr", "a warning of the runtime\n")
    hold = container.hold_runtime()
    witness = Witness(container)
    container.launch()
    container.let_go()
    runtime = hold.wait()
    wait_at_rest(container.monitor.pid)
    before = appearance(container.monitor.pid)
    several(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    assert before["children"] == [runtime]
    hold.let_go()
    container.pid = container.report()["data"]
    assert container.pid > 0
    container.start()
    witness.check(7)
    assert container.output() == b"hello\n"


@KINDS
def test_while_the_runtime_fails(new_container, kind):
    container = new_container()
    container.stub("stderr", "no such thing\n")
    container.stub("exit", "3")
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    several(container.monitor.pid, kind)
    hold.let_go()
    report = container.report()
    assert report == {"data": -1, "message": "no such thing\n"}
    assert container.line() == b""
    assert container.wait() == 1
    assert not container.exit_file.exists()


@KINDS
@pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)
def test_while_nothing_happens(new_container, family, kind):
    container = new_container(command="echo one; read word < go; echo two; exit 7", family=family)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    several(container.monitor.pid, kind)
    container.start()
    container.wait_log(b"one")
    descriptors = len(descriptors_at_rest(container.monitor.pid))
    client = container.attach()
    wait_until(lambda: len(container.monitor.descriptors()) > descriptors, "the client to be accepted")
    before = appearance(container.monitor.pid)
    several(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    assert client.output() == b"two\n"
    assert container.output() == b"one\ntwo\n"


@KINDS
def test_while_a_notification_waits(new_container, kind):
    container = new_container(command="exit 7")
    host = notifying(container)
    witness = Witness(container)
    container.create()
    sender = Sender(container)
    full = host.fill()
    sent = sender.fill()
    before = appearance(container.monitor.pid)
    several(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    for _ in range(full):
        assert host.receive() == b"STATUS=full"
    assert [host.receive() for _ in range(sent)] == [b"STATUS=%d" % number for number in range(sent)]
    sender.send(b"STOPPING=1")
    assert host.receive() == b"STOPPING=1"
    container.start()
    witness.check(7)


@KINDS
def test_with_log_driver_passthrough(new_container, kind):
    container = new_container(command="echo one; read word < go; echo two; exit 7")
    container.options["--log-path"] = "passthrough"
    go = container.fifo("go")
    output = container.top / "output"

    def prepare():
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(fd, number)

    hold = container.hold_runtime()
    witness = Witness(container)
    container.launch(prepare=prepare)
    container.let_go()
    hold.wait()
    several(container.monitor.pid, kind)
    hold.let_go()
    container.pid = container.report()["data"]
    container.start()
    wait_until(lambda: output.read_text() == "one\n", "the container's first word")
    before = appearance(container.monitor.pid)
    several(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)
    assert output.read_text() == "one\ntwo\n", "not a word of the monitor"
    assert sorted(os.listdir(container.bundle)) == ["conmon-pidfile", "go", "pidfile", "stub"]


@KINDS
def test_storm_while_a_client_stalls(new_container, kind):
    """What it has not read is in the spool, and goes on to be put there."""
    container = new_container(command=ON_BOTH)
    container.options["--attach-spool-max"] = "1000000000"
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    container.wait_log(b"1")
    storm(container.monitor.pid, kind, growth(container.log))
    wait_until(lambda: len(spools(container)) == 2, "a spool for both streams")
    end(container, go)
    before = appearance(container.monitor.pid)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        reading = threads.submit(engine.receive_all, client)
        several(container.monitor.pid, kind)
        wait_until(lambda: not spools(container), "the spool to be gone")
        check_appearance(container.monitor.pid, before, but=["descriptors"])
        os.write(go, b"\n")
        reading.result()
    witness.check(7)
    for stream in ("stdout", "stderr"):
        assert client.output(stream) == printed(container)
        assert container.output(stream) == printed(container)


def spools(container):
    """The files of what attach clients have not read; they have no name any more."""
    mark = f"{container.bundle}/#"
    return [target for target in container.monitor.descriptors().values() if target.startswith(mark)]


@KINDS
def test_while_the_container_waits_for_a_client(new_container, kind):
    """Nothing of what is held is lost, or sent again."""
    container = new_container(command="seq 1 200000; exit 7")
    container.without_spool()
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    container.wait_log(b"1")
    # The runtime's pipe is full as well once the container sleeps for good.
    wait_until(lambda: is_blocked_in_write(container), "the container to be held")
    several(container.monitor.pid, kind)
    engine.receive_all(client)
    witness.check(7)
    assert client.output() == k8slog.numbered(1, 200000)
    assert container.output() == k8slog.numbered(1, 200000)


def is_blocked_in_write(container):
    """Whether a process of the container waits until it can write."""
    for pid, _ in procfs.children(container.pid):
        try:
            call = (procfs.Process(pid).path / "syscall").read_text().split()
        except OSError:
            continue
        if call[0] == "1":
            return True
    return False


@KINDS
def test_while_a_client_still_reads_the_end(new_container, kind):
    container = new_container(command="seq 1 200000; exit 7")
    container.without_spool()
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    wait_until(lambda: is_blocked_in_write(container), "the client to be behind")
    os.kill(container.pid, signal.SIGKILL)
    wait_until(container.exit_file.exists, "the exit file")
    several(container.monitor.pid, kind)
    assert not container.monitor_ended()
    engine.receive_all(client)
    witness.check(137)
    assert client.output() == container.output(), "the end that was killed, and not a byte less"


@KINDS
def test_while_the_exit_command_runs(new_container, kind):
    container = new_container(command="echo hello; exit 7")
    hold = container.hold_exit_command()
    witness = Witness(container)
    container.create()
    container.start()
    command = hold.wait()
    before = appearance(container.monitor.pid)
    assert before["children"] == [command]
    several(container.monitor.pid, kind)
    check_appearance(container.monitor.pid, before)
    hold.let_go(5)
    witness.watch.close()
    assert container.wait() == 5
    assert container.exit_file.read_text() == "7"
    assert container.output() == b"hello\n"


@KINDS
def test_while_the_exit_command_is_delayed(new_container, kind):
    container = new_container(command="exit 7")
    container.options["--exit-delay"] = "1"
    witness = Witness(container)
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    several(container.monitor.pid, kind)
    witness.check(7)


@pytest.mark.parametrize("sig", [signal.SIGSEGV, signal.SIGABRT], ids=lambda sig: sig.name)
def test_asked_to_while_the_container_died(new_container, sig):
    """The monitor wakes up to find the death of the container and its own signal at once."""
    container = new_container(command="seq 1 1000; exit 7")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.pause_monitor()
    container.start()
    container.wait_dead()
    container.signal_monitor(sig)
    container.resume_monitor()
    engine.receive_all(client)
    witness.check(7)
    assert client.output() == k8slog.numbered(1, 1000)
    assert container.output() == k8slog.numbered(1, 1000)


@KINDS
@pytest.mark.parametrize("turn", range(CRASHES // 3))
def test_around_the_end(new_container, kind, turn):
    """Crashes without a pause from the container's last moments on, until there is nobody left to crash."""
    container = new_container(command="seq 1 1000; exit 7")
    witness = Witness(container)
    container.create()
    container.start()
    for _ in range(STUCK - 1):
        crash(container.monitor.pid, kind)
    witness.check(7)
    assert container.output() == k8slog.numbered(1, 1000)


# Crashes that come again and again


def test_idle_between_faults(new_container):
    """An idle container makes no progress, and need not: a monitor that has found nothing to do is not stuck."""
    container = new_container(command="echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    before = appearance(container.monitor.pid)
    for _ in range(4 * STUCK):
        HeldFault(container.monitor.pid).let_go()
        assert container.monitor.alive()
    wait_until(lambda: page(container.monitor.pid)["crashes_stuck"] == 0, "the monitor to have found nothing to do")
    assert page(container.monitor.pid)["crashes"] == 4 * STUCK
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\ntwo\n"


def test_stuck_while_the_exit_command_runs(new_container):
    """There is nothing left that could be given up."""
    container = new_container(command="exit 7")
    hold = container.hold_exit_command()
    witness = Witness(container)
    container.create()
    container.start()
    hold.wait()
    for _ in range(3 * STUCK):
        crash(container.monitor.pid, "fault")
    assert not container.monitor_ended()
    hold.let_go()
    witness.check(7)


# Crashes of others


def test_exit_command_that_crashes(new_container):
    container = new_container(command="exit 7")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    command = hold.wait()
    before = image(container.monitor.pid)
    container.pause_monitor()
    os.kill(command, signal.SIGSEGV)
    assert image(container.monitor.pid) == before
    container.resume_monitor()
    assert container.wait() == 128 + signal.SIGSEGV
    assert container.exit_file.read_text() == "7"


def test_container_that_crashes(new_container):
    container = new_container(command="kill -SEGV $$")
    hold = container.hold_exit_command()
    witness = Witness(container)
    container.create()
    before = image(container.monitor.pid)
    container.start()
    hold.wait()
    assert image(container.monitor.pid) == before
    hold.let_go()
    witness.check(128 + signal.SIGSEGV)


# The log


@KINDS
def test_reopen(new_container, kind):
    """The log is moved away and reopened, and the monitor crashes meanwhile."""
    container = new_container(command=AT_FULL_SPEED)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    before = appearance(container.monitor.pid)
    container.start()
    parts = []
    for number in range(CRASHES):
        wait_until(lambda: container.log.exists() and container.log.stat().st_size > 0, "some output")
        part = container.logs / f"part-{number}"
        container.log.rename(part)
        parts.append(part)
        container.control("2 0 0\n")
        time.sleep(random.choice([0, random.uniform(0, 0.001)]))
        crash(container.monitor.pid, kind)
        wait_until(container.log.exists, "the new log")
    end(container, go)
    check_appearance(container.monitor.pid, before, but=["descriptors"])
    wait_until(lambda: len(container.monitor.descriptors()) == len(before["descriptors"]), "as many descriptors as before")
    os.write(go, b"\n")
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == sorted(["ctr.log", *(part.name for part in parts)])
    found = [record for part in parts for record in k8slog.records(part.read_bytes())] + container.records()
    assert k8slog.output(found) == printed(container)


@KINDS
def test_size_limit(new_container, kind):
    """The log is started again and again: it has whole records only, the newest, and no gap."""
    limit = 20_000
    container = new_container(command=AT_FULL_SPEED)
    container.options["--log-size-max"] = str(limit)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"1")
    storm(container.monitor.pid, kind, growth(container.log))
    end(container, go)
    os.write(go, b"\n")
    witness.check(7)
    assert container.log.stat().st_size <= limit
    output = container.output()
    assert output
    assert printed(container).endswith(b"\n" + output)
    assert os.listdir(container.logs) == ["ctr.log"]


@KINDS
def test_rotation(new_container, kind):
    """The same with older files that are kept."""
    limit = 20_000
    container = new_container(command=AT_FULL_SPEED)
    container.options.update({"--log-size-max": str(limit), "--log-rotate": True, "--log-max-files": "3"})
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"1")
    storm(container.monitor.pid, kind, growth(container.log))
    end(container, go)
    os.write(go, b"\n")
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["ctr.log", *(f"ctr.log.{number}" for number in (1, 2, 3))]
    paths = [*(container.logs / f"ctr.log.{number}" for number in (3, 2, 1)), container.log]
    assert all(path.stat().st_size <= limit for path in paths)
    output = k8slog.output([record for path in paths for record in k8slog.records(path.read_bytes())])
    assert len(output) > limit // 4 and printed(container).endswith(b"\n" + output)


# A page that nothing can be believed of

PAGE = 12288
DAMAGES = {
    "magic": (0, b"\xff" * 8),
    "version": (8, b"\xff" * 4),
    "begin-zero": (0, bytes(512)),
    "all-ones": (0, b"\xff" * PAGE),
    "all-zero": (0, bytes(PAGE)),
    "random": (0, random.Random(3).randbytes(PAGE)),
    "all-but-the-magic-ones": (8, b"\xff" * (PAGE - 8)),
    "all-but-the-beginning-ones": (512, b"\xff" * (PAGE - 512)),
    "all-but-the-beginning-zero": (512, bytes(PAGE - 512)),
    "second-half-ones": (PAGE // 2, b"\xff" * (PAGE // 2)),
    "second-half-random": (PAGE // 2, random.Random(3).randbytes(PAGE // 2)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_page(new_container, damage):
    """No hang, no loop, nothing begun again: an end is reported, and if it is not known, as unknown."""
    container = new_container(command="echo began >> beginnings; echo one; read word < go; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    damage_page(container.monitor.pid, *damage)
    crash(container.monitor.pid, "fault")
    os.write(go, b"\n")
    status = container.wait()
    witness.watch.close()
    assert not os.path.lexists(container.bundle / "attach")
    assert page_files(container.monitor.pid) == []
    assert (container.bundle / "beginnings").read_text() == "began\n"
    assert (status, container.exit_file.read_text()) in [(7, "7"), (255, "-1")]
    assert witness.commands.read_text().count("began\n") == 1
    assert container.line() == b""
    assert container.output() == b"one\n"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_page_of_a_run(new_run, damage):
    """In particular, the command is not run again."""
    run = new_run("echo began >> beginnings; echo one; read word < go; exit 7")
    os.mkfifo(run.top / "go")
    run.launch()
    command = procfs.Process(run.command_pid())
    wait_until(lambda: run.log.exists() and b"one" in run.log.read_bytes(), "some output")
    damage_page(run.pid, *damage)
    crash(run.pid, "fault")
    if command.alive():
        fd = os.open(run.top / "go", os.O_RDWR)
        os.write(fd, b"\n")
        wait_until(lambda: not command.alive(), "the command to end")
        os.close(fd)
    status = run.wait()
    assert page_files(run.pid) == []
    assert (run.top / "beginnings").read_text() == "began\n"
    assert (status, run.exit_file.read_text()) in [(7, "7"), (255, "-1")]
