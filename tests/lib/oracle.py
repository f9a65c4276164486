"""The figures of a monitor, computed anew from what its container wrote and what is in its logs, when it has ended.

    container.written = {"stdout": b"hello\\n"}   # if the test knows it: with that, lines are counted, too
    container.log_is_whole = False               # if somebody else has taken something out of the log,
    container.log_is_its_own = False             # or has put something into it
    ...
    oracle.check(container)
    oracle.check(container, journal)

The mark `balanced` does so for each container of a test. The page is read from memory that outlives the monitor. A
file and the journal are balanced apart, each stream for itself:

    read = logged + lost + left out by --log-global-size-max
"""

import re
import subprocess

import k8slog
from crashes import page_tool

STREAMS = ("stdout", "stderr")
KINDS = (b"log-recovered", b"log-incomplete", b"rate-limited")
LINE_MAX = {"file": 16384, "journal": 49152}


def figures(container):
    """What its page says, also when its monitor has gone; None if it had none."""
    if container.page_memory is None:
        return None
    said = subprocess.run([page_tool(), "-"], stdin=container.page_memory, stdout=subprocess.PIPE, check=True).stdout
    return {name: int(number) for name, _, number in (line.partition("=") for line in said.decode().splitlines())}


class Log:
    """What one log says, and what the page says of it."""

    def __init__(self, kind, page, whole, container):
        self.kind = kind  # "file" or "journal"
        self.page = page
        self.whole = whole  # nothing has been taken out of it
        self.container = container

    def figure(self, stream, name):
        return self.page[f"{self.kind}_{stream}_{name}"]

    def equals(self, stream, name, found):
        """The figure is what was found, and not less if not all can be found."""
        counted = self.figure(stream, name)
        where = f"{name} of {stream}, {self.kind}"
        assert counted >= found, f"{where}: {counted} are counted and {found} are there"
        assert counted == found or not self.whole, f"{where}: {counted} are counted and {found} are there"

    def check_balance(self, stream):
        """Of all that was read, nothing is missing and nothing counted twice."""
        logged, lost, capped = (self.figure(stream, name) for name in ("bytes", "lost_bytes", "capped_bytes"))
        read = self.page[f"{stream}_read"]
        assert self.figure(stream, "owed") == 0, f"a newline of {stream} is owed for ever, {self.kind}"
        found = f"{stream}, {self.kind}: {logged} + {lost} + {capped} of {read}"
        assert self.figure(stream, "start") == read, found
        # What the runtime has said before is read, too, but is not the container's.
        is_runtimes = (self.container.plan / stream).exists()
        assert logged + lost + capped == read or (is_runtimes and logged + lost + capped < read), found
        assert (lost > 0) == (self.figure(stream, "lost_records") > 0)
        assert (logged > 0) == (self.figure(stream, "records") > 0)
        assert self.figure(stream, "partials") <= self.figure(stream, "records")

    def check_limited(self, stream):
        """What a rate has cost is a part of what is lost: all of it if no write has failed, nothing without a rate."""
        limited, records = self.figure(stream, "limited_bytes"), self.figure(stream, "limited_records")
        lost, lost_records = self.figure(stream, "lost_bytes"), self.figure(stream, "lost_records")
        assert limited <= lost and records <= lost_records
        if self.kind == "journal" or not self.container.options.get("--log-rate-limit"):
            assert (limited, records) == (0, 0), f"a rate limit has cost output of {stream}, and there is none"
        elif self.page["write_errors"] == 0:
            assert (limited, records) == (lost, lost_records), f"{stream} has lost more than its rate has cost"
        if self.kind == "file" and self.page["write_errors"] == 0:
            assert limited == lost, f"{stream} has lost something, and no write has failed"

    def check_told(self, stream, bytes_told, records_told):
        told = bytes_told + self.figure(stream, "untold_bytes"), records_told + self.figure(stream, "untold_records")
        lost = self.figure(stream, "lost_bytes"), self.figure(stream, "lost_records")
        assert told <= lost, f"{told} are told to be lost of {stream}, and {lost} are counted, {self.kind}"
        if self.whole and self.figure(stream, "capped_bytes") == 0:
            assert told == lost, f"{told} are told to be lost of {stream}, and {lost} are counted, {self.kind}"

    def check_lines(self, stream, written):
        """Lines are counted whatever becomes of them."""
        lines = written.split(b"\n")
        most = LINE_MAX[self.kind] if self.kind == "journal" else self.page["log_line_max"]
        assert self.page[f"{stream}_read"] == len(written)
        assert self.figure(stream, "longest") == max(map(len, lines))
        assert self.figure(stream, "long_lines") == sum(len(line) > most for line in lines)
        assert self.figure(stream, "line") == len(lines[-1])
        assert (self.figure(stream, "line_since") != 0) == (lines[-1] != b"")

    def check(self, stream, written):
        self.check_balance(stream)
        self.check_limited(stream)
        if written is not None and not {"set log-line-max", "--log-line-max"} & set(self.container.options):
            self.check_lines(stream, written)


def _files(log):
    """All files of a log, the oldest first."""
    old = [path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()]
    return sorted(old, key=lambda path: -int(path.suffix[1:])) + ([log] if log.exists() else [])


def _check_file(container, page):
    files = _files(container.log) if container.log_is_its_own else []
    # A file that has been replaced is a backup, or it is gone.
    whole = container.log_is_whole and page["reopens"] == page["rotations"] == len(files) - 1
    log = Log("file", page, whole, container)
    found = k8slog.without_closings([r for path in files for r in k8slog.records(path.read_bytes(), rising=False)])
    assert page["batch"] == 0, "something waits for ever to be written"
    assert page["rotations"] <= page["reopens"]
    assert (page["write_errors"] > 0) == (page["last_error"] != 0)
    size = sum(path.stat().st_size for path in files)
    assert page["logged_in_all"] == size if whole else page["logged_in_all"] >= size
    for stream in STREAMS:
        written = container.written.get(stream)
        records = [record for record in found if record.stream == stream]
        content = k8slog.without_losses(records)
        log.check(stream, written)
        log.equals(stream, "bytes", len(k8slog.output(content, stream)))
        log.equals(stream, "records", len(content))
        log.equals(stream, "partials", sum(record.tag == "P" for record in content))
        if whole:
            assert log.figure(stream, "open") == (records != [] and records[-1].tag == "P")
        log.check_told(stream, *k8slog.told(records))
        if whole and written is not None and page["says_losses"] and log.figure(stream, "capped_bytes") == 0:
            _, _, rest = k8slog.check_told(found, written, stream)
            assert len(rest) == log.figure(stream, "untold_bytes")
    return log


def _check_journal(container, page, journal):
    """Of an entry that was sent twice, the later one counts."""
    own = {}
    reads_priorities = (
        "--log-priority-prefix" in container.options or "CONWARD_LOG_PRIORITY_PREFIX" in container.environment
    )
    for entry in list(journal.entries):
        if entry["CONTAINER_ID_FULL"] == container.cid.encode():
            own[entry.number] = entry
    log = Log("journal", page, journal.is_whole, container)
    assert page["journal_entries"] == len(own) if log.whole else page["journal_entries"] >= len(own)
    for stream in STREAMS:
        entries = [entry for entry in own.values() if entry.stream == stream]
        content = [entry for entry in entries if not entry.is_loss]
        log.check(stream, container.written.get(stream))
        if not reads_priorities:
            log.equals(stream, "bytes", sum(len(entry["MESSAGE"]) for entry in content))
        log.equals(stream, "records", len(content))
        if not container.options.get("--no-container-partial-message"):
            log.equals(stream, "partials", sum(entry.is_partial for entry in content))
        losses = [entry for entry in entries if entry.is_loss]
        log.check_told(
            stream, *(sum(int(entry[f"CONWARD_LOST_{what}"]) for entry in losses) for what in ("BYTES", "RECORDS"))
        )
    return log


def _lost_in_all(logs):
    return tuple(
        sum(log.figure(stream, name) for log in logs for stream in STREAMS) for name in ("lost_bytes", "lost_records")
    )


def _lost_by(event):
    return int(event["CONWARD_LOST_BYTES"]), int(event["CONWARD_LOST_RECORDS"])


def _losses(logs):
    """Bytes and records by stream and by what has cost them, in words of log-incomplete."""
    found = {}
    for log in logs:
        for stream in STREAMS:
            lost = log.figure(stream, "lost_bytes"), log.figure(stream, "lost_records")
            limited = log.figure(stream, "limited_bytes"), log.figure(stream, "limited_records")
            why = "could not be written" if log.kind == "file" else "did not take them"
            found[stream, why] = lost[0] - limited[0], lost[1] - limited[1]
            if log.kind == "file":
                found[stream, "may not grow faster than --log-rate-limit says"] = limited
    return {key: amounts for key, amounts in found.items() if amounts != (0, 0)}


_SAID = re.compile(r"Lost (\d+) bytes in (\d+) records? of (\w+): the (?:log \S+|journal) (.*?)(?=\. Lost|$)")


def _said(event):
    said = _SAID.findall(event["MESSAGE"].decode())
    return {(stream, why): (int(lost), int(records)) for lost, records, stream, why in said}


def _check_events(container, journal, logs):
    """What the journal was told of losses while the container ran, and at its end."""
    lost = _lost_in_all(logs)
    events = [event for event in list(journal.events) if event["CONWARD_CONTAINER_ID"] == container.cid.encode()]
    kinds = {kind: [event for event in events if event["CONWARD_EVENT"] == kind] for kind in KINDS}
    for event in kinds[b"log-recovered"]:
        # Not that of several that were held back.
        assert event["CONWARD_LOST_BYTES"] is None or _lost_by(event) <= lost
    for event in kinds[b"log-incomplete"]:
        assert _lost_by(event) == lost
        assert _said(event) == _losses(logs)
    assert len(kinds[b"log-incomplete"]) <= (lost[1] > 0)
    # A journal that does not take the output does not take this either.
    if journal.is_whole and all(log.kind == "file" for log in logs):
        assert len(kinds[b"log-incomplete"]) == (lost[1] > 0)
    assert kinds[b"rate-limited"] or not any(log.figure(stream, "limited_bytes") for log in logs for stream in STREAMS)


def check(container, journal=None):
    """Of a monitor that goes on nothing is said."""
    page = figures(container)
    if page is None or page["failed"] or not container.monitor_ended():
        return
    logs = []
    if page["has_file"] and container.log.exists():
        logs.append(_check_file(container, page))
    if journal is not None:
        journal.read_rest()
        if page["has_journal"]:
            logs.append(_check_journal(container, page, journal))
        _check_events(container, journal, logs)
