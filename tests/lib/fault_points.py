"""Crashes at the fault points of a build of the program for tests ($FAULTY, default: build/tests/fault-points/conmon),
which lists its fault points, says which it passes, and crashes where a test wants it: see
tests/fault-points/fault-point.c."""

import contextlib
import functools
import os
import pathlib
import subprocess

import engine
from crashes import page_files
from exec_engine import Exec, ExecSync


def faulty():
    return os.path.abspath(os.environ.get("FAULTY", engine.TOP / "build/tests/fault-points/conmon"))


@functools.cache
def all_points():
    """None, if there is no such program."""
    if not os.access(faulty(), os.X_OK):
        return []
    got = subprocess.run([faulty()], env={"FAULT_POINTS": "list"}, stdout=subprocess.PIPE, check=True)
    return got.stdout.decode().split()


def function(point):
    return point.split(":")[1]


@functools.cache
def _functions():
    """{address: name}"""
    table = subprocess.run(["nm", "--numeric-sort", faulty()], stdout=subprocess.PIPE, check=True).stdout.decode()
    lines = [line.split() for line in table.splitlines()]
    return {int(words[0], 16): words[2] for words in lines if len(words) == 3 and words[1] in "tT"}


def _name_at(names, address):
    """Of the function that holds an address; a part that the compiler has set aside is part of it."""
    return names[max(start for start in names if start <= address)].split(".")[0]


def takes_trouble():
    """Whether trouble.so can be loaded into the monitor: a sanitizer's own library must come first."""
    return not os.path.exists(faulty()) or b"libasan.so" not in pathlib.Path(faulty()).read_bytes()


class NotStarted(Exception):
    """The crash came before anything had been begun, and the engine has been told so."""


class Play:
    """One run of a scenario, with crashes at `armed`: {point: at which passing}."""

    def __init__(self, directory, armed):
        self.top = directory
        self.faults = directory / "faults"
        self.faults.mkdir(parents=True)
        for name in ("trace", "stores"):
            (self.faults / name).touch()
        for point, passing in armed.items():
            (self.faults / point).write_text(f"{passing}\n")
        self._made = []

    def add(self, thing):
        self._made.append(thing)
        return thing

    def _prepare(self, watched):
        watched.environment["FAULT_POINTS"] = str(self.faults)
        watched.options["--log-partial-flush"] = "1"
        return self.add(watched)

    def container(self, *args, **kwargs):
        return self._prepare(engine.Container(self.top / "container", *args, **kwargs))

    def exec(self, script):
        return self._prepare(Exec(self.top / "exec", script))

    def exec_sync(self, script):
        return self._prepare(ExecSync(self.top / "exec", script))

    def command(self, command):
        return self._prepare(engine.Run(self.top / "run", command))

    def create(self, container, **how):
        """The create flow. A monitor that crashes before it has run the runtime says so, and that is all."""
        container.launch(**how)
        container.let_go()
        self._hear(container)

    def execute(self, process):
        """The same for exec. Returns the attached client."""
        client = None
        process.launch()
        process.let_go()
        with contextlib.suppress(OSError):  # a monitor that has given up is gone
            if process.line("attach") == b'{"data": 0}\n':
                client = process.attach()
                process.go()
        self._hear(process)
        assert process.line("attach") == b"", "more than one line on the attach pipe"
        return client

    def _hear(self, container):
        report = container.report()
        if report["data"] > 0:
            container.pid = report["data"]
            return
        assert report["message"] == "The monitor crashed before it had started anything"
        assert container.line() == b""
        assert container.wait() == 1
        assert not container.pidfile.exists()
        assert os.listdir(container.exits) == []
        assert not os.path.lexists(container.bundle / "attach")
        assert not (container.top / "commands").exists()
        raise NotStarted

    def trace(self):
        """The points that were passed, in order."""
        return (self.faults / "trace").read_text().split()

    def stores(self):
        """What came first behind a system call whose result was to be stored: (call, function that called, function
        that was entered then, or "" for the store); see tests/fault-points/stores.c."""
        names = _functions()
        pairs = [line.split() for line in (self.faults / "stores").read_text().splitlines()]
        return [
            (call, _name_at(names, int(caller, 16)), names.get(int(entered, 16), "")) for call, caller, entered in pairs
        ]

    def kind(self):
        """Of what was made."""
        kinds = (engine.Container, engine.Run, Exec, ExecSync)
        return " ".join(type(thing).__name__ for thing in self._made if isinstance(thing, kinds))

    def left(self):
        """The files of monitors that have ended."""
        pids = [thing.monitor.pid for thing in self._made if getattr(thing, "monitor", None)]
        pids += [thing.pid for thing in self._made if isinstance(thing, engine.Run) and thing.ended()]
        return [path for pid in pids for path in page_files(pid)]

    def has_crashed_at(self, point):
        return (self.faults / point).read_text().split() == ["0"]

    def close(self):
        for thing in reversed(self._made):
            thing.close()
