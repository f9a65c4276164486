"""The k8s-file log format, read strictly: whatever is not a whole record is an error."""

import collections
import datetime
import re

HEADER = 45

Record = collections.namedtuple("Record", "time stream tag content")

_LINE = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d) (stdout|stderr) ([FP]) ([^\n]*)\n", re.DOTALL
)

_LOSS = re.compile(rb"\[conward\] lost (\d+) bytes in (\d+) records on (\w+), from \S+ to \S+: [^\n]+")


def _nanoseconds(stamp):
    """A time stamp as a number."""
    second = datetime.datetime.fromisoformat(stamp[:19] + stamp[29:])
    return int(second.timestamp()) * 10**9 + int(stamp[20:29])


def check_rising(found):
    """Checks that every record is later than the one before it, in whichever stream that is, but for those of
    --log-close-last-line."""
    found = without_closings(found)
    for before, record in zip(found, found[1:]):
        if before.time[29:] == record.time[29:]:
            rises = before.time < record.time
        else:
            rises = _nanoseconds(before.time) < _nanoseconds(record.time)
        assert rises, f"{record} is not later than {before}"


def records(data, rising=True):
    """The records in the bytes of a log. rising=False: of one that another monitor has written, too."""
    found = []
    at = 0
    while at < len(data):
        match = _LINE.match(data, at)
        assert match, f"no whole record at byte {at} of {len(data)}: {data[at:at + 200]!r}"
        time, stream, tag, content = match.groups()
        found.append(Record(time.decode(), stream.decode(), tag.decode(), content))
        at = match.end()
    if rising:
        check_rising(found)
    return found


def output(found, stream="stdout"):
    """What the container wrote to `stream`: the newline of an F record is its own, that of a P record the log's."""
    return b"".join(
        record.content + (b"\n" if record.tag == "F" else b"")
        for record in without_closings(found)
        if record.stream == stream
    )


def without_closings(found):
    """The records without those of --log-close-last-line: an empty F behind a P of its stream, with the time stamp of
    the record before it."""
    kept, tags, time = [], {}, None
    for record in found:
        closes = (record.tag, record.content, record.time) == ("F", b"", time) and tags.get(record.stream) == "P"
        if not closes:
            kept.append(record)
        tags[record.stream] = record.tag
        time = record.time
    return kept


def check_told(found, wanted, stream="stdout"):
    """Checks that a stream's records are what the container wrote, `wanted`, less exactly what the loss records tell,
    each in its place. A line that has lost its end ends nevertheless: with its own newline, which comes before the loss
    record then, or with that record, if the newline has not been written. Returns how many bytes and records those tell
    of, and what of `wanted` is behind the last record."""
    at = lost_bytes = lost_records = 0
    is_open = has_ended = False  # the line in the log; by a newline that is somewhere in the loss that follows
    for record in found:
        if record.stream != stream:
            continue
        told = _LOSS.fullmatch(record.content)
        if told:
            assert record.tag == "F" and told[3].decode() == stream
            lost_bytes += int(told[1])
            lost_records += int(told[2])
            lost = wanted[at : at + int(told[1]) + has_ended]
            assert not is_open or b"\n" not in lost, f"{record} is glued to a line"
            assert not has_ended or b"\n" in lost, f"the newline before {record} has not been written"
            at += int(told[1]) + has_ended
            has_ended = False
        elif is_open and (record.tag, record.content) == ("F", b"") and wanted[at : at + 1] != b"\n":
            has_ended = True
        else:
            assert not has_ended, f"the newline before {record} has not been written"
            content = record.content + (b"\n" if record.tag == "F" else b"")
            assert wanted[at : at + len(content)] == content, f"{record} is not what was written at byte {at}"
            at += len(content)
        is_open = record.tag == "P"
    assert not has_ended
    return lost_bytes, lost_records, wanted[at:]


def told(found):
    """The bytes and the records that the records tell to be lost."""
    losses = list(filter(None, (_LOSS.fullmatch(record.content) for record in found)))
    return sum(int(loss[1]) for loss in losses), sum(int(loss[2]) for loss in losses)


def without_losses(found):
    """The records without those that only tell of a loss."""
    return [record for record in found if not record.content.startswith(b"[conward] lost ")]


def numbered(first, last):
    """The bytes that `seq first last` prints."""
    return b"".join(b"%d\n" % number for number in range(first, last + 1))
