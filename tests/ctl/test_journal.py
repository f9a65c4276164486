"""conwardctl and containers that log to the journal."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lib"))

from fake_journal import FakeJournal  # noqa: E402  (found through the path above)
from waiting import wait_until  # noqa: E402

OK, FOUND, FAILED = 0, 1, 3
LINES = 1000
SIZE = sum(len(f"{number}\n") for number in range(1, LINES + 1))


def program(variable, name):
    return os.path.abspath(os.environ.get(variable, TOP / "build/src" / name))


@pytest.fixture
def journal(tmp_path):
    made = FakeJournal(tmp_path / "node")
    yield made
    made.close()


class Command:
    """`conward run` with that journal, whose command prints some lines and sleeps."""

    def __init__(self, journal, *options):
        words = [program("CONWARD", "conward"), "run", "--quiet", "--cid", "logs-there", *options]
        self._pages = journal.run / "conward"
        self._process = subprocess.Popen(
            [*words, "--", "sh", "-c", f"seq 1 {LINES}; exec sleep 1000"], preexec_fn=journal.enter, stderr=subprocess.DEVNULL
        )

    def ctl(self, *words, status=OK):
        done = subprocess.run(
            [program("CONWARDCTL", "conwardctl"), words[0], "--state-dir", self._pages, *words[1:]], capture_output=True
        )
        assert done.returncode == status, done
        return done.stdout.decode(), done.stderr.decode()

    def now(self):
        lines = self.ctl("ps", "--json")[0].splitlines() if self._pages.exists() else []
        return json.loads(lines[0]) if lines else None

    def wait(self, condition, what):
        wait_until(lambda: (now := self.now()) is not None and condition(now), what)
        return self.now()

    def close(self):
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def start(journal):
    made = []

    def new(*options):
        made.append(Command(journal, *options))
        return made[-1]

    yield new
    for command in made:
        command.close()


def test_figures(start):
    command = start("--log-path", "journald")
    now = command.wait(lambda now: now["stdout"]["journal_entries"] == LINES, "all entries")
    assert now["log_driver"] == "journald"
    assert now["stdout"]["journal_sent_bytes"] == now["stdout"]["logged_bytes"] == SIZE
    assert now["stdout"]["records"] == LINES
    assert now["stdout"]["longest_line_bytes"] == 4
    assert now["stdout"]["journal_lost_bytes"] == now["stdout"]["lost_bytes"] == 0


def test_losses(journal, start, tmp_path):
    journal.remove()
    command = start("--log-path", "journald", "--log-path", tmp_path / "log")
    now = command.wait(lambda now: now["stdout"]["journal_lost_entries"] == LINES, "the loss")
    assert now["log_driver"] == "k8s-file+journald"
    assert now["stdout"]["journal_lost_bytes"] == now["stdout"]["logged_bytes"] == SIZE
    assert now["stdout"]["lost_bytes"] == 0
    assert now["journal_errors"] > 0 and now["journal_last_error"] == 2
    said = command.ctl("culprit", "--interval", "0", status=FOUND)[0]
    assert "in 1000 records, because it could not be sent to the journal, the last time with: No such file" in said


def test_requests(journal, start):
    journal.remove()
    command = start("--log-path", "journald", "--log-on-error", "wait")
    command.wait(lambda now: now["journal_errors"] > 0, "a failure")
    assert command.ctl("reopen", "logs-there", status=FAILED)[1].endswith("has no log file: its log driver is journald\n")
    command.ctl("set", "logs-there", "log-on-error", "drop")
    command.wait(lambda now: now["stdout"]["journal_lost_entries"] == LINES, "the loss")
