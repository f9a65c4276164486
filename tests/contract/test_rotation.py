"""Which file the log goes to: rotation by size, on request and by others, what is in the way of it, and what happens when
it fails. All files together, in the order of their numbers, are the log: every line once, in order, in whole records.

$ROTATION_SECONDS (default 3) is how long files are moved away at full speed; $KILLS (default 200) is how many monitors
are killed while they rotate."""

import contextlib
import multiprocessing
import os
import pathlib
import random
import re
import resource
import signal
import stat
import subprocess
import time

import pytest

import engine
import k8slog
import procfs
from crashes import Trouble, page
from waiting import LIMIT, Watch, wait_until

pytestmark = pytest.mark.balanced

SECONDS = float(os.environ.get("ROTATION_SECONDS", "3"))
KILLS = int(os.environ.get("KILLS", "200"))

PRINTS = "i=0; until [ -e enough ]; do seq $((i + 1)) $((i + 1000)); i=$((i + 1000)); done; echo $i > printed"


def backup(log, number):
    return log.with_name(f"{log.name}.{number}")


def backups(log):
    """The older logs, newest first; any other name beside the log is an error."""
    names = set(os.listdir(log.parent)) - {log.name}
    found = []
    for number in range(1, len(names) + 1):
        assert f"{log.name}.{number}" in names, names
        found.append(backup(log, number))
    return found


def sequence(*paths):
    """The records of several files, the oldest first; each must begin and end with a whole one."""
    return [record for path in paths for record in k8slog.records(path.read_bytes())]


def output(log):
    """What a reader of all files gets."""
    return k8slog.output(sequence(*reversed(backups(log)), log))


def numbers(text):
    return [int(line) for line in text.splitlines()]


def is_gapless(found):
    return found == list(range(found[0], found[0] + len(found)))


def rotating(watched, files, size=None):
    watched.options["--log-rotate"] = True
    watched.options["--log-max-files"] = str(files)
    if size is not None:
        watched.options["--log-size-max"] = str(size)
    return watched


def _control(run):
    places = (pathlib.Path("/run/conward"), run.top / "conward")
    found = [path for place in places for path in place.glob(f"{run.pid}-*.ctl")]
    # Killed monitors leave theirs, and one may have had this pid.
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def ask(run):
    """Asks for a new log file, as an engine does."""
    fd = os.open(wait_until(lambda: _control(run), "the control fifo"), os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, b"2 0 0\n")
    os.close(fd)


class Steps:
    """A `conward run` whose command prints a word for each one that it is given, and ends with 5 after the last."""

    def __init__(self, new_run, **options):
        self.run = new_run("while read word < go; do [ $word = end ] && exit 5; echo $word; done")
        os.mkfifo(self.run.top / "go", 0o600)
        self._go = os.open(self.run.top / "go", os.O_RDWR | os.O_CLOEXEC)
        self.run.options["--quiet"] = True
        self.log = self.run.log

    def launch(self, **how):
        self.run.launch(**how)
        return self

    def say(self, word, log=None):
        """Returns when the word is in the log."""
        os.write(self._go, f"{word}\n".encode())
        log = log or self.log
        wait_until(lambda: log.exists() and f" {word}\n".encode() in log.read_bytes(), f"{word!r} in {log}")

    def ask(self):
        ask(self.run)

    def said(self):
        return (self.run.top / "stderr").read_text()

    def wait_said(self, text):
        wait_until(lambda: text in self.said(), f"the message {text!r}")

    def end(self):
        os.write(self._go, b"end\n")
        assert self.run.wait() == 5
        os.close(self._go)


@pytest.fixture
def steps(new_run):
    return Steps(new_run)


def words(*paths):
    return k8slog.output(sequence(*paths)).decode().split()


# By size


@pytest.mark.parametrize("files", [1, 2, 5])
def test_by_size(new_container, files):
    """N old files means N."""
    container = rotating(new_container(command="seq 1 3000"), files, 2000)
    assert container.run() == 0
    found = backups(container.log)
    assert len(found) == files
    for path in [*found, container.log]:
        assert path.stat().st_size <= 2000
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    got = numbers(output(container.log))
    assert is_gapless(got) and got[-1] == 3000
    assert len(got) > files * 2000 // 60, "the old files are full"


@pytest.mark.parametrize("kind", ["run", "container"])
def test_nothing_is_lost_before_the_last_number(new_container, new_run, kind):
    if kind == "run":
        watched = rotating(new_run("seq 1 2000"), 1000, 1000)
        watched.launch()
        assert watched.wait() == 0
    else:
        watched = rotating(new_container(command="seq 1 2000"), 1000, 1000)
        assert watched.run() == 0
    assert len(backups(watched.log)) > 90
    assert output(watched.log) == k8slog.numbered(1, 2000)


def test_record_longer_than_the_limit(new_container):
    container = rotating(new_container(command="echo one; printf %0500d 0; echo; echo two"), 5, 100)
    container.run()
    assert [path.stat().st_size > 100 for path in backups(container.log)] == [True, False]
    assert output(container.log) == b"one\n" + b"0" * 500 + b"\ntwo\n"


@pytest.mark.parametrize("size", [980_000, 986_000, 1_000_000])
def test_long_lines_are_not_cut_in_two_files(new_container, size):
    """Programs that collect logs join the records of one file only."""
    container = rotating(new_container(command="cat content & cat content >&2; wait"), 100, size)
    content = 100 * (b"x" * 60000 + b"\n")
    (container.bundle / "content").write_bytes(content)
    container.run()
    found = backups(container.log)
    assert len(found) >= 10
    assert {sequence(path)[-1].tag for path in found} == {"F"}
    assert max(path.stat().st_size for path in found) <= size + 2 * (k8slog.HEADER + 16384 + 1)
    for stream in ("stdout", "stderr"):
        assert k8slog.output(sequence(*reversed(found), container.log), stream) == content


def test_what_was_in_the_file_counts(new_container):
    container = rotating(new_container(command="echo new"), 2, 120)
    container.log_is_its_own = False
    old = b"2026-08-21T09:05:07.000123456+02:00 stdout F old\n"
    container.log.write_bytes(2 * old)
    container.run()
    assert backup(container.log, 1).read_bytes() == 2 * old
    assert container.output() == b"new\n"


def test_figures(new_container):
    container = rotating(new_container(command="seq 1 500; read word < go"), 3, 1000)
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b" 500\n")
    figures = page(container.monitor.pid)
    assert figures["log_backups"] == 3
    assert figures["rotations"] == figures["reopens"] > 20
    os.write(go, b"\n")
    container.wait()


def test_mode_and_owner_are_kept(new_container):
    """Who could read the log can go on reading it. (What may execute a log?)"""
    container = rotating(new_container(command="seq 1 100"), 1, 1000)
    container.log.touch()
    os.chown(container.log, 12, 34)
    container.log.chmod(0o754)
    container.run()
    for path in (container.log, backup(container.log, 1)):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (12, 34)
    assert stat.S_IMODE(container.log.stat().st_mode) == 0o644


def test_files_beyond_the_limit_are_not_touched(new_container):
    container = rotating(new_container(command="seq 1 500"), 2, 1000)
    container.log_is_its_own = False
    for number in (3, 4):
        backup(container.log, number).write_bytes(b"somebody's\n")
    container.run()
    assert [backup(container.log, number).read_bytes() for number in (3, 4)] == [b"somebody's\n"] * 2
    got = numbers(k8slog.output(sequence(backup(container.log, 2), backup(container.log, 1), container.log)))
    assert is_gapless(got) and got[-1] == 500


# On request


def is_new(log):
    """CRI-O waits for a Create or Write event that names the log."""
    return lambda mask, path: path == log and mask & (Watch.CREATE | Watch.MOVED_TO)


def test_on_request(steps):
    """Without a size, too."""
    rotating(steps.run, 2)
    steps.launch()
    steps.say("one")
    watch = Watch(steps.log.parent)
    steps.ask()
    watch.wait(is_new(steps.log), "the new log")
    watch.close()
    steps.say("two")
    steps.end()
    assert words(backup(steps.log, 1)) == ["one"]
    assert words(steps.log) == ["two"]
    assert len(backups(steps.log)) == 1


def test_request_in_the_middle_of_a_line(new_run):
    """The old file is left behind the end of the line. Until then, and only until then, it is written to."""
    run = rotating(new_run("printf %020000d 0; read word < go; echo end; read word < go; echo more"), 2)
    run.options["--log-partial-flush"] = "never"
    os.mkfifo(run.top / "go", 0o600)
    go = os.open(run.top / "go", os.O_RDWR | os.O_CLOEXEC)
    run.launch()
    wait_until(lambda: run.log.exists() and b" P 000" in run.log.read_bytes(), "the beginning of the line")
    run.signal(signal.SIGSTOP)
    ask(run)
    os.write(go, b"\n")
    wait_until(lambda: procfs.waiting_in_pipe(run.command_pid(), 1) > 0, "the end of the line")
    run.signal(signal.SIGCONT)
    old = backup(run.log, 1)
    wait_until(old.exists, "the new log")
    os.write(go, b"\n")
    assert run.wait() == 0
    os.close(go)
    assert words(old) == ["0" * 20000 + "end"]
    assert words(run.log) == ["more"]


def test_request_in_the_middle_of_a_line_that_goes_on(new_run):
    run = rotating(new_run("printf %020000d 0; read word < go; echo end"), 2)
    os.mkfifo(run.top / "go", 0o600)
    go = os.open(run.top / "go", os.O_RDWR | os.O_CLOEXEC)
    run.launch()
    wait_until(lambda: run.log.exists() and b" P 000" in run.log.read_bytes(), "the beginning of the line")
    ask(run)
    wait_until(backup(run.log, 1).exists, "the new log")
    os.write(go, b"\n")
    assert run.wait() == 0
    os.close(go)
    assert words(backup(run.log, 1), run.log) == ["0" * 20000 + "end"]


def test_an_empty_log_is_not_kept(steps):
    rotating(steps.run, 2)
    steps.launch()
    wait_until(steps.log.exists, "the log")
    watch = Watch(steps.log.parent)
    steps.ask()
    watch.wait(is_new(steps.log), "the new log")
    watch.close()
    steps.say("one")
    steps.end()
    assert backups(steps.log) == []


@pytest.mark.parametrize("there", ["moved", "removed"])
def test_file_that_somebody_has_moved(steps, there):
    """As the kubelet does: there is nothing to shift, and the older files stay where they are."""
    rotating(steps.run, 2)
    backup(steps.log, 1).write_bytes(b"older\n")
    steps.launch()
    steps.say("one")
    moved = steps.log.with_name("moved")
    if there == "moved":
        steps.log.rename(moved)
    else:
        steps.log.unlink()
    watch = Watch(steps.log.parent)
    steps.ask()
    watch.wait(is_new(steps.log), "the new log")
    watch.close()
    steps.say("two")
    steps.end()
    assert words(steps.log) == ["two"]
    assert backup(steps.log, 1).read_bytes() == b"older\n"
    assert not backup(steps.log, 2).exists()
    assert not moved.exists() or words(moved) == ["one"]


def test_file_that_somebody_has_moved_without_a_word(steps):
    """It may be written to until it is full, and then there is a new one."""
    rotating(steps.run, 2, 200)
    steps.launch()
    steps.say("one")
    moved = steps.log.with_name("moved")
    steps.log.rename(moved)
    for word in ("two", "three", "four"):
        steps.say(word, moved)
    steps.say("five")
    steps.end()
    assert words(moved, steps.log) == ["one", "two", "three", "four", "five"]
    assert sorted(os.listdir(steps.log.parent)) == ["moved", "run.log"]


@pytest.mark.survival
@pytest.mark.parametrize("fate", ["moved", "replaced"])
def test_new_file_that_somebody_moves_at_once(steps, fate):
    """As soon as there is a new one, nothing is written to the old one: its readers may be done with it. Only if the new
    one is gone, and was never of use to anybody, the old one stays in use."""
    trouble = Trouble(steps.run)
    gate = os.open(trouble.make_gate(), os.O_RDWR | os.O_CLOEXEC)
    steps.launch()
    steps.say("one")
    old, new = (steps.log.with_name(name) for name in ("old", "new"))
    steps.log.rename(old)
    trouble.ask_for("held-rename")
    steps.ask()
    wait_until(lambda: trouble.is_taken("held-rename"), "the new log")
    if fate == "moved":
        steps.log.rename(new)
    else:
        new.write_bytes(b"")
        new.rename(steps.log)
    os.write(gate, b"\n")
    steps.say("two", new if fate == "moved" else old)
    if fate == "moved":
        steps.ask()
    else:
        steps.wait_said("has now been replaced")
    steps.say("three")
    steps.end()
    os.close(gate)
    assert words(steps.log)[-1] == "three"
    assert words(*([old, new, steps.log] if fate == "moved" else [old, steps.log])) == ["one", "two", "three"]
    assert words(old) == (["one"] if fate == "moved" else ["one", "two"])


def test_file_that_somebody_else_has_put_there(steps):
    """Nothing is lost by a rotation, were it not ours."""
    rotating(steps.run, 2)
    steps.launch()
    steps.say("one")
    moved = steps.log.with_name("moved")
    steps.log.rename(moved)
    steps.log.write_bytes(b"somebody's\n")
    steps.ask()
    wait_until(lambda: backup(steps.log, 1).exists() and steps.log.exists(), "the new log")
    steps.say("two")
    steps.end()
    assert backup(steps.log, 1).read_bytes() == b"somebody's\n"
    assert words(moved, steps.log) == ["one", "two"]


def test_older_files_that_somebody_has_removed(new_container):
    """Only what is in the way moves up."""
    container = rotating(new_container(command="seq 1 15"), 3, 1000)  # one rotation would need 20 lines
    container.log_is_its_own = False
    backup(container.log, 2).write_bytes(b"older\n")
    container.log.write_bytes(b"2026-08-21T09:05:07.000123456+02:00 stdout F old\n" * 19)
    container.run()
    assert backup(container.log, 2).read_bytes() == b"older\n"
    assert backup(container.log, 1).stat().st_size <= 1000
    assert not backup(container.log, 3).exists()


# What is in the way


@pytest.mark.parametrize("what", ["file", "link", "fifo"])
def test_stale_temporary_file(new_container, what):
    """It is removed, and neither followed nor written to."""
    container = rotating(new_container(command="seq 1 100"), 1, 1000)
    victim = container.top / "victim"
    victim.write_bytes(b"precious")
    stale = container.log.with_name("ctr.log.tmp")
    if what == "file":
        stale.write_bytes(b"stale")
    elif what == "link":
        stale.symlink_to(victim)
    else:
        os.mkfifo(stale)
    container.run()
    assert victim.read_bytes() == b"precious"
    got = numbers(output(container.log))
    assert is_gapless(got) and got[-1] == 100


@pytest.mark.parametrize("files", [1, 3])
def test_link_under_the_name_of_an_older_file(new_container, files):
    """It is moved or removed like a file, and never followed."""
    container = rotating(new_container(command="seq 1 500"), files, 1000)
    victim = container.top / "victim"
    victim.write_bytes(b"precious")
    for number in range(1, files + 1):
        backup(container.log, number).symlink_to(victim)
    container.run()
    assert victim.read_bytes() == b"precious"
    got = numbers(output(container.log))
    assert is_gapless(got) and got[-1] == 500


# Symbolic links


def test_log_at_a_link(new_container):
    """It is the file that the link leads to; the link stays."""
    container = rotating(new_container(command="seq 1 100"), 2, 1000)
    target = container.top / "elsewhere" / "real.log"
    target.parent.mkdir()
    container.log.symlink_to("../elsewhere/real.log")
    container.run()
    assert os.readlink(container.log) == "../elsewhere/real.log"
    assert os.listdir(container.logs) == ["ctr.log"]
    assert len(backups(target)) == 2
    got = numbers(output(target))
    assert is_gapless(got) and got[-1] == 100


def put_link_at_the_log(steps, victim):
    steps.log.rename(steps.log.with_name("old"))
    steps.log.symlink_to(victim)


def put_link_at_the_directory(steps, victim):
    steps.log.parent.rename(steps.run.top / "old-logs")
    steps.log.parent.symlink_to(victim.parent)


def put_link_above_the_directory(steps, victim):
    """`deep` is above the log's directory."""
    deep = steps.log.parent.parent
    deep.rename(steps.run.top / "old-deep")
    deep.symlink_to(victim.parent)


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("plant", [put_link_at_the_log, put_link_at_the_directory, put_link_above_the_directory])
def test_link_that_is_planted_later(steps, plant, rotates):
    """Who may write to a directory of logs cannot choose where the monitor makes files, or which it replaces. When
    things are as they were, the request is fulfilled."""
    steps.log = steps.run.top / "deep" / "logs" / "run.log"
    steps.log.parent.mkdir(parents=True)
    steps.run.options["--log-path"] = steps.log
    if rotates:
        rotating(steps.run, 2)
    victim = steps.run.top / "precious" / "run.log"
    (victim.parent / "logs").mkdir(parents=True)
    victim.write_bytes(b"precious")
    steps.launch()
    steps.say("one")
    old = os.open(steps.log, os.O_RDONLY)
    plant(steps, victim)
    steps.ask()
    steps.wait_said("Cannot replace the log")
    os.write(steps._go, b"two\n")
    wait_until(lambda: b" two\n" in os.pread(old, 1000, 0), "the word in the old file")
    assert victim.read_bytes() == b"precious"
    assert sorted(os.listdir(victim.parent)) == ["logs", "run.log"] and os.listdir(victim.parent / "logs") == []
    for link in (steps.log, steps.log.parent, steps.log.parent.parent):
        if link.is_symlink():
            link.unlink()
    for there, back in (("old-deep", steps.log.parent.parent), ("old-logs", steps.log.parent)):
        if (steps.run.top / there).exists():
            (steps.run.top / there).rename(back)
    steps.wait_said("has now been replaced")
    steps.say("three")
    assert b" three\n" not in os.pread(old, 1000, 0)
    steps.end()
    os.close(old)
    assert steps.said().count("Cannot replace the log") == 1


# --log-allowlist-dir


@pytest.fixture
def allowed(new_container):
    def refused(container):
        """By the started process, before there is anything; returns its words."""
        container.launch()
        text = container.wait_first(1).decode()
        assert not container.monitor_pidfile.exists()
        return text

    container = new_container(command="seq 1 100")
    rotating(container, 1, 1000)
    container.refused = lambda: refused(container)
    return container


@pytest.mark.parametrize("where", ["itself", "above", "second", "link", "root"])
def test_allowed_directory(allowed, where):
    link = allowed.top / "link"
    link.symlink_to(allowed.logs)
    allowed.options["--log-allowlist-dir"] = {
        "itself": str(allowed.logs),
        "above": str(allowed.top),
        "second": ["/nonexistent", str(allowed.logs) + "/"],
        "link": str(link),
        "root": "/",
    }[where]
    assert allowed.run() == 0
    assert len(backups(allowed.log)) == 1


@pytest.mark.parametrize("where", ["beside", "prefix", "below", "nonexistent", "empty"])
def test_directory_that_is_not_allowed(allowed, where):
    (allowed.top / "log").mkdir()
    (allowed.logs / "deep").mkdir()
    allowed.options["--log-allowlist-dir"] = {
        "beside": str(allowed.bundle),
        "prefix": str(allowed.top / "log"),
        "below": str(allowed.logs / "deep"),
        "nonexistent": "/nonexistent",
        "empty": "",
    }[where]
    text = allowed.refused()
    assert text.startswith(f"[conmon:e]: The log {allowed.log} is in {allowed.logs}, "), text
    assert "--log-allowlist-dir" in text
    assert not allowed.log.exists()


@pytest.mark.parametrize("link", ["file", "directory"])
def test_link_out_of_the_allowed_directory(allowed, link):
    outside = allowed.top / "outside"
    outside.mkdir()
    allowed.options["--log-allowlist-dir"] = str(allowed.logs)
    if link == "file":
        allowed.log.symlink_to(outside / "ctr.log")
    else:
        (allowed.logs / "deep").symlink_to(outside)
        allowed.options["--log-path"] = f"k8s-file:{allowed.logs}/deep/ctr.log"
    assert f"is in {outside}," in allowed.refused()
    assert os.listdir(outside) == []


def test_directory_that_is_not_allowed_any_more(steps):
    """The allowed directory is looked up each time."""
    link = steps.run.top / "allowed"
    link.symlink_to(steps.log.parent)
    steps.run.options["--log-allowlist-dir"] = link
    rotating(steps.run, 1).launch()
    steps.say("one")
    link.unlink()
    steps.ask()
    steps.wait_said("--log-allowlist-dir")
    steps.say("two")
    link.symlink_to(steps.log.parent)
    steps.wait_said("has now been replaced")
    steps.say("three")
    steps.end()
    assert words(backup(steps.log, 1)) == ["one", "two"]


# Failures


class Hindrance:
    """Something that makes a rotation impossible, until it is gone."""

    def __init__(self, steps):
        self.steps = steps
        self.log = steps.log

    def prepare(self):
        """Before the start."""

    def mend(self):
        raise NotImplementedError

    def old(self):
        """Where the old file is while it is in the way, and where it will be."""
        return self.log, backup(self.log, 1)


class NoDirectory(Hindrance):
    def put(self):
        self.away = self.steps.run.top / "away"
        self.log.parent.rename(self.away)

    def mend(self):
        """With another directory of that name."""
        self.log.parent.mkdir()

    def old(self):
        return (self.away / self.log.name,) * 2


class ReadOnlyDirectory(Hindrance):
    def put(self):
        self.log.parent.chmod(0o555)

    def mend(self):
        self.log.parent.chmod(0o755)


class DirectoryAtThePath(Hindrance):
    def put(self):
        self.moved = self.log.with_name("moved")
        self.log.rename(self.moved)
        self.log.mkdir()

    def mend(self):
        self.log.rmdir()

    def old(self):
        return self.moved, self.moved


class DirectoryAtTheBackup(Hindrance):
    """The last step fails that can."""

    def put(self):
        backup(self.log, 1).mkdir()

    def mend(self):
        backup(self.log, 1).rmdir()


class NoDescriptors(Hindrance):
    def put(self):
        pid = self.steps.run.pid
        self.limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 1, self.limit[1]))

    def mend(self):
        resource.prlimit(self.steps.run.pid, resource.RLIMIT_NOFILE, self.limit)


class Tmpfs(Hindrance):
    def prepare(self, options="size=1m,nr_inodes=5"):
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.log.parent], capture_output=True)
        if mounted.returncode != 0:
            pytest.skip(f"no tmpfs: {mounted.stderr.decode()}")

    def remove(self):
        subprocess.run(["umount", "-l", self.log.parent], check=True)


class NoInodes(Tmpfs):
    def put(self):
        self.made = []
        with contextlib.suppress(OSError):
            while True:
                path = self.log.with_name(f"filler-{len(self.made)}")
                path.touch()
                self.made.append(path)

    def mend(self):
        for path in self.made:
            path.unlink()


HINDRANCES = [NoDirectory, ReadOnlyDirectory, DirectoryAtThePath, DirectoryAtTheBackup, NoDescriptors, NoInodes]


@pytest.fixture
def hindrance(request, steps):
    one = request.param(steps)
    one.prepare()
    yield one
    if hasattr(one, "remove"):
        one.remove()


@pytest.mark.parametrize("hindrance", HINDRANCES, indirect=True, ids=lambda kind: kind.__name__)
def test_request_that_cannot_be_fulfilled(steps, hindrance):
    """The old file stays in use, and the new one comes by itself as soon as it can: somebody waits for it."""
    rotating(steps.run, 1)
    steps.launch(preexec_fn=engine.obey_file_modes)
    steps.say("one")
    hindrance.put()
    old, later = hindrance.old()
    steps.ask()
    steps.wait_said("Cannot replace the log")
    steps.say("two", old)
    if old == steps.log:
        assert not backup(steps.log, 1).is_file(), "the readers of the log still find it at its path"
    assert page(steps.run.pid)["rotation_asked"] == 1
    hindrance.mend()
    steps.wait_said("has now been replaced")
    assert page(steps.run.pid)["rotation_asked"] == 0
    steps.say("three")
    assert words(later) == ["one", "two"]
    assert words(steps.log) == ["three"]
    steps.end()
    assert steps.said().count("Cannot replace the log") == 1, "said once"
    assert "tried again until it succeeds" in steps.said()


@pytest.mark.parametrize(
    "hindrance, rotates",
    [(kind, rotates) for kind in HINDRANCES for rotates in (True, False) if rotates or kind is not DirectoryAtTheBackup],
    indirect=["hindrance"],
    ids=lambda value: value.__name__ if isinstance(value, type) else "kept" if value else "discarded",
)
def test_size_limit_that_cannot_be_kept(steps, hindrance, rotates):
    """It is tried again, but not at every record: the new file comes with one of those that follow."""
    steps.run.options["--log-size-max"] = "110"
    if rotates:
        rotating(steps.run, 1)
    steps.launch(preexec_fn=engine.obey_file_modes)
    for word in ("one", "two"):
        steps.say(word)
    hindrance.put()
    old, later = hindrance.old()
    for word in ("three", "four", "five"):
        steps.say(word, old)
    assert "beyond --log-size-max" in steps.said()
    hindrance.mend()
    kept = os.open(old, os.O_RDONLY)
    said = []

    def is_in_new():
        """Where the next word has gone; None as long as it is in neither file."""
        text = f" {said[-1]}\n".encode()
        if text in os.pread(kept, 1 << 20, 0):
            return "no"
        return "yes" if steps.log.is_file() and text in steps.log.read_bytes() else None

    while not said or is_in_new() == "no":
        said.append(f"word-{len(said)}")
        os.write(steps._go, f"{said[-1]}\n".encode())
        wait_until(is_in_new, "the word in some file")
    steps.wait_said("has now been replaced")
    assert words(steps.log) == said[-1:]
    first = k8slog.output(k8slog.records(os.pread(kept, 1 << 20, 0))).decode().split()
    assert first == ["one", "two", "three", "four", "five", *said[:-1]]
    if rotates:
        assert words(later) == first
    os.close(kept)
    steps.end()
    assert steps.said().count("Cannot replace the log") == 1, "said once"


def test_full_disk(steps):
    """A rotation makes no room; what is lost is counted, and the rotated files are whole."""
    tmpfs = Tmpfs(steps)
    tmpfs.prepare("size=128k")
    try:
        rotating(steps.run, 100, 8000)
        steps.run.command = "seq 1 6000; read word < go; exit 5"
        steps.launch()
        steps.wait_said("Failed to write the log")
        assert len(list(steps.log.parent.glob("run.log.*"))) >= 10, "and perhaps it is just rotated again"
        os.write(steps._go, b"end\n")
        assert steps.run.wait() == 5
        got = numbers(output(steps.log))
        assert got == sorted(set(got)) and got[0] == 1, "in order, none twice"
        lost = int(re.search(r"Lost (\d+) bytes in \d+ records of stdout", steps.said())[1])
        assert lost + len(output(steps.log)) == len(k8slog.numbered(1, 6000))
    finally:
        tmpfs.remove()


# By others


def test_copytruncate(new_container):
    """As logrotate does it. What comes between its copy and its truncation is its loss; but there are no holes and
    no torn records, nothing comes twice, and the size counts from what is there."""
    limit = 300_000
    container = rotating(new_container(command=PRINTS), 2, limit)
    container.log_is_whole = False
    container.create()
    container.start()

    def has_some():
        return container.log.exists() and container.log.stat().st_size > 50_000

    for _ in range(20):
        wait_until(has_some, "some output")
        with contextlib.suppress(FileNotFoundError), open(container.log, "r+b") as log:
            log.read()
            log.truncate(0)
    wait_until(has_some, "output after the last truncation")
    (container.bundle / "enough").touch()
    container.wait()
    for path in [container.log, *backups(container.log)]:
        data = path.read_bytes()
        assert b"\0" not in data, "a hole"
        assert len(data) <= limit
        found = numbers(k8slog.output(k8slog.records(data)))
        assert found == sorted(set(found))
    assert (b"\n" + container.output()).endswith(b"\n" + (container.bundle / "printed").read_bytes())


def test_truncated_after_a_request(new_container):
    """The new file is appended to, like the first: there is no hole where the old text was."""
    container = new_container(command="echo one; read word < go; echo two; read word < go; echo three")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    before = container.log.stat().st_ino
    container.control("2 0 0\n")
    wait_until(lambda: container.log.exists() and container.log.stat().st_ino != before, "the new log")
    os.write(go, b"\n")
    container.wait_log(b"two")
    os.truncate(container.log, 0)
    os.write(go, b"\n")
    container.wait()
    assert container.output() == b"three\n"


class Checker:
    """Reads files that were rotated away, in another process: every numbered line once, in order, over all of them."""

    BACKLOG = 64 << 20

    def __init__(self, directory):
        self.directory = directory
        self._files = multiprocessing.get_context("fork").SimpleQueue()
        self._done = multiprocessing.Value("q", 0)
        self._sent = 0
        self._process = multiprocessing.get_context("fork").Process(target=self._check)
        self._process.start()

    def _check(self):
        expected = 1
        while (item := self._files.get()) is not None:
            path, size = item
            data = pathlib.Path(path).read_bytes()
            if len(data) != size:
                raise AssertionError(f"{path} was written to after it had been replaced: {size} -> {len(data)}")
            got = k8slog.output(k8slog.records(data))
            last = expected + got.count(b"\n") - 1
            if got != k8slog.numbered(expected, last):
                raise AssertionError(f"{path} does not hold {expected} to {last}")
            expected = last + 1
            os.unlink(path)
            with self._done:
                self._done.value += size
        (self.directory / "checked").write_text(str(expected - 1))

    def check(self, path):
        size = path.stat().st_size
        self._files.put((str(path), size))
        self._sent += size

    def is_behind(self):
        return self._sent - self._done.value > self.BACKLOG

    def alive(self):
        return self._process.is_alive()

    def last_number(self):
        self._files.put(None)
        self._process.join(10 * LIMIT)
        assert self._process.exitcode == 0, "see above"
        return int((self.directory / "checked").read_text())

    def close(self):
        self._process.kill()
        self._process.join()


#: At full speed, unless whoever checks it is too far behind.
FLOOD = """
i=0
until [ -e enough ]; do
    seq $((i + 1)) $((i + 10000)); i=$((i + 10000))
    while [ -e wait ]; do sleep 0.01; done
done
echo $i > printed
"""


@pytest.mark.parametrize("size", [None, 3_000_000], ids=["only", "and-by-size"])
def test_rotator_at_full_speed(new_container, size):
    """As the kubelet does it, every ten milliseconds: rename, ask, wait for the event; the old file does not change from
    then on. In between, the monitor may rotate by itself."""
    container = new_container(command=FLOOD)
    container.options["--log-partial-flush"] = "never"  # a line that is in two files is none for the checker
    if size is not None:
        rotating(container, 1000, size)
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    checker = Checker(container.top)
    try:
        container.create()
        container.start()
        end = time.monotonic() + SECONDS
        turn = 0
        pause = container.bundle / "wait"
        container.wait_log(b"1")
        while time.monotonic() < end:
            assert checker.alive()
            if checker.is_behind() and not pause.exists():
                pause.touch()
            elif pause.exists() and not checker.is_behind():
                pause.unlink()
            turn += 1
            part = container.logs / f"part-{turn}"
            if size is None:
                watch.take()
                container.log.rename(part)
                rotated = []
            else:
                rotated = move_all(container, watch, part)
            container.control("2 0 0\n")
            watch.wait(is_new(container.log), "the new log")
            for path in (*rotated, part):
                checker.check(path)
            time.sleep(0.01)
        (container.bundle / "enough").touch()
        pause.unlink(missing_ok=True)
        container.wait()
        for path in (*numbered_files(container), container.log):
            checker.check(path)
        assert checker.last_number() == int((container.bundle / "printed").read_text())
        print(f"{turn} rotations by others, {checker._sent >> 20} MiB")
    finally:
        watch.close()
        checker.close()


def numbered_files(container):
    """What the monitor has rotated, the oldest first."""
    found = [path for path in container.logs.glob("ctr.log.*") if path.suffix != ".tmp"]
    return sorted(found, key=lambda path: -int(path.suffix[1:]))


def move_all(container, watch, part):
    """Moves away the log and, before it, what the monitor has rotated; returns the latter, the oldest first. A rotation
    meanwhile would change the numbers, so the monitor is stopped; what is seen from then on comes after the move."""
    container.pause_monitor()
    try:
        watch.take()
        moved = []
        for number, path in enumerate(numbered_files(container)):
            moved.append(part.with_name(f"{part.name}-before-{number}"))
            path.rename(moved[-1])
        if container.log.exists():
            container.log.rename(part)
        else:
            part.touch()  # it was stopped in the middle of a rotation
        return moved
    finally:
        container.resume_monitor()


# Death


def check_after_kill(log, round_):
    """Whole records only; of each round of monitors the lines that are there are in order and without a gap."""
    names = os.listdir(log.parent)
    numbers_ = sorted((int(name.rpartition(".")[2]) for name in names if name.rpartition(".")[2].isdigit()), reverse=True)
    assert set(names) <= {log.name, f"{log.name}.tmp", *(f"{log.name}.{number}" for number in numbers_)}
    assert not numbers_ or numbers_[0] <= 3
    if log.with_name(f"{log.name}.tmp").exists():
        assert log.with_name(f"{log.name}.tmp").read_bytes() == b"", "a log under a name that nobody reads"
    paths = [backup(log, number) for number in numbers_] + ([log] if log.exists() else [])
    lines = k8slog.output(sequence(*paths)).decode().split()
    before = None
    for line in lines:
        here = tuple(map(int, line.split(":")))
        assert before is None or here == (before[0], before[1] + 1) or (here[0] > before[0] and here[1] == 1), (
            f"round {round_}: {before} and then {here}; {names}"
        )
        before = here


def test_killed_while_it_rotates(directory):
    """Nobody resumes what SIGKILL has ended; what is there is readable, and the next monitor goes on with it."""
    log = directory / "logs" / "run.log"
    log.parent.mkdir()
    without_log = leftovers = 0
    for round_ in range(KILLS):
        monitor = subprocess.Popen(
            [engine.conward(), "run", "--quiet", "--log-path", log, "--log-size-max", "500", "--log-rotate"]
            + ["--log-max-files", "3", "--", "sh", "-c", f'i=0; while :; do i=$((i + 1)); echo {round_}:$i; done'],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        watch = Watch(log.parent, mask=Watch.MOVED_TO)
        watch.wait(lambda mask, path: path == log, "the first rotation")
        watch.close()
        time.sleep(random.uniform(0, 0.003))
        monitor.kill()
        monitor.wait()
        said = monitor.stderr.read()
        monitor.stderr.close()
        assert said == b"", said
        check_after_kill(log, round_)
        without_log += not log.exists()
        leftovers += log.with_name("run.log.tmp").exists()
    print(f"{KILLS} kills: {without_log} without a file at the path, {leftovers} with an empty temporary one")
    last = subprocess.run(
        [engine.conward(), "run", "--quiet", "--log-path", log, "--log-size-max", "500", "--log-rotate"]
        + ["--log-max-files", "3", "--", "sh", "-c", "for i in $(seq 1 100); do echo 9999:$i; done"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert last.stderr == b""
    check_after_kill(log, "last")
    assert len(backups(log)) == 3
