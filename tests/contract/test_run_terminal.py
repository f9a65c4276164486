"""`conward run --terminal`: a terminal for a command, and our own keys and window size for it."""

import os
import signal
import subprocess

import pytest

from crashes import crash
from person import Terminal
from waiting import wait_until


@pytest.fixture
def terminal():
    one = Terminal()
    yield one
    one.close()


def launch(run, terminal):
    run.options["--terminal"] = True
    run.launch(**terminal.for_child())


def test_keys_output_and_status(new_run, terminal):
    before = terminal.settings()
    run = new_run("stty size; echo err >&2; read word; echo got $word; exit 7")
    launch(run, terminal)
    terminal.wait_shown(b"33 77\r\nerr\r\n")
    assert terminal.is_raw()
    terminal.type(b"key\r")
    terminal.wait_shown(b"got key\r\n")
    assert run.wait() == 7
    assert terminal.settings() == before
    assert run.output() == b"33 77\r\nerr\r\nkey\r\ngot key\r\n"
    assert run.output("stderr") == b""


def test_window_size_follows(new_run, terminal):
    run = new_run("trap 'stty size' WINCH; echo ready; while :; do read word && exit 7; done")
    launch(run, terminal)
    terminal.wait_shown(b"ready")
    terminal.resize(20, 60)
    terminal.wait_shown(b"20 60")
    terminal.type(b"x\r")
    assert run.wait() == 7


def test_interrupt_is_a_key(new_run, terminal):
    """The command's own terminal makes the signal of it, once."""
    run = new_run("trap 'echo interrupted' INT; echo ready; read word; read word; exit 7")
    launch(run, terminal)
    terminal.wait_shown(b"ready")
    terminal.type(b"\x03")
    terminal.wait_shown(b"interrupted")
    terminal.type(b"x\ry\r")
    assert run.wait() == 7
    assert run.output().count(b"interrupted\r\n") == 1


@pytest.mark.survival
@pytest.mark.parametrize("kind", ["signal", "fault"])
def test_crash(new_run, terminal, kind):
    before = terminal.settings()
    run = new_run("echo ready; read word; echo $word; read word; echo $word; exit 7")
    launch(run, terminal)
    terminal.wait_shown(b"ready")
    crash(run.pid, kind)
    terminal.type(b"one\r")
    terminal.wait_shown(b"one\r\none\r\n")
    crash(run.pid, kind)
    assert terminal.is_raw()
    terminal.type(b"two\r")
    assert run.wait() == 7
    assert terminal.settings() == before
    assert run.output() == b"ready\r\none\r\none\r\ntwo\r\ntwo\r\n"


def test_command_that_cannot_be_executed(new_run, terminal):
    before = terminal.settings()
    run = new_run("")
    run.options["--terminal"] = True
    words = [run.program, "run", "--terminal", "--log-path", str(run.log), "--", "/nonexistent"]
    process = subprocess.Popen(words, stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs)
    assert process.wait() == 127
    assert terminal.settings() == before


@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
def test_without_a_terminal_of_our_own(new_run, detach):
    run = new_run("tty; exit 7")
    run.options["--terminal"] = True
    if detach:
        run.options["--detach"] = True
        run.options["--pidfile"] = run.monitor_pidfile
    run.launch()
    assert (run.wait_monitor() if detach else run.wait()) == 7
    assert run.output().startswith(b"/dev/")


def test_hang_up(new_run, terminal):
    """Who closes the window ends the command, as without conward."""
    run = new_run("echo ready; read word; exit 7")
    launch(run, terminal)
    terminal.wait_shown(b"ready")
    os.kill(run.pid, signal.SIGHUP)
    assert run.wait() == 128 + signal.SIGHUP
    wait_until(lambda: not terminal.is_raw(), "the terminal to be as it was")
