"""A journal in the place of systemd's, for who enters its mount namespace: a datagram socket that takes the native
protocol, and can be stopped, killed, replaced or absent.

    journal = FakeJournal(directory)
    container.launch(prepare=journal.enter)
    journal.wait_output(b"hello")
"""

import array
import contextlib
import os
import pathlib
import select
import socket
import struct
import threading
import time

import node
from waiting import is_readable, wait_until

RUN = pathlib.Path("/run")
_DATAGRAM_MOST = 1 << 20


class Entry:
    def __init__(self, data, pid, is_file):
        self.fields = {}
        self.pid = pid
        self.is_file = is_file
        for name, value in _fields(data):
            self.fields.setdefault(name, []).append(value)

    def __getitem__(self, name):
        """The value of a field that an entry has only once; None if it does not have it."""
        values = self.fields.get(name, [None])
        assert len(values) == 1, f"{name} has {len(values)} values"
        return values[0]

    @property
    def number(self):
        return int(self["CONWARD_SEQ"])

    @property
    def stream(self):
        named = self["CONWARD_STREAM"]  # only where PRIORITY does not say it
        return named.decode() if named else {b"6": "stdout", b"3": "stderr"}[self["PRIORITY"]]

    @property
    def is_loss(self):
        return "CONWARD_LOST_BYTES" in self.fields

    @property
    def is_partial(self):
        return "CONTAINER_PARTIAL_MESSAGE" in self.fields


def _fields(data):
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        line = data[at:end]
        at = end + 1
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name = line
            (length,) = struct.unpack_from("<Q", data, at)
            value = data[at + 8 : at + 8 + length]
            at += 8 + length + 1
            assert data[at - 1 : at] == b"\n", "a field does not end with a newline"
        yield name.decode(), value


class FakeJournal:
    def __init__(self, top, present=True):
        self.run = pathlib.Path(top) / "run"
        self.path = self.run / "systemd/journal/socket"
        self.path.parent.mkdir(parents=True)
        self.entries = []  # of containers, with their doubles
        self.events = []  # of their monitors
        self.is_whole = True  # nothing that it was sent is gone
        self._socket = None
        self._old = []
        self._thread = None
        self._wake = None
        self._reading = threading.Lock()  # from before an entry is taken until it is kept
        if present:
            self.start()

    def enter(self):
        """For a child that is about to execute a program."""
        node.unshare_mounts()
        node.cover(RUN, self.run)

    # Life

    def start(self, reading=True):
        """A new journal takes the place of whatever was there."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.is_whole = self.is_whole and self._socket is None
        self.path.unlink(missing_ok=True)
        self.stop()
        self._old.append(self._socket)  # whoever is connected to it does not hear of the new one
        receiver.bind(str(self.path))
        self._socket = receiver
        if reading:
            self.go_on()

    def stop(self):
        """It reads nothing any more, as after SIGSTOP."""
        if self._thread is not None:
            os.write(self._wake, b"x")
            self._thread.join()
            os.close(self._wake)
            self._thread = None

    def go_on(self, pause=0, rate=0):
        """`pause`: in seconds, before it reads each entry. `rate`: the most entries that it reads in a second."""
        woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._receive, args=(self._socket, woken, pause, rate), daemon=True)
        self._thread.start()

    def fill(self):
        """With noise, until it takes no more; it must be stopped. Returns how many entries that were."""
        count = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood, contextlib.suppress(BlockingIOError):
            flood.setblocking(False)
            flood.connect(str(self.path))
            while True:
                flood.send(b"CONWARD_EVENT=noise\n")
                count += 1
        return count

    def kill(self):
        """Its socket is left behind, without anybody who listens, and what it has not read is gone."""
        self.stop()
        if self._socket is not None:
            # Before anybody has sent anything, nothing can be on its way.
            has_got = self.entries or self.events or is_readable(self._socket.fileno())
            self.is_whole = self.is_whole and not has_got
            self._socket.close()
        self._socket = None

    def remove(self):
        self.kill()
        self.path.unlink()

    def _receive(self, receiver, woken, pause, rate):
        poll = select.poll()
        poll.register(receiver, select.POLLIN)
        poll.register(woken, select.POLLIN)
        next_at = time.monotonic()
        while all(fd != woken for fd, _ in poll.poll()):
            time.sleep(pause)
            if rate:
                next_at = max(next_at + 1 / rate, time.monotonic() - 0.1)
                time.sleep(max(0, next_at - time.monotonic()))
            with self._reading:
                self._keep(self._take(receiver))
        os.close(woken)

    def take_rest(self):
        """What it has got and not read yet, while it is stopped."""
        while select.select([self._socket], [], [], 0)[0]:
            self._keep(self._take(self._socket))

    def read_rest(self):
        """The same, in whichever state it is."""
        if self._thread is not None:
            self.settle()
        elif self._socket is not None:
            self.take_rest()

    def _keep(self, entry):
        (self.events if "CONWARD_EVENT" in entry.fields else self.entries).append(entry)

    @staticmethod
    def _take(receiver):
        data, ancillary, flags, _ = receiver.recvmsg(_DATAGRAM_MOST, 256)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        pid = None
        is_file = False
        for _, kind, value in ancillary:
            if kind == socket.SCM_RIGHTS:
                (fd,) = array.array("i", value)
                assert not data
                data = pathlib.Path(f"/proc/self/fd/{fd}").read_bytes()
                os.close(fd)
                is_file = True
            elif kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("iii", value)[0]
        return Entry(data, pid, is_file)

    # What it has got

    def settle(self):
        """Waits until it has read all that it was sent; it must not be stopped."""
        wait_until(self._has_read_all, "the journal to read what it was sent")

    def _has_read_all(self):
        with self._reading:
            return not is_readable(self._socket.fileno())

    def all(self):
        """Each entry once, in their order; none may be missing. One is a double of another if its text is the same, too:
        after a crash, its number may be given to another entry."""
        found = {}
        for entry in list(self.entries):
            found.setdefault((entry.number, entry["PRIORITY"], entry["MESSAGE"]), entry)
        numbers = list(dict.fromkeys(number for number, _, _ in found))
        assert numbers == list(range(len(numbers))), "entries are missing, or in another order"
        return list(found.values())

    def events_of(self, kind):
        return [event for event in list(self.events) if event["CONWARD_EVENT"] == kind.encode()]

    def wait_event(self, kind, number=0):
        """Waits for the event, the first one of its kind or a later one, and returns it."""
        wait_until(lambda: len(self.events_of(kind)) > number, f"event {number} of the kind {kind}")
        return self.events_of(kind)[number]

    def doubles(self):
        return len(self.entries) - len(self.all())

    def output(self, stream="stdout"):
        """What the container has written, as far as it is there."""
        return b"".join(e["MESSAGE"] for e in list(self.entries) if e.stream == stream and not e.is_loss)

    def told(self, stream="stdout"):
        """The bytes and records that are told to be lost."""
        losses = [e for e in self.all() if e.stream == stream and e.is_loss]
        return tuple(sum(int(e[f"CONWARD_LOST_{what}"]) for e in losses) for what in ("BYTES", "RECORDS"))

    def wait_output(self, text, stream="stdout"):
        """Waits for an entry whose message has that text."""
        at = 0

        def is_there():
            nonlocal at
            while at < len(self.entries):
                entry = self.entries[at]
                at += 1
                if entry.stream == stream and text in entry["MESSAGE"]:
                    return True
            return False

        wait_until(is_there, f"{text!r} in the journal")

    def close(self):
        self.kill()
        for old in filter(None, self._old):
            old.close()
