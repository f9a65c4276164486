"""A person at a terminal."""

import fcntl
import os
import struct
import termios

from waiting import wait_readable


class Terminal:
    """A person's terminal: what is typed there, and what is shown."""

    def __init__(self, rows=33, columns=77):
        self.person, self.theirs = os.openpty()
        self.shown = b""
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.person, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.person, text)

    def wait_shown(self, text):
        while text not in self.shown:
            wait_readable(self.person, f"{text!r} on the terminal, where there is {self.shown!r}")
            self.shown += os.read(self.person, 65536)

    def settings(self):
        return termios.tcgetattr(self.theirs)

    def is_raw(self):
        return not self.settings()[3] & termios.ICANON

    def become_session(self):
        """For the child: the terminal becomes its own, as a login's."""
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def for_child(self):
        """Arguments of subprocess.Popen."""
        return {"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs, "preexec_fn": self.become_session}

    def close(self):
        os.close(self.person)
        os.close(self.theirs)
