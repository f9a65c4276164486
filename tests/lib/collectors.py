"""What programs that collect logs make of a container's log, each by the rules that its documentation gives, as strict
as it can be: whatever is no record is an error. The table in conward-log(5) is this one.

- the kubelet's reader and `podman logs` write out what they read: a P record without its newline.
- OpenTelemetry's container operator joins by log.file.path until logtag is F; the file input takes blanks off the end of
  each line of the file (preserve_trailing_whitespaces) and reads no more than max_log_size of it.
- Fluent Bit's tail input reads lines into a buffer of buffer_max_size bytes and stops reading a file with a longer one;
  its multiline parser cri joins by stream, and what has no end is flushed after a while.
- Filebeat's container parser joins the lines of a file until one has the flag F.
- Promtail's cri stage joins by stream; Loki drops an entry with the time and text of another one of its stream.
- Vector's kubernetes_logs source joins by file (auto_partial_merge) and leaves out lines beyond max_line_bytes.

Collectors have a state for each file: a line that is open at a file's end is not joined to the next file."""

import collections
import dataclasses
import re

_LINE = re.compile(rb"(\S{35}) (stdout|stderr) ([FP]) ([^\n]*)", re.DOTALL)

KIB = 1024

# One piece of text as the program passes it on: of that stream, and whether its line has ended.
Event = collections.namedtuple("Event", "stream text ended")


class NoRecord(Exception):
    """A line of the file that is none."""


@dataclasses.dataclass(frozen=True)
class Collector:
    name: str
    joins: str  # what belongs together: "stream" or "file"
    open_end: str  # a last line without a newline: "shown", "sent late" or "kept"
    takes_off: bytes = b""  # from the end of each record
    longest: int = 0  # record, its newline included; 0 = any
    stops: bool = False  # at a longer one; else it is left out
    over_files: bool = False  # a line may go on in the next file
    knows_closings: bool = False  # and their newline is not the container's
    drops_equal: bool = False  # entries of one time and text

    def row(self):
        """Its row in the manual."""
        names = {b"": "-", b"\r": "CR"}
        longest = {0: "any", 32 * KIB: "32 KiB", 1024 * KIB: "1 MiB"}
        return [self.name, self.joins, names.get(self.takes_off, "blanks"), longest[self.longest], self.open_end]

    def read(self, files):
        """The events of a log, given as the bytes of its files, the oldest first."""
        return list(_Reader(self).read(files))

    def texts(self, files, stream):
        return [event.text for event in self.read(files) if event.stream == stream]

    def wants(self, wrote):
        """What it ought to make of a stream: its lines, as far as the program lets them be."""
        *lines, rest = wrote.split(b"\n")
        if rest and self.open_end != "kept":
            lines.append(rest)
        return [line.rstrip(self.takes_off) if self.takes_off else line for line in lines]


class _Reader:
    def __init__(self, collector):
        self._of = collector
        self._open = {}  # by what is joined: the stream of the first part, its time, and all parts
        self._seen = set()
        self._time = None

    def read(self, files):
        for data in files:
            yield from self._file(data)
            if not self._of.over_files:
                yield from self._leave()
        yield from self._leave()

    def _leave(self):
        """Nothing more comes."""
        for stream, _, parts in self._open.values():
            if self._of.open_end != "kept":
                yield Event(stream, b"".join(parts), False)
        self._open.clear()

    def _file(self, data):
        *lines, torn = data.split(b"\n")
        if torn:
            raise NoRecord(torn)
        for line in lines:
            if self._of.longest and len(line) >= self._of.longest:
                if self._of.stops:
                    return
                continue
            yield from self._record(line)

    def _record(self, line):
        match = _LINE.fullmatch(line)
        if not match:
            raise NoRecord(line)
        time, stream, tag, text = match.groups()
        stream = stream.decode()
        key = stream if self._of.joins == "stream" else None
        closes = self._of.knows_closings and (tag, text, time) == (b"F", b"", self._time) and key in self._open
        self._time = time
        if closes:
            return
        if self._of.takes_off:
            text = text.rstrip(self._of.takes_off)
        first, begin, parts = self._open.pop(key, (stream, time, []))
        parts.append(text)
        if tag == b"P":
            self._open[key] = (first, begin, parts)
            return
        whole = b"".join(parts)
        if self._of.drops_equal:
            if (first, begin, whole) in self._seen:
                return
            self._seen.add((first, begin, whole))
        yield Event(first, whole, True)


COLLECTORS = [
    Collector("conwardctl", "stream", "shown", over_files=True, knows_closings=True),
    Collector("kubelet", "stream", "shown", over_files=True),
    Collector("podman logs", "stream", "shown", over_files=True),
    Collector("OpenTelemetry", "file", "sent late", takes_off=b" \t\r", longest=1024 * KIB),
    Collector("Fluent Bit", "stream", "sent late", takes_off=b"\r", longest=32 * KIB, stops=True),
    Collector("Filebeat", "file", "kept"),
    Collector("Promtail", "stream", "kept", drops_equal=True),
    Collector("Vector", "file", "kept", longest=32 * KIB),
]

BY_NAME = {collector.name: collector for collector in COLLECTORS}
