"""Crashes of the monitor: making them, and seeing that nobody notices.

$FAULT, $PAGE and $TROUBLE_LIBRARY are fault.c, page.c and trouble.c as built (default: in build/tests)."""

import collections
import concurrent.futures
import contextlib
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import time

import engine
import k8slog
import procfs
from waiting import LIMIT, Late, Watch, wait_until

FATAL = [
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGABRT,
]

LINES = """
i=0
until [ -e enough ]; do
    {print}
done
echo $i > printing
mv printing printed  # whoever sees it can read it
read word < go
exit 7
"""
AT_FULL_SPEED = LINES.format(print="seq $((i + 1)) $((i + 1000)); i=$((i + 1000))")
ON_BOTH = LINES.format(print="seq $((i + 1)) $((i + 500)); seq $((i + 1)) $((i + 500)) >&2; i=$((i + 500))")

GONE = 3  # fault's exit status if there is no such process any more
AT_RANDOM = 25


def _built(variable, name):
    return os.path.abspath(os.environ.get(variable, engine.TOP / "build/tests" / name))


def fault_tool():
    return _built("FAULT", "fault")


def page_tool():
    return _built("PAGE", "page")


def trouble_library():
    return _built("TROUBLE_LIBRARY", "trouble.so")


# Crashes


def image(pid):
    """A number that changes with every execve of a process: where the kernel has put its random bytes. None if it is
    gone, or in the middle of execve."""
    try:
        words = pathlib.Path(f"/proc/{pid}/auxv").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for key, value in struct.iter_unpack("QQ", words[: len(words) // 16 * 16]):
        if key == AT_RANDOM and value:
            return value
    return None


def survives_faults(pid):
    """Not at once after execve: until then, all signals are blocked."""
    try:
        process = procfs.Process(pid)
        return signal.SIGSEGV in process.signals("SigCgt") and signal.SIGSEGV not in process.signals("SigBlk")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_image(pid, before):
    """Waits until another image than `before` runs, or none any more."""
    process = procfs.Process(pid)
    wait_until(lambda: image(pid) not in (None, before) or not process.alive(), "the next image of the monitor")


def crash(pid, kind):
    """One crash. Returns when the next image runs, or none any more."""
    process = procfs.Process(pid)
    if kind == "fault":
        wait_until(lambda: survives_faults(pid) or not process.alive(), "the monitor to get ready")
    before = image(pid)
    if before is None:
        return
    if kind == "fault":
        assert subprocess.run([fault_tool(), str(pid)], stdout=subprocess.PIPE).returncode in (0, GONE)
    else:
        os.kill(pid, kind if isinstance(kind, signal.Signals) else random.choice(FATAL))
    wait_image(pid, before)


def _kept_descriptors(process):
    """But for the spool, which comes and goes with what a client has not read yet; and for what is open for a moment only,
    such as the file of the time zone."""

    def look():
        return collections.Counter(path for path in process.descriptors().values() if "/bundle/#" not in path)

    before = look()
    time.sleep(0.005)
    return sorted((before & look()).elements())


def appearance(pid):
    """What must be the same before and after a crash."""
    process = procfs.Process(pid)
    environment = process.environment()
    environment.pop("CONWARD_STATE", None)
    return {
        "comm": process.comm(),
        "exe": os.readlink(process.path / "exe"),
        "cwd": os.readlink(process.path / "cwd"),
        "cmdline": process.words("cmdline"),
        "environment": environment,
        "descriptors": _kept_descriptors(process),
        "children": sorted(child for child, _ in procfs.children(pid)),
        "oom_score_adj": process.oom_score_adj(),
        "parent, group, session": process.stat()[1:4],
        "signals blocked": sorted(process.signals("SigBlk")),
        "signals ignored": sorted(process.signals("SigIgn")),
        "fatal signals caught": sorted(process.signals("SigCgt").intersection(FATAL)),
    }


def check_appearance(pid, before, but=()):
    """Waits until the monitor looks as it did before, but for some of its features."""

    def changes():
        now = appearance(pid)
        return {key: (before[key], now[key]) for key in before if key not in but and before[key] != now[key]}

    try:
        wait_until(lambda: not changes(), "the monitor to look as before")
    except Late:
        assert not changes(), f"before and after: {changes()}"


def is_idle(pid):
    """Whether a process waits in poll(2)."""
    try:
        return (procfs.Process(pid).path / "syscall").read_text().split()[0] == "7"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_at_rest(pid):
    """Waits until a monitor has done all there was to do."""
    wait_until(lambda: is_idle(pid), "the monitor to wait for news")


def descriptors_at_rest(pid):
    """What it has open then."""
    wait_at_rest(pid)
    return procfs.Process(pid).descriptors()


class _Fault:
    """The fault tool at work: see fault.c."""

    def __init__(self, pid, how, ready):
        self._before = image(pid)
        self._pid = pid
        self._tool = subprocess.Popen([fault_tool(), str(pid), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._tool.stdout.readline() == ready

    def _finish(self, word=b""):
        """Returns when the next image runs, or none any more: whether there was a fault."""
        self._tool.communicate(word, LIMIT)
        assert self._tool.returncode in (0, GONE)
        if self._tool.returncode == GONE:
            return False
        wait_image(self._pid, self._before)
        return True


class HeldFault(_Fault):
    """A monitor that waits for news is stopped there, and faults when it is let go, before it has looked at any."""

    def __init__(self, pid):
        wait_until(lambda: survives_faults(pid) and is_idle(pid), "the monitor to wait for news")
        super().__init__(pid, "hold", b"stopped\n")

    def let_go(self):
        """Returns when the next image runs, or none any more."""
        assert self._finish(b"\n")


class FaultAfter(_Fault):
    """A monitor faults as soon as it has stored what a system call has brought: its next one of that name, or the one of
    that number from now, waits not counted."""

    def __init__(self, pid, call):
        wait_until(lambda: survives_faults(pid), "the monitor to get ready")
        super().__init__(pid, str(call), b"ready\n")

    def wait(self):
        """Until the next image runs, or none any more. Returns whether there was a fault."""
        return self._finish()


class Trouble:
    """Crashes of a container's or a run's monitor in chosen places: see trouble.c."""

    def __init__(self, watched):
        """To be called before it is launched."""
        self.directory = watched.top / "trouble"
        self.directory.mkdir()
        watched.environment.update({"LD_PRELOAD": trouble_library(), "TROUBLE": str(self.directory)})

    def ask_for(self, name):
        (self.directory / name).touch()

    def is_taken(self, name):
        """Whether somebody has that trouble now, or has had it."""
        return not (self.directory / name).exists()

    def make_gate(self):
        """Nobody will write to it; returns its path."""
        path = self.directory / "gate"
        os.mkfifo(path, 0o600)
        return path

    def suspend(self, pid, seconds):
        """As if the machine had been suspended for so long since the beginning, and has just woken: returns when the
        monitor has looked at its deadlines, or has ended."""
        process = procfs.Process(pid)

        def has_looked():
            try:
                return signal.SIGUSR1 not in process.signals("ShdPnd") and is_idle(pid)
            except (FileNotFoundError, ProcessLookupError, KeyError):
                return False

        new = self.directory / "suspend.new"
        new.write_text(str(seconds))
        new.rename(self.directory / "suspend")
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: has_looked() or not process.alive(), "the monitor to wait for news or to end")

    def images(self):
        """The pid of every image of the program, in the order in which they began."""
        return [int(pid) for pid in (self.directory / "images").read_text().split()]


def page(pid):
    """What a monitor's page says, as a dictionary of numbers: see page.c."""
    said = subprocess.run([page_tool(), str(pid)], stdout=subprocess.PIPE, check=True).stdout.decode()
    return {name: int(number) for name, _, number in (line.partition("=") for line in said.splitlines())}


def page_files(pid):
    """What a monitor shows of itself to others, and what lies beside it."""
    directories = [pathlib.Path("/run/conward"), pathlib.Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere"), "conward")]
    return [path for directory in directories for path in directory.glob(f"{pid}-*")]


def damage_page(pid, at, data):
    """Writes to the page itself, which the next image of the monitor is to believe."""
    for fd, target in procfs.Process(pid).descriptors().items():
        if "memfd:conward-page" in target:
            memory = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
            try:
                os.pwrite(memory, data, at)
            finally:
                os.close(memory)
            return
    raise AssertionError("no page among the descriptors")


def table_of(pid):
    """The page's table of descriptors: {number: offset in the page}."""
    now = page(pid)
    found = {}
    with open(f"/proc/{pid}/fd/{now['page_fd']}", "rb") as memory:
        for entry in range(now["fds_most"]):
            at = now["fds_at"] + entry * now["fd_size"]
            number, role = struct.unpack("=iI", os.pread(memory.fileno(), 8, at))
            if role != 0:
                found[number] = at
    return found


def spoil(pid, number):
    """The table says another inode of that descriptor, so that the next image of the monitor finds another file there."""
    damage_page(pid, table_of(pid)[number] + 16, b"\xff" * 8)


# Containers whose monitors crash


class Witness:
    """Sees what a container's monitor says and does at its end: everything exactly once."""

    def __init__(self, container):
        """To be called before create()."""
        self.container = container
        self.commands = container.top / "commands"
        if "--exit-command" not in container.options:
            container.options["--exit-command"] = "/bin/sh"
            container.options["--exit-command-arg"] = ["-c", 'echo began >> "$0"; env >> "$0"', str(self.commands)]
        self.watch = Watch(container.exits, container.persist)

    def check(self, status, reported=None, left=("exit",)):
        """Waits for the end. `reported`: the text of the exit files, if it is not the exit status. `left`: the files in
        the persist directory."""
        container = self.container
        text = str(status if reported is None else reported)
        got = container.wait()
        assert got == status, f"exit status {got} in place of {status}"
        events = self.watch.take()
        self.watch.close()
        for path in (container.exit_file, container.persist / "exit"):
            assert path.read_text() == text, f"{path} holds {path.read_text()} in place of {text}"
            assert events.count((Watch.MOVED_TO, path)) == 1, f"{path} was written more than once"
        assert os.listdir(container.exits) == [container.cid]
        assert sorted(os.listdir(container.persist)) == list(left)
        assert container.line() == b"", "more than one line on the sync pipe"
        if self.commands.exists():
            said = self.commands.read_text()
            assert said.count("began\n") == 1, "the exit command has run more than once"
            assert "CONWARD_STATE" not in said
        else:
            assert container.options["--exit-command"] != "/bin/sh", "the exit command has not run"
        assert not os.path.lexists(container.bundle / "attach")


@contextlib.contextmanager
def reading(client):
    """An attach client is served meanwhile, and to its end; or to a failure, as a container that nobody tells to stop
    could print for ever."""
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        served = threads.submit(engine.receive_all, client)
        try:
            yield
            served.result()
        except BaseException:
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_RDWR)
            raise


def printed(container):
    """What a container that has printed numbered lines should have written."""
    return k8slog.numbered(1, int((container.bundle / "printed").read_text()))


def end(container, go):
    """Tells a container that prints lines that they are enough, and waits until it has written all of them."""
    (container.bundle / "enough").touch()
    wait_until(lambda: (container.bundle / "printed").exists(), "the container to have printed enough")
