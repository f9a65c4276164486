"""The program that takes over after a crash: the one that runs, whatever has become of its file; and what is left where
nothing can be executed any more.

fault.c, page.c and trouble.c are as in test_crash_places.py."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess

import pytest

import engine
import k8slog
from crashes import AT_FULL_SPEED, HeldFault, Witness, appearance, check_appearance, crash, end, printed
from fake_journal import FakeJournal
from waiting import wait_until

pytestmark = pytest.mark.survival

KINDS = pytest.mark.parametrize("kind", ["signal", "fault"])


def delete(program):
    program.unlink()


def replace(program):
    shutil.copy("/bin/false", program.with_name("other"))
    os.rename(program.with_name("other"), program)


@KINDS
@pytest.mark.parametrize("change", [delete, replace], ids=lambda change: change.__name__)
def test_program_that_is_gone(new_container, directory, monkeypatch, kind, change):
    """An upgrade of the package must not lead to the state of one version in the hands of another; a removal leads to
    nothing at all."""
    program = directory / "conmon"
    shutil.copy(engine.conward(), program)
    monkeypatch.setenv("CONWARD", str(program))
    container = new_container(command=AT_FULL_SPEED)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    container.wait_log(b"1")
    change(program)
    before = appearance(container.monitor.pid)
    for _ in range(3):
        size = container.log.stat().st_size
        crash(container.monitor.pid, kind)
        wait_until(lambda: container.log.stat().st_size > size, "output after a crash")
    end(container, go)
    check_appearance(container.monitor.pid, before)
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == printed(container)


@pytest.fixture
def mount(directory):
    """A file system of its own for the program."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    place = directory / "programs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "programs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def program(mount, monkeypatch):
    """The monitor's."""
    program = mount / "conmon"
    shutil.copy(engine.conward(), program)
    monkeypatch.setenv("CONWARD", str(program))
    return program


def forbid_execution(pid, program):
    """To the monitor, which may have mounts of its own."""
    inside = ["nsenter", "--mount", "--target", str(pid)]
    subprocess.run([*inside, "mount", "-o", "remount,noexec", program.parent], check=True)
    assert subprocess.run([*inside, program, "--version"], stderr=subprocess.DEVNULL).returncode != 0


@KINDS
def test_file_system_that_forbids_execution(new_container, directory, program, kind):
    """A copy of the program in memory takes over, and has the same name in the journal."""
    journal = FakeJournal(directory)
    container = new_container(command=AT_FULL_SPEED)
    go = container.fifo("go")
    witness = Witness(container)
    container.create(prepare=journal.enter)
    container.start()
    container.wait_log(b"1")
    forbid_execution(container.monitor.pid, program)
    before = appearance(container.monitor.pid)
    for _ in range(3):
        size = container.log.stat().st_size
        crash(container.monitor.pid, kind)
        wait_until(lambda: container.log.stat().st_size > size or not container.monitor.alive(), "output after a crash")
        assert container.monitor.alive()
    end(container, go)
    check_appearance(container.monitor.pid, before, but=["exe"])
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == printed(container)
    assert journal.wait_event("resumed")["SYSLOG_IDENTIFIER"] == b"conmon"
    journal.close()


def forbid_copies(pid):
    """No file may become that large, not even in memory."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


def test_signal_where_nothing_can_be_executed(new_run, program):
    """Somebody sends one: the monitor is as good as it was, and says so."""
    run = new_run("echo one; read word < go; echo two; exit 7")
    os.mkfifo(run.top / "go")
    run.launch()
    wait_until(lambda: run.log.exists() and run.output() == b"one\n", "the first line")
    forbid_execution(run.pid, program)
    forbid_copies(run.pid)
    os.kill(run.pid, signal.SIGSEGV)
    wait_until(lambda: b"cannot be executed again" in (run.top / "stderr").read_bytes(), "a message")
    (run.top / "go").write_text("\n")
    assert run.wait() == 7
    assert run.output() == b"one\ntwo\n"
    assert b"Permission denied" in (run.top / "stderr").read_bytes()


def test_fault_where_nothing_can_be_executed(new_run, program):
    """The monitor is lost. It says so, and ends as without any handler; what is in the log stays."""
    run = new_run("echo one; read word < go; echo two; exit 7")
    os.mkfifo(run.top / "go")
    journal = FakeJournal(run.top)
    run.launch(preexec_fn=journal.enter)
    try:
        wait_until(lambda: run.log.exists() and run.output() == b"one\n", "the first line")
        forbid_execution(run.pid, program)
        forbid_copies(run.pid)
        HeldFault(run.pid).let_go()
        assert run.wait() == -signal.SIGSEGV
        said = (run.top / "stderr").read_bytes()
        assert b"cannot be executed again: Permission denied" in said
        event = journal.wait_event("lost")
        assert event["PRIORITY"] == b"2"
        assert b"cannot be executed again: Permission denied" in event["MESSAGE"]
        assert run.output() == b"one\n"
    finally:
        with contextlib.suppress(Exception):
            (run.top / "go").write_text("\n")
        journal.close()
