"""Commands of `conward run` in a memory cgroup, on the kernel's own cgroup v1; tests/guest has those on v2."""

import os
import signal
import subprocess

import pytest

import memory
from crashes import page
from memory import HOG, LIMIT, Cgroup
from waiting import wait_until

GO_ON = "read word < go; "


@pytest.fixture
def place():
    one = Cgroup(make=False)
    yield one
    one.close()


@pytest.fixture
def new_command(new_run):
    """Makes commands that have a fifo `go`, open at the descriptor `go`."""

    def new(script, cgroup=None, **options):
        command = new_run(script)
        command.options.update({"--persist-dir": command.top, "--quiet": True})
        if cgroup is not None:
            command.options["--cgroup"] = cgroup.path
        command.options.update({f"--{name.replace('_', '-')}": value for name, value in options.items()})
        os.mkfifo(command.top / "go")
        command.go = os.open(command.top / "go", os.O_RDWR | os.O_CLOEXEC)
        opened.append(command.go)
        return command

    opened = []
    yield new
    for fd in opened:
        os.close(fd)


def said(command):
    return (command.top / "stderr").read_text()


def go(command):
    os.write(command.go, b"\n")


@memory.needed
def test_limit(new_command, place):
    """The command is in it, with all its memory, and its monitor is not."""
    command = new_command("echo begun; " + GO_ON + "exit 7", place, memory_max="20m").launch()
    wait_until(lambda: command.log.exists() and command.output() == b"begun\n", "the command")
    assert place.processes() == [command.command_pid()]
    assert (place.path / "memory.limit_in_bytes").read_text() == f"{20 << 20}\n"
    go(command)
    assert command.wait() == 7
    assert not place.path.exists()
    assert not (command.top / "oom").exists()
    assert said(command) == ""


@memory.needed
@pytest.mark.parametrize("last", ["", "exec "], ids=["one of it", "itself"])
def test_killed(new_command, place, last):
    command = new_command(f"{place.without_swap()}; {last}{HOG}; exit 7", place, memory_max=LIMIT).launch()
    assert command.wait() == (137 if last else 7)
    assert command.exit_file.read_text() == ("137" if last else "7")
    assert (command.top / "oom").read_bytes() == b""
    assert "killed 1 process of the command command so far; its memory limit is 16 MiB" in said(command)
    assert not place.path.exists()


@memory.needed
def test_named_after_the_command(new_command, place):
    """Below our own, which is the tests'."""
    command = new_command("grep :memory: /proc/self/cgroup; exit 7", memory_max="1G", cid=place.path.name)
    assert command.launch().wait() == 7
    own = next(line for line in open("/proc/self/cgroup") if ":memory:" in line).rstrip("/\n")
    assert command.output().decode() == f"{own}/{place.path.name}\n"
    assert not place.path.exists()


@memory.needed
def test_one_that_is_there(new_command, place):
    """With a limit of its own; it stays."""
    there = Cgroup()
    try:
        command = new_command(f"{HOG}; exit 7", there).launch()
        assert command.wait() == 7
        assert (command.top / "oom").exists()
        assert there.path.exists()
        assert (there.path / "memory.limit_in_bytes").read_text() == f"{LIMIT}\n"
    finally:
        there.close()


@memory.needed
def test_one_with_others_in_it(new_command, place):
    first = new_command(GO_ON + "exit 7", place).launch()
    first.command_pid()
    second = new_command("echo begun > begun", place, memory_max="1G").launch()
    assert second.wait() == 125
    assert f"The cgroup {place.path} has processes in it already" in said(second)
    assert not (second.top / "begun").exists()
    assert int((place.path / "memory.limit_in_bytes").read_text()) > 1 << 40, "the limit is not the second's"
    assert place.processes() == [first.command_pid()]
    go(first)
    assert first.wait() == 7
    assert not place.path.exists()


@memory.needed
def test_processes_that_are_left(new_command, place):
    command = new_command(f"({GO_ON}:) > /dev/null 2>&1 & exit 7", place).launch()
    assert command.wait() == 7
    assert f"The cgroup {place.path} is not removed: Device or resource busy" in said(command)
    assert len(place.processes()) == 1
    go(command)
    place.remove()


@memory.needed
@pytest.mark.parametrize("detach", [False, True], ids=["in front", "detached"])
def test_command_that_cannot_be_executed(new_command, place, detach):
    command = new_command("", place)
    if detach:
        command.options["--detach"] = True
    words = [word for option, value in command.options.items() for word in ([option] if value is True else [option, str(value)])]
    made = subprocess.run([command.program, "run", *words, "--", "/nowhere"], capture_output=True, cwd=command.top)
    assert made.returncode == 127
    assert made.stderr == b"conward: Cannot execute /nowhere: No such file or directory\n"
    assert not place.path.exists()


@memory.needed
def test_detached(new_command, place):
    command = new_command(f"{GO_ON}{place.without_swap()}; exec {HOG}", place, memory_max=LIMIT, detach=True)
    command.options["--pidfile"] = command.monitor_pidfile
    command.launch()
    assert command.wait() == 0
    assert place.processes() == [command.command_pid()]
    go(command)
    wait_until(command.exit_file.exists, "the end")
    assert command.exit_file.read_text() == "137"
    assert not place.path.exists(), "who sees the exit file can use its name again"
    assert (command.top / "oom").exists()
    assert command.wait_monitor() == 137


@memory.needed
@pytest.mark.survival
def test_crash(new_command, place):
    command = new_command(f"{GO_ON}{place.without_swap()}; {HOG}; {GO_ON}exit 7", place, memory_max=LIMIT).launch()
    command.command_pid()
    for count in (1, 2):
        os.kill(command.pid, signal.SIGSEGV)
        wait_until(lambda: page(command.pid)["crashes"] == count, "the crash")
    go(command)
    wait_until(lambda: page(command.pid)["oom_kills"] == 1, "the kill to be seen")
    os.kill(command.pid, signal.SIGSEGV)
    wait_until(lambda: page(command.pid)["crashes"] == 3, "the crash")
    go(command)
    assert command.wait() == 7
    assert not place.path.exists()


@memory.needed
@pytest.mark.parametrize(
    "name, words",
    [
        ("nowhere/a", "nowhere, in which that of the command is: No such file or directory"),
        ("/nowhere/a", "nowhere, in which that of the command is: No such file or directory"),
        ("tasks", "tasks: Not a directory"),
    ],
)
def test_where_there_can_be_none(new_command, name, words):
    command = new_command("echo begun > begun")
    command.options["--cgroup"] = name
    assert command.launch().wait() == 125
    assert words in said(command)
    assert not (command.top / "begun").exists()


@memory.needed
def test_where_nothing_can_be_made(new_command, place):
    """As in a unit with ProtectControlGroups=."""
    mount = str(place.path)[: -len(place.path.name)]
    command = new_command("echo begun > begun", place)
    wrapper = command.top / "wrapper"
    wrapper.write_text(
        f"#!/bin/sh\nmount --bind {mount} {mount} && mount -o remount,bind,ro {mount} || exit 77\n"
        f'exec {command.program} "$@"\n'
    )
    wrapper.chmod(0o755)
    inside = command.top / "inside"
    inside.write_text(f'#!/bin/sh\nexec unshare --mount {wrapper} "$@"\n')
    inside.chmod(0o755)
    command.program = str(inside)
    command.launch()
    status = command.wait()
    if status == 77:
        pytest.skip("no mount namespace")
    assert status == 125
    assert f"Cannot make the cgroup {place.path}: " in said(command) and said(command).endswith(": Read-only file system\n")
    assert not (command.top / "begun").exists()


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("--cgroup", "", "it is empty"),
        ("--cgroup", "../a", "begin with / and say where it is"),
        ("--cgroup", "/a/../b", "begin with / and say where it is"),
        ("--cgroup", "a//b", "a part of it is empty"),
        ("--memory-max", "", "such as 512M"),
        ("--memory-max", "max", "such as 512M"),
        ("--memory-max", "0", "at least 1M"),
        ("--memory-max", "16", "at least 1M"),
        ("--memory-max", "-16M", "such as 512M"),
        ("--memory-max", "16MB", "such as 512M"),
        ("--memory-max", "99999999T", "such as 512M"),
        ("--memory-max", "18446744073709551616", "such as 512M"),
    ],
)
def test_refused(new_command, option, value, words):
    command = new_command("echo begun > begun")
    command.options[option] = value
    assert command.launch().wait() == 2
    assert words in said(command)
    assert not (command.top / "begun").exists()
