"""Commands without an engine."""

import os
import re
import signal

import k8slog
from fault_points import NotStarted
from notify import unit
from person import Terminal
from waiting import is_readable, wait_until


def run(play):
    """A console of which one half has no reader any more."""
    command = play.command("echo began >> beginnings; echo nobody; seq 1 3000 >&2; exit 7")
    reader, writer = os.pipe()
    os.close(reader)
    command.launch(stdout=writer)
    os.close(writer)
    status = command.wait()
    if status == 125 and not command.exit_file.exists():
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert status == 7
    assert command.exit_file.read_text() == "7"
    assert int(command.pidfile.read_text()) > 0
    assert (command.top / "beginnings").read_text() == "began\n"
    assert command.output() == b"nobody\n"
    assert command.output("stderr") == k8slog.numbered(1, 3000)
    said = (command.top / "stderr").read_bytes()  # a message may stand between two parts of a line
    assert re.sub(rb"conward: [^\n]*\n", b"", said) == k8slog.numbered(1, 3000)


def run_of_nothing(play):
    command = play.command(["/nowhere"])
    command.launch()
    assert command.wait() in (125, 127)


def detached_run(play):
    command = play.command("echo began >> beginnings; seq 1 3000; exit 7")
    command.options["--detach"] = True
    command.options["--pidfile"] = command.monitor_pidfile
    command.launch()
    if command.wait() == 125:
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert command.wait_monitor() == 7
    assert command.exit_file.read_text() == "7"
    assert (command.top / "beginnings").read_text() == "began\n"
    assert command.output() == k8slog.numbered(1, 3000)


def run_with_terminal(play):
    """What the person's terminal shows is not looked at: messages stand between the lines."""
    terminal = play.add(Terminal())
    before = terminal.settings()
    command = play.command("echo began >> beginnings; stty size; read word; echo $word; read word; exit 7")
    command.options["--terminal"] = True
    command.launch(**terminal.for_child())
    wait_until(lambda: command.ended() or command.log.exists() and b"33 77" in command.log.read_bytes(), "the size")
    assert terminal.settings() != before or command.ended(), "the terminal is not raw"
    terminal.type(b"key\r")
    wait_until(lambda: command.ended() or command.log.read_bytes().count(b"key") == 2, "the key")
    terminal.type(b"\r")
    status = command.wait()
    assert terminal.settings() == before
    if status == 125 and not command.exit_file.exists():
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert status == 7
    assert (command.top / "beginnings").read_text() == "began\n"
    assert command.output().startswith(b"33 77\r\nkey\r\nkey\r\n")


def told(command, manager):
    """What a unit's service manager is told until the end, but for signs of life and what a crash repeats."""
    before = None
    while True:
        wait_until(lambda: is_readable(manager.socket.fileno()) or command.ended(), "a notification")
        if not is_readable(manager.socket.fileno()):
            return
        word = manager.receive().split(b"\n")[0]
        if word not in (b"WATCHDOG=1", before):
            yield word
            before = word


def run_as_unit(play):
    command = play.command("echo began >> beginnings; echo one; read word < go; echo two; exit 7")
    os.mkfifo(command.top / "go")
    manager = play.add(unit(command, variables=["WATCHDOG_PID"]))
    command.environment["WATCHDOG_USEC"] = "20000"
    command.launch()
    words = told(command, manager)
    if next(words, None) is None:
        assert command.wait() == 125
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    wait_until(lambda: command.output() == b"one\n", "the first line")
    wait_until(lambda: manager.receive().startswith(b"WATCHDOG=1\n"), "a sign of life")
    before = command.logs / "before"
    command.log.rename(before)
    command.signal(signal.SIGHUP)
    assert [next(words), next(words)] == [b"RELOADING=1", b"READY=1"]
    assert command.log.read_bytes() == b""
    (command.top / "go").write_text("\n")
    assert list(words) == [b"STOPPING=1"]
    assert command.wait() == 7
    assert command.exit_file.read_text() == "7"
    assert (command.top / "beginnings").read_text() == "began\n"
    assert k8slog.output(k8slog.records(before.read_bytes())) == b"one\n"
    assert command.output() == b"two\n"


def stubborn_run(play):
    """It is asked to stop, and then killed."""
    command = play.command("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done")
    command.options["--stop-timeout"] = "1"
    command.launch()
    wait_until(lambda: command.ended() or command.log.exists() and command.output(), "the command")
    if command.ended():
        assert command.wait() == 125
        raise NotStarted
    command.signal(signal.SIGTERM)
    assert command.wait() == 137
    assert command.exit_file.read_text() == "137"
    assert command.output() == b"ready\nasked\n"
