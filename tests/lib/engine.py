"""A scripted container engine: it calls the monitor as Podman, CRI-O or conmon's own tests would, with the stub runtime
in the place of runc, and looks at everything that comes back.

    with Container(directory, command="echo hello; exit 3") as container:
        container.create()          # the pid report has been read, the container waits
        container.start()
        assert container.wait() == 3
        assert container.records() == ...

The steps of create() can be taken one by one: launch(), let_go(), report(). Everything that was started is gone when
the `with` block ends, however it ends. Further processes in a container are in exec_engine.py.
"""

import collections
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import resource
import select
import signal
import socket
import struct
import subprocess
import traceback
from dataclasses import dataclass

import k8slog
import procfs
import rest
import traces
from waiting import LIMIT, Late, is_readable, read_to_end, wait_readable, wait_until

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
MARK = "CONWARD_TEST"

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_KILL = 5
_CAP_SYS_ADMIN = 21
_CAP_SYS_RESOURCE = 24
_NOBODYS_USER = 3141592  # who runs nothing else


def conward():
    """The monitor under test."""
    return os.path.abspath(os.environ.get("CONWARD", TOP / "build/src/conward"))


def stub_runtime():
    return os.path.abspath(os.environ.get("STUB_RUNTIME", TOP / "build/tests/stub-runtime"))


def become_subreaper():
    """Makes this process the parent of every monitor whose short-lived parent has gone, so that its exit status can be
    seen."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def obey_file_modes():
    """For a child that is about to execute the monitor: root loses its right to ignore the modes of files."""
    _drop_capabilities(_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH)


def cannot_kill():
    """The same, for its right to send signals to other users' processes: such a one does not end after SIGKILL."""
    _drop_capabilities(_CAP_KILL)


def allow_no_process():
    """The same, so that it cannot fork: root is above that limit, and so are these two capabilities, but a real user of
    its own is not."""
    _drop_capabilities(_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    os.setresuid(_NOBODYS_USER, os.geteuid(), os.geteuid())


def limit_file_size(size):
    """The same, for the size of the files it may write."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _drop_capabilities(*capabilities):
    for capability in capabilities:
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


@dataclass(frozen=True)
class Family:
    """How one kind of engine talks to the monitor."""

    name: str
    api: int
    pipes: str  # "seqpacket", "stream" or "fifo"
    sync_fd: int
    start_fd: int
    start_message: bytes
    attach_fd: int | None = None  # for exec only


PODMAN = Family("podman", 1, "seqpacket", 3, 4, b"\0", 5)
CRIO = Family("crio", 0, "stream", 3, 4, b"\0")
BATS = Family("bats", 0, "fifo", 6, 5, b"start conmon\n")


class Hold:
    """Stops a stub at the place where it looks for the fifos `held` and `hold` in `directory`. `monitor()`: the pid of
    who has nothing to do meanwhile but wait for it, None if there is nobody."""

    def __init__(self, directory, monitor=lambda: None):
        self._monitor = monitor
        os.mkfifo(directory / "held", 0o600)
        self._held = os.open(directory / "held", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # Not opened before let_go(): until then the stub waits in its own open, and has no descriptor more than usual.
        self._path = directory / "hold"
        os.mkfifo(self._path, 0o600)
        self._hold = None

    def wait(self):
        """Waits until the stub is there and returns its pid."""
        return int(read_to_end(self._held, "the stub to be held"))

    def reached(self):
        return is_readable(self._held)

    def let_go(self, status=""):
        """The stub goes on, or ends with the status."""
        pid = self._monitor()
        if pid is not None:
            rest.wait_asleep(pid)
        self._hold = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        os.write(self._hold, f"{status}\n".encode())

    def close(self):
        os.close(self._held)
        if self._hold is not None:
            os.close(self._hold)


class Attach:
    """A client of the attach socket. It connects as Podman does, which works for paths of any length."""

    PACKET = 8193

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A connect to a listener that accepts nobody blocks once its backlog is full.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(LIMIT), 0))
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            self.socket.connect(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        self.packets = []
        self.at_end = False

    def receive(self):
        """Takes one packet if there is one."""
        try:
            packet, _, flags, _ = self.socket.recvmsg(self.PACKET, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        assert not flags & socket.MSG_TRUNC, f"a packet has more than {self.PACKET} bytes"
        if packet:
            assert packet[0] in (2, 3), f"a packet for the unknown stream {packet[0]}"
            assert len(packet) > 1, "a packet without data"
            self.packets.append((packet[0], packet[1:]))
        else:
            self.at_end = True

    def receive_until(self, text, stream="stdout"):
        """Takes packets until `text` is in what they hold."""
        while text not in self.output(stream):
            wait_readable(self.socket, f"{text!r} from the attach socket")
            self.receive()
            assert not self.at_end, f"the end in place of {text!r}; there was {self.output(stream)!r}"

    def send(self, data, size=32768):
        """Sends all of `data` in packets of this size, as fast as they are taken, and the output is taken, too: who
        only sends would wait for a monitor that waits for its reader. At most LIMIT seconds may pass without any
        progress."""
        rest = memoryview(data)
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT | (0 if self.at_end else select.POLLIN))
        while rest:
            ready = poll.poll(LIMIT * 1000)
            if not ready:
                raise Late(f"{len(rest)} bytes wait to be taken as input")
            if ready[0][1] & select.POLLIN:
                self.receive()
                if self.at_end:
                    poll.modify(self.socket, select.POLLOUT)
            rest = rest[self.send_some(rest[:size]) :]

    def send_some(self, data):
        """Sends one packet, if it is taken now; returns how many bytes were sent."""
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def half_close(self):
        """There will be no more input; output is still read."""
        self.socket.shutdown(socket.SHUT_WR)

    def output(self, stream="stdout"):
        number = {"stdout": 2, "stderr": 3}[stream]
        return b"".join(data for packet_stream, data in self.packets if packet_stream == number)

    def close(self):
        self.socket.close()


def receive_all(*clients):
    """Serves all clients until each has seen the end."""
    poll = select.poll()
    waiting = {client.socket.fileno(): client for client in clients if not client.at_end}
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        ready = poll.poll(LIMIT * 1000)
        if not ready:
            raise Late(f"{len(waiting)} attach clients wait for data or the end")
        for fd, _ in ready:
            waiting[fd].receive()
            if waiting[fd].at_end:
                poll.unregister(fd)
                del waiting[fd]


class Watched:
    """What one monitor watches, that monitor, and everything the engine keeps for them.

    `options` is the monitor's command line: an option's value is text, a list of texts for an option given several
    times, True for a flag, None for an option left out. `environment` is the monitor's environment. Both may be changed
    until launch()."""

    def __init__(self, directory, command=None, family=PODMAN, cid="c0ffee0123456789", waits=True):
        """`command`: what the container runs, for sh. `waits`: the container waits for start(); otherwise it runs as
        soon as it exists."""
        self.family = family
        self.cid = cid
        self.top = pathlib.Path(directory)
        self.bundle = self.top / "bundle"
        self.exits = self.top / "exits"
        self.persist = self.top / "persist"
        self.logs = self.top / "logs"
        self.sockets = self.top / "sockets"
        self.log = self.logs / "ctr.log"
        self.cwd = None  # of the monitor, if it is not ours
        self._lay_out()
        self.plan = self.bundle / "stub"
        for path in (self.bundle, self.exits, self.persist, self.logs, self.sockets, self.plan):
            path.mkdir(parents=True, exist_ok=True)
        self.pidfile = self.bundle / self.PIDFILE
        self.monitor_pidfile = self.bundle / "conmon-pidfile"
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "XDG_RUNTIME_DIR": str(self.top),
            "TMPDIR": str(self.top),
            "LC_ALL": "C.UTF-8",
            "TZ": os.environ.get("TZ", "UTC"),
            MARK: str(self.top),
        }
        self.options = self._options()
        self.program = conward()

        self.pid = None  # of the container
        self.monitor = None  # a procfs.Process
        self.page_memory = None  # where its page is, which can be read when it has gone
        self.written = {}  # all that the container writes to a stream, if a test says so: see oracle.py
        self.log_is_whole = True  # nobody else takes anything out of the log,
        self.log_is_its_own = True  # and nothing else is in it, or in files with the names of older ones
        self._first = None  # the process that was started: the monitor's parent, or with --sync the monitor
        self._monitor_status = None
        self._open = []  # what close() has to close
        self._pipes = {}  # name: our end of a pipe to the monitor
        self._pending = {}  # of what has been read of a pipe, behind the last line that was asked for
        self._start = self._fifo_in(self.plan, "start") if waits else None
        if command is not None:
            self.stub("command", command)

    # What kind of thing it is

    PIDFILE = "pidfile"

    def _lay_out(self):
        """Changes the paths that are not where those of a container are."""

    def _options(self):
        """The engine's command line."""
        raise NotImplementedError

    def _key(self):
        """Under which the engine expects numbers on the sync pipe."""
        raise NotImplementedError

    # The monitor's command line

    def arguments(self):
        words = []
        for option, value in self.options.items():
            if value is True:
                words.append(option)
            elif value is not None:
                for one in value if isinstance(value, list) else [value]:
                    words += [option, str(one)]
        return words

    # What the runtime and the container shall do

    def stub(self, name, content=b""):
        """Puts a file into the stub's plan; see stub-runtime.c."""
        (self.plan / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def hold_runtime(self):
        """The runtime will stop until let_go()."""
        return self._keep(Hold(self.plan))

    def hold_runtime_at(self, place):
        """The same, at a place that has a directory of this name in its plan: see stub-runtime.c."""
        (self.plan / place).mkdir()
        return self._keep(Hold(self.plan / place))

    def hold_runtime_at_its_end(self):
        """The same, when it has done everything."""
        return self.hold_runtime_at("last")

    def without_spool(self):
        """A client that stalls makes the container wait, as soon as what memory may hold for it is full. To be called
        before launch()."""
        self.options["--attach-spool-max"] = "0"
        self.options["--attach-stall-timeout"] = "86400"

    def hold_exit_command(self):
        """Sets an exit command that will stop until let_go()."""
        directory = _set_exit_command(self, "container", "cleanup", "--root", self.cid)
        return self._keep(Hold(directory, lambda: self.monitor and self.monitor.pid))

    def fifo(self, name):
        """A fifo in the bundle for the container's script, open here for reading and writing."""
        return self._fifo_in(self.bundle, name)

    # Starting the monitor

    def launch(self, user_fds=(), extra_fds=(), prepare=None):
        """Starts the monitor with the pipes of its engine. `user_fds` come before the pipes, as the descriptors a user
        preserves; `extra_fds` behind them, as Podman's port sockets. `prepare()` is called in the child just before the
        monitor is executed."""
        theirs = self._make_pipes()
        self._stderr, stderr_theirs = os.pipe()
        self._open.append(lambda: os.close(self._stderr))

        first = len(user_fds)
        layout = dict(enumerate(user_fds, start=3))
        layout.update({number + first: fd for number, fd in theirs.items()})
        behind = max(layout) + 1
        layout.update(enumerate(extra_fds, start=behind))
        self.environment["_OCI_SYNCPIPE"] = str(self.family.sync_fd + first)
        self.environment["_OCI_STARTPIPE"] = str(self.family.start_fd + first)
        if self.family.attach_fd in theirs:
            self.environment["_OCI_ATTACHPIPE"] = str(self.family.attach_fd + first)

        self.command_line = [self.program, *self.arguments()]
        self._first = os.fork()
        if self._first == 0:
            self._become_monitor(layout, stderr_theirs, prepare)
        for fd in (*theirs.values(), stderr_theirs):
            os.close(fd)
        return self

    def _make_pipes(self):
        """The monitor's ends: {number in the monitor: descriptor}."""
        start_theirs, self._start_pipe = self._pipe("start", to_monitor=True)
        sync_theirs, self.sync = self._pipe("sync", to_monitor=False)
        return {self.family.start_fd: start_theirs, self.family.sync_fd: sync_theirs}

    def _become_monitor(self, layout, stderr, prepare):
        try:
            os.setpgid(0, 0)
            # Python ignores these two, and an ignored signal outlives execve.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            null = os.open("/dev/null", os.O_RDWR)
            layout = {0: null, 1: stderr, 2: stderr, **layout}
            high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for number, fd in layout.items()}
            for number, fd in high.items():
                os.dup2(fd, number)
            for number in range(3, 200):
                if number not in layout:
                    try:
                        os.close(number)
                    except OSError:
                        pass
            os.closerange(200, 1024)
            if self.cwd is not None:
                os.chdir(self.cwd)
            if prepare is not None:
                prepare()
            os.execve(self.command_line[0], self.command_line, self.environment)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(126)

    def _pipe(self, name, to_monitor):
        """The monitor's and our end of the pipe."""
        if self.family.pipes == "fifo":
            path = self.top / f"{name}-pipe"
            ours = _fifo(path)
            theirs = os.open(path, (os.O_RDONLY if to_monitor else os.O_WRONLY) | os.O_CLOEXEC)
        else:
            kind = socket.SOCK_SEQPACKET if self.family.pipes == "seqpacket" else socket.SOCK_STREAM
            left, right = socket.socketpair(socket.AF_UNIX, kind)
            ours, theirs = left.detach(), right.detach()
        self._pipes[name] = ours
        return theirs, ours

    def say_go(self):
        """The engine's first word, to a monitor that may have refused to start, and be gone, before it came."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._start_pipe, self.family.start_message)

    def let_go(self, status=0):
        """Writes the start message, as an engine does after it has moved the monitor into its cgroup, and waits for the
        started process to end with `status`. Returns what it wrote to its standard error, which also shows that nobody
        holds that pipe any more."""
        self.say_go()
        if self.options.get("--sync"):
            self._know_monitor(self._first)
            return b""
        return self.wait_first(status)

    def first_gate(self):
        """The started process, when it waits for the engine's first word."""
        first = procfs.Process(self._first)
        wait_until(lambda: self.reads_start_pipe(first), "the read of the start pipe's first word")
        return first

    def reads_start_pipe(self, process):
        waiting = ["0", hex(int(self.environment["_OCI_STARTPIPE"]))]  # in read(2) of that descriptor
        try:
            return (process.path / "syscall").read_text().split()[:2] == waiting
        except OSError:
            return False

    def said(self):
        """What was written to the standard output and error that the monitor was started with, until nobody holds them
        any more."""
        return read_to_end(self._stderr, "the monitor to let go of its standard error")

    def wait_first(self, status=0):
        """Waits for the started process to end with `status` and returns what it wrote to standard error."""
        got = self.end_of_first()
        text = self.said()
        assert got == status, f"exit status {got} in place of {status}: {text.decode(errors='replace')}"
        return text

    def end_of_first(self):
        """Waits for the started process to end, and returns its exit status."""
        status = _wait_process(self._first, "the started process to end")
        self._first = None
        if status == 0 and self.monitor_pidfile.exists():
            self._know_monitor(int(self.monitor_pidfile.read_bytes()))
        return status

    def _know_monitor(self, pid):
        self.monitor = procfs.Process(pid)
        self.monitor_pidfd = os.pidfd_open(pid)
        self._open.append(lambda: os.close(self.monitor_pidfd))

    def _know_page(self):
        """Once it is there: when the engine has heard of the container at the latest."""
        if self.page_memory is not None or self.monitor is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            self.page_memory = self.monitor.memory_file("conward-page")
        if self.page_memory is not None:
            self._open.append(lambda: os.close(self.page_memory))

    def line(self, pipe="sync"):
        """The next line on the sync pipe, or b"" at its end. Of a socket that keeps packets, one packet, read as Podman
        reads it."""
        fd = self._pipes[pipe]
        if self.family.pipes == "seqpacket":
            wait_readable(fd, f"a line on the {pipe} pipe")
            with socket.socket(fileno=os.dup(fd)) as packets:
                packet, _, flags, _ = packets.recvmsg(4096)
            assert not flags & socket.MSG_TRUNC, f"a line on the {pipe} pipe has more than 4096 bytes"
            return packet
        data = self._pending.pop(fd, b"")
        while b"\n" not in data:
            wait_readable(fd, f"a line on the {pipe} pipe")
            part = os.read(fd, 65536)
            if not part:
                break
            data += part
        line, newline, self._pending[fd] = data.partition(b"\n")
        return line + newline

    def close_pipe(self, name):
        """The engine loses interest in the pipe, or dies."""
        os.close(self._pipes.pop(name))

    def close_sync(self):
        self.close_pipe("sync")

    def report(self):
        """The next line of the sync pipe as a dictionary. Its number is under "data" whatever the engine's key."""
        line = self.line()
        self._know_page()
        assert line.endswith(b"\n"), f"no line but {line!r} on the sync pipe"
        message = json.loads(line.decode(errors="surrogateescape"))
        key = self._key()
        assert key in message and set(message) <= {key, "message"}, line
        return {**message, "data": message[key]}

    # The life of the container

    def start(self):
        os.write(self._start, b"\n")

    def wait(self):
        """Waits for the end of the monitor and returns its exit status."""
        if self._monitor_status is None:
            self._know_page()
            wait_readable(self.monitor_pidfd, "the monitor to end")
            self._monitor_status = _wait_process(self.monitor.pid, "the monitor")
            if self._first == self.monitor.pid:
                self._first = None
        return self._monitor_status

    def monitor_ended(self):
        return is_readable(self.monitor_pidfd)

    def signal_monitor(self, sig):
        signal.pidfd_send_signal(self.monitor_pidfd, sig)

    def pause_monitor(self):
        """Stops the monitor, and returns when it has stopped."""
        self.signal_monitor(signal.SIGSTOP)
        wait_until(lambda: self.monitor.stat()[0] in "Tt", "the monitor to stop")

    def resume_monitor(self):
        self.signal_monitor(signal.SIGCONT)

    def wait_dead(self):
        """Waits until the container process has ended; it may still be a zombie."""
        wait_until(lambda: not procfs.Process(self.pid).alive(), "the container to end")

    @property
    def exit_file(self):
        return self.exits / self.cid

    def attach(self):
        return self._keep(Attach(self.bundle / "attach"))

    def control(self, text, name="ctl"):
        """Writes to the ctl fifo, as Podman does, or to winsz."""
        fd = os.open(self.bundle / name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, text if isinstance(text, bytes) else text.encode())
        finally:
            os.close(fd)

    # The log

    def records(self):
        return k8slog.records(self.log.read_bytes())

    def output(self, stream="stdout"):
        return k8slog.output(self.records(), stream)

    def wait_log(self, text):
        """Waits until the log contains the bytes."""

        def has_text():
            try:
                return text in self.log.read_bytes()
            except FileNotFoundError:  # it is not there yet, or just being rotated
                return False

        wait_until(has_text, f"{text!r} in the log")

    # The end

    def _fifo_in(self, directory, name):
        fd = _fifo(directory / name)
        self._open.append(lambda: os.close(fd))
        return fd

    def _keep(self, thing):
        self._open.append(thing.close)
        return thing

    def close(self):
        monitor = self.monitor if self._open else None  # else all this has been done
        with contextlib.ExitStack() as stack:
            for close in self._open:
                stack.callback(close)
            for fd in self._pipes.values():
                stack.callback(os.close, fd)
            self._pipes = {}
            self._open = []
            # First of these: closing a fifo would let go who waits for it.
            stack.callback(_kill_marked, self.top)
            if monitor is not None:
                _check_monitor(self, monitor.pid, self._monitor_status)

    def files_of_monitor(self):
        """What is at its places only while it lives."""
        return [self.bundle / "attach", self.sockets / self.cid, *self.bundle.glob("conward-??????/console")]

    def directories_of_monitor(self):
        """Where it makes files, and renames them."""
        return [self.bundle, self.exits, self.persist]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _set_exit_command(watched, *arguments):
    """One for a Hold, whose directory is returned."""
    directory = watched.top / "exit-command"
    directory.mkdir()
    watched.options["--exit-command"] = stub_runtime()
    watched.options["--exit-command-arg"] = ["hold", str(directory), *arguments]
    return directory


class Container(Watched):
    """One container, its monitor and everything the engine keeps for them."""

    def _lay_out(self):
        if self.family.name == "crio":
            self.cwd = self.bundle

    def _options(self):
        shared = {
            "--cid": self.cid,
            "--cuuid": self.cid,
            "--runtime": stub_runtime(),
            "--bundle": str(self.bundle),
            "--container-pidfile": str(self.pidfile),
            "--exit-dir": str(self.exits),
            "--persist-dir": str(self.persist),
            "--conmon-pidfile": str(self.monitor_pidfile),
        }
        if self.family.name == "podman":
            return {
                "--api-version": "1",
                **shared,
                "--name": "quiet_name",
                "--full-attach": True,
                "--runtime-arg": ["--log-format=json", "--log", f"--log={self.top}/oci-log"],
                "--log-path": f"k8s-file:{self.log}",
                "--log-level": "warning",
            }
        if self.family.name == "crio":
            return {
                **shared,
                "--log-path": str(self.log),
                "--log-level": "info",
                "--name": "k8s_quiet_name",
                "--runtime-arg": [f"--root={self.top}/runtime"],
                "--socket-dir-path": str(self.sockets),
            }
        return {**shared, "--log-path": f"k8s-file:{self.log}", "--full-attach": True}

    def _key(self):
        return "data" if self.family.api else "pid"

    def create(self, **how):
        """The whole create flow; returns the container's pid."""
        self.launch(**how)
        self.let_go()
        report = self.report()
        assert report["data"] > 0, report
        self.pid = report["data"]
        return self.pid

    def create_fails(self, **how):
        """The create flow with a runtime that fails; returns the message for the engine."""
        self.launch(**how)
        self.let_go()
        report = self.report()
        assert report["data"] == -1, report
        return report.get("message", "")

    def run(self, **how):
        """create, start, wait: returns the monitor's exit status."""
        self.create(**how)
        self.start()
        return self.wait()


def _without_unit():
    """Our environment without what a service manager says to a unit that the tests may run in."""
    unit = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "SYSTEMD_EXEC_PID")
    return {name: value for name, value in os.environ.items() if name not in unit}


class Run:
    """`conward run`: one command and its monitor, without an engine. `options` as those of a Container."""

    def __init__(self, directory, command):
        """`command`: a script for sh, or the words of another command."""
        self.top = pathlib.Path(directory)
        self.exits = self.top / "exits"
        self.logs = self.top / "logs"
        for path in (self.exits, self.logs):
            path.mkdir(parents=True, exist_ok=True)
        self.command = command
        self.program = conward()
        self.log = self.logs / "run.log"
        self.exit_file = self.exits / "command"
        self.pidfile = self.top / "pidfile"
        self.monitor_pidfile = self.top / "monitor-pidfile"
        self.environment = {"TMPDIR": str(self.top)}  # in addition to our own
        self.options = {
            "--cid": "command",
            "--log-path": f"k8s-file:{self.log}",
            "--exit-dir": str(self.exits),
            "--container-pidfile": str(self.pidfile),
        }
        self._process = None
        self._monitor_status = None
        self._held = None

    def hold_exit_command(self):
        """Sets an exit command that will stop until let_go()."""
        self._held = Hold(_set_exit_command(self), lambda: self.pid)
        return self._held

    def launch(self, closed=(), **how):
        """Starts it, without the given ones of descriptors 0 to 2. `how` is for subprocess.Popen; unless it says
        otherwise, standard input is /dev/null and the output goes to the files `stdout` and `stderr`."""
        words = [self.program, "run"]
        for option, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                words += [option] if one is True else [option, str(one)]
        words += ["--", *(["sh", "-c", self.command] if isinstance(self.command, str) else self.command)]
        before = how.pop("preexec_fn", None)

        def prepare():
            if before is not None:
                before()
            for fd in closed:
                os.close(fd)

        how.setdefault("stdin", subprocess.DEVNULL)
        files = {name: open(self.top / name, "wb") for name in ("stdout", "stderr")}
        try:
            for name, file in files.items():
                how.setdefault(name, file)
            self._process = subprocess.Popen(
                words,
                env={**_without_unit(), "XDG_RUNTIME_DIR": str(self.top), MARK: str(self.top), **self.environment},
                cwd=self.top,
                preexec_fn=prepare,
                **how,
            )
        finally:
            for file in files.values():
                file.close()
        self.pid = self._process.pid
        return self

    def wait(self):
        """Waits for the started process to end and returns its exit status."""
        return self._process.wait(LIMIT)

    def ended(self):
        return self._process.poll() is not None

    def wait_monitor(self):
        """With --detach: waits for the end of the monitor, too, and returns its exit status."""
        assert self.wait() == 0
        self._monitor_status = _wait_process(self.monitor_pid(), "the monitor to end")
        return self._monitor_status

    def monitor_pid(self):
        """The process that was started, or with --detach and --pidfile its child."""
        detached = self.options.get("--detach") and self.monitor_pidfile.exists()
        return int(self.monitor_pidfile.read_bytes()) if detached else self.pid

    def signal(self, sig):
        self._process.send_signal(sig)

    def command_pid(self):
        """The command's pid, once it is in its file."""
        wait_until(self.pidfile.exists, "the command's pid file")
        return int(self.pidfile.read_bytes())

    def records(self):
        return k8slog.records(self.log.read_bytes())

    def output(self, stream="stdout"):
        return k8slog.output(self.records(), stream)

    def files_of_monitor(self):
        return []

    def directories_of_monitor(self):
        return [self.top, self.exits]

    def close(self):
        try:
            if self._process is not None:
                _check_monitor(self, self.monitor_pid(), self._status())
                self._check_words()
        finally:
            _kill_marked(self.top)
            if self._process is not None:
                self._process.wait()
            if self._held is not None:
                self._held.close()

    def _check_words(self):
        """What the monitor says, it says once."""
        said = [line for line in (self.top / "stderr").open("rb") if line.startswith(b"conward: ")]
        repeated = [line for line, times in collections.Counter(said).items() if times > 1]
        assert not repeated, repeated

    def _status(self):
        """That of the monitor, as far as it is known."""
        code = self._process.poll() if self.monitor_pid() == self.pid else None
        return self._monitor_status if code is None else code if code >= 0 else Death(-code)


def _kill_marked(top):
    """Kills every process of a test. Twice nothing: a process in the middle of execve has no environment for a
    moment."""
    mark = _mark(top)
    wait_until(lambda: not _kill_all(mark) and not _kill_all(mark), "the test's processes to die")


def _mark(top):
    """What every process of a test has in its environment."""
    return f"{MARK}={top}".encode()


def _fifo(path):
    """A new fifo, open for both directions: opening it never blocks and what is written waits for the reader."""
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def _wait_process(pid, what):
    """The exit status of our child, or its Death."""
    pidfd = os.pidfd_open(pid)
    try:
        wait_readable(pidfd, what)
    finally:
        os.close(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else Death(-status)


def _check_monitor(watched, pid, status):
    """At the end of a test: while it lives it sleeps, and when it has ended by itself there is nothing left of it.
    `status`: its exit status, if that is known. Of another program than ours nothing is expected."""
    if watched.program != conward():
        return
    mark = _mark(watched.top)
    if procfs.Process(pid).alive():
        rest.wait_asleep_alone(pid, mark)
    elif not _has_died(pid, status):
        tmp = pathlib.Path(watched.environment.get("TMPDIR", watched.top))
        left = traces.of_files(pid, watched.top / "conward", tmp)
        left += [path for path in watched.files_of_monitor() if path.is_socket() or path.is_symlink()]
        left += traces.of_renames(watched.logs, *watched.directories_of_monitor())
        traces.check(left + traces.of_processes(watched.program, mark))


class Death(int):
    """128 + N, of who has died by signal N and not ended with that status."""

    def __new__(cls, number):
        return super().__new__(cls, 128 + number)


def _has_died(pid, status):
    """Whether our child, of which this is known, if anything is, may have died by a signal."""
    if status is None:
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return ended is None or ended.si_code != os.CLD_EXITED
    return status is None or isinstance(status, Death)


def _kill_all(mark):
    """Kills what carries the mark, reaps what has fallen to us, and tells how many were killed."""
    killed = procfs.with_environment(mark)
    for pid in killed:
        procfs.send_signal(pid, signal.SIGKILL)
    for pid, state in procfs.children(os.getpid()):
        if state == "Z":
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
    return len(killed)
