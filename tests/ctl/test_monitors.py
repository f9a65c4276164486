"""conwardctl ps, stats, set, reopen and culprit, on real monitors ($CONWARD run) and on files that are no pages."""

import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lib"))

import k8slog  # noqa: E402  (found through the path above)
from crashes import wait_at_rest  # noqa: E402
from waiting import wait_until  # noqa: E402

OK, FOUND, WRONG, FAILED = 0, 1, 2, 3
LIMIT = 60
PAGE = 12288
KIND = 24  # where in it


def program(variable, name):
    return os.path.abspath(os.environ.get(variable, TOP / "build/src" / name))


def ctl(*args, status=OK):
    """Runs it and returns what it prints; what it says on standard error must be nothing, unless it fails."""
    done = subprocess.run(
        [program("CONWARDCTL", "conwardctl"), *map(str, args)], capture_output=True, timeout=LIMIT, check=False
    )
    assert done.returncode in (status if isinstance(status, tuple) else (status,)), (done.stdout, done.stderr)
    assert b"runtime error" not in done.stderr and b"Sanitizer" not in done.stderr, done.stderr
    return done.stdout.decode(), done.stderr.decode()


_locked = []  # files that are kept open for their locks


def put_page(path, data):
    """Makes a page that looks as if its monitor were there, which is known by its lock."""
    pathlib.Path(path).unlink(missing_ok=True)
    file = open(path, "wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(data)
    file.flush()
    _locked.append(file)


class Run:
    """A `conward run` with an ID that no other test has."""

    def __init__(self, top, script, *options, stdout=subprocess.DEVNULL, log=None):
        self.id = f"test-{os.getpid()}-{random.randrange(1 << 32):08x}"
        self.log = log or top / f"{self.id}.log"
        words = [program("CONWARD", "conward"), "run", "--cid", self.id, "--log-path", self.log, *options]
        self.process = subprocess.Popen(
            [*words, "--", "sh", "-c", script], stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL
        )
        self.pid = self.process.pid
        wait_until(lambda: self.process.poll() is not None or self.json(), "the monitor's page")

    def json(self, *options):
        """What ps says of it, None if it is not there."""
        lines = ctl("ps", "--json", *options, status=(OK, FAILED))[0].splitlines()
        return next((one for one in map(json.loads, lines) if one["id"] == self.id), None)

    def page(self):
        return next(pathlib.Path("/run/conward").glob(f"{self.pid}-*.state"))

    def troubles(self):
        """What culprit says of it, by kind."""
        lines = ctl("culprit", "--json", "--interval", "0", status=(OK, FOUND))[0].splitlines()
        return {one["trouble"]: one for one in map(json.loads, lines) if one["id"] == self.id}

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def run(tmp_path):
    with contextlib.ExitStack() as made:

        def new(script, *options, **how):
            one = Run(tmp_path, script, *options, **how)
            made.callback(one.close)
            return one

        yield new


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to /run/conward")
pytestmark = needs_root


# Lists and figures


def test_ps(run):
    one = run("printf 'no newline'; cat", "--name", "a name")
    wait_until(lambda: one.json()["stdout"]["read_bytes"] == 10, "its output")
    header, *lines = ctl("ps")[0].splitlines()
    assert header.split()[:6] == ["ID", "NAME", "KIND", "ENGINE", "PID", "PHASE"]
    (line,) = (line for line in lines if "a name" in line)
    assert f" {one.pid} " in line and " run " in line and " running " in line and " 10 B " in line
    assert header not in ctl("ps", "--no-header")[0]
    found = one.json()
    assert (found["name"], found["kind"], found["phase"], found["log"]) == ("a name", "run", "running", str(one.log))
    assert found["monitor_pid"] == one.pid
    assert found["stdout"]["open_line_bytes"] == 10


def test_ended_monitor_is_not_there(run):
    one = run("read word; exit 3")
    one.process.stdin.write(b"\n")
    one.process.stdin.flush()
    assert one.process.wait(LIMIT) == 3
    assert one.json() is None


def test_killed_monitor_leaves_nothing(run):
    one = run("cat")
    page = one.page()
    fifo = page.with_suffix(".ctl")
    assert fifo.is_fifo()
    one.process.kill()
    one.process.wait()
    assert page.exists()
    assert one.json() is None
    assert not page.exists() and not fifo.exists()


def test_stats(run):
    script = "echo one; printf '%020000d\\n' 0; printf '%0100d\\n' 0 >&2; printf '%0300d' 0 >&2; cat"
    one = run(script, "--log-line-max", "16384")
    wait_until(lambda: one.json()["stderr"]["open_line_bytes"] == 300, "the output")
    found = json.loads(ctl("stats", "--json", one.id)[0])
    wait_until(lambda: one.json()["stderr"]["partial_records"] == 1, "the open line's record")
    found = json.loads(ctl("stats", "--json", one.id)[0])
    out, err = found["stdout"], found["stderr"]
    assert (out["read_bytes"], out["logged_bytes"]) == (20005, 20005)
    assert (out["records"], out["partial_records"], out["long_lines"], out["longest_line_bytes"]) == (3, 1, 1, 20000)
    assert (out["open_line_bytes"], out["open_line_since_us"]) == (0, 0)
    assert (err["records"], err["long_lines"], err["longest_line_bytes"]) == (2, 0, 300)
    assert err["open_line_since_us"] > found["start_time_us"]
    assert found["log_size_bytes"] == one.log.stat().st_size
    text = ctl("stats", one.id[:-3])[0]
    assert "longest line           20 KiB (20000 bytes)\n" in text
    assert one.log.as_posix() in text
    assert "log global size max    none\n" in text and "log rate limit         none\n" in text


def test_who_is_not_there(run):
    assert "no monitor watches a container with the ID or name 'nobody-at-all'" in ctl(
        "stats", "nobody-at-all", status=FAILED
    )[1]
    one, other = run("cat"), run("cat")
    common = os.path.commonprefix([one.id, other.id])
    assert "of 2 containers" in ctl("stats", common, status=FAILED)[1]
    for _ in range(2):
        run("cat", "--name", "a-name-twice")
    assert "of 2 containers" in ctl("stats", "a-name-twice", status=FAILED)[1]


@pytest.mark.parametrize("words", [["ps", "x"], ["stats"], ["stats", "a", "b"], ["nothing"], [], ["ps", "--none"]])
def test_wrong_calls(words):
    assert ctl(*words, status=WRONG)[1].startswith("conwardctl: ")


# Requests


def test_set(run):
    one = run("read word; printf '%0600d\\n' 0; cat", "--log-partial-flush", "never")
    ctl("set", one.id, "log-line-max", 300)
    ctl("set", one.id, "log-partial-flush", 5)
    assert one.json()["log_line_max_bytes"] == 300
    assert one.json()["log_partial_flush_ms"] == 5
    one.process.stdin.write(b"\n")
    one.process.stdin.flush()
    wait_until(lambda: one.json()["stdout"]["records"] == 2, "the line")
    assert [len(record.content) for record in k8slog.records(one.log.read_bytes())] == [300, 300]


def waits_in(fifo):
    fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"1234"))[0]
    finally:
        os.close(fd)


def test_sets_at_the_same_time(run):
    """Each is told what has become of its own: the last one wins."""
    one = run("cat")
    fifo = one.page().with_suffix(".ctl")
    wait_at_rest(one.pid)
    one.process.send_signal(signal.SIGSTOP)
    asked = []
    for words in (["log-line-max", "300"], ["log-line-max", "400"], ["log-partial-flush", "7"]):
        before = waits_in(fifo)
        line = [program("CONWARDCTL", "conwardctl"), "set", one.id, *words]
        asked.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        wait_until(lambda: waits_in(fifo) > before, "the request")
    one.process.send_signal(signal.SIGCONT)
    said = [each.communicate(timeout=LIMIT) for each in asked]
    assert [each.returncode for each in asked] == [FAILED, OK, OK], said
    assert "log-line-max is 400 and not what was asked for" in said[0][1]
    assert (one.json()["log_line_max_bytes"], one.json()["log_partial_flush_ms"]) == (400, 7)


def test_set_for_all(run):
    one, other = run("cat"), run("cat")
    said = ctl("set", "--all", "log-line-max", 400, status=(OK, FAILED))[0]
    for each in (one, other):
        assert f"{each.id} {each.id}: done\n" in said
        assert each.json()["log_line_max_bytes"] == 400


@pytest.mark.parametrize(
    "words", [["log-line-max", "255"], ["log-line-max", "never"], ["log-partial-flush", "3600001"], ["log-path", "x"]]
)
def test_bad_settings(run, words):
    one = run("cat")
    ctl("set", one.id, *words, status=WRONG)
    assert one.json()["settings_changes"] == 0


def test_reopen(run):
    one = run("echo before; cat")
    wait_until(lambda: one.log.exists() and one.log.stat().st_size > 0, "the first line")
    moved = one.log.with_suffix(".1")
    one.log.rename(moved)
    ctl("reopen", one.id)
    one.process.stdin.write(b"after\n")
    one.process.stdin.flush()
    wait_until(lambda: one.log.stat().st_size > 0, "the next line")
    assert k8slog.output(k8slog.records(moved.read_bytes())) == b"before\n"
    assert k8slog.output(k8slog.records(one.log.read_bytes())) == b"after\n"


def test_rotation(run):
    """Its settings and its figures; a request that cannot be fulfilled now is owed."""
    one = run("echo before; cat", "--log-rotate", "--log-max-files", "3", "--log-size-max", "1000")
    wait_until(lambda: one.log.exists() and one.log.stat().st_size > 0, "the first line")
    assert (one.json()["log_max_files"], one.json()["log_size_max_bytes"]) == (3, 1000)
    ctl("reopen", one.id)
    assert (one.json()["log_reopens"], one.json()["log_rotations"], one.json()["log_rotation_failures"]) == (1, 1, 0)
    moved = one.log.with_name(one.log.name + ".1")
    assert k8slog.output(k8slog.records(moved.read_bytes())) == b"before\n"
    one.log.rename(moved)
    one.log.mkdir()
    ctl("reopen", one.id, status=FAILED)
    assert (one.json()["log_reopen_owed"], one.json()["log_reopens"]) == (1, 1)
    assert one.json()["log_rotation_failures"] > 0
    one.log.rmdir()
    wait_until(lambda: one.json()["log_reopen_owed"] == 0, "the new log")
    assert one.json()["log_reopens"] == 2
    assert "log rotations" in ctl("stats", one.id)[0]
    assert "conward_log_rotations_total{" in ctl("metrics")[0]


def test_nothing_to_reopen(run):
    one = run("cat", log="none")
    assert "has no log" in ctl("reopen", one.id, status=FAILED)[1]


def test_unfinished_line_in_the_fifo(run):
    one = run("cat")
    with open(one.page().with_suffix(".ctl"), "wb") as fifo:
        fifo.write(b"set log-line-max 3")
    ctl("set", one.id, "log-line-max", 4096)
    assert one.json()["log_line_max_bytes"] == 4096


def test_one_that_does_not_answer_keeps_nobody_waiting(run):
    one, other = run("cat"), run("cat")
    one.process.send_signal(signal.SIGSTOP)
    said = ctl("set", "--all", "log-line-max", 500, status=FAILED)
    assert f"{other.id} {other.id}: done\n" in said[0]
    assert f"{one.id} {one.id}: The monitor {one.pid} has not answered in time" in said[1]
    one.process.send_signal(signal.SIGCONT)


def test_stopped_monitor_does_not_answer(run):
    one = run("cat")
    wait_at_rest(one.pid)
    one.process.send_signal(signal.SIGSTOP)
    assert "has not answered" in ctl("set", one.id, "log-line-max", 300, status=FAILED)[1]
    one.process.send_signal(signal.SIGCONT)
    wait_until(lambda: one.json()["log_line_max_bytes"] == 300, "the answer")


def test_logs_by_name(run):
    one = run("echo hello; cat", "--name", "with-a-log")
    wait_until(lambda: one.json()["stdout"]["records"] == 1, "the line")
    assert ctl("logs", one.id)[0] == "hello\n"
    assert "no file" in ctl("logs", "nobody-at-all", status=FAILED)[1]


def test_following_ends_with_the_container(run):
    one = run("echo hello; read word; echo $word; exit 3")
    reader = subprocess.Popen(
        [program("CONWARDCTL", "conwardctl"), "logs", "--follow", one.id], stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout.readline() == "hello\n"
        one.process.stdin.write(b"goodbye\n")
        one.process.stdin.flush()
        assert reader.communicate(timeout=LIMIT)[0] == "goodbye\n"
        assert reader.returncode == OK
    finally:
        reader.kill()
        reader.wait()


# Culprits


def test_endless_line(run):
    quiet = run("echo fine; cat")
    one = run("head -c 1000000 /dev/zero | tr '\\0' x; cat")
    wait_until(lambda: one.json()["stdout"]["open_line_bytes"] == 1000000, "the line")
    assert quiet.troubles() == {}
    found = one.troubles()
    assert list(found) == ["endless_line"]
    assert found["endless_line"]["text"].startswith("writes a line without an end: 977 KiB on stdout so far, for ")
    text = ctl("culprit", status=FOUND)[0]
    assert f"\n{one.id} (run, pid " in "\n" + text and quiet.id not in text
    assert ctl("logs", one.id)[0] == "x" * 1000000, "also while it is open"


def test_ended_line_is_no_trouble(run):
    one = run("printf '%0100000d\\n' 0; cat")
    wait_until(lambda: one.json()["stdout"]["long_lines"] == 1, "the line")
    wait_until(lambda: one.json()["stdout"]["open_line_bytes"] == 0, "its end")
    assert one.troubles() == {}


def test_lost_output(run):
    one = run("echo hello; cat", log="/dev/full")
    wait_until(lambda: one.json()["stdout"]["lost_records"] == 1, "the loss")
    assert "6 B in 1 record," in one.troubles()["lost_output"]["text"]
    assert "No space left on device" in one.troubles()["lost_output"]["text"]
    assert "log last error         28 (No space left on device)\n" in ctl("stats", one.id)[0]
    assert one.json()["log_last_error"] == 28


def test_reader_that_does_not_read(run):
    one = run("head -c 1000000 /dev/zero; cat", stdout=subprocess.PIPE)
    wait_until(lambda: "stalled" in one.troubles(), "the time to pass")
    assert one.json()["stdout"]["held_us"] > 0


def test_large_log_without_a_limit(run):
    one, limited = run("cat"), run("cat", "--log-size-max", "1000000")
    assert one.troubles() == {}
    for each in (one, limited):
        os.truncate(each.log, 2 << 30)
    assert "2.0 GiB" in one.troubles()["unlimited_log"]["text"]
    assert limited.troubles() == {}


def test_crashes(run):
    one = run("cat")
    one.process.send_signal(signal.SIGSEGV)
    wait_until(lambda: one.json()["crashes"] == 1, "the next image")
    assert f"has crashed once and recovered; the last time by signal 11, sent by process {os.getpid()}" in one.troubles()["crashes"]["text"]


def test_flood(run):
    one = run("yes", "--log-size-max", "1000000")
    found = {}

    def seen():
        lines = ctl("culprit", "--json", "--interval", "0.5", status=(OK, FOUND))[0].splitlines()
        found.update({line["trouble"]: line for line in map(json.loads, lines) if line["id"] == one.id})
        return "flood" in found

    wait_until(seen, "10 MiB a second")


def test_nobody(tmp_path):
    assert ctl("culprit", "--state-dir", tmp_path)[0] == "Nothing is wrong with the 0 containers that are watched.\n"
    assert "Cannot look for monitors in" in ctl("culprit", "--state-dir", tmp_path / "missing", status=FAILED)[1]


@pytest.mark.parametrize("command, status", [("ps", OK), ("culprit", OK), ("stats nobody-at-all", FAILED)])
def test_monitors_of_root_that_a_user_cannot_see(run, command, status):
    """That nothing is shown does not mean that nothing is there."""
    run("cat")
    done = subprocess.run([program("CONWARDCTL", "conwardctl"), *command.split()], capture_output=True, text=True, check=False,
                          timeout=LIMIT, cwd="/", env={}, user=65534, group=65534, extra_groups=[])  # fmt: skip
    assert done.returncode == status
    assert re.search("monitors of other users that cannot be read: [1-9][0-9]*; run it as root", done.stdout + done.stderr)


def test_support_tells_no_secrets(run):
    one = run("echo whispered; cat", "--name", "hush-hush")
    one.process.send_signal(signal.SIGSEGV)
    wait_until(lambda: one.json()["crashes"] == 1 and one.json()["stdout"]["records"] == 1, "the crash and the line")
    text = ctl("support")[0]
    for secret in (one.id, "hush-hush", "whispered", str(one.log.parent)):
        assert secret not in text
    sections = [line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("== ")]
    assert sections == ["machine", "monitors", "troubles", "doctor"]
    monitors = [json.loads(line) for line in text.splitlines() if line.startswith('{"monitor"')]
    (ours,) = (found for found in monitors if found["start_time_us"] == one.json()["start_time_us"])
    assert ours["crashes"] == 1 and ours["crash_signal"] == 11
    assert f"monitor {ours['monitor']}: crashes\n" in text


# Files that are no pages


def of_another_version(page):
    return page[:8] + struct.pack("I", 77) + page[12:]


DAMAGES = {
    "short": (lambda page: page[: PAGE - 1], f"has {PAGE - 1} bytes"),
    "long": (lambda page: page + bytes(20000), "bytes, so it is not a monitor's page"),
    "magic": (lambda page: b"X" + page[1:], "does not begin like a monitor's page"),
    "version": (of_another_version, "another version of conward (77)"),
    "shorter version": (lambda page: of_another_version(page)[:8192], "another version of conward (77)"),
    "longer version": (lambda page: of_another_version(page) + bytes(20000), "another version of conward (77)"),
    "text": (lambda page: b"hello\n" * 3000, "does not begin like a monitor's page"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("command", ["ps", "culprit"])
def test_file_that_is_no_page(run, tmp_path, damage, command):
    change, words = damage
    page = run("cat").page().read_bytes()
    directory = tmp_path / "pages"
    directory.mkdir()
    path = directory / "1-00000001.state"
    path.write_bytes(change(page))
    with open(path, "rb") as monitors:
        fcntl.flock(monitors, fcntl.LOCK_EX)  # as the monitor whose page it is
        assert words in ctl(command, "--state-dir", directory, status=FAILED)[1]


def test_page_of_another_version_that_is_left_over(run, tmp_path):
    """Its monitor was killed: after an upgrade, nobody else would ever take it away."""
    path = tmp_path / "1-00000001.state"
    path.write_bytes(of_another_version(run("cat").page().read_bytes()))
    ctl("ps", "--state-dir", tmp_path)
    assert not path.exists()


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "1-00000001.state")
    (tmp_path / "2-00000001.state").symlink_to("/dev/zero")
    (tmp_path / "3-00000001.state").mkdir()
    said = ctl("ps", "--state-dir", tmp_path, status=FAILED)[1]
    assert said.count("is not a regular file") == 2
    assert "2-00000001.state: Too many levels of symbolic links" in said


def test_page_full_of_nonsense(run, tmp_path):
    """Whatever a page says: words, and an end. Its beginning is right, and the process that it names is alive."""
    one = run("cat")
    page = one.page().read_bytes()
    generator = random.Random(7)
    for turn in range(60):
        damaged = bytearray(page + b"name=\x1b[31m\xff\x00log=\n/\x07\x00bundle=\x00nothing")
        for _ in range(generator.choice([1, 20, 2000])):
            at = generator.randrange(48, len(damaged))
            length = generator.choice([1, 4, 8])
            damaged[at : at + length] = generator.choice([b"\xff", b"\0", generator.randbytes(1)]) * length
        put_page(tmp_path / "1-00000001.state", damaged[: PAGE + 16000])
        for command in (["ps", "-a"], ["ps", "-a", "--json"], ["culprit", "--interval", "0"], ["stats", one.id]):
            said = ctl(*command, "--state-dir", tmp_path, status=(OK, FOUND, FAILED))
            assert "\x1b" not in said[0] + said[1], turn


PHASE = 56  # where in the page
WORDS = [b"\xff" * 8, b"\xff" * 7 + b"\x7f", bytes(7) + b"\x80", bytes(6) + b"\xff\x7f", b"\1" + bytes(7), bytes(8)]


def hostile_pages(page):
    """Pages that check out, and say the largest, the smallest and any other number everywhere else."""
    generator = random.Random(11)
    texts = b"name=\x9b31m\xe2\x80\xae\0log=/dev/null\0engine=podman\0bundle=" + b"x" * 9000 + b"\0"
    bodies = [word * (PAGE // 8) for word in WORDS]
    bodies += [b"".join(generator.choice(WORDS) for _ in range(PAGE // 8)) for _ in range(10)]
    bodies += [generator.randbytes(PAGE) for _ in range(5)]
    for turn, body in enumerate(bodies):
        hostile = bytearray(page[: KIND + 4] + body[KIND + 4 : PAGE] + texts)
        hostile[KIND] = turn % 4
        hostile[PHASE : PHASE + 4] = struct.pack("I", turn % 5)
        where = page.index(b"test-")
        hostile[where : where + 32] = page[where : where + 32]
        hostile[where + 32] = 0
        yield bytes(hostile)


@contextlib.contextmanager
def changing(path, pages):
    """While it lasts, that file says what one page says, and then what the next one does."""
    end = threading.Event()

    def change():
        fd = os.open(path, os.O_WRONLY)
        for page in itertools.cycle(pages):
            os.pwrite(fd, page, 0)
            if end.wait(0.003):
                break
        os.close(fd)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_pages_of_extreme_numbers(run, tmp_path):
    """No number that a page says is too large, too small or of the wrong sign for any command. (With sanitizers, a
    number that does not fit ends the command.)"""
    one = run("cat")
    page = one.page().read_bytes()
    path = tmp_path / "1-00000001.state"
    pages = list(hostile_pages(page))
    name = page[page.index(b"test-") :][:32].split(b"\0")[0].decode()
    looks = [["ps", "-a"], ["ps", "-a", "--json"], ["stats", name], ["stats", "--json", name], ["metrics"],
             ["culprit", "--interval", "0"], ["culprit", "--interval", "0", "--json"],
             ["top", "-bn1", "--delay", "0.1", "--json"]]
    for hostile in pages:
        put_page(path, hostile)
        for command in looks:
            said = ctl(*command, "--state-dir", tmp_path, status=(OK, FOUND, FAILED))
            assert not {"\x1b", "\x9b", "\u202e"} & set(said[0] + said[1])
            if "--json" in command:
                for line in said[0].splitlines():
                    json.loads(line)
    with changing(path, pages):
        for sort in ("logged", "held", "lost", "cpu"):
            for options in (["--json"], []):
                ctl("top", "-bn4", "--delay", "0.1", "--sort", sort, *options, "--state-dir", tmp_path)
        for _ in range(10):
            ctl("culprit", "--interval", "0.01", "--state-dir", tmp_path, status=(OK, FOUND, FAILED))


def test_logs_of_a_page_of_extreme_numbers(run, tmp_path):
    """conwardctl logs looks where the page of a monitor says that the log is."""
    one = run("echo one; cat")
    page = one.page().read_bytes()
    place = one.page().parent / "1-00000001.state"
    try:
        for turn, hostile in enumerate(hostile_pages(page)):
            there = f"hostile-{os.getpid()}-{turn}".encode()
            where = page.index(b"test-")
            hostile = hostile[:where] + there + b"\0" + hostile[where + len(there) + 1 :]
            put_page(place, hostile)
            ctl("logs", "--tail", "1", there.decode(), status=(OK, FAILED))
    finally:
        place.unlink(missing_ok=True)


def test_page_of_a_monitor_that_cannot_be_seen(run):
    """In another pid namespace, its pid says nothing; its page is not taken for one that was left over."""
    one = run("cat")
    words = ["unshare", "--pid", "--fork", "--mount-proc", program("CONWARDCTL", "conwardctl"), "ps", "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    assert one.id in done.stdout
    assert one.page().exists()


def test_page_with_two_names(run, tmp_path):
    page = tmp_path / "1-00000001.state"
    put_page(page, run("cat").page().read_bytes())
    os.link(page, tmp_path / "2-00000001.state")
    assert ctl("ps", "--no-header", "--state-dir", tmp_path, status=FAILED)[1].count("has 2 names") == 2


def test_command_with_somebody_elses_words(run, tmp_path):
    """What is offered for a shell has nothing in it that a shell would act on."""
    page = bytearray(run("head -c 1000000 /dev/zero; cat").page().read_bytes()[:PAGE])
    where = page.index(b"test-")
    page[where : where + 10] = b"$(reboot)\0"
    put_page(tmp_path / "1-00000001.state", bytes(page) + b"engine=podman\0")
    for line in ctl("culprit", "--state-dir", tmp_path, "--interval", "0", "--json", status=(OK, FOUND))[0].splitlines():
        assert "$(reboot)" not in json.loads(line)["mend"]


def test_directory_that_is_a_link(tmp_path):
    (tmp_path / "link").symlink_to("/run/conward")
    assert "Cannot look for monitors" in ctl("ps", "--state-dir", tmp_path / "link", status=FAILED)[1]


def test_texts_are_escaped(run, tmp_path):
    page = run("cat").page().read_bytes()[:PAGE]
    put_page(tmp_path / "1-00000001.state", page + b"name=a\x1b[31mb\nc\0engine=\xff\0")
    text = ctl("ps", "--state-dir", tmp_path)[0]
    assert "a\\x1b[31mb\\x0ac" in text and "\\xff" in text
    (line,) = ctl("ps", "--json", "--state-dir", tmp_path)[0].splitlines()
    assert json.loads(line)["name"] == "a\x1b[31mb\nc"


HIDDEN = ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\u2029", "\x85", "\x9b", "\xad", "\u061c",
          "\u2060", "\ufe0f", "\u3164", "\u2800", "\ue000", "\U000e0041", "\U000e0100", "\ufffe"]


def test_hidden_characters_are_escaped(run, tmp_path):
    """What turns the direction of writing, or is not seen; letters of any script stay. JSON loses nothing."""
    page = run("cat").page().read_bytes()[:PAGE]
    name = "a" + "b".join(HIDDEN) + "c"
    put_page(tmp_path / "1-00000001.state", page + f"name={name}\0engine=\u00e9\u03b1\u05d0\u4e2d\0".encode())
    text = ctl("ps", "--state-dir", tmp_path)[0]
    assert "\u00e9\u03b1\u05d0\u4e2d" in text
    whole = ctl("stats", "--state-dir", tmp_path, page[page.index(b"test-") :].split(b"\0")[0].decode())[0]
    assert "b".join("".join(f"\\x{byte:02x}" for byte in one.encode()) for one in HIDDEN) in whole
    (line,) = ctl("ps", "--json", "--state-dir", tmp_path)[0].splitlines()
    assert json.loads(line)["name"] == name
    for shown in (text, whole, line):
        assert not set(HIDDEN) & set(shown)


@pytest.mark.parametrize("letter", ["x", "\u4e2d", "\x1b"], ids=["plain", "wide", "escaped"])
def test_long_names_are_cut(run, tmp_path, letter):
    """A page may hold 16 KiB of them. They are whole in JSON."""
    one = run("head -c 1000000 /dev/zero; cat")
    wait_until(lambda: one.json()["stdout"]["read_bytes"] == 1000000, "its output")
    page = one.page().read_bytes()[:PAGE]
    name = letter * (15000 // len(letter.encode()))
    put_page(tmp_path / "1-00000001.state", page + f"name={name}\0".encode())
    for command in (["ps"], ["stats", one.id], ["culprit", "--interval", "0"], ["top", "--batch", "--number", "1"]):
        said = ctl(*command, "--state-dir", tmp_path, status=(OK, FOUND))[0]
        assert "..." in said and "\ufffd" not in said and "\\xe4" not in said and "\\xb8" not in said, command
        assert len(said.encode()) < (20000 if command[0] == "stats" else 2500), command
    (line,) = ctl("ps", "--json", "--state-dir", tmp_path)[0].splitlines()
    assert json.loads(line)["name"] == name


@needs_root
def test_page_that_names_somebody_elses_process(run, tmp_path):
    """Nobody is told to end it, and its figures are not taken for the monitor's."""
    one = run("head -c 1000000 /dev/zero; cat")
    wait_until(lambda: "endless_line" in one.troubles(), "the trouble")
    assert f"kill {one.pid}" in one.troubles()["endless_line"]["mend"]
    put_page(tmp_path / "1-00000001.state", one.page().read_bytes())
    os.chown(tmp_path / "1-00000001.state", 65534, 65534)
    said = ctl("culprit", "--state-dir", tmp_path, "--interval", "0", status=FOUND)[0]
    assert "a line without an end" in said and f"kill {one.pid}" not in said
    (line,) = ctl("ps", "--json", "--state-dir", tmp_path)[0].splitlines()
    assert json.loads(line)["monitor_rss_bytes"] == 0


@needs_root
def test_container_of_another_user(run, tmp_path):
    """Its page may give it the ID of one of ours: what is offered is for that user's engine."""
    one = run("head -c 1000000 /dev/zero; cat")
    wait_until(lambda: "endless_line" in one.troubles(), "the trouble")
    page = bytearray(one.page().read_bytes()[:PAGE])
    page[KIND : KIND + 4] = struct.pack("I", 0)
    for engine in ("podman", "crio"):
        put_page(tmp_path / "1-00000001.state", bytes(page) + f"engine={engine}\0".encode())
        said = ctl("culprit", "--state-dir", tmp_path, "--interval", "0", status=FOUND)[0]
        assert f"to end it: {'crictl' if engine == 'crio' else 'podman'} stop {one.id}" in said
        os.chown(tmp_path / "1-00000001.state", 65534, 65534)
        said = ctl("culprit", "--state-dir", tmp_path, "--interval", "0", status=FOUND)[0]
        assert f"to end it: as the user 65534, podman stop {one.id}" in said


@needs_root
def test_log_of_another_user(run):
    """Whose page says any path is read with that user's rights."""
    page = run("cat").page().read_bytes()[:PAGE]
    environment = {**os.environ}

    def logs(directory, path):
        put_page(directory / "conward/1-00000001.state", page + f"name=theirs\0log={path}\0".encode())
        os.chown(directory / "conward/1-00000001.state", 65534, 65534)
        words = [program("CONWARDCTL", "conwardctl"), "logs", "theirs"]
        environment["XDG_RUNTIME_DIR"] = str(directory)
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)

    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        (directory / "conward").mkdir()
        secret, own = directory / "secret", directory / "own"
        for path in (secret, own):
            path.write_text("2026-01-02T03:04:05.000000000Z stdout F words\n")
            path.chmod(0o600)
        os.chown(own, 65534, 65534)
        done = logs(directory, own)
        assert (done.returncode, done.stdout) == (OK, "words\n"), done.stderr
        done = logs(directory, secret)
        assert (done.returncode, done.stdout) == (FAILED, "")
        assert "Permission denied" in done.stderr


def test_page_that_changes_all_the_time(run):
    """What is seen is one moment: never more logged than read."""
    one = run("yes", "--log-size-max", "1000000")
    for _ in range(50):
        found = one.json()["stdout"]
        assert found["logged_bytes"] + found["lost_bytes"] <= found["read_bytes"]
        assert found["logged_bytes"] <= found["records"] * 2


# Completion


def complete(*words, **environment):
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _conwardctl; printf "%s\\n" "${COMPREPLY[@]}"'
    path = os.path.dirname(program("CONWARDCTL", "conwardctl")) + ":" + os.environ["PATH"]
    done = subprocess.run(
        ["bash", "-c", script, "bash", TOP / "contrib/completions/conwardctl.bash", "conwardctl", *words],
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_bash_completion(run):
    one = run("cat", "--name", "completed-by-bash")
    assert complete("st") == ["stats"]
    assert complete("culprit", "--w") == ["--watch"]
    assert complete("stats", "completed-by") == ["completed-by-bash"]
    assert complete("set", one.id[:-1]) == [one.id]
    listed = {line.split()[0] for line in ctl("--help")[0].splitlines() if line.startswith("  ")}
    assert listed <= set(complete(""))


@pytest.mark.parametrize("name", ["$(touch {})", "`touch {}`", "${{x:=$(touch {})}}"])
def test_bash_completion_runs_nothing(run, tmp_path, name):
    """Anybody can choose a name, and root completes it."""
    page = run("cat").page().read_bytes()[:PAGE]
    (tmp_path / "conward").mkdir()
    word = name.format(tmp_path / "touched")
    put_page(tmp_path / "conward/1-00000001.state", page + f"name={word}\0".encode())
    assert word in ctl("ps", "--state-dir", tmp_path / "conward")[0]
    complete("stats", "x", XDG_RUNTIME_DIR=str(tmp_path))
    assert not (tmp_path / "touched").exists()
