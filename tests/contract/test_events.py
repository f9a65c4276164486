"""What the journal hears of containers from their monitors: each event with its fields, once a minute at most, and what an
engine hears that asks for events."""

import json
import os
import re
import resource
import shutil
import signal
import socket

import pytest

import engine
import memory
import node
from crashes import crash, page
from exec_engine import Exec
from memory import HOG, Cgroup
from waiting import wait_until

ID = "0123456789abcdef" * 4
LINE_MAX = 256
LONG = 16 * LINE_MAX  # a line is spoken of beyond that
MINUTE = 90


@pytest.fixture
def watched(journal, new_container):
    """Makes containers whose monitor finds the journal, and lets them run."""

    def new(command, **options):
        container = new_container(command=command, cid=ID)
        container.options["--name"] = "culprit"
        container.options.update({"--" + name.replace("_", "-"): value for name, value in options.items()})
        return container

    def run(container):
        container.create(prepare=journal.enter)
        container.start()
        return container

    new.run = run
    return new


def text(event):
    return event["MESSAGE"].decode()


def numbers(event, *names):
    return tuple(int(event["CONWARD_" + name]) for name in names)


@pytest.mark.survival
def test_identifier_after_the_program_was_replaced(journal, new_run, directory, monkeypatch):
    """It is the name of the program, and not what the kernel calls a file that is gone."""
    program = directory / "conward"
    shutil.copy(engine.conward(), program)
    monkeypatch.setenv("CONWARD", str(program))
    command = new_run("read word < go; exit 7")
    os.mkfifo(command.top / "go")
    command.launch(preexec_fn=journal.enter)
    journal.wait_event("started")
    program.unlink()
    os.kill(command.pid, signal.SIGSEGV)
    journal.wait_event("resumed")
    with open(command.top / "go", "w") as go:
        go.write("\n")
    assert command.wait() == 7
    assert {event["SYSLOG_IDENTIFIER"] for event in journal.events} == {b"conward"}


# Each kind


def test_whose_they_are(journal, watched):
    container = watched.run(watched("exit 7"))
    assert container.wait() == 7
    begin = journal.wait_event("started")
    end = journal.wait_event("exited")
    for event in (begin, end):
        assert event["CONTAINER_ID_FULL"] == event["CONWARD_CONTAINER_ID"] == ID.encode()
        assert event["CONTAINER_NAME"] == event["CONWARD_CONTAINER_NAME"] == b"culprit"
        assert event["SYSLOG_IDENTIFIER"] == b"conward"
        assert event["PRIORITY"] == b"6"
        assert event.pid == container.monitor.pid
        assert re.fullmatch(rb"[0-9a-f]{32}", event["MESSAGE_ID"])
    assert begin["MESSAGE_ID"] != end["MESSAGE_ID"]
    assert text(begin) == f"culprit ({ID[:20]}): Started, with pid {container.pid}"
    assert numbers(begin, "CONTAINER_PID") == (container.pid,)
    assert text(end) == f"culprit ({ID[:20]}): Exited with status 7"
    assert numbers(end, "STATUS") == (7,) and end["CONWARD_SIGNAL"] is None
    assert len(journal.events) == 2


def test_output_alone_has_the_fields_of_output(journal, watched):
    """Whoever looks for a container's output in the journal finds nothing else."""
    container = watched.run(watched("echo one", log_path="journald"))
    assert container.wait() == 0
    event = journal.wait_event("exited")
    assert event["CONWARD_CONTAINER_ID"] == ID.encode() and event["CONWARD_CONTAINER_NAME"] == b"culprit"
    assert event["CONTAINER_ID_FULL"] is None and event["CONTAINER_NAME"] is None
    assert [entry["MESSAGE"] for entry in journal.entries] == [b"one\n"]


def test_killed(journal, watched):
    container = watched.run(watched("kill -SEGV $$"))
    assert container.wait() == 139
    event = journal.wait_event("exited")
    assert numbers(event, "STATUS", "SIGNAL") == (139, 11)
    assert "Killed by signal 11 (" in text(event)


def test_timed_out(journal, watched):
    container = watched("read word < go", timeout="1")
    container.fifo("go")
    watched.run(container)
    container.wait()
    event = journal.wait_event("exited")
    assert "--timeout" in text(event) and numbers(event, "STATUS") == (-1,)


def test_runtime_that_fails(journal, watched):
    container = watched("exit 7", sync_events=True)
    container.stub("exit", "3")
    container.create_fails(prepare=journal.enter)
    assert container.line() == b""
    container.wait()
    journal.settle()
    assert journal.events == []


def test_exec_says_neither(journal, directory):
    with Exec(directory / "exec", "echo one; exit 7") as process:
        process.run(prepare=journal.enter)
    journal.settle()
    assert journal.events == []


def test_run(journal, new_run):
    command = new_run("exit 7")
    command.launch(preexec_fn=journal.enter)
    assert command.wait() == 7
    assert numbers(journal.wait_event("exited"), "STATUS") == (7,)
    assert journal.wait_event("started")["CONWARD_CONTAINER_ID"] == b"command"


def test_one_line_each(journal, new_run):
    """Whatever is quoted: neither a second message nor escape codes for a terminal."""
    command = new_run("exit 7")
    command.options["--name"] = "one\nkernel: forged\x1b[2J\t\xff\x9b\u202e"
    command.launch(preexec_fn=journal.enter)
    assert command.wait() == 7
    event = journal.wait_event("exited")
    assert event["MESSAGE"] == (
        "one kernel: forged\\x1b[2J \xff\\xc2\\x9b\\xe2\\x80\\xae (command): Exited with status 7".encode()
    )
    assert event["CONWARD_CONTAINER_NAME"] == command.options["--name"].encode()


def test_reason_behind_a_long_path(journal, watched, directory):
    deep = directory.joinpath(*["d" * 250] * 6)
    deep.mkdir(parents=True)
    container = watched("seq 1 1000; exit 7", log_path=deep / "log")
    container.create(prepare=journal.enter)
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (1003, resource.RLIM_INFINITY))
    container.start()
    event = journal.wait_event("log-fails")
    assert f"Failed to write the log {deep}/log: File too large. The container continues" in text(event)
    assert container.wait() == 7


@pytest.mark.parametrize("driver", ["k8s-file", "journald"])
def test_line_that_does_not_end(journal, watched, driver):
    """While it is open, with how much there is of it."""
    long = LONG if driver == "k8s-file" else 16 * 49152
    container = watched(f"head -c {long + 100000} /dev/zero >&2; read word < go", log_line_max=str(LINE_MAX))
    if driver == "journald":
        container.options["--log-path"] = "journald"
    go = container.fifo("go")
    watched.run(container)
    event = journal.wait_event("long-line")
    assert event["CONWARD_STREAM"] == b"stderr" and event["PRIORITY"] == b"4"
    bytes_so_far, rate = numbers(event, "LINE_BYTES", "BYTES_PER_SECOND")
    assert long < bytes_so_far <= long + 100000 and rate > 0
    growth = r"has grown to [0-9.]+ [KM]iB without a newline, and grows by [0-9.]+ [KMG]?i?B/s\."
    assert re.search("A line on stderr " + growth, text(event))
    os.write(go, b"\n")
    assert container.wait() == 0


def test_line_that_is_long_enough(journal, watched):
    container = watched.run(watched(f"head -c {LONG} /dev/zero; echo; head -c {LONG} /dev/zero", log_line_max=str(LINE_MAX)))
    assert container.wait() == 0
    journal.settle()
    assert journal.events_of("long-line") == []


def test_flood(journal, watched):
    """However small its lines are, and whether they are logged or not."""
    container = watched("yes 0123456789abcdef | head -c 350000000", log_path="none")
    watched.run(container)
    event = journal.wait_event("flood")
    _, rate = numbers(event, "BYTES", "BYTES_PER_SECOND")
    assert event["CONWARD_STREAM"] == b"stdout" and rate >= 10 << 20
    assert re.search(r"A flood on stdout: [0-9.]+ [MG]iB/s, [0-9.]+ MiB so far\.", text(event))
    assert container.wait() == 0


@pytest.mark.parametrize("policy", ["drop", "wait"])
def test_log_that_fails(journal, watched, policy):
    container = watched("seq 1 20000; read word < go; seq 20001 20010; read word < go", log_on_error=policy)
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (100_003, resource.RLIM_INFINITY))
    container.start()
    event = journal.wait_event("log-fails")
    assert event["PRIORITY"] == b"3" and event["CONWARD_LOG_DRIVER"] == b"k8s-file"
    assert event["CONWARD_REASON"] == b"File too large"
    assert ("The container waits" if policy == "wait" else "The container continues") in text(event)
    assert journal.events_of("log-recovered") == []
    size = len("".join(f"{i}\n" for i in range(1, 20001)))
    wait_until(lambda: policy == "wait" or page(container.monitor.pid)["stdout_read"] == size, "all output")
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.write(go, b"\n")
    event = journal.wait_event("log-recovered")
    lost = numbers(event, "LOST_BYTES", "LOST_RECORDS")
    assert (lost == (0, 0)) == (policy == "wait")
    os.write(go, b"\n")
    assert container.wait() == 0


@pytest.mark.parametrize("policy, priority", [("drop", b"4"), ("wait", b"6")])
def test_rate_limit(journal, watched, policy, priority):
    container = watched("seq 1 1000; read word < go; exit 7", log_rate_limit="1:1000", log_rate_policy=policy)
    go = container.fifo("go")
    watched.run(container)
    event = journal.wait_event("rate-limited")
    assert event["PRIORITY"] == priority and numbers(event, "RATE_LIMIT") == (1,)
    os.write(go, b"\n")
    assert container.wait() == 7


def test_client_that_is_dropped(journal, watched):
    container = watched("read word < go; head -c 3000000 /dev/zero; exit 7", attach_spool_max="0", attach_stall_timeout="1")
    go = container.fifo("go")
    watched.run(container)
    with_patience = container.attach()
    os.write(go, b"\n")
    assert numbers(journal.wait_event("readers-dropped"), "CLIENTS") == (1,)
    with_patience.close()
    assert container.wait() == 7


@pytest.mark.survival
def test_crash(journal, watched):
    container = watched("read word < go; exit 7")
    go = container.fifo("go")
    watched.run(container)
    crash(container.monitor.pid, signal.SIGSEGV)
    event = journal.wait_event("resumed")
    assert event["PRIORITY"] == b"3" and numbers(event, "CRASHES", "SIGNAL") == (1, 11)
    assert event["CONWARD_BUILD_ID"] and event["CONWARD_BUILD_ID"].decode() in text(event)
    os.write(go, b"\n")
    assert container.wait() == 7
    journal.settle()
    assert len(journal.events_of("started")) == 1


@memory.needed
def test_kill_for_want_of_memory(journal, watched):
    cgroup = Cgroup()
    container = watched(f"{HOG}; read word < go")
    go = container.fifo("go")
    cgroup.take(container)
    watched.run(container)
    event = journal.wait_event("oom-kill")
    assert numbers(event, "OOM_KILLS", "MEMORY_LIMIT") == (1, memory.LIMIT)
    os.write(go, b"\n")
    container.wait()
    cgroup.close()


# Not too many, and never in the way


def end_lines(pid, go, count):
    """Ends each over-long line when the monitor has seen it, and of all but the first has held back what it says."""
    for number in range(count):
        wait_until(lambda: page(pid)["stdout_long_lines"] == number + 1, "the line")
        wait_until(lambda: page(pid)["events_held"] == number, "it to be held back")
        os.write(go, b"\n")


def test_what_is_held_back_is_counted(journal, watched):
    """Three lines within a minute: one is spoken of at once, and the number of the others at the end."""
    line = f"head -c {2 * LONG} /dev/zero; read word < go; echo; "
    container = watched(3 * line, log_line_max=str(LINE_MAX))
    go = container.fifo("go")
    watched.run(container)
    journal.wait_event("long-line")
    end_lines(container.monitor.pid, go, 3)
    assert container.wait() == 0
    journal.settle()
    _, event = journal.events_of("long-line")
    assert numbers(event, "HELD_BACK") == (2,) and "2 more, not reported one by one" in text(event)


def test_early_warnings_on_standard_error(new_run):
    """Which nobody reads who gets one with every line: the first, and how many there were."""
    run = new_run(3 * f"head -c {2 * LONG} /dev/zero; read word < go; echo; ")
    run.options.update({"--log-line-max": LINE_MAX, "--quiet": True})
    os.mkfifo(run.top / "go")
    go = os.open(run.top / "go", os.O_RDWR | os.O_CLOEXEC)
    run.launch()
    run.command_pid()
    end_lines(run.pid, go, 3)
    assert run.wait() == 0
    os.close(go)
    first, others = (run.top / "stderr").read_text().splitlines()
    assert "A line on stdout has grown to" in first and "2 more, not reported one by one: over-long lines" in others


def test_again_when_a_minute_is_over(journal, watched):
    """One that goes on, and one that does not."""
    line = f"head -c {2 * LONG} /dev/zero; read word < go; echo; "
    command = f"{2 * line} (while sleep 0.1; do printf %0500d 0 >&2; done) & read word < go; kill $!"
    container = watched(command, log_line_max=str(LINE_MAX))
    go = container.fifo("go")
    watched.run(container)
    first = journal.wait_event("long-line")
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["events_held"] == 1, "the second line to be held back")
    os.write(go, b"\n")
    wait_until(lambda: len(journal.events_of("long-line")) > 1, "a minute to pass", limit=MINUTE)
    again = journal.events_of("long-line")[1]
    assert "HELD_BACK" not in first.fields
    assert numbers(again, "HELD_BACK")[0] >= 1
    os.write(go, b"\n")
    assert container.wait() == 0


def test_journal_that_is_stopped(journal, watched):
    """The report does not wait for it; what it did not take it is told when it is back."""
    container = watched("head -c 100000 /dev/zero; read word < go; exit 7", log_line_max=str(LINE_MAX))
    go = container.fifo("go")
    journal.stop()
    noise = journal.fill()
    watched.run(container)
    wait_until(lambda: page(container.monitor.pid)["events_held"] == 2, "events that are not taken")
    journal.go_on()
    journal.wait_event("noise", noise - 1)
    os.write(go, b"\n")
    assert container.wait() == 7
    assert numbers(journal.wait_event("started"), "HELD_BACK") == (1,)
    assert numbers(journal.wait_event("long-line"), "HELD_BACK") == (1,)
    assert numbers(journal.wait_event("exited"), "STATUS") == (7,)


@pytest.mark.parametrize("present", [True, False])
def test_syslog_only_without_a_journal(journal, watched, directory, present):
    devices = directory / "devices"
    devices.mkdir()
    (devices / "null").touch()
    container = watched(f"printf %0{2 * LONG}d 0; exit 7", log_line_max=str(LINE_MAX), syslog=True)
    if not present:
        journal.remove()

    def enter():
        journal.enter()
        node.cover(devices / "null", "/dev/null")
        node.cover("/dev", devices)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(devices / "log"))
        log.setblocking(False)
        container.create(prepare=enter)
        container.start()
        assert container.wait() == 7
        said = []
        while True:
            try:
                said.append(log.recv(65536))
            except BlockingIOError:
                break
    assert any(b"A line on stdout has" in line for line in said) == (not present)
    if present:
        journal.settle()
    assert len(journal.events_of("long-line")) == present


# For engines


def test_sync_events(journal, watched):
    container = watched.run(watched("kill -9 $$", sync_events=True))
    assert json.loads(container.line()) == {"event": "exit", "status": 137, "signal": 9}
    assert container.line() == b""
    assert container.wait() == 137


@memory.needed
def test_sync_event_of_a_kill(journal, watched):
    cgroup = Cgroup()
    container = watched(f"exec {HOG}", sync_events=True)
    cgroup.take(container)
    watched.run(container)
    assert json.loads(container.line()) == {"event": "oom", "kills": 1}
    assert json.loads(container.line()) == {"event": "exit", "status": 137, "signal": 9}
    assert container.line() == b""
    cgroup.close()


def test_no_sync_events_unless_asked_for(journal, watched):
    container = watched.run(watched("exit 7"))
    assert container.line() == b""
    assert container.wait() == 7


def test_no_sync_events_of_an_exec(directory):
    with Exec(directory / "exec", "exit 7") as process:
        process.options["--sync-events"] = True
        process.execute()
        assert process.report()["data"] == 7
        assert process.line() == b""


def test_sync_events_to_nobody(journal, watched):
    container = watched("read word < go; exit 7", sync_events=True)
    go = container.fifo("go")
    watched.run(container)
    container.close_sync()
    os.write(go, b"\n")
    assert container.wait() == 7
