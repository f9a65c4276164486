"""conwardctl logs --follow, whose output is read as it is expected."""

import os
import signal

from procfs import Process
from waiting import LIMIT, read_to_end, wait_readable, wait_until


class Follower:
    def __init__(self, process):
        """`process`: a subprocess.Popen without buffers, both of whose outputs are pipes."""
        self.process = process

    def expect(self, output):
        """Reads as much as that, which is what must come next."""
        got = b""
        while len(got) < len(output):
            wait_readable(self.process.stdout.fileno(), f"{output[len(got):][:100]!r}")
            part = os.read(self.process.stdout.fileno(), len(output) - len(got))
            assert part, f"the output ends after {got[-100:]!r}"
            got += part
            assert output.startswith(got), f"{got[-200:]!r} has come, and {output[:len(got)][-200:]!r} was to"

    def is_idle(self, limited=False):
        """Whether it waits in ppoll(2), with a time limit or without."""
        words = Process(self.process.pid).path.joinpath("syscall").read_text().split()
        return words[0] == "271" and (int(words[3], 16) != 0) == limited

    def wait_idle(self, limited=False):
        """Until it does."""
        if os.uname().machine == "x86_64":
            wait_until(lambda: self.is_idle(limited), "a wait")

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: Process(self.process.pid).stat()[0] == "T", "a stopped reader")

    def end(self, sig=signal.SIGTERM):
        """Asks it to end, which it does with all that it has read shown."""
        self.process.send_signal(sig)
        return self.ended()

    def ended(self):
        """What else has come when it ends, on both streams."""
        rest = read_to_end(self.process.stdout.fileno(), "the end of the output")
        notes = read_to_end(self.process.stderr.fileno(), "the end of the notes")
        assert self.process.wait(LIMIT) == 0, notes
        return rest, notes
