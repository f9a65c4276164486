"""The monitor crashes at each of its fault points: after every commit, and between the steps of what takes several.
Whatever it was doing is finished by the next image, exactly once.

A build of the program for tests ($FAULTY, default: build/tests/fault-points/conmon) lists its fault points, says which
it passes, and crashes where a test wants it: see tests/fault-points/fault-point.c. A scenario is played once to see
what it passes, and then once for each point and each of its first and last passing. $CRASHES pairs of points are tried
in addition: a crash while the next image resumes.

No list of points is written down here, so none can be forgotten: test_all_points_have_been_tried fails for a new one
that no scenario passes."""

import collections
import contextlib
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess

import pytest

import engine
import k8slog
import memory
import procfs
from crashes import HeldFault, Trouble, Witness, page, page_files, spoil
from engine import CRIO, PODMAN
from exec_engine import Exec, ExecSync
from fake_journal import FakeJournal
from notify import Sender, notifying, unit
from person import Terminal
from waiting import is_readable, wait_until

pytestmark = pytest.mark.survival

PAIRS = int(os.environ.get("CRASHES", "30")) // 3

STUCK = 5  # so many faults without any progress in between are the end

# What no test can make happen.
OUT_OF_REACH = {
    "give_up_killing": "needs a process that does not end after SIGKILL",
    "start_exit_command": "needs a fork that fails",
}


def faulty():
    return os.path.abspath(os.environ.get("FAULTY", engine.TOP / "build/tests/fault-points/conmon"))


def all_points():
    got = subprocess.run([faulty()], env={"FAULT_POINTS": "list"}, stdout=subprocess.PIPE, check=True)
    return got.stdout.decode().split()


def function(point):
    return point.split(":")[1]


# What only a machine with memory on cgroup v1 has; tests/guest crashes at the same points on v2.
OF_MEMORY_CGROUPS = ("open_count", "open_events", "count_kills", "kills_in", "on_event", "monitor_oom_look")
OF_MEMORY_CGROUPS += ("make_directory", "add_undo", "remove_undo", "limit_memory", "cgroup_place_unmake")
# And what only v2 has.
OF_CGROUP_V2 = ("hand_memory_down", "step_aside", "step_back")
# What only OF_TROUBLE comes to: a journal that is away for too long would have to be away for as long otherwise.
OF_LOSING_JOURNALS = ("journal_sender_worked", "lose_line", "lose_newline", "say_loss", "send_newline")


class NotStarted(Exception):
    """The crash came before anything had been begun, and the engine has been told so."""


class Play:
    """One run of a scenario, with crashes at `armed`: {point: at which passing}."""

    def __init__(self, directory, armed):
        self.top = directory
        self.faults = directory / "faults"
        self.faults.mkdir(parents=True)
        (self.faults / "trace").touch()
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

    def passed(self):
        """How often each point was passed."""
        return collections.Counter(self.trace())

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


# Scenarios


def whole_life(play):
    container = play.container(
        command="echo began >> beginnings; echo one; printf two >&2; read word < go; seq 1 3000; "
        "printf %0300d 0 >&2; read word < go; exit 7"
    )
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    wait_until(lambda: len(container.records()) == 2, "the first line, and the beginning of another")
    before = container.logs / "before"
    container.log.rename(before)
    container.control("2 0 0\n")
    wait_until(container.log.exists, "the new log")
    container.control("set log-line-max 256\nset log-partial-flush 2\n")
    wait_until(lambda: page(container.monitor.pid)["log_partial_flush"] == 2, "the new settings")
    os.write(go, b"\n")
    container.wait_log(b" 3000\n")
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["before", "ctr.log"]
    assert (container.bundle / "beginnings").read_text() == "began\n"
    records = k8slog.records(before.read_bytes()) + container.records()
    k8slog.check_rising(records)
    assert max(len(record.content) for record in records) <= 256
    for stream, wanted in (("stdout", b"one\n" + k8slog.numbered(1, 3000)), ("stderr", b"two" + b"0" * 300)):
        assert k8slog.output(records, stream) == wanted
        assert client.output(stream) == wanted


def one_after_the_other(play):
    """An engine with a start socket, stream pipes and a link to the bundle; nothing is logged."""
    container = play.container(command="seq 1 20000; exit 7", family=CRIO)
    container.options["--log-path"] = "none"
    play.create(container)
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == k8slog.numbered(1, 20000)
    assert os.listdir(container.sockets) == []


def stalled(play):
    """A client reads nothing while the container prints more than anybody holds in memory, and then everything."""
    container = play.container(command="seq 1 150000; seq 1 50000 >&2; read word < go; seq 1 20000; exit 7")
    container.options["--attach-spool-max"] = "100000000"
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    container.wait_log(b" 150000\n")
    container.wait_log(b"stderr F 50000\n")
    while not client.output().endswith(b"\n150000\n"):
        client.receive()
        assert not client.at_end
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    for stream, wanted in (
        ("stdout", k8slog.numbered(1, 150000) + k8slog.numbered(1, 20000)),
        ("stderr", k8slog.numbered(1, 50000)),
    ):
        assert client.output(stream) == wanted
        assert container.output(stream) == wanted


def size_limit(play):
    container = play.container(command="seq 1 2000; exit 7")
    container.options["--log-size-max"] = "2000"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
    assert container.log.stat().st_size <= 2000
    assert container.output()
    assert k8slog.numbered(1, 2000).endswith(b"\n" + container.output())
    assert os.listdir(container.logs) == ["ctr.log"]


def rotated(play):
    """By size and on request: every line is in some file, once."""
    container = play.container(command="seq 1 200; read word < go; seq 201 220; exit 7")
    container.options.update({"--log-rotate": True, "--log-max-files": "20", "--log-size-max": "1000"})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    container.wait_log(b" 200\n")
    before = page(container.monitor.pid)
    assert before["rotations"] == before["reopens"] >= 9
    container.control("2 0 0\n")
    wait_until(lambda: page(container.monitor.pid)["rotations"] == before["rotations"] + 1, "the new log")
    os.write(go, b"\n")
    witness.check(7)
    names = set(os.listdir(container.logs)) - {"ctr.log"}
    assert names == {f"ctr.log.{number}" for number in range(1, len(names) + 1)}
    assert len(names) == before["rotations"] + 1
    paths = [container.logs / f"ctr.log.{number}" for number in range(len(names), 0, -1)] + [container.log]
    records = [record for path in paths for record in k8slog.records(path.read_bytes())]
    k8slog.check_rising(records)
    assert k8slog.output(records) == k8slog.numbered(1, 220)


def discarded(play):
    """The same with too few files for all lines."""
    container = play.container(command="seq 1 200; exit 7")
    container.options.update({"--log-rotate": True, "--log-max-files": "2", "--log-size-max": "1000"})
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["ctr.log", "ctr.log.1", "ctr.log.2"]
    paths = [container.logs / "ctr.log.2", container.logs / "ctr.log.1", container.log]
    records = [record for path in paths for record in k8slog.records(path.read_bytes())]
    output = k8slog.output(records)
    assert output.startswith(b"1") and k8slog.numbered(1, 200).endswith(b"\n" + output)
    assert len(records) > 40


def failing_rotation(play):
    """Something is in the way of a request's last step; it is fulfilled when that is gone."""
    container = play.container(command="echo one; read word < go; echo two; exit 7")
    container.options.update({"--log-rotate": True})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    container.wait_log(b"one")
    backup = container.logs / "ctr.log.1"
    backup.mkdir()
    container.control("2 0 0\n")
    wait_until(lambda: page(container.monitor.pid)["rotation_failures"] > 0, "the failure")
    assert b"one" in container.log.read_bytes()
    backup.rmdir()
    wait_until(lambda: page(container.monitor.pid)["rotation_asked"] == 0, "the new log")
    os.write(go, b"\n")
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["ctr.log", "ctr.log.1"]
    assert k8slog.output(k8slog.records(backup.read_bytes())) == b"one\n"
    assert container.output() == b"two\n"


def full_log(play):
    """The file grows up to a limit, in the middle of a record, and no further."""
    limit = 12 << 20
    container = play.container(command="yes 0123456789 | head -c 4000000; exit 7")
    witness = Witness(container)
    container.launch(prepare=engine.limit_file_size(limit))
    container.let_go()
    report = container.report()
    if report["data"] < 0:
        assert container.wait() == 1
        raise NotStarted
    container.pid = report["data"]
    container.start()
    witness.check(7)
    size = container.log.stat().st_size
    assert limit - 100 < size <= limit
    output = container.output()
    assert output == (b"0123456789\n" * 400000)[: len(output)]


def limit_log(container, size):
    """Also limits the file that says which points are passed, so it must not be too small."""
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def container_that_waits(play):
    """For its log, in which a record is torn. Returns the container, its fifo and a witness."""
    container = play.container(command="seq 1 20000; read word < go; exit 7")
    container.options["--log-on-error"] = "wait"
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    limit_log(container, 100_003)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["waits"] == 1, "the container to wait")
    return container, go, witness


def waiting_log(play):
    """The container waits for a log that cannot be written; the file is replaced meanwhile, with a record torn in it."""
    container, go, witness = container_that_waits(play)
    before = container.logs / "before"
    container.log.rename(before)
    container.control("2 0 0\n")
    wait_until(container.log.exists, "the new log")
    limit_log(container, resource.RLIM_INFINITY)
    container.wait_log(b" 20000\n")
    os.write(go, b"\n")
    witness.check(7)
    records = k8slog.records(before.read_bytes()) + container.records()
    assert k8slog.output(records) == k8slog.numbered(1, 20000)


def truncated_log(play):
    """Somebody makes room by truncating a file in which a record is torn."""
    container, go, witness = container_that_waits(play)
    os.truncate(container.log, 0)
    limit_log(container, resource.RLIM_INFINITY)
    container.wait_log(b" 20000\n")
    os.write(go, b"\n")
    witness.check(7)
    assert k8slog.numbered(1, 20000).endswith(b"\n" + container.output())


def told_loss(play):
    """A log that loses output, and then tells it; and another loss that the end tells."""
    container = play.container(command="seq 1 20000; read word < go; seq 20001 40000; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    limit_log(container, 100_003)
    container.start()
    all_read = len(k8slog.numbered(1, 20000))
    wait_until(lambda: page(container.monitor.pid)["stdout_read"] == all_read, "all output")
    limit_log(container, resource.RLIM_INFINITY)
    wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    limit_log(container, container.log.stat().st_size + 100_003)
    os.write(go, b"\n")
    with contextlib.suppress(subprocess.CalledProcessError):  # it may have ended meanwhile
        wait_until(lambda: page(container.monitor.pid)["write_errors"] >= 2, "a failure")
    with contextlib.suppress(ProcessLookupError):
        limit_log(container, resource.RLIM_INFINITY)
    witness.check(7)
    lost, _, rest = k8slog.check_told(container.records(), k8slog.numbered(1, 40000))
    assert lost > 0


def damaged_line(play):
    """A line that loses its end: its newline comes late. And the last line, which has none, gets one."""
    begin = b"x" * 120_000  # the file is longer than the one of the points that are passed
    container = play.container(command="cat begin; read word < go; echo ', end'; read word < go; printf last; exit 7")
    (container.bundle / "begin").write_bytes(begin)
    container.options["--log-close-last-line"] = "yes"
    go = container.fifo("go")
    witness = Witness(container)

    def is_there():
        logged = container.log.read_bytes()
        return logged.count(b"x") == len(begin) and logged.endswith(b"\n")

    play.create(container)
    container.start()
    wait_until(is_there, "the beginning")
    limit_log(container, container.log.stat().st_size)
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["stdout_lost"] == len(", end"), "the loss")
    limit_log(container, resource.RLIM_INFINITY)
    wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    os.write(go, b"\n")
    witness.check(7)
    records = container.records()
    assert k8slog.check_told(k8slog.without_closings(records), begin + b", end\nlast") == (len(", end"), 1, b"")
    assert [(record.tag, record.content) for record in records[-2:]] == [("P", b"last"), ("F", b"")]
    assert len(k8slog.without_closings(records)) == len(records) - 1


def slow_log(play):
    """A container that waits for its rate, and ends before all that it has written is logged."""
    container = play.container(command="seq 1 500; read word < go; seq 501 4000; read word < go; exit 7")
    container.options["--log-rate-limit"] = "1:1000"
    go = container.fifo("go")
    witness = Witness(container)

    def waits():
        return page(container.monitor.pid)["waits"] == 1

    play.create(container)
    container.start()
    wait_until(waits, "the container to wait")
    container.control("set log-rate-limit 100000:1000\n")
    container.wait_log(b" 500\n")
    container.control("set log-rate-limit 1000:1000\n")  # the rest would take 17 seconds
    os.write(go, b"\n")
    wait_until(waits, "the container to wait again")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == k8slog.numbered(1, 4000)


def limited_log(play):
    container = play.container(command="seq 1 5000; read word < go; seq 5001 8000; exit 7")
    container.options.update({"--log-rate-limit": "50000", "--log-rate-policy": "drop"})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    os.write(go, b"\n")
    witness.check(7)
    lost, _, rest = k8slog.check_told(container.records(), k8slog.numbered(1, 8000))
    assert lost > 0 and rest == b""


def unwritable_log(play):
    """A log that waits in vain: until somebody becomes impatient."""
    container = play.container(command="seq 1 5000; exit 7")
    container.options["--log-on-error"] = "wait"
    witness = Witness(container)
    play.create(container)
    limit_log(container, 100_003)
    container.start()
    wait_until(witness.commands.exists, "its exit command")
    container.signal_monitor(signal.SIGTERM)
    witness.check(7)
    output = container.output()
    assert output == k8slog.numbered(1, 5000)[: len(output)]


def long_lines(play):
    """Of both streams at once: one waits for the other's, a while in vain and then until its end."""
    container = play.container(
        command="printf o >&2; read word < go; printf %020000d 0; echo ne >&2; read word < go; echo;"
        "cat content & cat content >&2; wait; exit 7"
    )
    container.options["--log-partial-flush"] = 500
    content = 10 * (b"x" * 60000 + b"\n")
    (container.bundle / "content").write_bytes(content)
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["stderr_read"] == 1, "the beginning of a line")
    os.write(go, b"\n")
    container.wait_log(b" stderr F one\n")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"0" * 20000 + b"\n" + content
    assert container.output("stderr") == b"one\n" + content


def to_the_journal(play):
    """And to a file. The journal stops while more is written than waits for it, and at the end."""
    journal = play.add(FakeJournal(play.top))
    container = play.container("seq 1 300; echo two >&2; read word < go; head -c 1000000 /dev/zero; printf end; exit 7")
    container.options.update(
        {"--log-path": [container.options["--log-path"], "journald"], "--log-on-error": "wait"}
    )
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    journal.wait_output(b"300\n")
    journal.stop()
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["journal_waits"] == 1, "the container to wait")
    journal.go_on()
    witness.check(7)
    wanted = k8slog.numbered(1, 300) + bytes(1_000_000) + b"end"
    wait_until(lambda: len(journal.output()) >= len(wanted), "all output")
    assert (journal.output(), journal.output("stderr")) == (wanted, b"two\n")
    assert (container.output(), container.output("stderr")) == (wanted, b"two\n")
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def with_priorities(play):
    journal = play.add(FakeJournal(play.top))
    container = play.container(
        "printf '<2>'; head -c 60000 /dev/zero; read word < go; head -c 60000 /dev/zero; echo; echo '<4>two' >&2; exit 7"
    )
    container.options.update({"--log-path": "journald", "--log-priority-prefix": True})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    wait_until(lambda: journal.entries, "the beginning of the line")
    os.write(go, b"\n")
    witness.check(7)
    wait_until(lambda: len(journal.all()) == 4, "all output")
    assert (journal.output(), journal.output("stderr")) == (bytes(120_000) + b"\n", b"two\n")
    assert {(entry.stream, entry["PRIORITY"]) for entry in journal.all()} == {("stdout", b"2"), ("stderr", b"4")}
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def large_entries(play):
    journal = play.add(FakeJournal(play.top))
    container = play.container("seq 1 10; exit 7")
    container.options["--log-path"] = "journald"
    container.options["--log-label"] = [f"L_{number}={'x' * 100_000}" for number in range(3)]
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    witness.check(7)
    wait_until(lambda: len(journal.entries) == 10, "all output")
    assert journal.output() == k8slog.numbered(1, 10)
    assert all(entry.is_file for entry in journal.all())


def losing_journal(play):
    """It is away until output is lost, and again at the end: each time in the middle of a line, whose newline is sent
    later, or never."""
    journal = play.add(FakeJournal(play.top))
    begin = b"0" * 49152  # as much as an entry holds
    line = f"printf %0{len(begin) + 1}d 0"
    container = play.container(
        f"{line}; read word < go; echo; seq 2 300; read word < go; {line}; read word < go; echo; seq 301 600; exit 7"
    )
    container.options["--log-path"] = "journald"
    trouble = Trouble(container)
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    journal.wait_output(begin)
    journal.kill()
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["journal_fails"] == 1, "the journal to be missed")
    trouble.suspend(container.monitor.pid, 11)
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent_records"] == 300, "the loss")
    journal.start()
    wait_until(lambda: any(entry.is_loss for entry in list(journal.entries)), "the loss to be told")
    assert journal.told() == (1 + len(k8slog.numbered(2, 300)), 300)
    os.write(go, b"\n")
    wait_until(lambda: journal.output() == begin + b"\n" + begin, "the beginning of another line")
    journal.kill()
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["journal_fails"] == 1, "the journal to be missed")
    trouble.suspend(container.monitor.pid, 22)
    witness.check(7)
    assert journal.output() == begin + b"\n" + begin
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def slow_journal(play):
    """It takes what has waited when the end has been reported."""
    journal = play.add(FakeJournal(play.top))
    journal.stop()
    container = play.container("seq 1 300; exit 7")
    container.options["--log-path"] = "journald"
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    journal.go_on()
    witness.check(7)
    wait_until(lambda: journal.output() == k8slog.numbered(1, 300), "all output")
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def warnings(play):
    """Lines that do not end, one after the other within a minute, and what an engine hears that asks for events."""
    line = "head -c 9000 /dev/zero; read word < go; echo; "
    journal = play.add(FakeJournal(play.top))
    container = play.container(command=3 * line + "kill -9 $$")
    container.options.update({"--log-line-max": "256", "--sync-events": True})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    for count in (1, 2, 3):
        wait_until(lambda: page(container.monitor.pid)["stdout_long_lines"] == count, "the line")
        os.write(go, b"\n")
    wait_until(lambda: container.exit_file.exists() or not container.monitor.alive(), "the end")
    lines = list(iter(container.line, b""))
    assert lines and set(lines) == {b'{"event": "exit", "status": 137, "signal": 9}\n'}
    witness.check(137)
    assert container.output() == 3 * (bytes(9000) + b"\n")
    journal.settle()
    assert journal.events_of("exited")
    assert 2 <= len(journal.events_of("long-line"))


def deaf_journal(play):
    """One that takes nothing when the container starts, hears of that later."""
    journal = play.add(FakeJournal(play.top))
    journal.stop()
    noise = journal.fill()
    container = play.container("read word < go; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["events_held"] > 0, "the start to be held back")
    journal.go_on()
    journal.wait_event("noise", noise - 1)
    os.write(go, b"\n")
    witness.check(7)
    journal.settle()
    assert journal.events_of("exited") and journal.events_of("started")


def flood(play):
    container = play.container(command="head -c 230000000 /dev/zero; exit 7")
    container.options["--log-path"] = "none"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)


def failing_runtime(play, prepare=None):
    container = play.container()
    if prepare is not None:
        container.options["--log-path"] = "journald"
    container.stub("stderr", "a long story\n" * 10000 + "no such thing\n")
    container.stub("exit", "3")
    container.launch(prepare=prepare)
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    if "crashed" in report["message"]:
        assert container.wait() == 1
        raise NotStarted
    assert re.match(r"\[\d+ bytes left out\] ", report["message"])
    assert report["message"].endswith("a long story\nno such thing\n")
    assert container.line() == b""
    assert container.wait() == 1
    assert os.listdir(container.exits) == []


def failing_runtime_and_the_journal(play):
    journal = play.add(FakeJournal(play.top))
    failing_runtime(play, journal.enter)
    journal.settle()
    assert journal.entries == []


def failing_start(play):
    """A monitor that cannot make all that an engine uses; what it has made is gone."""
    container = play.container(family=CRIO)
    (container.bundle / "winsz" / "in-the-way").mkdir(parents=True)
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert container.wait() == 1
    assert not os.path.lexists(container.bundle / "attach")
    assert os.listdir(container.sockets) == []
    assert not container.pidfile.exists()


def child_of_another(play):
    """The container is not our child: its end is seen, its status is not."""
    container = play.container(command="echo hello")
    os.mkfifo(container.plan / "parent")
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(255, reported=-1)
    assert container.output() == b"hello\n"


def notify(play):
    """A host that is full at first: one notification waits with the monitor."""
    container = play.container(command="echo hello; exit 7")
    host = notifying(container)
    full = host.fill()
    witness = Witness(container)
    play.create(container)
    sender = Sender(container)
    sender.send(b"MAINPID=1")
    sender.send(b"STATUS=up\nREADY=1")
    sender.wait_taken()
    for _ in range(full):
        host.receive()
    assert host.receive() == b"STATUS=up\nREADY=1"
    sender.send(b"STOPPING=1")
    assert host.receive() == b"STOPPING=1"
    container.start()
    witness.check(7)
    assert not is_readable(host.socket.fileno())


def passthrough(play):
    """The caller's standard streams are the container's; to the monitor, there is nothing but an end."""
    container = play.container(command="echo hello; exit 7")
    container.options["--log-path"] = "passthrough"
    output = container.top / "output"

    def prepare():
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(fd, number)

    witness = Witness(container)
    play.create(container, prepare=prepare)
    container.start()
    witness.check(7)
    assert output.read_text() == "hello\n", "not a word of the monitor"


def timeout(play):
    container = play.container(command="echo hello; read word < go")
    container.fifo("go")
    container.options["--timeout"] = "1"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(255, reported=-1)
    assert container.output() == b"hello\n"


def hurried(play):
    """The exit command has to wait, until somebody becomes impatient."""
    container = play.container(command="exit 7")
    container.options["--exit-delay"] = "1000"
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    container.signal_monitor(signal.SIGTERM)
    witness.check(7)


def hurried_cleanup(play):
    """The exit command runs already, and is left alone."""
    container = play.container(command="exit 7")
    hold = container.hold_exit_command()
    witness = Witness(container)
    play.create(container)
    container.start()
    hold.wait()
    container.signal_monitor(signal.SIGTERM)
    wait_until(lambda: signal.SIGTERM not in container.monitor.signals("ShdPnd"), "the signal to be taken")
    hold.let_go()
    witness.check(7)


def run(play):
    """A console of which one half has no reader any more."""
    command = play.command("echo began >> beginnings; echo nobody; seq 1 3000 >&2; exit 7")
    reader, writer = os.pipe()
    os.close(reader)
    command.launch(stdout=writer)
    os.close(writer)
    status = command.wait()
    if status == 125 and not command.exit_file.exists():
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert status == 7
    assert command.exit_file.read_text() == "7"
    assert int(command.pidfile.read_text()) > 0
    assert (command.top / "beginnings").read_text() == "began\n"
    assert command.output() == b"nobody\n"
    assert command.output("stderr") == k8slog.numbered(1, 3000)
    said = (command.top / "stderr").read_bytes()  # a message may stand between two parts of a line
    assert re.sub(rb"conward: [^\n]*\n", b"", said) == k8slog.numbered(1, 3000)


def run_of_nothing(play):
    command = play.command(["/nowhere"])
    command.launch()
    assert command.wait() in (125, 127)


def detached_run(play):
    command = play.command("echo began >> beginnings; seq 1 3000; exit 7")
    command.options["--detach"] = True
    command.options["--pidfile"] = command.monitor_pidfile
    command.launch()
    if command.wait() == 125:
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert command.wait_monitor() == 7
    assert command.exit_file.read_text() == "7"
    assert (command.top / "beginnings").read_text() == "began\n"
    assert command.output() == k8slog.numbered(1, 3000)


def run_with_terminal(play):
    """What the person's terminal shows is not looked at: messages stand between the lines."""
    terminal = play.add(Terminal())
    before = terminal.settings()
    command = play.command("echo began >> beginnings; stty size; read word; echo $word; read word; exit 7")
    command.options["--terminal"] = True
    command.launch(**terminal.for_child())
    wait_until(lambda: command.ended() or command.log.exists() and b"33 77" in command.log.read_bytes(), "the size")
    assert terminal.settings() != before or command.ended(), "the terminal is not raw"
    terminal.type(b"key\r")
    wait_until(lambda: command.ended() or command.log.read_bytes().count(b"key") == 2, "the key")
    terminal.type(b"\r")
    status = command.wait()
    assert terminal.settings() == before
    if status == 125 and not command.exit_file.exists():
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert status == 7
    assert (command.top / "beginnings").read_text() == "began\n"
    assert command.output().startswith(b"33 77\r\nkey\r\nkey\r\n")


def told(command, manager):
    """What a unit's service manager is told until the end, but for signs of life and what a crash repeats."""
    before = None
    while True:
        wait_until(lambda: is_readable(manager.socket.fileno()) or command.ended(), "a notification")
        if not is_readable(manager.socket.fileno()):
            return
        word = manager.receive().split(b"\n")[0]
        if word not in (b"WATCHDOG=1", before):
            yield word
            before = word


def run_as_unit(play):
    command = play.command("echo began >> beginnings; echo one; read word < go; echo two; exit 7")
    os.mkfifo(command.top / "go")
    manager = play.add(unit(command, variables=["WATCHDOG_PID"]))
    command.environment["WATCHDOG_USEC"] = "20000"
    command.launch()
    words = told(command, manager)
    if next(words, None) is None:
        assert command.wait() == 125
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    wait_until(lambda: command.output() == b"one\n", "the first line")
    wait_until(lambda: manager.receive().startswith(b"WATCHDOG=1\n"), "a sign of life")
    before = command.logs / "before"
    command.log.rename(before)
    command.signal(signal.SIGHUP)
    assert [next(words), next(words)] == [b"RELOADING=1", b"READY=1"]
    assert command.log.read_bytes() == b""
    (command.top / "go").write_text("\n")
    assert list(words) == [b"STOPPING=1"]
    assert command.wait() == 7
    assert command.exit_file.read_text() == "7"
    assert (command.top / "beginnings").read_text() == "began\n"
    assert k8slog.output(k8slog.records(before.read_bytes())) == b"one\n"
    assert command.output() == b"two\n"


def stubborn_run(play):
    """It is asked to stop, and then killed."""
    command = play.command("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done")
    command.options["--stop-timeout"] = "1"
    command.launch()
    wait_until(lambda: command.ended() or command.log.exists() and command.output(), "the command")
    if command.ended():
        assert command.wait() == 125
        raise NotStarted
    command.signal(signal.SIGTERM)
    assert command.wait() == 137
    assert command.exit_file.read_text() == "137"
    assert command.output() == b"ready\nasked\n"


def attached_exec(play):
    process = play.exec("echo began >> beginnings; echo one; printf two >&2; read word < go; seq 1 3000; exit 7")
    go = process.fifo("go")
    witness = Witness(process)
    client = play.execute(process)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert process.report() == {"data": 7}
    witness.check(7)
    assert (process.bundle / "beginnings").read_text() == "began\n"
    assert client.output() == b"one\n" + k8slog.numbered(1, 3000)
    assert client.output("stderr") == b"two"


def legacy_exec(play):
    process = play.exec_sync("echo began >> beginnings; seq 1 3000; echo two >&2; exit 7")
    process.execute()
    answer = process.answer()
    if answer["data"] < 0:
        assert answer["message"] == "The monitor crashed before it had started anything"
        assert process.wait() == 1
        assert not (process.bundle / "beginnings").exists()
        raise NotStarted
    assert answer == {"data": 7, "exit_code": 7}
    assert process.wait() == 7
    assert (process.bundle / "beginnings").read_text() == "began\n"
    assert process.output() == k8slog.numbered(1, 3000)
    assert process.output("stderr") == b"two\n"


def out_of_memory(play):
    """A process is killed for it, others go on; the cgroup is gone before the container."""
    cgroup = play.add(memory.Cgroup())
    container = play.container(
        command=f"read word < go; {memory.HOG}; {memory.HOG}; echo $$ > {cgroup.path.parent}/cgroup.procs; "
        "echo left; read word < go; exit 7"
    )
    go = container.fifo("go")
    cgroup.take(container)
    witness = Witness(container)
    play.create(container)
    container.start()
    os.write(go, b"\n")
    container.wait_log(b" left\n")
    wait_until(lambda: page(container.monitor.pid)["oom_kills"] == 2, "the kills to be counted")
    wait_until(lambda: page(container.monitor.pid)["oom_told"] == 2, "them to be told")
    wait_until(lambda: page(container.monitor.pid)["oom_looks_again"] == 0, "its next look")
    cgroup.remove()
    os.write(go, b"\n")
    witness.check(7, left=("exit", "oom"))
    assert (container.bundle / "oom").exists()


def run_in_cgroup(play):
    """A command with little memory, in a cgroup that is made for it and is gone when it has ended."""
    cgroup = play.add(memory.Cgroup(make=False))
    command = play.command(f"echo began >> beginnings; {cgroup.without_swap()}; {memory.HOG}; exit 7")
    command.options.update({"--cgroup": cgroup.path, "--memory-max": memory.LIMIT, "--persist-dir": command.top})
    command.launch()
    status = command.wait()
    assert not cgroup.path.exists()
    if status == 125 and not command.exit_file.exists():
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert status == 7
    assert (command.top / "beginnings").read_text() == "began\n"
    assert (command.top / "oom").exists()


def run_in_cgroup_of_nothing(play):
    """What should be in the cgroup cannot be executed."""
    cgroup = play.add(memory.Cgroup(make=False))
    command = play.command(["/nowhere"])
    command.options["--cgroup"] = cgroup.path
    command.launch()
    status = command.wait()
    assert not cgroup.path.exists()
    assert status in (125, 127)


def run_in_cgroup_that_is_there(play):
    """It was not made for the command, and stays."""
    cgroup = play.add(memory.Cgroup())
    command = play.command("exit 7")
    command.options["--cgroup"] = cgroup.path
    command.launch()
    status = command.wait()
    assert cgroup.path.exists()
    assert status == (7 if command.exit_file.exists() else 125)


def late_output(play):
    container = play.container("(while kill -0 $$ 2> /dev/null; do :; done; echo late) & echo hello; exit 7")
    container.options["--late-output"] = "4000"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
    assert container.output() == b"hello\nlate\n"


def with_input(play):
    """More than can wait comes before anybody reads."""
    data = k8slog.numbered(1, 30000)
    container = play.container("echo ready; read word < go; cat > got; exit 7")
    container.options["--stdin"] = True
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    client.send(b"before\n")
    container.start()
    client.receive_until(b"ready\n")
    client.send(data)
    client.half_close()
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    assert (container.bundle / "got").read_bytes() == b"before\n" + data


def with_late_input(play):
    """Who only watches ends nothing, who has sent something does, were it a single packet."""
    container = play.container("cat > got; echo ended; exit 7")
    container.options["--stdin"] = True
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until((container.bundle / "got").exists, "the container to run")
    watcher, client = container.attach(), container.attach()
    watcher.half_close()
    client.send(b"one\n")
    wait_until(lambda: (container.bundle / "got").read_bytes() == b"one\n", "the line")
    client.half_close()
    engine.receive_all(watcher, client)
    witness.check(7)
    assert (container.bundle / "got").read_bytes() == b"one\n"
    assert watcher.output() == client.output() == b"ended\n"


def with_unwanted_input(play):
    """The container closes its input while there is some, and ends while somebody sends more."""
    container = play.container("echo ready; read word < go; exec < /dev/null; echo closed; read word < go; exit 7")
    container.options["--stdin"] = True
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    client.send(bytes(170_000))
    os.write(go, b"\n")
    client.receive_until(b"closed\n")
    client.send(bytes(170_000))
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)


def own_temporary_files(play, container):
    """Returns a directory in which only this container's monitor makes some."""
    tmp = play.top / "tmp"
    tmp.mkdir()
    container.environment["TMPDIR"] = str(tmp)
    return tmp


def with_terminal(play):
    container = play.container("stty -echo; stty size; read word; echo got $word; seq 1 3000; read word; exit 7")
    container.options["--terminal"] = True
    container.stub("console-noise")
    tmp = own_temporary_files(play, container)
    witness = Witness(container)
    try:
        play.create(container)
    finally:
        assert os.listdir(tmp) == []
    container.control("33 77\n", "winsz")
    client = container.attach()
    client.send(b"word\n")
    container.start()
    client.receive_until(b"\n3000\r\n")
    client.send(b"\n")
    engine.receive_all(client)
    witness.check(7)
    output = container.output()
    assert output.endswith(b"got word\r\n" + k8slog.numbered(1, 3000).replace(b"\n", b"\r\n"))
    assert client.output() == output


def without_terminal(play):
    """The runtime does not hand one over."""
    container = play.container()
    container.options["--terminal"] = True
    container.stub("console-silent")
    container.stub("stderr", "no such thing\n")
    tmp = own_temporary_files(play, container)
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert container.line() == b""
    assert container.wait() == 1
    assert os.listdir(tmp) == []
    if "crashed" in report["message"]:
        raise NotStarted
    assert report["message"] == "no such thing\n"


def with_something_that_is_no_terminal(play):
    """It ends before the container does, and what is sent then goes nowhere."""
    container = play.container("echo hello; read line; exec <&- >&- 2>&-; read word < go; exit 7")
    container.options["--terminal"] = True
    container.stub("console-socket")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    client.receive_until(b"hello\n")
    client.send(b"line\n")
    other = container.attach()
    other.send(bytes(1_000_000))
    os.write(go, b"\n")
    engine.receive_all(client, other)
    witness.check(7)
    assert container.output() == client.output() == b"hello\n"
    assert other.output() == b""


def crash_when_taking_over(play, container):
    """From now on, each image crashes before it has done anything, until the limit of such crashes is long passed."""
    point = next(point for point in all_points() if function(point) == "attach_adopt")
    (play.faults / point).write_text(f"-{2 * STUCK}\n")
    os.kill(container.monitor.pid, signal.SIGSEGV)
    wait_until(lambda: (play.faults / point).read_text().strip() == "0", "the last crash")


def refused_descriptor(play):
    """The next image finds another file where the control fifo must be, and does without."""
    container = play.container(command="echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    container.wait_log(b"one")
    fault = HeldFault(container.monitor.pid)
    descriptors = container.monitor.descriptors().items()
    spoil(container.monitor.pid, next(number for number, name in descriptors if name.endswith("/ctl")))
    fault.let_go()
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"one\ntwo\n"


def stuck_at_the_start(play):
    container = play.container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    crash_when_taking_over(play, container)
    assert container.report()["data"] == -1
    assert container.wait() == 1


def stuck_at_the_log(play):
    """Not even the last output can be taken: the report alone is left."""
    container = play.container(command="echo hello; read word < go")
    container.fifo("go")
    point = min(point for point in all_points() if function(point) == "set_flush")
    (play.faults / point).write_text("-100\n")
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(255, reported=-1)
    assert container.output() == b"hello\n"


def stuck_at_the_end(play):
    container = play.container(command="exit 7")
    hold = container.hold_exit_command()
    witness = Witness(container)
    play.create(container)
    container.start()
    hold.wait()
    crash_when_taking_over(play, container)
    hold.let_go()
    witness.check(7)


def takes_trouble():
    """Whether trouble.so can be loaded into the monitor: a sanitizer's own library must come first."""
    return not os.path.exists(faulty()) or b"libasan.so" not in pathlib.Path(faulty()).read_bytes()


OF_TROUBLE = [losing_journal]
OF_MEMORY = [out_of_memory, run_in_cgroup, run_in_cgroup_of_nothing, run_in_cgroup_that_is_there]
SCENARIOS = [
    whole_life,
    one_after_the_other,
    stalled,
    size_limit,
    rotated,
    discarded,
    failing_rotation,
    full_log,
    waiting_log,
    truncated_log,
    told_loss,
    damaged_line,
    slow_log,
    long_lines,
    limited_log,
    unwritable_log,
    warnings,
    deaf_journal,
    flood,
    to_the_journal,
    slow_journal,
    with_priorities,
    large_entries,
    *(OF_TROUBLE if takes_trouble() else []),
    failing_runtime,
    failing_start,
    failing_runtime_and_the_journal,
    child_of_another,
    notify,
    passthrough,
    timeout,
    hurried,
    hurried_cleanup,
    run,
    run_of_nothing,
    detached_run,
    run_with_terminal,
    run_as_unit,
    stubborn_run,
    attached_exec,
    legacy_exec,
    *([] if memory.missing() else OF_MEMORY),
    late_output,
    with_input,
    with_late_input,
    with_unwanted_input,
    with_terminal,
    without_terminal,
    with_something_that_is_no_terminal,
    refused_descriptor,
    stuck_at_the_start,
    stuck_at_the_log,
    stuck_at_the_end,
]


# Playing them


@pytest.fixture(scope="module")
def plays(module_directory):
    """play(scenario, armed) plays a scenario and returns the Play."""
    count = 0

    def play(scenario, armed):
        nonlocal count
        count += 1
        one = Play(module_directory / str(count), armed)
        try:
            scenario(one)
        except NotStarted:
            pass
        finally:
            one.close()
        assert one.left() == []
        play.crashed.update(point for point in armed if one.has_crashed_at(point))
        return one

    play.crashed = set()  # the points at which some play has crashed
    return play


@pytest.fixture(scope="module")
def module_directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("fault-points")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module", autouse=True)
def faulty_program():
    assert os.access(faulty(), os.X_OK), f"{faulty()} is not an executable: build first, or set FAULTY"
    before = os.environ.get("CONWARD")
    os.environ["CONWARD"] = faulty()
    yield
    del os.environ["CONWARD"]
    if before is not None:
        os.environ["CONWARD"] = before


@pytest.fixture(scope="module")
def passed(plays):
    """What each scenario passes when nothing crashes."""
    return {scenario: plays(scenario, {}).passed() for scenario in SCENARIOS}


# Only for what no other scenario passes.
SLOW = (
    full_log,
    failing_rotation,
    limited_log,
    unwritable_log,
    flood,
    losing_journal,
    slow_journal,
    timeout,
    stubborn_run,
    stuck_at_the_start,
    stuck_at_the_log,
    stuck_at_the_end,
)


def crash_at(plays, scenario, armed):
    """Plays a scenario with crashes at the armed points. Not every passing is the same each time: how often a stream is
    read depends on who is faster. So it may end without them."""
    where = ", ".join(f"passing {passing} of {point}" for point, passing in armed.items())
    try:
        return plays(scenario, armed)
    except Exception as error:
        raise AssertionError(f"{scenario.__name__}, crash at {where}: {error!r}") from error


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_each_point(plays, passed, scenario):
    others = set()
    for other in SCENARIOS if scenario in SLOW else []:
        others.update(passed[other] if other is not scenario else {})
    for point, count in passed[scenario].items():
        if point not in others:
            for passing in {1, count}:
                crash_at(plays, scenario, {point: passing})


def of_the_end(trace):
    """The points that are passed when nothing is left to do but to leave, and each passing of them, as {point: passing}."""
    last = max((i for i, point in enumerate(trace) if function(point) == "set_phase"), default=-1)
    before = collections.Counter(trace[: last + 1])
    for point in trace[last + 1 :]:
        before[point] += 1
        yield {point: before[point]}


OF_ALL_ENDS = [whole_life, failing_start, run, run_of_nothing, run_with_terminal]


@pytest.mark.parametrize("scenario", OF_ALL_ENDS, ids=lambda scenario: scenario.__name__)
def test_leaves_nothing_behind(plays, scenario):
    """The monitor's last steps are repeated like all others, until nothing of it is left."""
    ways = list(of_the_end(plays(scenario, {}).trace()))
    assert ways
    for armed in ways:
        crash_at(plays, scenario, armed)


@pytest.mark.parametrize("turn", range(PAIRS))
def test_two_points(plays, passed, turn):
    """The second crash often meets an image that is still taking over."""
    rng = random.Random(turn)
    scenario = rng.choice([scenario for scenario in SCENARIOS if scenario not in SLOW])
    points = sorted(passed[scenario])
    crash_at(plays, scenario, {rng.choice(points): rng.randint(1, 3), rng.choice(points): rng.randint(1, 3)})


def after_a_crash_before_the_start(plays):
    early = next(point for point in all_points() if function(point) == "fds_add")
    play = plays(whole_life, {early: 3})
    return {point: {early: 3, point: 1} for point in play.passed()}


def test_all_points_have_been_tried(plays, passed):
    """The tests above have crashed at all points there are, or it is done now."""
    later = after_a_crash_before_the_start(plays)
    never = set()
    for point in all_points():
        ways = [(scenario, {point: 1}) for scenario in SCENARIOS if point in passed[scenario]]
        if point in later:
            ways.append((whole_life, later[point]))
        for scenario, armed in 5 * ways:
            if point in plays.crashed:
                break
            crash_at(plays, scenario, armed)
        if point not in plays.crashed:
            never.add(function(point))
    assert never == set(OUT_OF_REACH).union(
        OF_CGROUP_V2, OF_MEMORY_CGROUPS if memory.missing() else (), () if takes_trouble() else OF_LOSING_JOURNALS
    )
