"""The k8s-file log format, read strictly: whatever is not a whole record is an error."""

import collections
import re

HEADER = 45

Record = collections.namedtuple("Record", "time stream tag content")

_LINE = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d) (stdout|stderr) ([FP]) ([^\n]*)\n", re.DOTALL
)


def records(data):
    """The records in the bytes of a log."""
    found = []
    at = 0
    while at < len(data):
        match = _LINE.match(data, at)
        assert match, f"no whole record at byte {at} of {len(data)}: {data[at:at + 200]!r}"
        time, stream, tag, content = match.groups()
        found.append(Record(time.decode(), stream.decode(), tag.decode(), content))
        at = match.end()
    return found


def output(found, stream="stdout"):
    """What the container wrote to `stream`: the newline of an F record is its own, that of a P record the log's."""
    return b"".join(
        record.content + (b"\n" if record.tag == "F" else b"") for record in found if record.stream == stream
    )


def without_losses(found):
    """The records without those that only tell of a loss."""
    return [record for record in found if not record.content.startswith(b"[conward] lost ")]


def numbered(first, last):
    """The bytes that `seq first last` prints."""
    return b"".join(b"%d\n" % number for number in range(first, last + 1))
