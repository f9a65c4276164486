"""Log files that have a limit, are full, slow, or replaced by somebody."""

import contextlib
import os
import resource
import signal
import subprocess

import engine
import k8slog
from crashes import Witness, page
from fault_points import NotStarted
from waiting import wait_until


def size_limit(play):
    container = play.container(command="seq 1 2000; exit 7")
    container.options["--log-size-max"] = "2000"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
    assert container.log.stat().st_size <= 2000
    assert container.output()
    assert k8slog.numbered(1, 2000).endswith(b"\n" + container.output())
    assert os.listdir(container.logs) == ["ctr.log"]


def full_log(play):
    """The file grows up to a limit, in the middle of a record, and no further."""
    limit = 12 << 20
    container = play.container(command="yes 0123456789 | head -c 4000000; exit 7")
    witness = Witness(container)
    container.launch(prepare=engine.limit_file_size(limit))
    container.let_go()
    report = container.report()
    if report["data"] < 0:
        assert container.wait() == 1
        raise NotStarted
    container.pid = report["data"]
    container.start()
    witness.check(7)
    size = container.log.stat().st_size
    assert limit - 100 < size <= limit
    output = container.output()
    assert output == (b"0123456789\n" * 400000)[: len(output)]


def limit_log(container, size):
    """Also limits the file that says which points are passed, so it must not be too small."""
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def container_that_waits(play):
    """For its log, in which a record is torn. Returns the container, its fifo and a witness."""
    container = play.container(command="seq 1 20000; read word < go; exit 7")
    container.options["--log-on-error"] = "wait"
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    limit_log(container, 100_003)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["waits"] == 1, "the container to wait")
    return container, go, witness


def waiting_log(play):
    """The container waits for a log that cannot be written; the file is replaced meanwhile, with a record torn in it."""
    container, go, witness = container_that_waits(play)
    before = container.logs / "before"
    container.log.rename(before)
    container.control("2 0 0\n")
    wait_until(container.log.exists, "the new log")
    limit_log(container, resource.RLIM_INFINITY)
    container.wait_log(b" 20000\n")
    os.write(go, b"\n")
    witness.check(7)
    records = k8slog.records(before.read_bytes()) + container.records()
    assert k8slog.output(records) == k8slog.numbered(1, 20000)


def truncated_log(play):
    """Somebody makes room by truncating a file in which a record is torn."""
    container, go, witness = container_that_waits(play)
    os.truncate(container.log, 0)
    limit_log(container, resource.RLIM_INFINITY)
    container.wait_log(b" 20000\n")
    os.write(go, b"\n")
    witness.check(7)
    assert k8slog.numbered(1, 20000).endswith(b"\n" + container.output())


def told_loss(play):
    """A log that loses output, and then tells it; and another loss that the end tells."""
    container = play.container(command="seq 1 20000; read word < go; seq 20001 40000; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    limit_log(container, 100_003)
    container.start()
    all_read = len(k8slog.numbered(1, 20000))
    wait_until(lambda: page(container.monitor.pid)["stdout_read"] == all_read, "all output")
    limit_log(container, resource.RLIM_INFINITY)
    wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    limit_log(container, container.log.stat().st_size + 100_003)
    os.write(go, b"\n")
    with contextlib.suppress(subprocess.CalledProcessError):  # it may have ended meanwhile
        wait_until(lambda: page(container.monitor.pid)["write_errors"] >= 2, "a failure")
    with contextlib.suppress(ProcessLookupError):
        limit_log(container, resource.RLIM_INFINITY)
    witness.check(7)
    lost, _, rest = k8slog.check_told(container.records(), k8slog.numbered(1, 40000))
    assert lost > 0


def damaged_line(play):
    """A line that loses its end: its newline comes late. And the last line, which has none, gets one."""
    begin = b"x" * 120_000  # the file is longer than the one of the points that are passed
    container = play.container(command="cat begin; read word < go; echo ', end'; read word < go; printf last; exit 7")
    (container.bundle / "begin").write_bytes(begin)
    container.options["--log-close-last-line"] = "yes"
    go = container.fifo("go")
    witness = Witness(container)

    def is_there():
        logged = container.log.read_bytes()
        return logged.count(b"x") == len(begin) and logged.endswith(b"\n")

    play.create(container)
    container.start()
    wait_until(is_there, "the beginning")
    limit_log(container, container.log.stat().st_size)
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["stdout_lost"] == len(", end"), "the loss")
    limit_log(container, resource.RLIM_INFINITY)
    wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    os.write(go, b"\n")
    witness.check(7)
    records = container.records()
    assert k8slog.check_told(k8slog.without_closings(records), begin + b", end\nlast") == (len(", end"), 1, b"")
    assert [(record.tag, record.content) for record in records[-2:]] == [("P", b"last"), ("F", b"")]
    assert len(k8slog.without_closings(records)) == len(records) - 1


def slow_log(play):
    """A container that waits for its rate, and ends before all that it has written is logged."""
    container = play.container(command="seq 1 500; read word < go; seq 501 4000; read word < go; exit 7")
    container.options["--log-rate-limit"] = "1:1000"
    go = container.fifo("go")
    witness = Witness(container)

    def waits():
        return page(container.monitor.pid)["waits"] == 1

    play.create(container)
    container.start()
    wait_until(waits, "the container to wait")
    container.control("set log-rate-limit 100000:1000\n")
    container.wait_log(b" 500\n")
    container.control("set log-rate-limit 1000:1000\n")  # the rest would take 17 seconds
    os.write(go, b"\n")
    wait_until(waits, "the container to wait again")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == k8slog.numbered(1, 4000)


def limited_log(play):
    container = play.container(command="seq 1 5000; read word < go; seq 5001 8000; exit 7")
    container.options.update({"--log-rate-limit": "50000", "--log-rate-policy": "drop"})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until(lambda: b"[conward] lost " in container.log.read_bytes(), "the loss record")
    os.write(go, b"\n")
    witness.check(7)
    lost, _, rest = k8slog.check_told(container.records(), k8slog.numbered(1, 8000))
    assert lost > 0 and rest == b""


def unwritable_log(play):
    """A log that waits in vain: until somebody becomes impatient."""
    container = play.container(command="seq 1 5000; exit 7")
    container.options["--log-on-error"] = "wait"
    witness = Witness(container)
    play.create(container)
    limit_log(container, 100_003)
    container.start()
    wait_until(witness.commands.exists, "its exit command")
    container.signal_monitor(signal.SIGTERM)
    witness.check(7)
    output = container.output()
    assert output == k8slog.numbered(1, 5000)[: len(output)]


def long_lines(play):
    """Of both streams at once: one waits for the other's, a while in vain and then until its end."""
    container = play.container(
        command="printf o >&2; read word < go; printf %020000d 0; echo ne >&2; read word < go; echo;"
        "cat content & cat content >&2; wait; exit 7"
    )
    container.options["--log-partial-flush"] = 500
    content = 10 * (b"x" * 60000 + b"\n")
    (container.bundle / "content").write_bytes(content)
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["stderr_read"] == 1, "the beginning of a line")
    os.write(go, b"\n")
    container.wait_log(b" stderr F one\n")
    os.write(go, b"\n")
    witness.check(7)
    assert container.output() == b"0" * 20000 + b"\n" + content
    assert container.output("stderr") == b"one\n" + content


def flood(play):
    container = play.container(command="head -c 230000000 /dev/zero; exit 7")
    container.options["--log-path"] = "none"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
