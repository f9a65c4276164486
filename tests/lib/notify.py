"""Both ends of the way to a service manager: of a container's, and of a `conward run`'s."""

import array
import fcntl
import os
import socket
import termios

from waiting import wait_readable, wait_until


class Host:
    """The service manager's socket."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def fill(self):
        """Notifications of its own until there is room for no more; returns their number."""
        count = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            while True:
                try:
                    sender.sendto(b"STATUS=full", self.socket.getsockname())
                    count += 1
                except BlockingIOError:
                    return count

    def receive(self):
        wait_readable(self.socket.fileno(), "a notification")
        return self.socket.recv(65536)

    def close(self):
        self.socket.close()


class Sender:
    """The container's side, from outside of it."""

    def __init__(self, container):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        container._keep(self.socket)
        directory = os.open(container.bundle / "notify", os.O_PATH)
        self.socket.connect(f"/proc/self/fd/{directory}/notify.sock")
        os.close(directory)

    def send(self, data, flags=0):
        self.socket.send(data, flags)

    def send_descriptors(self, data, *fds):
        self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])

    def wait_taken(self):
        """Waits until the monitor has taken all that was sent."""

        def unread():
            count = array.array("i", [0])
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, count)
            return count[0]

        wait_until(lambda: not unread(), "the notifications to be taken")

    def fill(self, count=0, text=None):
        """Sends notifications, numbered from `count` on unless all are to be `text`, until nobody takes any more;
        returns the next number."""
        self.socket.setblocking(False)
        while True:
            try:
                self.send(text or b"STATUS=%d" % count)
                count += 1
            except BlockingIOError:
                return count


def notifying(container, host="host", bind=True):
    """Gives a container that is not launched yet a host to notify; returns the host's socket."""
    (container.bundle / "notify").mkdir()
    address = host if host.startswith("@") else str(container.top / host)
    container.options["--sdnotify-socket"] = address
    return container._keep(Host(address.replace("@", "\0", 1))) if bind else None


def unit(run, address=None, variables=()):
    """Makes a `conward run` that is not launched yet the main process of a unit; returns the service manager's socket.
    `variables`: those that are to hold its pid."""
    address = address or str(run.top / "manager")
    if variables:
        program = run.top / "unit"
        program.write_text(
            f"#!/bin/sh\nexport {' '.join(f'{name}=$$' for name in variables)}\nexec '{run.program}' \"$@\"\n"
        )
        program.chmod(0o755)
        run.program = program
    run.environment["NOTIFY_SOCKET"] = address
    return Host(address.replace("@", "\0", 1))
