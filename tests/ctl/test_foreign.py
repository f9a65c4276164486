"""conwardctl culprit --foreign, on containers made of a cgroup, a process that writes, and a logger that keeps a line
until it ends. The program under test is $CONWARDCTL (default: build/src/conwardctl)."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from waiting import wait_until  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
CONWARDCTL = pathlib.Path(os.environ.get("CONWARDCTL", TOP / "build/src/conwardctl")).resolve()
LOGGER = CONWARDCTL.parent.parent / "tests/buffering-logger"
# What is much here: the machine may be busy. Writers write fifty times as much where they can.
MIN = 65536

LINE = "a line as it comes from an ordinary program: a time, a few words, and where in the source it was said" + "\n"

# Enters the cgroup, writes what it is told to where it is told to in small pieces, and ends after a while even if
# nobody ends it.
WRITER = """
import os, sys, time
cgroup, piece, where = sys.argv[1:]
open(cgroup + "/cgroup.procs", "w").write(str(os.getpid()))
piece = piece.encode() * (65536 // len(piece))
fd = 1 if where == "-" else os.open(where, os.O_WRONLY | os.O_CREAT, 0o600)
for _ in range(5000):
    if os.write(fd, piece) == 0:
        break
    if fd != 1:
        os.lseek(fd, 0, 0)
    time.sleep(0.02)
"""


def cgroups():
    """Where cgroups can be made: in the directories of all hierarchies."""
    top = pathlib.Path("/sys/fs/cgroup")
    return [top, *sorted(top.glob("*"))] if top.is_dir() else []


class Containers:
    def __init__(self, tmp):
        self.tmp = tmp
        self.processes = []
        self.cgroups = []
        self.ids = []

    def cgroup(self, identity):
        for parent in cgroups():
            if not (parent / "cgroup.procs").exists():
                continue
            cgroup = parent / f"docker-{identity}.scope"
            try:
                cgroup.mkdir()
            except OSError:
                continue
            self.cgroups.append(cgroup)
            # cpuset takes no process before it is set up.
            if (cgroup / "cgroup.procs").exists() and not (cgroup / "cpuset.cpus").exists():
                return cgroup
        pytest.skip("no cgroup can be made here")

    def start(self, number, piece, program="conmon", where="-", name="test", discard=False):
        """A container that writes `piece` many times to its output, which `program` logs, or to a file."""
        identity = f"{os.getpid():08x}{number:056x}"
        self.ids.append(identity)
        log = self.tmp / f"{number}.log"
        logger = self.tmp / program
        if not logger.exists():
            shutil.copy(LOGGER, logger)
        read, write = os.pipe()
        environment = dict(os.environ, **({"DISCARD": "1"} if discard else {}))
        self.processes.append(subprocess.Popen([logger, "-c", identity, "-n", name, "-l", f"k8s-file:{log}"],
                                               stdin=read, env=environment))
        self.processes.append(subprocess.Popen([sys.executable, "-I", "-c", WRITER, self.cgroup(identity), piece,
                                                where], stdout=write, stdin=subprocess.DEVNULL))
        os.close(read)
        os.close(write)
        # A logger that has just begun grows anyway.
        enough = 1 << 20 if piece == LINE and where == "-" and not discard else 0
        wait_until(lambda: log.exists() and log.stat().st_size >= enough, "the log to be there, and to grow")
        return identity

    def close(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        for log in self.tmp.glob("*.log"):
            log.unlink()
        for cgroup in self.cgroups:
            wait_until(lambda: not (cgroup / "cgroup.procs").read_text(), "the cgroup to be empty")
            cgroup.rmdir()


@pytest.fixture
def containers(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("making cgroups needs root")
    made = Containers(tmp_path)
    try:
        yield made
    finally:
        made.close()


def run(*args, **more):
    return subprocess.run([CONWARDCTL, "culprit", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=120, **more)


def look(containers):
    """What is found of ours, each by its kind and the container's id: the machine may have other containers."""
    done = run("--foreign", "--json", "--interval", "0.5", "--min", str(MIN))
    assert done.stderr == ""
    every = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (1 if any(one["kind"] != "rotated" for one in every) else 0), done
    loggers = [process.pid for process in containers.processes]
    return {(one["kind"], one.get("container")): one for one in every
            if one.get("container") in containers.ids or one.get("logger_pid") in loggers}


def found_when(containers, wanted):
    """The first look that finds `wanted`."""
    def once():
        found = look(containers)
        return found if wanted in found else None
    return wait_until(once, f"{wanted} to be found")


def test_who_makes_a_logger_grow(containers):
    containers.start(1, LINE)
    containers.start(2, LINE)
    culprit = containers.start(3, "x", name="endless")
    found = found_when(containers, ("memory", culprit))
    assert set(found) == {("memory", culprit)}
    one = found["memory", culprit]
    assert (one["name"], one["engine"], one["logger"], one["logged"]) == ("endless", "docker", "conmon", 0)
    assert one["pid"] == containers.processes[-1].pid
    assert one["logger_pid"] == containers.processes[-2].pid
    assert one["output"] >= one["grown"] // 2 > 0


def test_a_logger_that_nobody_knows(containers):
    containers.start(1, LINE, program="logger")
    culprit = containers.start(2, "x", program="logger")
    found = found_when(containers, ("memory", culprit))
    assert set(found) == {("memory", culprit)}
    assert "logged" not in found["memory", culprit]


def test_output_that_is_lost(containers):
    containers.start(1, LINE)
    culprit = containers.start(2, "x", discard=True)
    found = found_when(containers, ("unlogged", culprit))
    assert set(found) == {("unlogged", culprit)}
    assert found["unlogged", culprit]["do"].startswith(f"end it: docker kill {culprit[:12]};")


def test_what_is_written_elsewhere_accuses_nobody(containers, tmp_path):
    containers.start(1, "x", where=str(tmp_path / "database"))
    culprit = containers.start(2, "x", discard=True)
    assert set(found_when(containers, ("unlogged", culprit))) == {("unlogged", culprit)}


def test_a_log_without_a_newline(containers):
    identity = containers.start(1, LINE, discard=True, where="/dev/null")
    (containers.tmp / "1.log").write_text("x" * 65536)
    found = found_when(containers, ("endless", identity))
    assert set(found) == {("endless", identity)}


def test_sentences_are_escaped(containers):
    culprit = containers.start(1, "x", name="\033[31mred")
    found_when(containers, ("memory", culprit))
    done = run("--foreign", "--interval", "0.5", "--min", "1")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\033" not in done.stdout
    assert f"container {culprit[:12]} (\\x1b[31mred) is a possible cause" in done.stdout


def test_what_may_not_be_read(containers):
    culprit = containers.start(1, "x", discard=True)
    found_when(containers, ("unlogged", culprit))
    # The user needs a way to the program.
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy(CONWARDCTL, directory)
        done = subprocess.run([program, "culprit", "--foreign", "--interval", "0.1"], user=65534, group=65534,
                              extra_groups=[], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert "could not be read: run it as root" in done.stderr


@pytest.mark.parametrize("arguments, reason", [
    (["--min", "5"], "for --foreign only"),
    (["--foreign", "--watch"], "cannot be used with --watch"),
    (["--foreign", "--interval", "0"], "0.1 to 3600"),
    (["--foreign", "--interval", "nan"], "0.1 to 3600"),
    (["--foreign", "--min", "0"], "at least 1 byte"),
    (["--foreign", "name"], "takes no argument"),
])
def test_wrong_command_lines(arguments, reason):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
