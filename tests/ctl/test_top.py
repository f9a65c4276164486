"""conwardctl top, on real monitors ($CONWARD run): in batches, and live on a terminal."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

# Real monitors, made and looked at as the tests of the other commands do it.
from test_monitors import WRONG, ctl, needs_root, program, run  # noqa: F401  (run is a fixture)

from waiting import Late, wait_readable, wait_until

LIMIT = 60
ENTER, LEAVE = b"\033[?1049h", b"\033[?1049l"

pytestmark = needs_root


class Looks:
    """`top --json` without an end: what it says of one monitor after the other."""

    def __init__(self, *args):
        words = [program("CONWARDCTL", "conwardctl"), "top", "--json", "--delay", "0.1", *args]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.line = None  # the first one of the look that comes next

    def next(self):
        """The lines of the next look, by ID. One without a line does not show, so a monitor must be there all the
        time."""
        lines = {self.line["id"]: self.line} if self.line else {}
        while True:
            line = json.loads(self.process.stdout.readline())
            if self.line and line["time_us"] != self.line["time_us"]:
                self.line = line
                return lines
            self.line = line
            lines[line["id"]] = line

    def wait(self, wanted, what):
        """The next look for which wanted(its lines by ID) is true."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            lines = self.next()
            if wanted(lines):
                return lines
        raise Late(f"waited {LIMIT} s for {what}")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def looks():
    with contextlib.ExitStack() as made:

        def new(*args):
            one = Looks(*args)
            made.callback(one.close)
            return one

        yield new


def send(one, data):
    one.process.stdin.write(data)
    one.process.stdin.flush()


def test_rates(run, looks):  # noqa: F811
    one = run("cat")
    top = looks()
    line = top.wait(lambda lines: one.id in lines, "the monitor")[one.id]
    assert (line["monitor_pid"], line["kind"], line["lost_bytes"]) == (one.pid, "run", 0)
    send(one, b"x" * 99 + b"\n" + b"y" * 50)
    busy = top.wait(lambda lines: lines[one.id]["written_bytes_per_second"] > 0, "a rate")[one.id]
    assert busy["open_line_bytes"] == 50 and busy["longest_line_bytes"] >= 99
    still = top.wait(
        lambda lines: lines[one.id]["written_bytes_per_second"] == lines[one.id]["records_per_second"] == 0
        and lines[one.id]["logged_bytes_per_second"] == 0,
        "quiet",
    )[one.id]
    assert still["log_size_bytes"] > 150 and still["monitor_rss_bytes"] > 100000
    assert still["held_us_per_second"] == 0


def test_logged_and_records(run, looks):  # noqa: F811
    one = run("cat")
    top = looks()
    top.wait(lambda lines: one.id in lines, "the monitor")
    send(one, b"line\n" * 1000)
    busy = top.wait(lambda lines: lines[one.id]["records_per_second"] > 0, "a rate")[one.id]
    assert busy["logged_bytes_per_second"] == pytest.approx(5 * busy["records_per_second"], abs=5)


def test_held(run, looks):  # noqa: F811
    one = run("head -c 1000000 /dev/zero; cat", stdout=subprocess.PIPE)
    top = looks("--sort", "held")
    held = top.wait(lambda lines: lines[one.id]["held_us_per_second"] > 500000, "it to be held")[one.id]
    assert held["held_us_per_second"] <= 1000000


def test_monitors_come_and_go(run, looks):  # noqa: F811
    stays = run("cat")
    goes = run("cat")
    top = looks()
    top.wait(lambda lines: {stays.id, goes.id} <= set(lines), "both")
    goes.process.kill()
    goes.process.wait()
    top.wait(lambda lines: stays.id in lines and goes.id not in lines, "one to go")
    comes = run("echo here; cat")
    line = top.wait(lambda lines: {stays.id, comes.id} <= set(lines), "one to come")[comes.id]
    assert line["kind"] == "run"


def test_batch_is_sorted(run):  # noqa: F811
    small, large = run("printf a; cat"), run("printf aaaa; cat")

    def order(*args):
        text = ctl("top", "-bn1", "-d0.1", *args)[0]
        return [line.split()[1] for line in text.splitlines() if small.id in line or large.id in line]

    for one, size in ((small, 1), (large, 4)):
        wait_until(lambda one=one, size=size: one.json()["stdout"]["open_line_bytes"] == size, "the output")
    assert order("--sort", "open") == [large.id, small.id]
    assert order("--sort", "name") == sorted([large.id, small.id])


def test_batch(run):  # noqa: F811
    one = run("cat")
    first, second = ctl("top", "-b", "-n2", "--delay", "0.1")[0].split("\n\n")
    for screen in (first, second):
        header, *lines = screen.splitlines()
        assert header.split()[:5] == ["ID", "NAME", "KIND", "WRITTEN/S", "LOGGED/S"]
        assert any(one.id in line for line in lines)
    assert "WRITTEN/S" not in ctl("top", "-b", "-n", "1", "--no-header", "-d", "0.1")[0]


@pytest.mark.parametrize(
    "args, said",
    [
        (["--sort", "size"], "logged"),
        (["--delay", "0"], "0.1"),
        (["--delay", "nan"], "0.1"),
        (["--delay", "1e9"], "3600"),
        (["-n", "-1"], "-1"),
        (["web"], "web"),
    ],
)
def test_wrong_options(args, said):
    assert said in ctl("top", *args, status=WRONG)[1]


class Live:
    """`top` on a terminal of its own."""

    def __init__(self, *args, rows=20, columns=60):
        self.fd, self.terminal = pty.openpty()
        self.resize(rows, columns)
        self.settings = termios.tcgetattr(self.terminal)
        self.output = b""
        words = [program("CONWARDCTL", "conwardctl"), "top", "--delay", "0.1", *args]
        self.process = subprocess.Popen(
            words,
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        """Takes what has been shown until now."""
        while select.select([self.fd], [], [], 0)[0]:
            self.output += os.read(self.fd, 65536)

    def wait(self, wanted, what):
        """Waits until wanted(all that was shown)."""
        end = time.monotonic() + LIMIT
        while not wanted(self.output):
            if time.monotonic() > end or not select.select([self.fd], [], [], LIMIT)[0]:
                raise Late(f"waited {LIMIT} s for {what}; seen: {self.output[-1000:]}")
            self.output += os.read(self.fd, 65536)

    def screens(self):
        return self.output.split(b"\033[H")[1:]

    def end(self):
        """Its exit status, after which the terminal must be as it was."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.01)[0]:
                self.output += os.read(self.fd, 65536)
        self.read()
        self.assert_restored()
        return self.process.returncode

    def assert_restored(self):
        assert termios.tcgetattr(self.terminal) == self.settings
        tail = self.output[self.output.rindex(ENTER):]
        assert tail.index(b"\033[?25h") and tail.index(b"\033[?7h") and tail.index(LEAVE)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.fd)
        os.close(self.terminal)


@pytest.fixture
def live():
    with contextlib.ExitStack() as made:

        def new(*args, **size):
            one = Live(*args, **size)
            made.callback(one.close)
            return one

        yield new


def test_live(run, live):  # noqa: F811
    one = run("cat")
    top = live(columns=200)
    top.wait(lambda seen: seen.count(one.id.encode()) >= 3, "three screens")
    assert b"q quits" in top.output and b"WRITTEN/S" in top.output
    assert not termios.tcgetattr(top.terminal)[3] & (termios.ICANON | termios.ECHO)
    os.write(top.fd, b"xq")
    assert top.end() == 0
    assert top.output.count(ENTER) == top.output.count(LEAVE) == 1


def test_live_ends_by_itself(live):
    top = live("-n", "2")
    assert top.end() == 0
    assert len([screen for screen in top.screens() if b" monitors" in screen]) == 2


@pytest.mark.parametrize("how, status", [(b"\x03", 0), (signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_live_gives_the_terminal_back(live, how, status):
    top = live()
    top.wait(lambda seen: b" monitors" in seen, "a screen")
    if isinstance(how, bytes):
        os.write(top.fd, how)
    else:
        top.process.send_signal(how)
    assert top.end() == status


def test_live_can_be_stopped(live):
    top = live()
    top.wait(lambda seen: b" monitors" in seen, "a screen")
    os.write(top.fd, b"\x1a")
    pid, status = os.waitpid(top.process.pid, os.WUNTRACED)
    assert (pid, os.WIFSTOPPED(status)) == (top.process.pid, True)
    top.read()
    top.assert_restored()
    top.process.send_signal(signal.SIGCONT)
    top.wait(lambda seen: b" monitors" in seen[seen.rindex(ENTER):] and seen.count(ENTER) == 2, "it to go on")
    os.write(top.fd, b"q")
    assert top.end() == 0


def test_live_follows_the_size(run, live):  # noqa: F811
    for _ in range(3):
        run("cat")
    top = live("--delay", "3600", rows=4, columns=30)

    def width(screen):
        lines = re.sub(rb"\033\[[?0-9]*[A-Za-z]", b"", screen).split(b"\r\n")
        return max(len(line.rstrip(b"\r\n")) for line in lines)

    top.wait(lambda seen: b"\033[J" in seen or b"\033[K" in seen, "the first words")
    assert width(top.screens()[0]) == 30
    before = len(top.screens())
    top.resize(4, 20)
    top.wait(lambda _: len(top.screens()) > before and top.screens()[-1].count(b"\033[K"), "it to be drawn again")
    assert width(top.screens()[-1]) == 20
    os.write(top.fd, b"q")
    assert top.end() == 0

    short = live(rows=4, columns=40)
    short.wait(lambda seen: seen.count(b" monitors") >= 2, "two screens")
    whole = [screen for screen in short.screens()[:-1] if b" monitors" in screen]
    assert all(screen.count(b"\r\n") <= 3 and width(screen) <= 40 for screen in whole)


def test_live_shows_no_errors_across(run, live, tmp_path):  # noqa: F811
    (tmp_path / "1-00000000.state").write_bytes(b"x" * 12288)
    top = live("--state-dir", str(tmp_path), columns=100)
    top.wait(lambda seen: b"1 pages cannot be read" in seen, "the count")
    assert b"conwardctl:" not in top.output


def test_reader_that_goes_away_ends_it():
    words = [program("CONWARDCTL", "conwardctl"), "top", "-b", "--delay", "0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as top:
        wait_readable(top.stdout.fileno(), "a screen")
        top.stdout.close()
        assert top.wait(LIMIT) in (0, -signal.SIGPIPE)
        assert top.stderr.read() == b""
