"""What /proc says about a process that is alive."""

import contextlib
import fcntl
import os
import pathlib
import signal
import struct
import termios


class Process:
    def __init__(self, pid):
        self.pid = pid
        self.path = pathlib.Path("/proc") / str(pid)

    def status(self):
        """The fields of /proc/PID/status."""
        lines = (self.path / "status").read_text().splitlines()
        return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}

    def signals(self, field):
        """The signals below the real-time ones in a mask such as `SigIgn` or `SigBlk`."""
        mask = int(self.status()[field], 16)
        return {sig for sig in signal.valid_signals() if sig < 32 and mask >> (sig - 1) & 1}

    def stat(self):
        """The fields of /proc/PID/stat from the third on: state, parent, process group, session, …"""
        return (self.path / "stat").read_text().rpartition(")")[2].split()

    def descriptors(self):
        """What each open descriptor leads to."""
        targets = {}
        for name in os.listdir(self.path / "fd"):
            try:
                targets[int(name)] = os.readlink(self.path / "fd" / name)
            except FileNotFoundError:
                pass
        return targets

    def memory_file(self, name):
        """Opens the memory file of that name among its descriptors; None if it has none."""
        for fd, target in self.descriptors().items():
            if target.startswith(f"/memfd:{name} "):
                return os.open(self.path / "fd" / str(fd), os.O_RDONLY | os.O_CLOEXEC)
        return None

    def words(self, name):
        """The NUL-terminated words of `cmdline` or `environ`."""
        return (self.path / name).read_bytes().split(b"\0")[:-1]

    def environment(self):
        return dict(word.decode().split("=", 1) for word in self.words("environ"))

    def oom_score_adj(self):
        return int((self.path / "oom_score_adj").read_text())

    def comm(self):
        return (self.path / "comm").read_text().rstrip("\n")

    def exists(self):
        """True for a zombie too."""
        return self.path.exists()

    def alive(self):
        try:
            return self.stat()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False


def children(pid):
    """The children of `pid`, zombies included, each as (pid, state)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Process(int(name)).stat()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[1]) == pid:
                found.append((int(name), stat[0]))
    return found


def with_environment(word):
    """The pids of living processes that have `word`, such as b"NAME=value", in their environment."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if word in Process(int(name)).words("environ"):
                    found.append(int(name))
            except OSError:
                continue
    return found


def send_signal(pid, sig):
    """If there still is such a process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def waiting_in_pipe(pid, fd):
    """How many bytes nobody has read yet of the pipe that is descriptor `fd` of the process `pid`."""
    pipe = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    finally:
        os.close(pipe)
