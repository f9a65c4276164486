"""The smallest engine that can start a container under a monitor: Podman's create flow with the
helper of workload.c as runtime, as container and as exit command.

It does little and does it once, because every microsecond here is measured with the monitor. The
engine for tests, which looks at everything, is tests/lib/engine.py.
"""

import ctypes
import json
import os
import select
import shutil
import socket
import time

import measure

LIMIT = 300.0  # seconds any single event may take before a run counts as broken

_PR_SET_CHILD_SUBREAPER = 36


class Broken(Exception):
    """A run that did not do what it should: it has no figures."""


def become_subreaper():
    """Monitors fall to this process when their short-lived parent ends, so that their zombies can be
    asked what they have cost."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise Broken("cannot become a subreaper")


def wait_readable(fd, what, limit=LIMIT):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(limit * 1000):
        raise Broken(f"waited {limit:.0f} s for {what}")


def reap_zombie(pid, what):
    """Waits until a child has ended and returns (CPU seconds of itself alone, exit status)."""
    pidfd = os.pidfd_open(pid)
    try:
        wait_readable(pidfd, f"the end of {what}")
    finally:
        os.close(pidfd)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    cpu = measure.cpu_seconds(pid)
    return cpu, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def reap_strays():
    """Other processes that have ended and fallen to us, such as exit commands."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Gate:
    """A point where a workload stops until the benchmark lets it go on: the step wait:FIFO."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path, 0o600)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def step(self):
        return f"wait:{self.path}"

    def reached(self, seconds=0):
        """Whether the workload stands at the gate, or comes to it within this time."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(seconds * 1000))

    def wait(self):
        wait_readable(self._fd, f"the workload at {self.path}")

    def open(self):
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def pass_through(self):
        self.wait()
        self.open()


class Container:
    """One container and its monitor. Everything lies in `directory`, which must not exist yet."""

    def __init__(self, monitor, workload, directory, steps=(), options=()):
        self._monitor = monitor
        self._workload = workload
        self.directory = directory
        self.log = f"{directory}/log"
        self._options = list(options)
        self._gates = []
        self._start_fd = self._sync_fd = None
        self.pid = None  # of the monitor
        os.mkdir(directory, 0o700)
        self.steps(steps)

    def steps(self, steps):
        """What the container will do; see workload.c."""
        with open(f"{self.directory}/workload", "w", encoding="ascii") as file:
            file.write(" ".join(steps))

    def gate(self, name):
        gate = Gate(f"{self.directory}/{name}")
        self._gates.append(gate)
        return gate

    def hold_exit(self):
        """The monitor's exit command will wait at the gate returned: everything is logged by then, and
        the monitor is still there to be looked at."""
        gate = self.gate("exit-command")
        self._options += ["--exit-command", self._workload]
        self._options += ["--exit-command-arg", "run", "--exit-command-arg", gate.step]
        return gate

    def start(self):
        """Starts the monitor and waits for its pid report; returns the seconds between the two."""
        directory = self.directory
        start_ours, start_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sync_ours, sync_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._start_fd, self._sync_fd = start_ours.detach(), sync_ours.detach()
        os.set_inheritable(start_theirs.fileno(), True)
        os.set_inheritable(sync_theirs.fileno(), True)
        cid = "be9c40123456789"
        command = [
            *(self._monitor, "--api-version", "1", "-c", cid, "-u", cid, "-n", "bench"),
            *("-r", self._workload, "-b", directory, "-p", f"{directory}/pidfile"),
            *("--exit-dir", directory, "--full-attach", "-l", f"k8s-file:{self.log}"),
            *("--log-level", "error", "--conmon-pidfile", f"{directory}/monitor-pidfile"),
            *self._options,
        ]
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "XDG_RUNTIME_DIR": directory,
            "_OCI_STARTPIPE": str(start_theirs.fileno()),
            "_OCI_SYNCPIPE": str(sync_theirs.fileno()),
        }
        # The engine's start message is there already: what is measured is the monitor's part.
        os.write(self._start_fd, b"\0")

        begin = time.perf_counter_ns()
        parent = os.posix_spawn(self._monitor, command, environment)
        sync_theirs.close()
        start_theirs.close()
        wait_readable(self._sync_fd, "the pid report")
        report = os.read(self._sync_fd, 4096)
        seconds = (time.perf_counter_ns() - begin) / 1e9

        self.parent_cpu, status = reap_zombie(parent, "the process that was started")
        if status != 0:
            raise Broken(f"the monitor's first process ended with {status}")
        if json.loads(report or b"{}").get("data", -1) <= 0:
            raise Broken(f"no pid but {report!r} on the sync pipe")
        with open(f"{directory}/monitor-pidfile", encoding="ascii") as file:
            self.pid = int(file.read())
        return seconds

    def finish(self):
        """Waits for the end of the monitor; returns the CPU seconds it has used in all its life."""
        cpu, status = reap_zombie(self.pid, "the monitor")
        self.pid = None
        if status != 0:
            raise Broken(f"the monitor ended with {status}")
        return cpu

    def scan(self, length):
        """What is in the log, as a dictionary; see `workload scan`."""
        return scan(self._workload, self.log, length)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in (self._start_fd, self._sync_fd):
            if fd is not None:
                os.close(fd)
        if self.pid is not None:  # only after a failure
            os.kill(self.pid, 9)
            reap_zombie(self.pid, "the monitor")
        # Whatever still waits at a gate goes on, finds its pipe broken, or ends.
        for gate in self._gates:
            gate.open()
        reap_strays()
        shutil.rmtree(self.directory, ignore_errors=True)


def scan(workload, log, length):
    """Runs `workload scan`; returns its figures as a dictionary."""
    with os.popen(f"'{workload}' scan '{log}' {length}") as output:
        words = output.read().split()
    if not words:
        raise Broken(f"cannot scan {log}")
    return {name: int(value) for name, value in (word.split("=") for word in words)}


def check(found, total, length):
    """Raises Broken unless a complete log has every byte of the workload in its place."""
    lines = total // length if length else 0
    if found["bytes"] != total or found["full"] != lines or found["torn"] or found["wrong"]:
        raise Broken(f"{total} bytes in {lines} lines were written, the log has {found}")
