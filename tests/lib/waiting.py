"""Waiting for events: descriptors, the end of processes, changes of files. Nothing here measures time; the limit only
turns a wait that would never end into a failure."""

import ctypes
import os
import select
import struct
import time

LIMIT = 60.0

_libc = ctypes.CDLL(None, use_errno=True)


class Late(AssertionError):
    """Something did not happen within LIMIT seconds."""


def wait_readable(fd, what):
    """Waits until `fd` has data, is at its end, or (a pidfd) its process has ended."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(LIMIT * 1000):
        raise Late(f"waited {LIMIT:.0f} s for {what}")


def is_readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def wait_until(condition, what, limit=LIMIT):
    """Waits until `condition()` is true and returns its value; for things that send no event."""
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise Late(f"waited {limit:.0f} s for {what}")
        time.sleep(0.002)
    return value


def read_to_end(fd, what):
    """Everything that can be read from `fd` until its last writer has gone."""
    parts = []
    while True:
        wait_readable(fd, what)
        part = os.read(fd, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


class Watch:
    """Changes in some directories, in the order in which the kernel saw them: one inotify instance for all of them, so
    that the order across directories is exact."""

    MODIFY = 0x2
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    OVERFLOW = 0x4000

    def __init__(self, *directories, mask=MOVED_TO | CREATE | DELETE | CLOSE_WRITE):
        self.fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1: all of the user has fs.inotify.max_user_instances together")
        self._directories = {}
        for directory in directories:
            wd = _libc.inotify_add_watch(self.fd, os.fsencode(directory), mask)
            if wd < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", str(directory))
            self._directories[wd] = directory

    def close(self):
        """Also done for one that nobody holds any more: a user has few of them (fs.inotify.max_user_instances)."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    __del__ = close

    def take(self):
        """The events that are there already: a list of (mask bit, path)."""
        events = []
        try:
            data = os.read(self.fd, 1 << 20)
        except BlockingIOError:
            return events
        at = 0
        while at < len(data):
            wd, mask, _, length = struct.unpack_from("iIII", data, at)
            name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length
            assert not mask & self.OVERFLOW, "inotify lost events"
            if wd in self._directories:
                events.append((mask & 0xFFF, self._directories[wd] / name))
        return events

    def wait(self, wanted, what):
        """Waits for an event for which `wanted(mask, path)` is true and returns the events up to it and those that
        came with it."""
        seen = []
        while True:
            wait_readable(self.fd, what)
            events = self.take()
            seen += events
            if any(wanted(mask, path) for mask, path in events):
                return seen
