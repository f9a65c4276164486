"""Descriptors that are not what they were when another image of the monitor takes over, or that cannot be looked at: a
log whose file system has died is a log that cannot be written, and anything else that is gone costs only what it was
for. Never the container.

fault.c, page.c and trouble.c are as in test_crash_places.py."""

import os
import signal

import pytest

import engine
import k8slog
import mortal_disk
import procfs
from crashes import HeldFault, Trouble, Witness, crash, page, spoil, table_of
from waiting import wait_until

pytestmark = pytest.mark.survival

POLICIES = pytest.mark.parametrize("policy", ["drop", "wait"])
KINDS = pytest.mark.parametrize("kind", ["signal", "fault"])


# A log that cannot be looked at


@pytest.fixture
def disk(directory):
    reason = mortal_disk.missing()
    if reason:
        pytest.skip(reason)
    mortal = mortal_disk.MortalDisk(directory / "disk")
    yield mortal
    mortal.close()


def read_of(container):
    return page(container.monitor.pid)["stdout_read"]


@KINDS
@POLICIES
def test_log_on_a_dead_file_system(disk, new_container, policy, kind):
    """fstat(2) fails as well as write(2), after every crash. Then there is a place for a log again."""
    container = new_container(command="echo one; read word < go; echo two; read word < go; echo three; exit 7")
    container.log = disk.top / "ctr.log"
    container.options.update({"--log-path": f"k8s-file:{container.log}", "--log-on-error": policy})
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    container.wait_log(b"one")
    disk.kill()
    crash(container.monitor.pid, kind)
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["write_errors"] > 0, "a failure to write the log")
    assert read_of(container) == len("one\ntwo\n")
    crash(container.monitor.pid, kind)
    disk.remove()
    container.control("2 0 0\n")
    wait_until(container.log.exists, "a log at its path")
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    assert client.output() == b"one\ntwo\nthree\n"
    assert k8slog.output(k8slog.records((disk.backing / "ctr.log").read_bytes())) == b"one\n"
    if policy == "wait":
        assert container.output() == b"two\nthree\n"
    else:
        lost, _, rest = k8slog.check_told(container.records(), b"two\nthree\n")
        assert lost == len("two\n") and rest == b""


def test_end_with_a_log_on_a_dead_file_system(disk, new_container):
    container = new_container(command="echo one; read word < go; echo two; exit 7")
    container.log = disk.top / "ctr.log"
    container.options["--log-path"] = f"k8s-file:{container.log}"
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    disk.kill()
    crash(container.monitor.pid, "fault")
    os.write(go, b"\n")
    witness.check(7)


@pytest.fixture
def new_troubled(new_container):
    def new(*args, **kwargs):
        container = new_container(*args, **kwargs)
        container.trouble = Trouble(container)
        return container

    return new


@pytest.mark.parametrize("place", ["before", "torn-write", "blocked-write"])
def test_log_that_cannot_be_looked_at_for_a_while(new_troubled, place):
    """How much of a batch is in the file can be seen only later: nothing is written twice, and nothing is torn."""
    container = new_troubled(command="seq 1 10; read word < go; seq 11 30; read word < go; seq 31 40; exit 7")
    container.options["--log-on-error"] = "wait"
    gate = container.trouble.make_gate()
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b" 10\n")
    if place != "before":
        container.trouble.ask_for(place)
        os.write(go, b"\n")
        wait_until(lambda: container.trouble.is_taken(place), "the write")
    container.trouble.ask_for("failing-look")
    if place == "before":
        crash(container.monitor.pid, "fault")
        os.write(go, b"\n")
    else:
        crash(container.monitor.pid, signal.SIGSEGV)
    wait_until(lambda: page(container.monitor.pid)["write_errors"] > 0, "a failure to write the log")
    crash(container.monitor.pid, "fault")
    (container.trouble.directory / "failing-look").unlink()
    container.wait_log(b" 30\n")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == k8slog.numbered(1, 40)
    assert not gate.is_file()


# One that is not what it was


def descriptors_that(pid, look):
    return {number for number, name in procfs.Process(pid).descriptors().items() if look(name)}


@pytest.mark.parametrize("target", ["/ctr.log", "/ctl", "/winsz", ".state"])
def test_file_that_is_another(new_container, target):
    container = new_container(command="echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"one")
    (number,) = descriptors_that(container.monitor.pid, lambda name: name.endswith(target))
    spoil(container.monitor.pid, number)
    crash(container.monitor.pid, "fault")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\ntwo\n"


def test_client_that_is_another(new_container):
    """The others go on."""
    container = new_container(command="echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    stays = container.attach()
    wait_until(lambda: page(container.monitor.pid)["clients"] == 1, "the client")
    before = set(table_of(container.monitor.pid))
    goes = container.attach()
    wait_until(lambda: page(container.monitor.pid)["clients"] == 2, "the other client")
    (number,) = set(table_of(container.monitor.pid)) - before
    container.start()
    container.wait_log(b"one")
    stays.receive_until(b"one\n")
    goes.receive_until(b"one\n")
    spoil(container.monitor.pid, number)
    crash(container.monitor.pid, "fault")
    engine.receive_all(goes)
    assert goes.output() == b"one\n"
    os.write(go, b"\n")
    engine.receive_all(stays)
    witness.check(7)
    assert stays.output() == b"one\ntwo\n"


def test_stream_that_is_another(new_container):
    """What comes there cannot be had any more. The other stream can, and the end is seen."""
    container = new_container(command="echo one; echo two >&2; read word < go; trap '' PIPE; echo lost; echo three >&2; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"two")
    number = page(container.monitor.pid)["stdout_fd"]
    spoil(container.monitor.pid, number)
    crash(container.monitor.pid, "fault")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\n"
    assert container.output("stderr").startswith(b"two\n") and container.output("stderr").endswith(b"three\n")


def test_spool_that_is_another(new_container):
    """Who has lagged behind sees an end, and never other bytes than the container's."""
    container = new_container(command="seq 1 150000; read word < go; exit 7")
    container.options["--attach-spool-max"] = "100000000"
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    client = container.attach()
    container.start()
    container.wait_log(b" 150000\n")
    mark = f"{container.bundle}/#"
    (number,) = descriptors_that(container.monitor.pid, lambda name: name.startswith(mark))
    spoil(container.monitor.pid, number)
    crash(container.monitor.pid, "fault")
    engine.receive_all(client)
    os.write(go, b"\n")
    witness.check(7)
    assert k8slog.numbered(1, 150000).startswith(client.output())
    assert len(client.output()) < len(k8slog.numbered(1, 150000))
    assert container.output() == k8slog.numbered(1, 150000)


def test_console_that_is_another(new_run):
    """A run says what it has lost."""
    run = new_run("echo one; read word < go; echo two; exit 7")
    os.mkfifo(run.top / "go")
    reader, writer = os.pipe()
    run.launch(stdout=writer)
    os.close(writer)
    wait_until(lambda: run.log.exists() and run.output() == b"one\n", "the first line")
    own = os.readlink(f"/proc/{run.pid}/fd/1")
    for number in descriptors_that(run.pid, lambda name: name == own).intersection(table_of(run.pid)):
        spoil(run.pid, number)
    HeldFault(run.pid).let_go()
    (run.top / "go").write_text("\n")
    assert run.wait() == 7
    assert run.output() == b"one\ntwo\n"
    assert b"the copy of its output" in (run.top / "stderr").read_bytes()
    os.close(reader)
