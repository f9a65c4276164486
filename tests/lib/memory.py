"""Memory cgroups for containers of tests, on cgroup v1: where a machine has its memory on v2, the tests in tests/guest are
for it."""

import os
import pathlib
import signal

import pytest

from waiting import wait_until

LIMIT = 16 << 20
HOG = "dd if=/dev/zero of=/dev/null bs=64M count=1 2> /dev/null"  # takes more than that


def _own():
    """The directory of our own cgroup on v1, None if there is none."""
    mount = next(
        (words[4] for words in map(str.split, open("/proc/self/mountinfo")) if words[3] == "/" and "memory" in words[-1].split(",")),
        None,
    )
    path = next((line.rstrip().split(":", 2)[2] for line in open("/proc/self/cgroup") if "memory" in line.split(":")[1]), None)
    return pathlib.Path(mount + path) if mount and path else None


def missing():
    """Why there can be none here, None if there can."""
    own = _own()
    if own is None:
        return "memory is not on cgroup v1"
    return None if os.access(own, os.W_OK) and os.geteuid() == 0 else f"{own} cannot be written to"


needed = pytest.mark.skipif(missing() is not None, reason=missing() or "")


class Cgroup:
    """A cgroup with little memory, or the place for one. What is in it when it is closed is killed."""

    count = 0

    def __init__(self, make=True):
        Cgroup.count += 1
        self.path = _own() / f"conward-test-{os.getpid()}-{Cgroup.count}"
        if not make:
            return
        self.path.mkdir()
        self.write("memory.limit_in_bytes", LIMIT)
        if (self.path / "memory.memsw.limit_in_bytes").exists():
            self.write("memory.memsw.limit_in_bytes", LIMIT)

    def write(self, name, value):
        (self.path / name).write_text(str(value))

    def without_swap(self):
        """For a shell, when it is there: what is too much for its memory goes nowhere."""
        there = (_own() / "memory.memsw.limit_in_bytes").exists()
        return f"echo {LIMIT} > {self.path}/memory.memsw.limit_in_bytes" if there else ":"

    def processes(self):
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    def take(self, watched):
        """What will be started is in it."""
        watched.stub("cgroup", str(self.path))

    def kills(self):
        lines = (self.path / "memory.oom_control").read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def remove(self):
        """When the last process has left."""

        def gone():
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return True  # by whoever has made it
            except OSError:
                return False
            return True

        wait_until(gone, "the cgroup to be removed")

    def close(self):
        if not self.path.exists():
            return
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.remove()
