"""The scripted engine's further processes in a container, as Podman and CRI-O run them. No container is needed for
that: the stub runtime makes the process from a plan beside its specification.

    with Exec(directory, command="echo hello; exit 3") as process:
        process.begin()            # the monitor's child waits for the engine, which can attach
        client = process.attach()
        process.go()               # now the runtime runs
        process.pid = process.report()["data"]
        assert process.wait() == 3
"""

import os

import procfs
from engine import CRIO, Family, Watched, stub_runtime
from waiting import wait_until

SESSION = "5e55105e55105e55"

# conmon's own tests have three fifos.
BATS_EXEC = Family("bats", 1, "fifo", 6, 5, b"start conmon\n", 4)


class _Process(Watched):
    """`bundle` is the directory of the specification, and `cid` the container that the process is in."""

    def __init__(self, *args, waits=False, **kwargs):
        super().__init__(*args, waits=waits, **kwargs)
        self.spec.write_text("{}\n")

    def execute(self, **how):
        """Everything until the process runs."""
        raise NotImplementedError

    def run(self, **how):
        """Everything; returns the monitor's exit status."""
        self.execute(**how)
        return self.wait()


class Exec(_Process):
    """A process that Podman runs, attached or not. Without a connection to the attach socket it is `exec --detach`:
    there is no other difference."""

    PIDFILE = "exec_pid"

    def _lay_out(self):
        self.bundle = self.top / "bundle" / SESSION
        self.exits = self.bundle / "exit"
        self.persist = self.top / "persist" / self.cid
        self.cwd = self.bundle
        self.spec = self.bundle / "exec-process-4711"

    def _options(self):
        return {
            "--api-version": "1",
            "--cid": self.cid,
            "--cuuid": SESSION,
            "--runtime": stub_runtime(),
            "--bundle": str(self.bundle),
            "--container-pidfile": str(self.pidfile),
            "--name": "quiet_name",
            "--exit-dir": str(self.exits),
            "--persist-dir": str(self.persist),
            "--full-attach": True,
            "--runtime-arg": ["--log-format=json", "--log", f"--log={self.bundle}/oci-log"],
            "--log-path": "none",
            "--log-level": "warning",
            "--exec": True,
            "--exec-attach": True,
            "--exec-process-spec": str(self.spec),
            # Podman does without, and never asks which process is its monitor. Tests do.
            "--conmon-pidfile": str(self.monitor_pidfile),
        }

    def _key(self):
        return "data"

    def _make_pipes(self):
        theirs, self._attach_pipe = self._pipe("attach", to_monitor=False)
        return {**super()._make_pipes(), self.family.attach_fd: theirs}

    def log_to_file(self):
        """What Podman never asks for: a log shows a test what has arrived."""
        self.options["--log-path"] = f"k8s-file:{self.log}"

    def begin(self, **how):
        """Everything before the engine's second word: it can attach now."""
        self.launch(**how)
        self.let_go()
        assert self.line("attach") == b'{"data": 0}\n'

    def gate(self):
        """The monitor's child, when it waits for the engine's second word."""

        def child():
            children = [procfs.Process(pid) for pid, _ in procfs.children(self.monitor.pid)]
            return next((process for process in children if self.reads_start_pipe(process)), None)

        return wait_until(child, "the read of the start pipe's second word")

    def go(self):
        """The engine's second word: it has attached, or does not want to."""
        os.write(self._start_pipe, b"\0")

    def leave(self):
        """The engine dies."""
        for name in list(self._pipes):
            self.close_pipe(name)

    def execute(self, **how):
        """Everything until the process runs; returns its pid."""
        self.begin(**how)
        self.go()
        report = self.report()
        assert report["data"] > 0, report
        self.pid = report["data"]
        return self.pid

    def fails(self, **how):
        """The same with a runtime that fails; returns the message for the engine."""
        self.begin(**how)
        self.go()
        report = self.report()
        assert report["data"] == -1, report
        return report.get("message", "")


class ExecSync(_Process):
    """A process that CRI-O runs and waits for: nobody attaches, and the log file is the answer. Both of CRI-O's files
    exist before."""

    PIDFILE = "pidfile-4711"

    def __init__(self, directory, command=None, cid="c0ffee0123456789", waits=False):
        super().__init__(directory, command, CRIO, cid, waits=waits)
        for path in (self.log, self.pidfile):
            path.touch()

    def _lay_out(self):
        self.bundle = self.top / "tmp"  # known to the stub only
        self.spec = self.bundle / "exec-process-4711"
        self.log = self.bundle / "log-4711"

    def _options(self):
        return {
            "--cid": self.cid,
            "--name": "k8s_quiet_name",
            "--runtime": stub_runtime(),
            "--container-pidfile": str(self.pidfile),
            "--exec": True,
            "--log-path": str(self.log),
            "--socket-dir-path": str(self.sockets),
            "--log-level": "info",
            "--sync": True,
            "--log-global-size-max": "16777216",
            "--exec-process-spec": str(self.spec),
            "--runtime-arg": [f"--root={self.top}/runtime"],
        }

    def _key(self):
        return "exit_code"

    def _pipe(self, name, to_monitor):
        """The sync pipe is a pipe here."""
        if name != "sync":
            return super()._pipe(name, to_monitor)
        self._pipes[name], theirs = os.pipe()
        return theirs, self._pipes[name]

    def execute(self, **how):
        self.launch(**how)
        self.let_go()

    def answer(self):
        """What CRI-O waits for: the end of the monitor and of everything that holds its output, and then the one line
        on the sync pipe."""
        self.wait()
        assert self.said() == b"", "not a word, for CRI-O would take it for an error"
        report = self.report()
        assert self.line() == b"", "one line and no more"
        return report
