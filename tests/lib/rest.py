"""A monitor that sleeps until there is news, and turns for nothing in the meantime. A loop that turns without a pause,
for a deadline that is over and was not taken off, never sleeps."""

import os
import signal
import time

import procfs
from waiting import wait_until

PAUSE = 0.002  # in which a loop without a pause turns often


def _sleep(process):
    """A number of the sleep that the process is in, for good if it has ended or somebody has stopped it; None while it
    is awake."""
    try:
        status = process.status()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    state = status["State"][0]
    if state in "ZXTt":
        return "gone"
    return status["voluntary_ctxt_switches"] if state in "SD" else None


def is_asleep(pid):
    """Whether it sleeps for longer than a moment, or has ended. A slow machine makes that wrong in neither direction:
    who is to run and cannot does not sleep."""
    process = procfs.Process(pid)
    before = _sleep(process)
    if before in (None, "gone"):
        return before == "gone"
    time.sleep(PAUSE)
    return _sleep(process) == before


def wait_asleep(pid):
    wait_until(lambda: is_asleep(pid), f"the process {pid} to sleep")


def _is_of(other, pid):
    try:
        return os.readlink(f"/proc/{other}/exe") == os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False


def wait_asleep_alone(pid, mark):
    """The same when nobody with the mark does anything any more that it would have to see to: see procfs."""
    if is_asleep(pid):
        return
    for other in procfs.with_environment(mark):
        if other != pid and not _is_of(other, pid):  # such as a sanitizer's at the end, which is waited for
            procfs.send_signal(other, signal.SIGSTOP)
    wait_asleep(pid)


def time_out(pid):
    """Waits until the monitor sleeps in poll(2), and returns for how many seconds at most; None without a limit."""
    process = procfs.Process(pid)

    def look():
        words = (process.path / "syscall").read_text().split()
        return is_asleep(pid) and words[0] == "7" and (int(words[3], 16) & 0xFFFFFFFF,)

    (milliseconds,) = wait_until(look, "the monitor to wait for news")
    return None if milliseconds == 0xFFFFFFFF else milliseconds / 1000
