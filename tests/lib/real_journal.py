"""systemd's own journal, run by hand, for who enters its mount namespace. Nothing of the machine's journal changes."""

import json
import os
import pathlib
import signal
import subprocess
import time

import node
from waiting import wait_until

PROGRAM = "/lib/systemd/systemd-journald"
RUN = pathlib.Path("/run")

SETTINGS = """
[Journal]
Storage=volatile
RateLimitIntervalSec=0
RuntimeMaxUse=400M
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToKMsg=no
ForwardToConsole=no
ForwardToWall=no
"""


def missing():
    """Why it cannot be run here, or None."""
    if os.geteuid() != 0:
        return "only root may run systemd-journald"
    return None if os.access(PROGRAM, os.X_OK) and os.path.exists("/etc/machine-id") else f"there is no {PROGRAM}"


class RealJournal:
    def __init__(self, top):
        self.run = pathlib.Path(top) / "run"
        self.directory = self.run / "log/journal"
        for path in (self.run / "systemd/journal", self.run / "systemd/journald.conf.d", self.directory):
            path.mkdir(parents=True)
        (self.run / "systemd/journald.conf.d/test.conf").write_text(SETTINGS)
        self._process = subprocess.Popen(
            [PROGRAM],
            preexec_fn=self.enter,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until((self.run / "systemd/journal/socket").exists, "the journal's socket")

    def enter(self):
        """For a child that is about to execute a program."""
        node.unshare_mounts()
        node.cover(RUN, self.run)

    def stop(self):
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self._process.pid, signal.SIGCONT)

    def files(self):
        return list(self.directory.glob("*/*.journal"))

    def rotate(self):
        """From now on, entries go to a new file."""
        before = len(self.files())
        os.kill(self._process.pid, signal.SIGUSR2)
        wait_until(lambda: len(self.files()) > before, "another file")

    def entries(self, *matches):
        """What journalctl shows: a list of dictionaries, with messages as bytes."""
        words = ["journalctl", "--directory", self.directory, "--output", "json", "--all", "--no-pager", "--quiet", *matches]
        shown = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
        found = [json.loads(line) for line in shown.splitlines()]
        for entry in found:
            text = entry["MESSAGE"]
            entry["MESSAGE"] = bytes(text) if isinstance(text, list) else text.encode()
        return found

    def wait(self, count, *matches):
        """Waits until there are so many entries of a container, and returns them."""

        def is_there():
            time.sleep(0.2)  # the reader takes much of a processor
            return self.entries(*matches, f"CONWARD_SEQ={count - 1}")

        wait_until(is_there, f"{count} entries")
        return self.entries(*matches)

    def close(self):
        self._process.kill()
        self._process.wait()
