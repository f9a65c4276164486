"""Looking at one monitor: everything that an engine, a runtime, a container, an attach client or an exit command can
see of it is noted under a name, in words that do not depend on pids, directories and clocks. The same scenario with the
other monitor then gives notes that can be compared."""

import hashlib
import os
import re
import resource
import select
import socket
import stat
import subprocess

import engine
import k8slog
import procfs
from exec_engine import Exec, ExecSync
from waiting import Watch, is_readable, wait_readable, wait_until

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device",
}
EVENTS = {Watch.CREATE: "create", Watch.DELETE: "delete", Watch.MOVED_TO: "rename to", Watch.MOVED_FROM: "rename from"}
# Of the test itself, not of a monitor; and where conward keeps its state when it is not root.
OURS = {"stub", "exit-command", "sync-pipe", "start-pipe", "attach-pipe", "conward"}
LONG = 1200  # a note that nobody would read
PACKET = 1 << 16  # more than any line on a sync pipe


class Lab:
    """One scenario with one monitor. `seen` is what was noted."""

    def __init__(self, program, directory):
        self.program = program
        self.directory = directory
        self.seen = {}
        self._replacements = {}
        self._pids = {}
        self._open = []
        self.call(directory, "TOP")
        self.call(program, "MONITOR")
        self.call(engine.stub_runtime(), "RUNTIME")

    def call(self, text, name):
        """`text`, such as a path, is noted as `name`."""
        for form in (str(text), str(text).replace("/", "\\/")):  # the second one is that of JSON
            self._replacements[form] = name

    def call_pid(self, pid, name):
        """The same for a pid, in notes where one may be: any number may be one, also in what a container says."""
        self._pids[str(pid)] = name

    def note(self, name, value):
        assert name not in self.seen, f"{name} was noted already"
        self.seen[name] = value

    def noted(self, name):
        return name in self.seen

    def close(self):
        for thing in reversed(self._open):
            thing.close()

    def _plain(self, value, replacements):
        """The value with names in the place of what is different every time. Done at the end, when all is known."""
        if isinstance(value, bytes):
            value = value.decode(errors="backslashreplace")
        if isinstance(value, str) and len(value) > LONG:
            return f"{len(value)} characters, {hashlib.sha256(value.encode()).hexdigest()[:16]}"
        if isinstance(value, str):
            value = re.sub(r"/conmon-term\.\w{6}", "/conmon-term.*", value)
            value = re.sub(r"/conward-\w{6}/console", "/conward-*/console", value)
            for text, name in replacements.items():
                value = re.sub(rf"(?<!\d){re.escape(text)}(?!\d)", name, value)
            return value
        if isinstance(value, dict):
            return {key: self._plain(one, replacements) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(one, replacements) for one in value]
        return value

    def notes(self):
        names = {name: self._plain(name, self._replacements) for name in self.seen}
        return {names[name]: self._plain_note(name, value) for name, value in self.seen.items()}

    def _plain_note(self, name, value):
        has_pids = re.search("pid|PID|sync pipe", name)
        return self._plain(value, {**self._replacements, **self._pids} if has_pids else self._replacements)

    # What scenarios work with

    def keep(self, thing):
        self._open.append(thing)
        return thing

    def _with_program(self, thing):
        thing.program = self.program
        del thing.environment["TMPDIR"]  # where each puts its sockets is its own affair
        return self.keep(thing)

    def container(self, command="exit 0", **how):
        return self._with_program(engine.Container(self.directory, command, **how))

    def exec(self, command="exit 0", **how):
        """Unlike real ones it waits for start(), so that all clients have been accepted."""
        return self._with_program(Exec(self.directory, command, **{"waits": True, **how}))

    def exec_sync(self, command="exit 0", **how):
        return self._with_program(ExecSync(self.directory, command, **how))

    def life(self, thing, **how):
        return Life(self, thing, **how)

    def command_line(self, *words, environment=(), name=""):
        """Notes what becomes of a command line whose runtime cannot run, until nothing of it runs any more."""
        cwd = self.directory / "cwd"
        cwd.mkdir(parents=True, exist_ok=True)
        pidfile = self.directory / "conmon-pidfile"
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(self.directory)}
        got = subprocess.run(
            [self.program, *(str(word) for word in words), "--conmon-pidfile", str(pidfile)],
            cwd=cwd,
            env={**env, engine.MARK: str(self.directory), **dict(environment)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        if pidfile.exists():
            monitor = int(pidfile.read_bytes())
            pidfile.unlink()
            engine._wait_process(monitor, "the monitor to end")
        self.note(f"{name}status", got.returncode)
        # What is said at the lowest level depends on the machine.
        words = [line for line in got.stderr.splitlines() if line and not line.startswith(b"[conmon:d]: ")]
        self.note(f"{name}standard output and error", [got.stdout.splitlines(), words])
        for path, about in tree(cwd).items():
            self.note(f"{name}file {path}", about)


class Life:
    """What one container or process, its runtime, its clients and its engine see, from the first to the last moment.

    The runtime and the exit command are stopped when they begin, and looked at. With `clients`, somebody is attached
    as early as an engine attaches."""

    def __init__(self, lab, thing, clients=1, exit_command=True, name=""):
        self.lab = lab
        self.thing = thing
        self.name = name
        self.clients = []
        self._wanted_clients = clients
        self._lines = []
        self._watch = lab.keep(Watch(*_directories(thing), mask=sum(EVENTS)))
        self._hold = thing.hold_runtime()
        self._hold_exit = thing.hold_exit_command() if exit_command else None
        lab.call(thing.top, "TOP")

    def note(self, name, value):
        self.lab.note(self.name + name, value)

    # The steps of a life

    def run(self, **how):
        self.create(**how)
        self.start()
        return self.finish()

    def fail(self, **how):
        """The same for a life that ends before it begins."""
        self.create(**how)
        return self.finish()

    def create(self, **how):
        """Up to the report of the pid, or of a failure."""
        self.launch(**how)
        self.runtime()
        self.report()

    def launch(self, **how):
        thing = self.thing
        thing.launch(**how)
        os.write(thing._start_pipe, thing.family.start_message)
        if thing.options.get("--sync"):
            thing._know_monitor(thing._first)
        else:
            self._first_ends()
        if isinstance(thing, Exec) and thing.options.get("--exec-attach"):
            self._lines_of_attach_pipe()
            self._attach()
            self._look_at_monitor()
            thing.go()

    def _first_ends(self):
        self.note("started process, status", self.thing.end_of_first())
        if self.thing.options.get("--log-path") != "passthrough":
            self.note("started process, words", self.thing.said())
        pidfile = self.thing.monitor_pidfile
        if pidfile.exists():
            self.lab.call_pid(self.thing.monitor.pid, "<monitor>")
            self.note("conmon pidfile", f"{pidfile.read_text()} {stat.S_IMODE(pidfile.stat().st_mode):04o}")

    def _lines_of_attach_pipe(self):
        self.note("attach pipe", self._line("attach"))
        self.note("files at the line on the attach pipe", names(self.thing))
        self.note("runtime at the line on the attach pipe", "runs" if self._hold.reached() else "does not run")

    def runtime(self):
        """The runtime begins, is looked at, and goes on."""
        self.runtime_is_there()
        self.runtime_goes_on()

    def runtime_is_there(self):
        pid = self._hold.wait()
        self.lab.call_pid(pid, "<runtime>")
        self.note_process("runtime", procfs.Process(pid))
        self.note("files when the runtime runs", names(self.thing))
        there = (self.thing.bundle / "attach").exists()
        self.note("attach socket when the runtime runs", "there" if there else "missing")

    def runtime_goes_on(self):
        self._hold.let_go()

    def note_process(self, who, process):
        for what, value in look(process, self.thing.monitor.pid).items():
            self.note(f"{who}, {what}", value)
        for name, value in sorted(process.environment().items()):
            self.note(f"{who}, environment {name}", value)

    def report(self, look=True):
        """The engine waits for its answer, if it gets one at the start. The files that are there then may be looked at
        if the container still waits."""
        if isinstance(self.thing, ExecSync):
            return
        line = self._line("sync")
        self._lines.append(line)
        number = re.search(rb": (-?\d+)[,}]", line)
        if number and int(number[1]) > 0:
            self.thing.pid = int(number[1])
            self.lab.call_pid(self.thing.pid, "<container>")
            if look and self.thing._start is not None:
                self.note("files at the report", names(self.thing))
            if not (isinstance(self.thing, Exec) and self.thing.options.get("--exec-attach")):
                self._attach()
                self._look_at_monitor()

    def _attach(self):
        if (self.thing.bundle / "attach").exists():
            self.clients = [self.thing.attach() for _ in range(self._wanted_clients)]

    def _look_at_monitor(self):
        self.note_process("monitor", self.thing.monitor)

    def start(self):
        """All clients are accepted before: conmon may otherwise see the end first, and accept nobody."""
        if self.clients:
            wait_until(lambda: accepted(self.thing.monitor) >= len(self.clients), "the clients to be accepted")
        if self.thing._start is not None:
            if self.thing.pid is not None and "sync" in self.thing._pipes:  # it has been reported
                self.note("sync pipe at the start", "readable" if is_readable(self.thing.sync) else "open and silent")
            self.thing.start()

    def finish(self):
        """The clients see the end, the exit command runs, the monitor ends: returns its status."""
        ends = _serve(self.clients)
        for number, client in enumerate(self.clients, 1):
            self.note(f"client {number}, end", ends[client])
            for stream in ("stdout", "stderr"):
                self.note(f"client {number}, {stream}", client.output(stream))
        if self._hold_exit is not None:
            pid = self._hold_exit.wait()
            self.note_process("exit command", procfs.Process(pid))
            self.note("files when the exit command runs", names(self.thing))
            there = (self.thing.bundle / "attach").exists()
            self.note("attach socket when the exit command runs", "there" if there else "gone")
            self._rest_of_lines()
            self._hold_exit.let_go()
        status = self.thing.wait()
        self._rest_of_lines()
        self.note("sync pipe", self._lines)
        if "attach" in self.thing._pipes:
            self.note("attach pipe at the end", self._rest_of_attach_pipe())
        self.note("status", status)
        if not self.lab.noted(self.name + "started process, words"):
            self.note("words", self.thing.said())
        self._note_files()
        return status

    def _rest_of_lines(self):
        """Everything up to the end of the sync pipe: the engine sees it before the exit command does anything."""
        if "sync" not in self.thing._pipes:
            return
        if self.thing.family.pipes == "fifo" and not isinstance(self.thing, ExecSync):
            # We hold such a pipe open ourselves: it has no end.
            while is_readable(self.thing.sync):
                self._lines.append(self._line("sync"))
            return
        while not self._lines or self._lines[-1] != b"":
            self._lines.append(self._line("sync"))

    def _rest_of_attach_pipe(self):
        """What came after the one line, if anything did: b"" is the end. A fifo has none, as we hold it ourselves."""
        return self._line("attach") if is_readable(self.thing._pipes["attach"]) else None

    def _line(self, pipe):
        """A line of any length: longer ones than an engine reads are to be seen, too."""
        if self.thing.family.pipes != "seqpacket":
            return self.thing.line(pipe)
        fd = self.thing._pipes[pipe]
        wait_readable(fd, f"a line on the {pipe} pipe")
        with socket.socket(fileno=os.dup(fd)) as packets:
            line = packets.recv(PACKET)
        assert line or _hung_up(fd), f"an empty packet on the {pipe} pipe, which an engine takes for the end"
        return line

    def _note_files(self):
        events = order(self._watch.take(), self.thing)
        self._note_removal(events)
        self._note_link(events)
        self.note("order of files", [event for event, after in zip(events, [*events[1:], None]) if event != after])
        self._know_container()
        for name, about in tree(self.thing.top).items():
            self.note(f"file {name}", about)
        for path in sorted(self.thing.log.parent.iterdir()):
            if path.is_file() and path.parent == self.thing.logs or path == self.thing.log:
                self.note_log(path.name, path)

    def _relative(self, directory):
        return getattr(self.thing, directory).relative_to(self.thing.top)

    def _note_removal(self, events):
        """When the attach socket is removed is the same in every life, and compared for itself."""
        removal = f"delete {self._relative('bundle')}/attach"
        results = [at for at, event in enumerate(events) if event.startswith("rename to ") and "logs/" not in event]
        creation = f"create {self._relative('bundle')}/attach"
        made = events.index(creation) if creation in events else 0
        removals = [at for at, event in enumerate(events) if event == removal and at > made]  # earlier: a stale one
        if removals:
            if results:
                self.note("attach socket is removed", "after" if removals[0] > results[0] else "before")
            del events[removals[0]]

    def _note_link(self, events):
        """The same for the link to the bundle."""
        links = [event for event in events if event.split()[1].startswith("sockets/")]
        for event in links:
            if event.startswith("create "):
                socket_at = events.index(f"create {self._relative('bundle')}/attach")
                place = "before" if events.index(event) < socket_at else "after"
                self.note("link to the bundle is made", f"{place} the socket")
        events[:] = [event for event in events if event not in links]

    def _know_container(self):
        """The pid of a container that was not reported."""
        if self.thing.pid is None and self.thing.pidfile.exists():
            text = self.thing.pidfile.read_text().strip()
            if len(text) > 1 and text.isdigit():
                self.lab.call_pid(text, "<container>")

    def note_log(self, name, path):
        """The bytes that can be put together from the log: where it is cut is each monitor's own business."""
        data = path.read_bytes()
        try:
            records = k8slog.records(data, rising=False)
        except AssertionError:
            self.note(f"log {name}, broken", data)
            return
        for stream in ("stdout", "stderr"):
            self.note(f"log {name}, {stream}", k8slog.output(records, stream))


def _hung_up(fd):
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _serve(clients):
    """Takes everything up to the ends, of all clients at once, and returns {client: how it ended}. An end may be hard:
    a client that nobody has accepted is disconnected."""
    ends = {client: "closed" for client in clients if client.at_end}
    while len(ends) < len(clients):
        waiting = {client.socket.fileno(): client for client in clients if client not in ends}
        ready, _, _ = select.select(list(waiting), [], [], engine.LIMIT)
        assert ready, f"{len(waiting)} attach clients wait for data or the end"
        for client in (waiting[fd] for fd in ready):
            try:
                client.receive()
            except ConnectionResetError:
                ends[client] = "reset"
            if client.at_end:
                ends[client] = "closed"
    return ends


def _directories(thing):
    return [path for path in (thing.bundle, thing.exits, thing.persist, thing.logs, thing.sockets) if path.is_dir()]


def names(thing):
    """The files that are there now, but for the attach socket and the link to it, which have notes of their own."""
    return sorted(name for name in tree(thing.top) if not name.startswith("sockets/") and not name.endswith("/attach"))


def tree(top):
    """{path: what is there} of everything below `top` that is the monitor's or the runtime's."""
    found = {}
    for folder, directories, files in os.walk(top):
        directories[:] = [name for name in directories if name not in OURS]
        for name in (*files, *directories):
            path = os.path.join(folder, name)
            if name not in OURS and (os.path.islink(path) or not os.path.isdir(path)):
                found[os.path.relpath(path, top)] = about(path)
    return dict(sorted(found.items()))


def about(path):
    status = os.lstat(path)
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    words = [kind, f"{stat.S_IMODE(status.st_mode):04o}"]
    if kind == "link":
        words.append(os.readlink(path))
    elif kind == "file" and not path.endswith(".log") and "/log-" not in path:
        with open(path, "rb") as file:
            words.append(file.read().decode(errors="backslashreplace"))
    return " ".join(words)


def order(events, thing):
    """What was made, renamed and removed, in order. A temporary file is known by its end: it is renamed within its
    directory, or removed, under a name that is different every time. The pid file of the monitor comes from the started
    process, which runs beside the monitor: its place in the order is nobody's."""
    renamed = {path for mask, path in events if mask == Watch.MOVED_FROM}
    words = []
    for mask, path in events:
        if path in renamed and mask in (Watch.CREATE, Watch.MOVED_FROM):
            continue
        if path == thing.monitor_pidfile or mask not in EVENTS:
            continue
        words.append(f"{EVENTS[mask]} {path.relative_to(thing.top)}")
    return words


def look(process, monitor):
    """What a program finds itself in when the monitor, whose pid is given, has executed it."""
    stat_fields = process.stat()
    parent = procfs.Process(monitor)
    monitor_fields = parent.stat()
    found = {
        "arguments": process.words("cmdline"),
        "working directory": os.readlink(process.path / "cwd"),
        "umask": process.status()["Umask"],
        "oom_score_adj": process.oom_score_adj(),
        "nice": int(stat_fields[16]),
    }
    for fd, target in sorted(process.descriptors().items()):
        # The monitor's own descriptors beyond the standard ones are nobody's business.
        if fd <= 2 or process.pid != monitor:
            found[f"descriptor {fd}"] = descriptor(process, fd, target) if process.pid != monitor else target
    if process.pid == monitor:
        found["name"] = process.comm()
        found["session"] = "its own" if int(stat_fields[3]) == monitor else "not its own"
        found["SIGPIPE"] = "ignored" if 13 in process.signals("SigIgn") else "not ignored"
    else:
        found["parent"] = "the monitor" if int(stat_fields[1]) == monitor else "another process"
        found["session"] = "the monitor's" if stat_fields[3] == monitor_fields[3] else "not the monitor's"
        found["process group"] = "the monitor's" if stat_fields[2] == monitor_fields[2] else "not the monitor's"
        for what, field in (("ignored signals", "SigIgn"), ("blocked signals", "SigBlk")):
            found[what] = sorted(sig.name for sig in process.signals(field))
        found["limit of open files"] = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0]
    return found


def descriptor(process, fd, target):
    path = process.path / "fd" / str(fd)
    status = path.stat()
    flags = int((process.path / "fdinfo" / str(fd)).read_text().split("flags:")[1].split()[0], 8)
    access = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "read and write"}[flags & os.O_ACCMODE]
    words = [re.sub(r"\[\d+\]", "", target), f"{stat.S_IMODE(status.st_mode):04o}", access]
    words += [name for name, bit in (("non-blocking", os.O_NONBLOCK), ("append", os.O_APPEND)) if flags & bit]
    return ", ".join(words)


def accepted(process):
    """The number of attach clients that the monitor holds: sockets under the listener's name that have an inode, which
    the kernel gives them when they are accepted, and that do not listen."""
    inodes = {target[8:-1] for target in process.descriptors().values() if target.startswith("socket:")}
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        lines = [line.split() for line in file]
    return sum(
        words[6] in inodes and words[3] == "00000000" and len(words) > 7 and words[7].endswith("attach")
        for words in lines
    )


def settle(thing):
    """Waits until the monitor has seen everything that was there for it to see. New clients, which it accepts in the
    same loop, show that; three of them, because one event may lead to another. They stay until the end."""
    for _ in range(3):
        attach(thing)


def attach(thing):
    """A client that the monitor has accepted."""
    before = accepted(thing.monitor)
    client = thing.attach()
    wait_until(lambda: accepted(thing.monitor) > before, "the client to be accepted")
    return client
