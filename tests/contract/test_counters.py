"""What conwardctl shows of a container's output after trouble, what the page says, and what there must be: the same."""

import json
import os
import re
import resource
import signal
import subprocess

import pytest

import engine
import k8slog
from crashes import FATAL, Trouble, crash, page, wait_at_rest
from oracle import STREAMS, figures
from waiting import LIMIT, wait_until

pytestmark = pytest.mark.balanced

LONG = b"0" * 20000
FIRST = k8slog.numbered(1, 100) + LONG + b"\n"
SECOND = k8slog.numbered(101, 200) + LONG  # is lost
THIRD = b" and ends\nnext\n" + LONG
PRINTS = (
    "cat first; cat first >&2; read word < go; cat second; cat second >&2; read word < go;"
    " cat third; cat third >&2; read word < go; exit 7"
)

# In the page: what conwardctl calls them.
OF_STREAMS = {
    "{}_read": "read_bytes",
    "file_{}_bytes": "logged_bytes",
    "file_{}_records": "records",
    "file_{}_partials": "partial_records",
    "file_{}_long_lines": "long_lines",
    "file_{}_longest": "longest_line_bytes",
    "file_{}_lost_bytes": "lost_bytes",
    "file_{}_lost_records": "lost_records",
    "file_{}_limited_bytes": "limited_bytes",
    "file_{}_limited_records": "limited_records",
    "file_{}_capped_bytes": "capped_bytes",
    "journal_{}_bytes": "journal_sent_bytes",
    "journal_{}_records": "journal_entries",
    "journal_{}_lost_bytes": "journal_lost_bytes",
    "journal_{}_lost_records": "journal_lost_entries",
}
OF_MONITORS = {
    "reopens": "log_reopens",
    "rotations": "log_rotations",
    "write_errors": "log_write_errors",
    "last_error": "log_last_error",
    "journal_errors": "journal_errors",
    "crashes": "crashes",
}


def conwardctl(journal, *words):
    """It looks for the page where the monitor of a container with that journal has put it."""
    program = os.path.abspath(os.environ.get("CONWARDCTL", engine.TOP / "build/src/conwardctl"))
    done = subprocess.run([program, *words], stdout=subprocess.PIPE, text=True, timeout=LIMIT, preexec_fn=journal.enter)
    assert done.returncode == 0
    return done.stdout


_METRIC = re.compile(r"^conward_(\w+)\{[^\n]*?kind=\"container\"[^\n]*?(?:,stream=\"(\w+)\")?\} (\d+)$", re.M)


def metrics(journal):
    """What they say, by the names in the page."""
    found = _METRIC.findall(conwardctl(journal, "metrics"))
    said = {(name.removesuffix("_total"), stream): int(value) for name, stream, value in found}
    of_monitor = {key: said[name, ""] for key, name in OF_MONITORS.items() if name != "log_last_error"}
    return of_monitor | {
        key.format(stream): said[name, stream] for key, name in OF_STREAMS.items() for stream in STREAMS
    }


def stats(journal, container):
    """The same of conwardctl stats."""
    said = json.loads(conwardctl(journal, "stats", "--json", container.cid))
    of_monitor = {key: said[name] for key, name in OF_MONITORS.items()}
    return of_monitor | {
        key.format(stream): said[stream][name] for key, name in OF_STREAMS.items() for stream in STREAMS
    }


def check_shown(journal, container):
    """The copy of the page that others see is made before the monitor sleeps."""

    def agrees():
        now = figures(container)
        return all(now[key] == value for key, value in [*stats(journal, container).items(), *metrics(journal).items()])

    wait_until(agrees, "conwardctl to show what the page says")


def limit_file_size(container, size):
    infinity = resource.RLIM_INFINITY
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (size, infinity))


def wait_taken(container, text):
    """Until all of that is logged or lost, of both streams."""

    def has_all():
        now = figures(container)
        return all(now[f"file_{stream}_start"] == len(text) for stream in STREAMS)

    wait_until(has_all, f"{len(text)} bytes of each stream")


def lost_in_all(container):
    now = figures(container)
    return tuple(sum(now[f"file_{stream}_lost_{what}"] for stream in STREAMS) for what in ("bytes", "records"))


def begin(container, journal, *parts):
    """The container prints each part on both streams when it is told to, but for the first. Returns its fifo."""
    for name, text in zip(("first", "second", "third"), parts):
        (container.bundle / name).write_bytes(text)
    container.written = dict.fromkeys(STREAMS, b"".join(parts))
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()
    wait_taken(container, parts[0])
    wait_at_rest(container.monitor.pid)
    return go


@pytest.mark.parametrize("crashes", [False, pytest.param(True, marks=pytest.mark.survival)], ids=["", "crashes"])
@pytest.mark.parametrize("room", [0, 100])
def test_failed_writes(new_container, journal, room, crashes):
    """On both streams, with a long line that is damaged, and one whose end nobody has seen. Nobody hears that the log
    has recovered before it has."""
    container = new_container(command=PRINTS)
    container.options["--log-path"] = [container.options["--log-path"], "journald"]
    container.options["--log-line-max"] = "8192"
    go = begin(container, journal, FIRST, SECOND, THIRD)
    limit_file_size(container, container.log.stat().st_size + room)
    os.write(go, b"\n")
    wait_taken(container, FIRST + SECOND)
    if crashes:
        crash(container.monitor.pid, FATAL[0])
    check_shown(journal, container)
    lost = lost_in_all(container)
    limit_file_size(container, resource.RLIM_INFINITY)
    os.write(go, b"\n")
    wait_taken(container, FIRST + SECOND + THIRD)
    check_shown(journal, container)
    recovered = journal.wait_event("log-recovered")
    told = int(recovered["CONWARD_LOST_BYTES"]), int(recovered["CONWARD_LOST_RECORDS"])
    assert lost <= told <= lost_in_all(container)
    os.write(go, b"\n")
    assert container.wait() == 7
    assert all(figures(container)[f"file_{stream}_lost_bytes"] > 0 for stream in STREAMS)


def test_failures_are_said_once_each(new_container, journal):
    """That the log fails, and that it does not any more; both are held back the second time."""
    prints = "i=0; while read word < go; do i=$((i + 1)); echo $i; echo $i >&2; done"
    container = new_container(command=prints)
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()

    def say():
        before = page(container.monitor.pid)["stderr_read"]
        os.write(go, b"\n")
        wait_until(lambda: page(container.monitor.pid)["stderr_read"] > before, "a line")
        wait_at_rest(container.monitor.pid)

    say()
    for period in (0, 2):
        limit_file_size(container, container.log.stat().st_size)
        for _ in range(3):
            say()
        limit_file_size(container, resource.RLIM_INFINITY)
        for _ in range(3):
            say()
        wait_until(lambda: page(container.monitor.pid)["events_held"] == period, "what is held back")
    assert [len(journal.events_of(kind)) for kind in ("log-fails", "log-recovered")] == [1, 1]
    container.signal_monitor(signal.SIGTERM)
    container.wait()


def test_failed_writes_and_a_rate(new_container, journal):
    """What the one has cost and what the other, is said apart."""
    container = new_container(command=PRINTS)
    container.options.update({"--log-rate-limit": "1:20000", "--log-rate-policy": "drop"})
    parts = [k8slog.numbered(1, 30), k8slog.numbered(31, 60), k8slog.numbered(61, 1000)]
    go = begin(container, journal, *parts)
    limit_file_size(container, container.log.stat().st_size)
    os.write(go, b"\n")
    wait_taken(container, b"".join(parts[:2]))
    check_shown(journal, container)
    limit_file_size(container, resource.RLIM_INFINITY)
    os.write(go, b"\n")
    wait_taken(container, b"".join(parts))
    check_shown(journal, container)
    os.write(go, b"\n")
    assert container.wait() == 7
    now = figures(container)
    for stream in STREAMS:
        assert now[f"file_{stream}_lost_bytes"] - now[f"file_{stream}_limited_bytes"] == len(parts[1])
        assert now[f"file_{stream}_lost_records"] - now[f"file_{stream}_limited_records"] == 30
        assert now[f"file_{stream}_limited_records"] > 0
    journal.wait_event("log-incomplete")
    assert len(journal.events_of("rate-limited")) == 1
    assert now["events_held"] == 0


@pytest.mark.parametrize("policy", ["drop", "wait"])
def test_journal_that_is_away(new_container, journal, policy):
    """What it has lost, or has got late, is not the file's; and the file loses other things."""
    journal.kill()
    container = new_container(command=PRINTS)
    container.options["--log-path"] = [container.options["--log-path"], "journald"]
    container.options["--log-on-error"] = policy
    go = begin(container, journal, FIRST, SECOND, THIRD)
    check_shown(journal, container)
    journal.start()
    os.write(go, b"\n")
    wait_taken(container, FIRST + SECOND)
    os.write(go, b"\n")
    wait_taken(container, FIRST + SECOND + THIRD)
    check_shown(journal, container)
    os.write(go, b"\n")
    assert container.wait() == 7
    now = figures(container)
    assert all(now[f"file_{stream}_lost_bytes"] == 0 for stream in STREAMS)


def check_incomplete(process, written, why):
    """A legacy exec's answer says all that is lost, of both streams, and why."""
    answer = process.answer()
    lost = len(written) - len(process.output()) - len(process.output("stderr"))
    assert answer["exit_code"] == -1
    assert answer["message"] == f"log incomplete: lost {lost} bytes: {why}"


def test_legacy_exec(new_exec_sync):
    process = new_exec_sync("seq 1 300; seq 1 500 >&2; exit 0")
    process.options.update({"--log-rate-limit": "1:2000", "--log-rate-policy": "drop"})
    process.execute()
    written = k8slog.numbered(1, 300) + k8slog.numbered(1, 500)
    check_incomplete(process, written, "more than its rate limit allows")


def test_legacy_exec_whose_log_fails_on_both_streams(new_exec_sync):
    process = new_exec_sync("seq 1 3000; seq 1 5000 >&2; exit 0")
    process.execute(prepare=engine.limit_file_size(100_000))
    written = k8slog.numbered(1, 3000) + k8slog.numbered(1, 5000)
    check_incomplete(process, written, "File too large")


def test_what_is_left_out_is_said(new_run):
    run = new_run("seq 1 1000; seq 1 2000 >&2")
    run.options.update({"--log-global-size-max": "20000", "--quiet": True})
    run.launch()
    assert run.wait() == 0
    said = (run.top / "stderr").read_text()
    for stream, last in (("stdout", 1000), ("stderr", 2000)):
        left = len(k8slog.numbered(1, last)) - len(run.output(stream))
        assert (f"Left out {left} bytes of {stream}: --log-global-size-max was reached" in said) == (left > 0)


@pytest.mark.survival
@pytest.mark.parametrize("kind", ["file", "journal"])
def test_how_long_a_log_was_waited_for(new_container, journal, kind):
    """On a clock that stands ahead: all of that is counted, but not what comes before and after."""
    container = new_container(command="seq 1 20000; read word < go; exit 7")
    trouble = Trouble(container)
    container.options["--log-on-error"] = "wait"
    if kind == "journal":
        container.options["--log-path"] = [container.options["--log-path"], "journald"]
        journal.stop()
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    pid = container.monitor.pid
    trouble.suspend(pid, 1000)
    if kind == "file":
        limit_file_size(container, 1000)
    container.start()
    is_waiting, waited = ("waits", "waited") if kind == "file" else ("journal_waits", "journal_waited")
    wait_until(lambda: page(pid)[is_waiting] == 1, "the container to wait")
    trouble.suspend(pid, 1100)
    trouble.suspend(pid, 1200)
    limit_file_size(container, resource.RLIM_INFINITY)
    if kind == "journal":
        journal.go_on()
    wait_until(lambda: page(pid)["stdout_read"] == len(k8slog.numbered(1, 20000)) and page(pid)[is_waiting] == 0, "all")
    trouble.suspend(pid, 9000)
    os.write(go, b"\n")
    assert container.wait() == 7
    seconds = figures(container)[waited] / 1e6
    assert 200 <= seconds < 1000
