"""Logs that cannot be written, or not as fast: nothing is torn, what is lost is counted to the byte and told at its
place, or the container waits and nothing is lost; and its end is reported all the same.

The disks are real, and small. `check_told` (tests/lib/k8slog.py) compares what a log tells with what was written."""

import contextlib
import errno
import fcntl
import os
import random
import re
import resource
import signal
import time

import pytest

import engine
import k8slog
from crashes import AT_FULL_SPEED, FATAL, ON_BOTH, Trouble, crash, page, printed
from fake_journal import FakeJournal
from waiting import wait_until

pytestmark = pytest.mark.balanced

SECONDS = float(os.environ.get("TROUBLE_SECONDS", "3"))

POLICIES = pytest.mark.parametrize("policy", ["drop", "wait"])

# Prints some lines, and goes on when told to.
PRINTS_TWICE = "seq 1 {first}; read word < go; seq {next} {last}; exit 7"


def lost(container):
    """The bytes and records that the monitor's page counts as lost, of both streams."""
    now = page(container.monitor.pid)
    return now["stdout_lost"] + now["stderr_lost"], now["stdout_lost_records"] + now["stderr_lost_records"]


def wait_until_full(container, policy, last):
    """Until the disk has no room, and the container, unless it has to wait, has printed its lines up to `last`."""
    wait_until(lambda: page(container.monitor.pid)["last_error"] != 0, "the disk to be full")
    if policy == "drop":
        all_read = len(k8slog.numbered(1, last))
        wait_until(lambda: page(container.monitor.pid)["stdout_read"] == all_read, "all output")


def begin_and_fill(disk, container, leave, policy, last):
    """Lets it begin with so much room on the disk, and waits until that is used up. Returns the fifo that it reads."""
    go = container.fifo("go")
    disk.fill(leave=leave)
    container.create()
    container.start()
    wait_until_full(container, policy, last)
    return go


def all_records(container):
    """Those of its older files, too, in order."""
    old = sorted(container.log.parent.glob("ctr.log.*"), key=lambda path: -int(path.suffix[1:]))
    return [record for path in [*old, container.log] for record in k8slog.records(path.read_bytes())]


def told(container, wanted, stream="stdout"):
    container.written[stream] = wanted
    return k8slog.check_told(container.records(), wanted, stream)


@POLICIES
def test_disk_that_is_full_for_a_while(disk, logging_to, policy):
    container = logging_to(policy, PRINTS_TWICE.format(first=10000, next=10001, last=10010))
    go = begin_and_fill(disk, container, 100_000, policy, 10000)
    if policy == "wait":
        wait_until(lambda: page(container.monitor.pid)["waits"] == 1, "the container to wait")
    counted = lost(container)
    disk.free()
    if policy == "drop":
        # It does not take further output for the loss to be told.
        wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    os.write(go, b"\n")
    assert container.wait() == 7
    found = told(container, k8slog.numbered(1, 10010))
    assert found == (*counted, b"")
    assert (counted == (0, 0)) == (policy == "wait")


@POLICIES
def test_full_disk_at_the_end_of_a_file(disk, logging_to, policy):
    """The record that is torn when its file has to be replaced begins the next one, or is counted as lost."""
    container = logging_to(policy, PRINTS_TWICE.format(first=1000, next=1001, last=1010))
    # The file has room for the rest of that record, but not for the loss record as well.
    container.options.update({"--log-size-max": "32900", "--log-rotate": True, "--log-max-files": "100"})
    go = begin_and_fill(disk, container, 32768, policy, 1000)
    if policy == "drop":
        wait_until(lambda: page(container.monitor.pid)["rotations"] > 0, "the next file")
    disk.free()
    if policy == "drop":
        wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    counted = lost(container)
    os.write(go, b"\n")
    assert container.wait() == 7
    container.written["stdout"] = k8slog.numbered(1, 1010)
    assert k8slog.check_told(all_records(container), k8slog.numbered(1, 1010)) == (*counted, b"")
    assert (counted == (0, 0)) == (policy == "wait")


@pytest.mark.parametrize("rotates", [True, False])
@POLICIES
def test_record_that_no_file_has_room_for(disk, logging_to, policy, rotates):
    """It is torn in each file, and each has to be replaced for what comes next: that ends."""
    lines = [letter * 4500 for letter in "abc"]
    prints = "".join(f"echo {line}; " for line in lines)
    container = logging_to(policy, f"{prints} echo > printed; read word < go; echo end; exit 7")
    container.options["--log-size-max"] = "5000"
    if rotates:
        container.options.update({"--log-rotate": True, "--log-max-files": "100"})
    wanted = "".join(f"{line}\n" for line in [*lines, "end"]).encode()
    go = container.fifo("go")
    disk.fill(leave=4096)
    container.create()
    container.start()
    wait_until((container.bundle / "printed").exists, "all output")
    wait_until(lambda: page(container.monitor.pid)["waits"] == 1 or lost(container)[1] > 0, "the disk to be full")
    disk.free()
    if policy == "drop":
        wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    counted = lost(container)
    os.write(go, b"\n")
    assert container.wait() == 7
    container.written["stdout"] = wanted
    found = all_records(container)
    if rotates:
        assert k8slog.check_told(found, wanted) == (*counted, b"")
    assert found[-1].content == b"end"
    assert (counted == (0, 0)) == (policy == "wait")


@POLICIES
def test_full_disk_that_is_freed_by_truncating_the_log(disk, logging_to, policy):
    """The beginning of the record that was torn is gone: its rest alone would be torn as well."""
    container = logging_to(policy, PRINTS_TWICE.format(first=1000, next=1001, last=1010))
    go = begin_and_fill(disk, container, 32768, policy, 1000)
    assert not container.log.read_bytes().endswith(b"\n"), "a record is torn"
    os.truncate(container.log, 0)
    container.log_is_whole = False
    container.written["stdout"] = k8slog.numbered(1, 1010)
    os.write(go, b"\n")
    assert container.wait() == 7
    numbers = [int(record.content) for record in k8slog.without_losses(container.records())]
    assert numbers[-10:] == list(range(1001, 1011))
    if policy == "wait":
        assert numbers == list(range(numbers[0], 1011)), "the torn record comes first"


def test_torn_record_that_is_lost_later(disk, logging_to):
    """A line that has lost its beginning meanwhile stays damaged: its end does not look like a line."""
    container = logging_to("drop", "seq 1 1000; printf unfinished; read word < go; echo ' line'; echo next; exit 7")
    container.options["--log-rotate"] = True  # else the old file would make room
    wanted = k8slog.numbered(1, 1000) + b"unfinished line\nnext\n"
    go = container.fifo("go")
    disk.fill(leave=32768)
    container.create()
    container.start()

    def is_lost():
        now = page(container.monitor.pid)
        return now["stdout_lost"] + now["stdout_logged"] == wanted.index(b" line")

    wait_until(is_lost, "the loss of the unfinished line")
    # The old file does not take the rest of the record that is torn, and the next one does not take it either.
    before = lost(container)
    container.control("2 0 0\n")
    wait_until(lambda: lost(container) > before, "the loss of the torn record")
    assert lost(container)[1] == before[1] + 1
    disk.free()
    os.write(go, b"\n")
    assert container.wait() == 7
    container.written["stdout"] = wanted
    texts = [record.content for record in container.records()]
    assert texts[-1] == b"next"
    assert not any(text.endswith(b" line") for text in texts)


@pytest.mark.parametrize("crashes", [False, pytest.param(True, marks=pytest.mark.survival)], ids=["", "crashes"])
@pytest.mark.parametrize("tells", ["yes", "no"])
def test_line_that_loses_its_end(disk, logging_to, tells, crashes):
    """The newline is not lost: neither the loss record nor the next line is glued to what is logged of that line."""
    # Its record takes the file's last block to the last byte, so that nothing more has room.
    begin = b"x" * (4096 - k8slog.HEADER - 1)
    container = logging_to(
        "drop", f"printf {begin.decode()}; read word < go; echo ' and ends'; seq 1 100; read word < go; echo last; exit 7"
    )
    container.options["--log-loss-record"] = tells
    wanted = begin + b" and ends\n" + k8slog.numbered(1, 100) + b"last\n"
    go = container.fifo("go")
    container.create()
    container.start()
    wait_until(lambda: container.log.stat().st_size == 4096, "the beginning of the line")
    disk.fill()
    os.write(go, b"\n")
    all_read = len(wanted) - len(b"last\n")
    wait_until(lambda: page(container.monitor.pid)["stdout_read"] == all_read, "all output")
    wait_until(lambda: lost(container) == (all_read - len(begin) - 1, 101), "the loss to be counted")
    if crashes:
        crash(container.monitor.pid, random.choice(FATAL))
    disk.free()
    wait_until(lambda: container.log.stat().st_size > 4096, "the log to go on")
    os.write(go, b"\n")
    assert container.wait() == 7
    container.written["stdout"] = wanted
    records = container.records()
    assert [(record.tag, record.content) for record in k8slog.without_losses(records)] == [
        ("P", begin),
        ("F", b""),
        ("F", b"last"),
    ]
    if tells == "yes":
        assert told(container, wanted) == (all_read - len(begin) - 1, 101, b"")


def test_disk_that_stays_full(disk, new_run):
    """Everything is counted in the end, though the log has no room to tell it."""
    run = new_run("seq 1 20000; exit 7")
    run.log = disk.top / "run.log"
    run.options.update({"--log-path": run.log, "--quiet": True})
    disk.fill(leave=100_000)
    run.launch()
    assert run.wait() == 7
    assert run.exit_file.read_text() == "7"
    said = (run.top / "stderr").read_text()
    bytes_lost, records_lost = map(int, re.search(r"Lost (\d+) bytes in (\d+) records of stdout", said).groups())
    told_bytes, told_records, rest = k8slog.check_told(run.records(), k8slog.numbered(1, 20000))
    assert told_bytes <= bytes_lost and told_records <= records_lost
    assert len(rest) == bytes_lost - told_bytes
    assert rest.count(b"\n") == records_lost - told_records


@pytest.mark.parametrize("stands", [True, False], ids=["journal", "syslog"])
def test_end_while_the_disk_is_full(disk, logging_to, directory, system_log, stands):
    """The log cannot tell what it has lost, and an engine's monitor has no standard error: the journal is told, to the
    byte, and without one the system log is."""
    container = logging_to("drop", "seq 1 40000; seq 1 1000 >&2; exit 7")
    container.options["--syslog"] = True
    log, find_log = system_log
    journal = FakeJournal(directory / "node", present=stands)
    disk.fill(leave=100_000)

    def prepare():
        journal.enter()
        find_log()

    container.create(prepare=prepare)
    container.start()
    assert container.wait() == 7
    wanted = container.written = {"stdout": k8slog.numbered(1, 40000), "stderr": k8slog.numbered(1, 1000)}
    missing = {name: text[len(container.output(name)) :] for name, text in wanted.items()}
    assert all(container.output(name) + missing[name] == text for name, text in wanted.items())
    if stands:
        event = journal.wait_event("log-incomplete")
        assert event["CONWARD_LOST_BYTES"] == b"%d" % sum(map(len, missing.values()))
        assert event["CONWARD_LOST_RECORDS"] == b"%d" % sum(text.count(b"\n") for text in missing.values())
        assert event["CONWARD_CONTAINER_ID"] == container.options["--cid"].encode()
        said = event["MESSAGE"].decode()
        journal.wait_event("exited")
        assert len(journal.events_of("log-incomplete")) == 1
    else:
        said = "\n".join(iter(lambda: read_datagram(log), ""))
    journal.close()
    for name, text in missing.items():
        records = text.count(b"\n")
        assert f"Lost {len(text)} bytes in {records} records of {name}: the log {container.log} could not be written" in said


def read_datagram(receiver):
    try:
        return receiver.recv(65536).decode()
    except BlockingIOError:
        return ""


def test_end_while_the_log_waits(disk, logging_to):
    """The exit is reported at once; the monitor goes on trying for a while, and leaves then."""
    container = logging_to("wait", "seq 1 1000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 1000)
    disk.fill()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert not container.monitor_ended()
    assert container.log.stat().st_size == 0
    disk.free()
    assert container.wait() == 7
    assert container.output() == k8slog.numbered(1, 1000)


@pytest.mark.survival
def test_end_while_the_log_waits_in_vain(disk, new_run):
    run = new_run("seq 1 1000; exit 7")
    run.log = disk.top / "run.log"
    run.options.update({"--log-path": run.log, "--quiet": True, "--log-on-error": "wait"})
    trouble = Trouble(run)
    disk.fill()
    run.launch()
    wait_until(run.exit_file.exists, "the exit file")
    trouble.suspend(run.pid, 200)
    assert not run.ended()
    trouble.suspend(run.pid, 301)
    assert run.wait() == 7
    assert "Lost 3893 bytes in 1000 records of stdout" in (run.top / "stderr").read_text()
    assert run.log.stat().st_size == 0


@pytest.mark.survival
def test_end_while_the_log_is_slow(new_container):
    """A fifo whose reader takes a little now and then: whatever it takes is progress, and it gets everything."""
    container = new_container(command="seq 1 5000; exit 7")
    trouble = Trouble(container)
    container.log = container.fifo("log.fifo")
    fcntl.fcntl(container.log, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(container.log, False)
    container.options.update({"--log-path": f"k8s-file:{container.bundle / 'log.fifo'}", "--log-on-error": "wait"})
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    got = b""
    suspended = 0
    while not container.monitor_ended():
        with contextlib.suppress(BlockingIOError):
            got += os.read(container.log, 65536)
        suspended += 10
        trouble.suspend(container.monitor.pid, suspended)
    while part := read_now(container.log):
        got += part
    assert suspended > 300
    assert container.wait() == 7
    assert b"".join(record.content + b"\n" for record in k8slog.records(got)) == k8slog.numbered(1, 5000)


def read_now(fd):
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_impatience_while_the_log_waits(disk, logging_to):
    """Who sends the monitor a signal then does not have to wait with it."""
    container = logging_to("wait", "seq 1 1000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 1000)
    disk.fill()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    container.signal_monitor(signal.SIGTERM)
    assert container.wait() == 7


@pytest.mark.parametrize("says", ["yes", "no"])
def test_policy_that_changes_after_the_end(disk, logging_to, says):
    """Then nothing waits any more, and the monitor leaves."""
    container = logging_to("wait", "seq 1 1000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 1000)
    container.options["--log-loss-record"] = says
    disk.fill()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    container.control("set log-on-error drop\n")
    assert container.wait() == 7


@pytest.mark.survival
def test_reopen_after_the_end(disk, logging_to):
    """What has waited goes to the new file, and the monitor leaves."""
    container = logging_to("wait", "seq 1 1000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 1000)
    trouble = Trouble(container)
    disk.fill()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    (trouble.directory / "failing-write").touch()
    disk.free()
    wait_until(lambda: page(container.monitor.pid)["last_error"] == errno.EIO, "an attempt to write")
    (trouble.directory / "failing-write").unlink()
    container.control("2 0 0\n")
    assert container.wait() == 7
    assert container.output() == k8slog.numbered(1, 1000)


@POLICIES
def test_client_while_the_disk_is_full(disk, logging_to, policy):
    """Who is attached gets everything, and no sooner than the container writes it."""
    container = logging_to(policy, "seq 1 20000; read word < go; exit 7")
    go = container.fifo("go")
    disk.fill(leave=10_000)
    container.create()
    client = container.attach()
    container.start()
    wait_until(lambda: page(container.monitor.pid)["last_error"] != 0, "the disk to be full")
    disk.free()
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == k8slog.numbered(1, 20000)


@POLICIES
@pytest.mark.parametrize("crashes", [False, pytest.param(True, marks=pytest.mark.survival)], ids=["", "crashes"])
def test_disk_that_is_full_again_and_again(disk, logging_to, policy, crashes):
    """At full speed, on both streams, with whatever the disk has left in the middle of a record; now and then the
    monitor crashes."""
    container = logging_to(policy, ON_BOTH)
    go = container.fifo("go")
    # What is logged is thrown away by the test, so that the disk can be small.
    parts = []
    container.create()
    container.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        before = page(container.monitor.pid)["write_errors"]
        disk.fill(leave=random.randrange(0, 50_000))
        wait_until(lambda: page(container.monitor.pid)["write_errors"] > before, "the disk to be full")
        if crashes:
            crash(container.monitor.pid, random.choice(FATAL))
        take_part(container, parts)
        disk.free()
        size = container.log.stat().st_size if container.log.exists() else 0
        wait_until(lambda: container.log.stat().st_size != size, "the log to go on")
        take_part(container, parts)
    (container.bundle / "enough").touch()

    def has_printed():
        take_part(container, parts)
        return (container.bundle / "printed").exists()

    wait_until(has_printed, "the container to have printed enough")
    os.write(go, b"\n")
    assert container.wait() == 7
    take_part(container, parts, last=True)
    container.written = dict.fromkeys(("stdout", "stderr"), printed(container))
    found = [record for part in parts for record in k8slog.records(part)]
    for stream in ("stdout", "stderr"):
        bytes_lost, records_lost, rest = k8slog.check_told(found, printed(container), stream)
        print(f"{policy}, {stream}: {len(printed(container))} bytes, of which {bytes_lost} in {records_lost} records lost")
        assert rest == b""
        assert policy == "drop" or bytes_lost == 0


def take_part(container, parts, last=False):
    """Moves the log away, as kubelet does, and keeps what is in it once nothing more comes to it."""
    moved = container.log.with_suffix(".moved")
    if not moved.exists():
        if last or not container.log.exists():
            if container.log.exists():
                parts.append(container.log.read_bytes())
            return
        container.log.rename(moved)
        container.control("2 0 0\n")
    if not last:
        wait_until(container.log.exists, "the new log")
    parts.append(moved.read_bytes())
    moved.unlink()
    if last:
        parts.append(container.log.read_bytes())


@POLICIES
def test_limit_on_file_size(new_container, policy):
    container = new_container(command=PRINTS_TWICE.format(first=20000, next=20001, last=20010))
    container.options["--log-on-error"] = policy
    go = container.fifo("go")
    container.create()
    infinity = resource.RLIM_INFINITY
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (100_003, infinity))
    container.start()
    wait_until(lambda: page(container.monitor.pid)["last_error"] != 0, "the limit")
    all_read = len(k8slog.numbered(1, 20000))
    wait_until(lambda: policy == "wait" or page(container.monitor.pid)["stdout_read"] == all_read, "all output")
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (infinity, infinity))
    counted = lost(container)
    os.write(go, b"\n")
    assert container.wait() == 7
    assert told(container, k8slog.numbered(1, 20010)) == (*counted, b"")
    assert (counted == (0, 0)) == (policy == "wait")


@pytest.mark.survival
@POLICIES
@pytest.mark.parametrize("write", ["failing-write", "empty-write"])
def test_device_that_fails(new_container, policy, write):
    container = new_container(command=PRINTS_TWICE.format(first=1000, next=1001, last=1010))
    trouble = Trouble(container)
    container.options["--log-on-error"] = policy
    go = container.fifo("go")
    container.create()
    (trouble.directory / write).touch()
    container.start()
    wait_until(lambda: page(container.monitor.pid)["last_error"] == 5, "the failure")
    wait_until(lambda: page(container.monitor.pid)["stdout_read"] == 3893 or policy == "wait", "all output")
    (trouble.directory / write).unlink()
    os.write(go, b"\n")
    assert container.wait() == 7
    bytes_lost, records_lost, rest = told(container, k8slog.numbered(1, 1010))
    assert rest == b""
    assert (bytes_lost, records_lost) == ((3893, 1000) if policy == "drop" else (0, 0))
    if policy == "drop":
        assert b": Input/output error\n" in container.log.read_bytes()


def test_no_loss_record(disk, logging_to):
    container = logging_to("drop", PRINTS_TWICE.format(first=10000, next=10001, last=10010))
    container.written["stdout"] = k8slog.numbered(1, 10010)
    container.options["--log-loss-record"] = "no"
    go = container.fifo("go")
    disk.fill(leave=100_000)
    container.create()
    container.start()
    wait_until(lambda: page(container.monitor.pid)["stdout_read"] == len(k8slog.numbered(1, 10000)), "all output")
    disk.free()
    os.write(go, b"\n")
    assert container.wait() == 7
    output = container.output()
    assert b"conward" not in output
    assert output.endswith(b"\n" + k8slog.numbered(10001, 10010))


def test_directory_that_is_removed(disk, logging_to):
    """The file is still there for who has it open: nothing can be done, and nothing else happens."""
    container = logging_to("drop", "read word < go; seq 1 1000; exit 7")
    container.log = disk.top / "logs" / "ctr.log"
    container.log.parent.mkdir()
    container.options["--log-path"] = str(container.log)
    go = container.fifo("go")
    container.create()
    container.start()
    container.log.unlink()
    container.log.parent.rmdir()
    os.write(go, b"\n")
    assert container.wait() == 7
    assert container.exit_file.read_text() == "7"


def test_legacy_exec_whose_log_is_cut(disk, new_exec_sync):
    """The log is the answer: one that is cut must not look whole."""
    process = new_exec_sync("seq 1 100000; exit 0")
    process.log = disk.top / "log"
    process.log.touch()
    process.options["--log-path"] = str(process.log)
    disk.fill(leave=100_000)
    process.launch()
    process.let_go()
    answer = process.answer()
    assert answer["exit_code"] == -1
    match = re.fullmatch(r"log incomplete: lost (\d+) bytes: No space left on device", answer["message"])
    assert process.output() == k8slog.numbered(1, 100000)[: -int(match[1])]


def test_legacy_exec_within_its_cap(new_exec_sync):
    """What the engine's own limit leaves out is not an error."""
    process = new_exec_sync("seq 1 1000; exit 3")
    process.options["--log-global-size-max"] = "10000"
    process.execute()
    assert process.answer() == {"data": 3, "exit_code": 3}


# The rate


def test_rate_that_waits(new_container):
    """Nothing is lost, and the container is not slowed down below the limit."""
    container = new_container(command="seq 1 30000; touch done; read word < go; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 30000)
    go = container.fifo("go")
    limit = 600_000
    container.options["--log-rate-limit"] = f"{limit}:1000"
    container.create()
    begin = time.monotonic()
    container.start()
    wait_until((container.bundle / "done").exists, "the container to have printed all")
    took = time.monotonic() - begin
    size = container.log.stat().st_size
    print(f"set: {limit} bytes/s, measured: {size / took:.0f} bytes/s ({size / took / limit:.2f})")
    assert size / took <= limit * 1.05 + 100_000, "it cannot be faster"
    os.write(go, b"\n")
    assert container.wait() == 7
    assert container.output() == k8slog.numbered(1, 30000)


def test_rate_that_drops(new_container):
    container = new_container(command=AT_FULL_SPEED)
    go = container.fifo("go")
    limit = 200_000
    container.options.update({"--log-rate-limit": limit, "--log-rate-policy": "drop"})
    container.create()
    begin = time.monotonic()
    container.start()
    wait_until(lambda: container.log.read_bytes().count(b"[conward] lost ") >= 3, "three losses")
    (container.bundle / "enough").touch()
    wait_until((container.bundle / "printed").exists, "the container to have printed enough")
    took = time.monotonic() - begin
    size = container.log.stat().st_size
    print(f"set: {limit} bytes/s, measured: {size / took:.0f} bytes/s ({size / took / limit:.2f}, a burst included)")
    assert size <= limit * (took + 1) + 100_000
    counted = lost(container)
    os.write(go, b"\n")
    assert container.wait() == 7
    bytes_lost, records_lost, rest = told(container, printed(container))
    assert rest == b""
    assert bytes_lost >= counted[0] > 0 and records_lost >= counted[1]
    assert b"more than the limit of 200000 bytes per second\n" in container.log.read_bytes()


def test_end_at_a_rate(new_container):
    """What a container leaves behind is logged at once: its end does not wait for its rate."""
    container = new_container(command="seq 1 10000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 10000)
    container.options["--log-rate-limit"] = "1:50000"
    assert container.run() == 7
    assert container.output() == k8slog.numbered(1, 10000)


def test_end_that_comes_before_the_rate_is_reached(new_container):
    """The same for a monitor that hears of the end first, and only then reads how much is left."""
    container = new_container(command="read word < go; seq 1 10000; exit 7")
    container.options.update({"--log-rate-limit": "1:5000", "--late-output": "0"})
    go = container.fifo("go")
    container.create()
    container.start()
    container.pause_monitor()
    os.write(go, b"\n")
    container.wait_dead()
    container.resume_monitor()
    assert container.wait() == 7
    assert container.output() == k8slog.numbered(1, 10000)


def test_rate_that_changes_while_the_container_waits(new_container):
    container = new_container(command="seq 1 100000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 100000)
    container.options["--log-rate-limit"] = "1:50000"
    container.create()
    container.start()
    wait_until(lambda: page(container.monitor.pid)["waits"] == 1, "the container to wait")
    container.control("set log-rate-limit 0\n")
    assert container.wait() == 7
    assert container.output() == k8slog.numbered(1, 100000)


def test_policy_that_changes_while_the_container_waits(disk, logging_to):
    container = logging_to("wait", "seq 1 100000; exit 7")
    container.written["stdout"] = k8slog.numbered(1, 100000)
    disk.fill()
    container.create()
    container.start()
    wait_until(lambda: page(container.monitor.pid)["waits"] == 1, "the container to wait")
    container.control("set log-on-error drop\n")
    assert container.wait() == 7
    assert container.exit_file.read_text() == "7"


@pytest.mark.parametrize(
    "option, value",
    [
        ("--log-on-error", "stop"),
        ("--log-rate-limit", "-1"),
        ("--log-rate-limit", "unlimited"),
        ("--log-rate-limit", "1000:"),
        ("--log-rate-limit", "1000:0"),
        ("--log-rate-limit", "1e6"),
        ("--log-rate-limit", "1099511627777"),
        ("--log-rate-limit", "010"),
        ("--log-rate-policy", ""),
        ("--log-loss-record", "maybe"),
        ("--log-close-last-line", "1"),
    ],
)
def test_values_that_are_refused(new_container, option, value):
    container = new_container()
    container.options[option] = value
    container.launch()
    text = container.wait_first(status=1).decode()
    assert text.startswith(f"[conmon:e]: {option} '{value}' is refused: use ")
    assert not container.log.exists()
