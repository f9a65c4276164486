"""conwardctl logs and containers that log to the journal, which is systemd's own here."""

import datetime
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lib"))

import k8slog  # noqa: E402  (found through the path above)
import real_journal  # noqa: E402
from follower import Follower  # noqa: E402
from real_journal import RealJournal  # noqa: E402
from waiting import wait_until  # noqa: E402

OK, WRONG, FAILED = 0, 2, 3
LIMIT = 60
ID = "fedcba9876543210" * 4
NOBODY = 65534

pytestmark = pytest.mark.skipif(real_journal.missing() is not None, reason=str(real_journal.missing()))


def program(variable, name):
    return os.path.abspath(os.environ.get(variable, TOP / "build/src" / name))


def as_user(user):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


class Machine:
    """A journal, and what runs where it is seen."""

    def __init__(self, top):
        self.journal = RealJournal(top)
        self._made = []

    def enter(self, user=0):
        self.journal.enter()
        os.chdir("/")
        if user != 0:
            as_user(user)

    def _words(self, args):
        return [program("CONWARDCTL", "conwardctl"), "logs", *map(str, args)]

    def logs(self, *args, status=OK, user=0, shared=False):
        """Runs it and returns what is on its two streams; `shared`: what is on the one that both are."""
        done = subprocess.run(
            self._words(args),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if shared else subprocess.PIPE,
            preexec_fn=lambda: self.enter(user),
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == status, done
        return done.stdout if shared else (done.stdout, done.stderr)

    def follow(self, *args, user=0):
        process = subprocess.Popen(
            self._words(["--follow", *args]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            preexec_fn=lambda: self.enter(user),
        )
        self._made.append(process)
        return Follower(process)

    def run(self, command, *options, user=0, env=None):
        """`conward run` with that shell command."""
        words = [program("CONWARD", "conward"), "run", "--quiet", "--cid", ID, *map(str, options)]
        process = subprocess.Popen(
            [*words, "--log-path", "journald", "--", "sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: self.enter(user),
            env={**os.environ, **(env or {})},
        )
        self._made.append(process)
        return process

    def send(self, *entries, user=0):
        """Sends entries as they are, each a dictionary, and waits until the journal has them."""
        mark = str(random.getrandbits(64))
        pid = os.fork()
        if pid == 0:
            try:
                os.chdir(self.journal.run / "systemd/journal")
                if user != 0:
                    as_user(user)
                sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                sender.connect("socket")
                for fields in [*entries, {"MESSAGE": "", "MARK": mark}]:
                    sender.send(b"".join(field(name, value) for name, value in fields.items()))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        wait_until(lambda: self.journal.entries(f"MARK={mark}"), "what was sent")

    def close(self):
        for process in self._made:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.journal.close()


def field(name, value):
    data = value if isinstance(value, bytes) else str(value).encode()
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path / "node")
    yield made
    made.close()


def entry(number, message, stream="stdout", **more):
    return {
        "CONTAINER_ID_FULL": ID,
        "CONTAINER_NAME": "web",
        "PRIORITY": {"stdout": 6, "stderr": 3}[stream],
        "CONWARD_SEQ": number,
        "MESSAGE": message,
        **more,
    }


PARTIAL = {"CONTAINER_PARTIAL_MESSAGE": "true"}


# What is shown


def test_all_that_a_container_wrote(machine):
    """To the byte, while it runs and when it has ended, by name, ID and the beginning of the ID."""
    container = machine.run(
        "seq 1 2000; head -c 200000 /dev/zero | tr '\\0' x; echo; printf '\\377\\0\\n\\n'; seq 2001 3000; echo two >&2; read w; "
        "printf end",
        "--name",
        "web",
    )
    machine.journal.wait(3000 + 5 + 2 + 1)
    wanted = k8slog.numbered(1, 2000) + b"x" * 200000 + b"\n\xff\0\n\n" + k8slog.numbered(2001, 3000)
    for word in ("web", ID, ID[:12]):
        assert machine.logs(word) == (wanted, b"two\n")
    assert machine.logs("--stream", "stderr", "web") == (b"", b"two\n")
    container.communicate(b"\n")
    machine.journal.wait(3000 + 5 + 2 + 1 + 1)
    for word in ("web", ID, ID[:4]):
        assert machine.logs(word) == (wanted + b"end", b"two\n")


def test_partial_entries_are_joined(machine):
    machine.send(
        entry(0, b"a", **PARTIAL), entry(1, b"x", "stderr", **PARTIAL), entry(2, b"b\n"), entry(3, b"y\n", "stderr")
    )
    assert machine.logs("web") == (b"ab\n", b"xy\n")
    assert machine.logs("web", shared=True) == b"a\nx\nb\ny\n"


def test_entries_that_hide_that_they_are_partial(machine):
    """--no-container-partial-message"""
    machine.send(entry(0, b"a"), entry(1, b"b\n"))
    assert machine.logs("web")[0] == b"ab\n"


def test_entries_of_conmon(machine):
    """They have no number, and no newline."""
    entries = [entry(0, b"a"), entry(0, b"b", **PARTIAL), entry(0, b"c")]
    for one in entries:
        del one["CONWARD_SEQ"]
    machine.send(*entries)
    assert machine.logs("web")[0] == b"a\nbc\n"


def test_records(machine):
    """--raw shows the records that a file would have."""
    machine.send(entry(0, b"a", **PARTIAL), entry(1, b"\xff\0\n"), entry(2, b"e\n", "stderr"))
    head = rb"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}000[+-]\d\d:\d\d "
    raw, notes = machine.logs("--raw", "web")
    assert re.fullmatch(head + rb"stdout P a\n" + head + rb"stdout F \xff\0\n" + head + rb"stderr F e\n", raw), raw
    assert notes == b""
    stamped = machine.logs("--timestamps", "web")
    assert stamped[0] == raw.split(b" ")[0] + b" a\xff\0\n"
    assert re.fullmatch(head + rb"e\n", stamped[1])
    (machine.journal.run / "0.log").write_bytes(raw)
    assert machine.logs("/run/0.log") == machine.logs("web")


def test_priorities_that_lines_have_said(machine):
    """Then another field says which stream it was."""
    machine.run("echo '<5>one'; echo '<3>two'; echo '<4>three' >&2; exit 0", "--name", "web", "--log-priority-prefix").wait()
    machine.journal.wait(3)
    assert machine.logs("web") == (b"one\ntwo\n", b"three\n")


def test_events(machine):
    """What a monitor says of a container is not its output: neither beside it, nor where there is no other."""
    machine.send(entry(0, "one\n"), {**entry(0, "Exited"), "CONWARD_EVENT": "exited"}, entry(1, "two\n"))
    machine.send({**entry(0, "Started"), "CONTAINER_NAME": "quiet", "CONTAINER_ID_FULL": "9" * 64, "CONWARD_EVENT": "started"})
    assert machine.logs("web") == (b"one\ntwo\n", b"")
    assert b"quiet" in machine.logs("quiet", status=FAILED)[1]


def test_doubles(machine):
    """What a crash inside the send has sent twice."""
    machine.send(entry(0, b"a\n"), entry(0, b"a\n"), entry(1, b"b\n"), entry(1, b"b\n"), entry(2, b"b\n"))
    assert machine.logs("web") == (b"a\nb\nb\n", b"")
    for count, wanted in enumerate([b"", b"b\n", b"b\nb\n", b"a\nb\nb\n", b"a\nb\nb\n"]):
        assert machine.logs("--tail", count, "web") == (wanted, b"")
    # Another monitor of the same container begins anew, and might with the same number.
    machine.send(entry(2, b"c\n"))
    assert machine.logs("web") == (b"a\nb\nb\nc\n", b"")


def test_same_number_and_another_text(machine):
    """The number of what was sent before a crash may be given once more: to the other stream's line, or to a loss."""
    machine.send(entry(0, b"a\n"), entry(0, b"b\n"), entry(0, b"b\n", "stderr"), entry(1, b"c\n"))
    assert machine.logs("web") == (b"a\nb\nc\n", b"b\n")


def test_losses(machine):
    """What the monitor tells of them stands in a line of its own."""
    machine.send(
        entry(0, b"half", **PARTIAL),
        entry(1, b"[conward] lost\n", CONWARD_LOST_BYTES=5, CONWARD_LOST_RECORDS=1),
        entry(2, b"b\n"),
    )
    assert machine.logs("web") == (b"half\n[conward] lost\nb\n", b"")


def test_entries_that_the_journal_has_dropped(machine):
    machine.send(entry(0, b"a\n"), entry(3, b"b\n"), entry(4, b"c\n", "stderr"))
    output, notes = machine.logs("web")
    assert output == b"a\nb\n"
    assert notes.startswith(b"c\nconwardctl: 2 entries that the monitor has sent are not in the journal")
    assert machine.logs("--tail", 2, "web") == (b"b\n", b"c\n")
    assert b"2 entries" in machine.logs("--stream", "stdout", "web")[1]


# Which entries


def tail_of(found, count):
    """The model of --tail: each stream's output, as the last `count` lines of both."""
    lines = []
    open_lines = {}
    for number, (stream, content) in enumerate(found):
        if stream not in open_lines:
            open_lines[stream] = [number, stream, b""]
            lines.append(open_lines[stream])
        line = open_lines[stream]
        line[0] = number
        line[2] += content
        if content.endswith(b"\n"):
            del open_lines[stream]
    last = sorted(lines)[len(lines) - min(count, len(lines)) :]
    return tuple(b"".join(line[2] for line in last if line[1] == stream) for stream in ("stdout", "stderr"))


@pytest.mark.parametrize("seed", range(3))
def test_tail(machine, seed):
    dice = random.Random(seed)
    found = [
        (dice.choice(["stdout", "stderr"]), dice.randbytes(dice.choice([0, 3, 300])).replace(b"\n", b"") + dice.choice([b"", b"\n"]))
        for _ in range(40)
    ]
    machine.send(*(entry(number, content, stream) for number, (stream, content) in enumerate(found)))
    for count in [*range(0, 30, 3), 1000]:
        assert machine.logs("--tail", count, "web") == tail_of(found, count), count


def now(later=0):
    """The time, as an argument, after all that has been sent, and before all that will be; or seconds later."""
    time.sleep(0.002)
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=later)
    time.sleep(0.002)
    return moment.isoformat()


def test_times(machine):
    machine.send(entry(0, b"1\n"))
    first = now()
    machine.send(entry(1, b"2\n"), entry(2, b"3\n"))
    second = now()
    machine.send(entry(3, b"4\n"))
    assert machine.logs("--since", first, "web")[0] == b"2\n3\n4\n"
    assert machine.logs("--until", first, "web")[0] == b"1\n"
    assert machine.logs("--since", first, "--until", second, "web")[0] == b"2\n3\n"
    assert machine.logs("--until", second, "--tail", 1, "web")[0] == b"3\n"
    assert machine.logs("--since", "1h", "web")[0] == b"1\n2\n3\n4\n"
    assert machine.logs("--since", now(), "web")[0] == b""


# Whose entries


def test_words_that_mean_none_or_several(machine):
    other = ID[:10] + "0" * 54
    machine.send(entry(0, b"a\n"), entry(0, b"b\n", CONTAINER_ID_FULL=other, CONTAINER_NAME="other"))
    assert machine.logs(ID[:11])[0] == b"a\n"
    assert machine.logs(other)[0] == b"b\n"
    assert b"Several containers" in machine.logs(ID[:10], status=FAILED)[1]
    for word in ("nobody", ID[:3], "0000"):
        output, notes = machine.logs(word, status=FAILED)
        assert output == b"" and notes.startswith(b"conwardctl: ") and b"the journal has no entry" in notes
    # A name can be given again: the latest is meant.
    machine.send(entry(0, b"new\n", CONTAINER_ID_FULL="1" * 64))
    assert machine.logs("web")[0] == b"new\n"
    assert machine.logs(ID)[0] == b"a\n"


def test_what_others_send_in_the_name_of_a_container(machine):
    container = machine.run("echo true; read w; exit", "--name", "web")
    machine.journal.wait(1)
    machine.send(entry(7, b"forged\n"), user=NOBODY)
    assert machine.logs("web") == machine.logs(ID) == (b"true\n", b"")
    container.communicate(b"\n")
    assert machine.logs("web") == machine.logs(ID) == machine.logs(ID[:5]) == (b"true\n", b"")


def test_container_of_another_user(machine):
    """Root sees what the user's monitor has sent, and nothing of anybody else."""
    runtime = machine.journal.run / f"user/{NOBODY}"
    runtime.mkdir(parents=True)
    os.chown(runtime, NOBODY, NOBODY)
    container = machine.run(
        "echo theirs; read w; exit", "--name", "web", user=NOBODY, env={"XDG_RUNTIME_DIR": f"/run/user/{NOBODY}"}
    )
    machine.journal.wait(1)
    machine.send(entry(7, b"another's\n"))
    assert machine.logs("web") == (b"theirs\n", b"")
    container.communicate(b"\n")
    assert machine.logs("web") == (b"another's\n", b"")


def test_journal_that_may_not_be_read(machine):
    machine.send(entry(0, b"a\n"))
    output, notes = machine.logs("web", status=FAILED, user=NOBODY)
    assert output == b"" and b"systemd-journal or adm" in notes
    runtime = machine.journal.run / f"user/{NOBODY}"
    runtime.mkdir(parents=True)
    os.chown(runtime, NOBODY, NOBODY)
    os.environ["XDG_RUNTIME_DIR"] = f"/run/user/{NOBODY}"
    try:
        machine.run("echo theirs; read w; exit", "--name", "mine", user=NOBODY)
        machine.journal.wait(1, f"_UID={NOBODY}")
        output, notes = machine.logs("mine", status=FAILED, user=NOBODY)
    finally:
        del os.environ["XDG_RUNTIME_DIR"]
    assert output == b"" and b"may not read" in notes and b"systemd-journal or adm" in notes


def test_file_and_journal(machine, tmp_path):
    """The file is preferred."""
    log = tmp_path / "0.log"
    machine.run("echo a; read w; exit", "--name", "both", "--log-path", log)
    machine.journal.wait(1)
    wait_until(lambda: log.read_bytes().endswith(b"a\n"), "the record")
    log.write_bytes(log.read_bytes().replace(b"a\n", b"from the file\n"))
    assert machine.logs("both") == (b"from the file\n", b"")
    assert machine.logs("--journal", "both") == (b"a\n", b"")
    assert machine.logs("--journal", "--no-rotated", "both", status=WRONG)[0] == b""


def test_file_only(machine, tmp_path):
    words = [program("CONWARD", "conward"), "run", "--quiet", "--cid", "file-only", "--log-path", tmp_path / "0.log"]
    process = subprocess.Popen([*words, "--", "sleep", "1000"], preexec_fn=machine.enter)
    try:
        wait_until(lambda: list((machine.journal.run / "conward").glob("*.state")), "a page")
        assert b"its log driver is k8s-file" in machine.logs("--journal", "file-only", status=FAILED)[1]
    finally:
        process.terminate()
        process.wait()


# Following


def test_follow(machine):
    """It ends with the container."""
    container = machine.run("echo a; read w; printf b; read w; echo c; read w; seq 1000; printf end", "--name", "web")
    machine.journal.wait(1)
    follower = machine.follow("web")
    follower.expect(b"a\n")
    follower.wait_idle()
    container.stdin.write(b"\n\n")
    container.stdin.flush()
    follower.expect(b"bc\n")
    container.communicate(b"\n")
    assert follower.ended() == (k8slog.numbered(1, 1000) + b"end", b"")


def test_follow_from_the_last_lines(machine):
    container = machine.run("seq 5; read w; echo 6; read w; echo 7", "--name", "web")
    machine.journal.wait(5)
    followers = [machine.follow("--tail", 0, "web"), machine.follow("--since", now(), ID), machine.follow("--tail", 2, ID[:9])]
    followers[2].expect(b"4\n5\n")
    for follower in followers:
        follower.wait_idle()
    container.stdin.write(b"\n")
    container.stdin.flush()
    for follower in followers:
        follower.expect(b"6\n")
    container.communicate(b"\n")
    for follower in followers:
        assert follower.ended() == (b"7\n", b"")


def test_follow_until_a_time(machine):
    machine.run("echo a; read w; exit", "--name", "web")
    machine.journal.wait(1)
    assert machine.follow("--until", now(later=1), "web").ended() == (b"a\n", b"")


def test_follow_through_a_rotation(machine):
    container = machine.run("echo a; read w; echo b; read w; echo c", "--name", "web")
    machine.journal.wait(1)
    follower = machine.follow("web")
    follower.expect(b"a\n")
    machine.journal.rotate()
    container.stdin.write(b"\n")
    container.stdin.flush()
    follower.expect(b"b\n")
    machine.journal.rotate()
    container.communicate(b"\n")
    assert follower.ended() == (b"c\n", b"")
    assert machine.logs("web")[0] == b"a\nb\nc\n"


def test_follow_what_has_no_page_to_be_read(machine):
    """As for a member of the group that may read the journal."""
    container = machine.run("echo a; read w; echo b; read w; seq 3", "--name", "web")
    machine.journal.wait(1)
    for path in machine.journal.files():
        path.parent.chmod(0o755)
        path.chmod(0o644)
    follower = machine.follow("web", user=NOBODY)
    follower.expect(b"a\n")
    container.stdin.write(b"\n")
    container.stdin.flush()
    follower.expect(b"b\n")
    container.communicate(b"\n")
    assert follower.ended() == (k8slog.numbered(1, 3), b"")


def test_follow_before_there_is_anything(machine):
    container = machine.run("read w; echo a", "--name", "web")
    wait_until(lambda: list((machine.journal.run / "conward").glob("*.state")), "a page")
    followers = [machine.follow("web"), machine.follow("--tail", 1, "web"), machine.follow("--since", "1h", "web")]
    for follower in followers:
        follower.wait_idle()
    container.communicate(b"\n")
    for follower in followers:
        assert follower.ended() == (b"a\n", b"")


def test_follow_to_the_end_of_what_the_journal_has_got(machine):
    """The monitor has gone before the journal has written what it was sent."""
    container = machine.run("seq 1 10; read w; seq 11 15", "--name", "web")
    machine.journal.wait(10)
    follower = machine.follow("web")
    follower.expect(k8slog.numbered(1, 10))
    follower.wait_idle()
    machine.journal.stop()
    container.communicate(b"\n")
    follower.wait_idle(limited=True)
    machine.journal.go_on()
    assert follower.ended() == (k8slog.numbered(11, 15), b"")


def test_follow_does_not_wait_for_ever(machine):
    """The journal has stopped: it is said how much has not come."""
    container = machine.run("echo a; read w; seq 3", "--name", "web")
    machine.journal.wait(1)
    follower = machine.follow("web")
    follower.expect(b"a\n")
    machine.journal.stop()
    container.communicate(b"\n")
    output, notes = follower.ended()
    assert output == b"" and notes.startswith(b"conwardctl: 3 entries that the monitor has sent are not in the journal")


def test_follow_what_has_ended(machine):
    machine.run("echo a", "--name", "web").communicate(b"")
    machine.journal.wait(1)
    assert machine.follow("web").ended() == (b"a\n", b"")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_follow_until_a_signal(machine, sig):
    machine.run("echo a; read w; exit", "--name", "web")
    machine.journal.wait(1)
    follower = machine.follow("web")
    follower.expect(b"a\n")
    follower.wait_idle()
    follower.process.send_signal(sig)
    assert follower.ended() == (b"", b"")


# What it costs


def test_monitor_does_without_libsystemd():
    def libraries(path):
        return subprocess.run(["ldd", path], stdout=subprocess.PIPE, check=True).stdout

    assert b"libsystemd" in libraries(program("CONWARDCTL", "conwardctl"))
    assert b"libsystemd" not in libraries(program("CONWARD", "conward"))
