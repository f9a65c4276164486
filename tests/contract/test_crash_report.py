"""What is left of a crash: one line for people, and a core dump if that is wanted.

The crashes are those of $FAULTY (see test_fault_points.py): what crashes there is the function fault_point."""

import os
import pathlib
import re
import resource
import signal
import struct
import subprocess

import pytest

import engine
from crashes import crash
from waiting import wait_until

pytestmark = pytest.mark.survival

LINE = re.compile(
    rb"^conward: Resumed after a crash, number (?P<number>\d+) of this monitor: signal (?P<signal>\d+) \((?P<who>[^)]*)\), "
    rb"code (?P<code>-?\d+)(, address (?P<address>\w+))?(, at \+(?P<at>\w+))?(, called from (?P<callers>[+ \w]+))?"
    rb"(, the same instruction (?P<alike>\d+) times in a row)?, "
    rb"build id (?P<build>[0-9a-f]+)\. The container is not affected; (please report this line|find out why that process sends it)$",
    re.MULTILINE,
)
ET_CORE = 4


@pytest.fixture
def faulty(monkeypatch):
    program = os.path.abspath(os.environ.get("FAULTY", engine.TOP / "build/tests/fault-points/conmon"))
    monkeypatch.setenv("CONWARD", program)
    return program


def crash_at(run, point, times=1):
    """The command's monitor will crash at its first passings of a fault point of that function."""
    faults = run.top / "faults"
    faults.mkdir()
    listed = subprocess.run([run.program], env={"FAULT_POINTS": "list"}, stdout=subprocess.PIPE, check=True)
    for name in listed.stdout.decode().split():
        if name.split(":")[1] == point:
            (faults / name).write_text(f"-{times}\n")
            run.environment["FAULT_POINTS"] = str(faults)
            return
    raise AssertionError(f"no fault point in {point}")


def function_at(program, address):
    """The name of the function that holds a code address; a part that the compiler has set aside is part of it."""
    table = subprocess.run(["nm", "--print-size", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    for line in table.splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "tT" and 0 <= address - int(words[0], 16) < int(words[1], 16):
            return words[3].split(".")[0]
    return None


def test_report_of_a_fault(new_run, faulty):
    run = new_run("echo hello; exit 7")
    crash_at(run, "spawn")
    run.launch()
    assert run.wait() == 7
    assert run.output() == b"hello\n"
    found = LINE.search((run.top / "stderr").read_bytes())
    assert found, (run.top / "stderr").read_bytes()
    assert (found["number"], found["signal"], found["who"]) == (b"1", b"4", b"our own fault")
    assert function_at(faulty, int(found["at"], 16)) == "fault_point"
    # What a return address points to may be the next function already, if the call was the last thing in this one.
    assert "spawn" in [function_at(faulty, int(address, 16) - 1) for address in found["callers"].split()]
    notes = subprocess.run(["readelf", "--notes", faulty], stdout=subprocess.PIPE, check=True).stdout
    assert b"Build ID: " + found["build"] in notes


def test_report_of_the_same_fault_again(new_run, faulty):
    """Each image of the monitor crashes before it has waited for anything, but for the last one."""
    run = new_run("echo hello; exit 7")
    crash_at(run, "state_show", times=3)
    run.launch()
    assert run.wait() == 7
    found = list(LINE.finditer((run.top / "stderr").read_bytes()))
    assert [line["number"] for line in found] == [b"1", b"2", b"3"]
    assert [line["alike"] for line in found] == [None, b"2", b"3"]


def test_report_of_a_signal(new_run):
    run = new_run("echo hello; read word < go; exit 7")
    os.mkfifo(run.top / "go")
    run.launch()
    wait_until(lambda: run.log.exists() and run.log.stat().st_size > 0, "some output")
    crash(run.pid, signal.SIGABRT)
    (run.top / "go").write_text("\n")
    assert run.wait() == 7
    found = LINE.search((run.top / "stderr").read_bytes())
    assert (found["number"], found["signal"], found["who"]) == (b"1", b"6", b"sent by process %d" % os.getpid())


def cores(directory):
    return sorted(path for path in directory.iterdir() if path.name.startswith("core"))


@pytest.fixture
def core_files():
    if pathlib.Path("/proc/sys/kernel/core_pattern").read_text() not in ("core\n", "core.%p\n"):
        pytest.skip("this system's core dumps do not go to the working directory (kernel.core_pattern)")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core dumps are forbidden here (RLIMIT_CORE)")


def without_cores():
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@pytest.mark.parametrize("wanted", [True, False], ids=["wanted", "not-wanted"])
def test_core_of_a_fault(new_run, faulty, core_files, wanted):
    run = new_run("echo hello; exit 7")
    if wanted:
        run.options["--crash-core"] = True
    crash_at(run, "spawn")
    run.launch(preexec_fn=without_cores)
    assert run.wait() == 7
    assert run.output() == b"hello\n"
    found = cores(run.top)
    assert len(found) == wanted
    for path in found:
        header = path.read_bytes()[:18]
        assert header[:4] == b"\x7fELF"
        assert struct.unpack_from("H", header, 16) == (ET_CORE,)


def test_core_of_a_signal(new_run, core_files):
    """And nothing of the core's process is left."""
    run = new_run("echo hello; read word < go; exit 7")
    os.mkfifo(run.top / "go")
    run.options["--crash-core"] = True
    run.launch()
    wait_until(lambda: run.log.exists() and run.log.stat().st_size > 0, "some output")
    crash(run.pid, signal.SIGSEGV)
    command = run.command_pid()
    wait_until(lambda: [pid for pid, _ in engine.procfs.children(run.pid)] == [command], "the core to be written")
    assert len(cores(run.top)) == 1
    (run.top / "go").write_text("\n")
    assert run.wait() == 7
    assert run.output() == b"hello\n"
