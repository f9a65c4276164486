"""Containers that log to the journal: every byte in its place, whatever becomes of the journal; and a container and its
report that never wait for it longer than they are told to."""

import os
import pathlib
import re
import signal
import time

import pytest

import k8slog
import procfs
from crashes import AT_FULL_SPEED, Trouble, crash, page, printed
from exec_engine import Exec
from waiting import wait_until

pytestmark = pytest.mark.balanced

POLICIES = pytest.mark.parametrize("policy", ["drop", "wait"])
ID = "0123456789abcdef" * 4
PARTIAL = 49152  # the most that one entry holds of a line


@pytest.fixture
def logging(journal, new_container):
    """Makes containers that log to the journal, and may do so to a file, too."""

    def new(command, policy="drop", file=False, **how):
        container = new_container(command=command, cid=ID, **how)
        paths = ["journald"]
        if file:
            paths.insert(0, container.options["--log-path"])
        container.options["--log-path"] = paths
        container.options["--log-on-error"] = policy
        return container

    return new


def begin(container, journal):
    """Returns the fifo that it reads."""
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()
    return go


def run(container, journal, status=0):
    container.create(prepare=journal.enter)
    container.start()
    assert container.wait() == status


def test_fields(journal, logging):
    container = logging("echo one; read word < go; printf two >&2; exit 7")
    container.options.update({"--name": "quiet", "--log-tag": "a tag", "--log-label": ["A_1=b c", "_B=x\ny"]})
    go = begin(container, journal)
    journal.wait_output(b"one\n")
    os.write(go, b"\n")
    assert container.wait() == 7
    shared = {
        "CONTAINER_ID_FULL": [ID.encode()],
        "CONTAINER_ID": [ID[:12].encode()],
        "CONTAINER_NAME": [b"quiet"],
        "CONTAINER_TAG": [b"a tag"],
        "SYSLOG_IDENTIFIER": [b"a tag"],
        "A_1": [b"b c"],
        "_B": [b"x\ny"],
    }
    wait_until(lambda: len(journal.entries) == 2, "both entries")
    assert [entry.fields for entry in journal.all()] == [
        {**shared, "MESSAGE": [b"one\n"], "PRIORITY": [b"6"], "CONWARD_SEQ": [b"0"]},
        {
            **shared,
            "MESSAGE": [b"two"],
            "PRIORITY": [b"3"],
            "CONWARD_SEQ": [b"1"],
            "CONTAINER_PARTIAL_MESSAGE": [b"true"],
        },
    ]
    assert {entry.pid for entry in journal.entries} == {container.monitor.pid}, "readers look for the monitor's"


@pytest.mark.parametrize("name, identifier", [("quiet", b"quiet"), (None, ID[:12].encode())])
def test_identifier_without_a_tag(journal, logging, name, identifier):
    container = logging("echo one")
    container.options["--name"] = name
    if name is None:
        del container.options["--name"]
    run(container, journal)
    journal.wait_output(b"one\n")
    (entry,) = journal.all()
    assert entry["SYSLOG_IDENTIFIER"] == identifier
    assert entry["CONTAINER_NAME"] == (name.encode() if name else None)
    assert entry["CONTAINER_TAG"] is None


def test_lines_of_all_lengths(journal, logging):
    """Also bytes that no text has, and lines that begin as if they had a priority."""
    lengths = [0, 1, 2, 1000, PARTIAL - 1, PARTIAL, PARTIAL + 1, 2 * PARTIAL, 3 * PARTIAL + 7, 0, 5]
    lines = [b"x" * length + b"\n" for length in lengths] + [b"<3>not for podman\n", b"\0\xff=\x80\r\n", b"\xc3\xa4"]
    container = logging("cat input")
    (container.bundle / "input").write_bytes(b"".join(lines))
    run(container, journal)
    wait_until(lambda: journal.output() == b"".join(lines), "all output")
    entries = journal.all()
    assert {entry["PRIORITY"] for entry in entries} == {b"6"}
    for entry in entries:
        assert entry.is_partial == (not entry["MESSAGE"].endswith(b"\n"))
        assert len(entry["MESSAGE"]) <= PARTIAL + 1
    assert sum(not entry.is_partial for entry in entries) == len(lines) - 1


PRIORITY_LINES = [  # a line, its priority on standard output, and what of it is the message
    (b"<0>emergency\n", 0, b"emergency\n"),
    (b"<7>debugging\n", 7, b"debugging\n"),
    (b"<3>\n", 3, b"\n"),
    (b"<4><5>once\n", 4, b"<5>once\n"),
    (b"<2>" + b"x" * (2 * PARTIAL) + b"\n", 2, b"x" * (2 * PARTIAL) + b"\n"),
    (b"x" * PARTIAL + b"<3>not at the beginning\n", 6, b"x" * PARTIAL + b"<3>not at the beginning\n"),
    *((line, 6, line) for line in [b"none\n", b"\n", b"<8>x\n", b"</>x\n", b"<10>x\n", b"<3x\n", b"<3\n", b" <3>x\n", b"<\n"]),
    (b"<1>without an end", 1, b"without an end"),
]


def by_lines(entries):
    """(message, priority) of each line, whose entries all have the same."""
    lines, message, priorities = [], b"", set()
    for entry in entries:
        message += entry["MESSAGE"]
        priorities.add(int(entry["PRIORITY"]))
        if not entry.is_partial:
            lines.append((message, *priorities))
            message, priorities = b"", set()
    return lines + ([(message, *priorities)] if message else [])


@pytest.mark.parametrize("stream, default", [("stdout", 6), ("stderr", 3)])
def test_priorities_of_lines(journal, logging, stream, default):
    """The file has the lines as they are."""
    written = b"".join(line for line, _, _ in PRIORITY_LINES)
    container = logging("cat input" + (" >&2" if stream == "stderr" else ""), file=True)
    container.options["--log-priority-prefix"] = True
    (container.bundle / "input").write_bytes(written)
    run(container, journal)
    wanted = [(message, default if priority == 6 else priority) for _, priority, message in PRIORITY_LINES]
    wait_until(lambda: by_lines(journal.entries) == wanted, "all lines")
    assert {entry["CONWARD_STREAM"] for entry in journal.all()} == {stream.encode()}
    assert max(len(entry["MESSAGE"]) for entry in journal.all()) <= PARTIAL
    assert container.output(stream) == written


def test_priority_and_nothing_else(journal, logging):
    container = logging("printf '<5>'")
    container.options["--log-priority-prefix"] = True
    run(container, journal)
    wait_until(lambda: journal.entries, "the entry")
    (entry,) = journal.all()
    assert (entry["MESSAGE"], entry["PRIORITY"], entry.is_partial) == (b"", b"5", True)


@pytest.mark.parametrize("value, priority", [("yes", b"2"), ("no", b"6"), ("2", b"6")])
def test_priorities_from_the_environment(journal, logging, value, priority):
    container = logging("echo '<2>one'")
    container.environment["CONWARD_LOG_PRIORITY_PREFIX"] = value
    run(container, journal)
    wait_until(lambda: journal.entries, "the entry")
    (entry,) = journal.all()
    assert entry["PRIORITY"] == priority
    assert entry["MESSAGE"] == (b"one\n" if priority == b"2" else b"<2>one\n")
    assert entry["CONWARD_STREAM"] == (b"stdout" if priority == b"2" else None)


def test_priority_of_a_line_whose_beginning_is_lost(journal, logging):
    """Its rest goes with it; the next line is read anew, and the loss has the stream's."""
    container = logging(
        f"printf '<1>'; printf %0{3 * PARTIAL}d 0; read word < go; echo '<2>rest'; read word < go; echo '<4>next'; exit 7"
    )
    container.options["--log-priority-prefix"] = True
    go = container.fifo("go")
    journal.kill()
    container.create(prepare=journal.enter)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent"] > 2 * PARTIAL, "the loss")
    journal.start()
    os.write(go, b"\n")
    wait_until(lambda: any(entry.is_loss for entry in list(journal.entries)), "the loss to be told")
    os.write(go, b"\n")
    assert container.wait() == 7
    journal.wait_output(b"next\n")
    lines = [(entry["PRIORITY"], entry["MESSAGE"]) for entry in journal.all() if not entry.is_loss]
    assert lines == [(b"4", b"next\n")]
    assert {entry["PRIORITY"] for entry in journal.all() if entry.is_loss} == {b"6"}
    assert journal.told()[0] == 3 + 3 * PARTIAL + len(b"<2>rest\n")


@pytest.mark.survival
def test_crashes_while_nothing_but_the_journal_goes_on(journal, logging):
    """That is progress, too: a monitor that is not stuck does not give up."""
    journal.stop()
    container = logging("seq 1 300; read word < go; exit 7", "wait")
    go = begin(container, journal)
    wait_until(lambda: page(container.monitor.pid)["journal_fails"] == 1, "a full queue")
    journal.go_on(pause=0.02)
    for _ in range(8):
        sent = page(container.monitor.pid)["stdout_sent"]
        wait_until(lambda: page(container.monitor.pid)["stdout_sent"] > sent, "progress")
        crash(container.monitor.pid, "fault")
    journal.wait_output(b"300\n")
    os.write(go, b"\n")
    assert container.wait() == 7
    assert journal.output() == k8slog.numbered(1, 300)


@pytest.mark.survival
def test_priority_of_a_line_that_goes_on_after_a_crash(journal, logging):
    container = logging(f"printf '<2>'; printf %0{PARTIAL}d 0; read word < go; printf '<4>rest\\n<5>next\\n'; read word < go; exit 7")
    container.options["--log-priority-prefix"] = True
    go = begin(container, journal)
    wait_until(lambda: journal.entries, "the beginning")
    crash(container.monitor.pid, "fault")
    os.write(go, b"\n")
    journal.wait_output(b"next\n")
    os.write(go, b"\n")
    assert container.wait() == 7
    assert by_lines(journal.all()) == [(b"0" * PARTIAL + b"<4>rest\n", 2), (b"next\n", 5)]


def test_partial_lines_without_their_mark(journal, logging):
    container = logging("printf %060000d 0; echo")
    container.options["--no-container-partial-message"] = True
    run(container, journal)
    wait_until(lambda: journal.output() == b"0" * 60000 + b"\n", "all output")
    assert not any(entry.is_partial for entry in journal.all())


def test_line_that_comes_in_pieces(journal, logging):
    """The file shows a prompt at once, the journal the whole line."""
    container = logging("printf one; read word < go; echo two; read word < go", file=True)
    go = begin(container, journal)
    container.wait_log(b" P one\n")
    os.write(go, b"\n")
    journal.wait_output(b"onetwo\n")
    os.write(go, b"\n")
    assert container.wait() == 0
    assert [entry["MESSAGE"] for entry in journal.all()] == [b"onetwo\n"]
    assert container.output() == b"onetwo\n"


def test_entry_that_is_too_large_for_a_datagram(journal, logging):
    container = logging("echo one")
    container.options["--log-label"] = [f"L_{number}={'x' * 100_000}" for number in range(4)]
    run(container, journal)
    journal.wait_output(b"one\n")
    (entry,) = journal.all()
    assert entry.is_file
    assert [entry[f"L_{number}"] for number in range(4)] == [b"x" * 100_000] * 4


def test_very_many_labels(journal, logging):
    container = logging("echo one")
    container.options["--log-label"] = [f"L_{number}=x" for number in range(500)]
    run(container, journal)
    journal.wait_output(b"one\n")
    assert all(f"L_{number}" in journal.all()[0].fields for number in range(500))


def test_many_lines(journal, logging):
    """A journal whose queue is full again and again: it is waited for, and nothing is lost."""
    container = logging("seq 1 30000; seq 1 10000 >&2; read word < go", "wait", file=True)
    go = begin(container, journal)
    journal.wait_output(b"30000\n")
    journal.wait_output(b"10000\n", "stderr")
    os.write(go, b"\n")
    assert container.wait() == 0
    wanted = {"stdout": k8slog.numbered(1, 30000), "stderr": k8slog.numbered(1, 10000)}
    for stream, text in wanted.items():
        assert journal.output(stream) == text
        assert container.output(stream) == text
    assert len(journal.all()) == 40000 and journal.doubles() == 0


def test_run(journal, new_run):
    command = new_run("echo one; echo two >&2; exit 7")
    command.options["--log-path"] = "journald"
    command.launch(preexec_fn=journal.enter)
    assert command.wait() == 7
    wait_until(lambda: len(journal.entries) == 2, "both entries")
    assert (journal.output(), journal.output("stderr")) == (b"one\n", b"two\n")
    assert journal.all()[0]["CONTAINER_ID_FULL"] == b"command"
    assert not command.log.exists()


def test_runtime_that_fails(journal, logging):
    """Its words are the engine's, and not the container's."""
    container = logging("echo one")
    container.stub("stderr", "no such thing\n")
    container.stub("exit", "3")
    assert "no such thing" in container.create_fails(prepare=journal.enter)
    container.wait()
    journal.settle()
    assert journal.entries == []


def spent(pid):
    """The processor time that a process has had, in ticks."""
    return sum(int(word) for word in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])


def is_at_rest(pid):
    before = spent(pid)
    time.sleep(0.5)
    return spent(pid) == before


def test_runtime_that_fails_when_its_words_are_sent(journal, directory):
    """So many that they are taken for the process's, by a journal that is stopped: when it goes on, nothing is left to
    be sent, and the monitor does not go on to hear that it could."""
    journal.stop()
    with Exec(directory / "exec", cid=ID) as process:
        process.options["--log-path"] = "journald"
        process.stub("stderr", "y\n" * 900_000)
        process.stub("exit", "3")
        last = process.hold_exit_command()
        process.fails(prepare=journal.enter)
        last.wait()
        journal.go_on()
        wait_until(lambda: is_at_rest(process.monitor.pid), "the monitor to be at rest")
        last.let_go()
        assert process.wait() == 1


# A journal that is not there


def waits_or_loses(container, policy):
    """Whether the monitor does what the policy says, while more is written than it keeps."""
    now = page(container.monitor.pid)
    return now["journal_waits"] == 1 if policy == "wait" else now["stdout_unsent"] > 0


TROUBLES = {
    "stopped": (lambda journal: journal.stop(), lambda journal: journal.go_on()),
    "killed": (lambda journal: journal.kill(), lambda journal: journal.start()),
    "removed": (lambda journal: journal.remove(), lambda journal: journal.start()),
    "replaced": (lambda journal: journal.stop(), lambda journal: journal.start()),
}


def check_told(journal, wanted, stream="stdout"):
    """All that has come is a part of what was written, and all that has not is told. Returns how much that is."""
    got = journal.output(stream)
    lines = [entry for entry in journal.all() if entry.stream == stream]
    lost, records = journal.told(stream)
    assert len(got) + lost == len(wanted), "what is told is not what is missing"
    at = 0
    for entry in lines:
        if entry.is_loss:
            told = re.fullmatch(rb"\[conward\] lost (\d+) bytes in \d+ records on (\w+), from .*: .+\n", entry["MESSAGE"])
            assert told and told[2] == stream.encode()
            at += int(told[1])
        else:
            assert wanted[at : at + len(entry["MESSAGE"])] == entry["MESSAGE"]
            at += len(entry["MESSAGE"])
    return lost, records


@POLICIES
@pytest.mark.parametrize("trouble", TROUBLES)
def test_journal_that_is_away_for_a_while(journal, logging, trouble, policy):
    container = logging("echo 1; read word < go; seq 2 40000; read word < go; seq 40001 40010; exit 7", policy, file=True)
    go = container.fifo("go")
    begin, end = TROUBLES[trouble]
    container.create(prepare=journal.enter)
    container.start()
    journal.wait_output(b"1\n")
    begin(journal)
    os.write(go, b"\n")
    wait_until(lambda: waits_or_loses(container, policy), "the monitor to wait or to lose")
    if policy == "drop":
        container.wait_log(b" 40000\n")
    end(journal)
    if policy == "drop":
        wait_until(lambda: any(entry.is_loss for entry in list(journal.entries)), "the loss to be told")
    else:
        journal.wait_output(b"40000\n")
    os.write(go, b"\n")
    assert container.wait() == 7
    wanted = k8slog.numbered(1, 40010)
    assert container.output() == wanted
    journal.wait_output(b"40010\n")
    if trouble == "replaced":  # what the old one had in its queue is nobody's fault
        return
    lost, _ = check_told(journal, wanted)
    assert (lost > 0) == (policy == "drop")


@pytest.mark.parametrize("tells", ["yes", "no"])
@pytest.mark.parametrize("crashes", [False, pytest.param(True, marks=pytest.mark.survival)], ids=["", "crashes"])
def test_line_that_loses_its_end(journal, logging, tells, crashes):
    """The newline is not lost: no other entry is joined to the one that has the line's beginning."""
    container = logging(
        f"printf %0{PARTIAL + 1}d 0; read word < go; printf %0{2 * PARTIAL}d 0; echo; seq 100;"
        " read word < go; echo next; exit 7"
    )
    container.options["--log-loss-record"] = tells
    go = begin(container, journal)
    journal.wait_output(b"0" * PARTIAL)
    journal.kill()
    os.write(go, b"\n")
    rest = 1 + 2 * PARTIAL + len(k8slog.numbered(1, 100))
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent"] == rest, "the loss")
    if crashes:
        crash(container.monitor.pid, "fault")
    journal.start()
    journal.wait_output(b"\n")
    os.write(go, b"\n")
    assert container.wait() == 7
    journal.wait_output(b"next\n")
    found = [entry for entry in journal.all() if entry.stream == "stdout"]
    assert [(entry["MESSAGE"], entry.is_partial) for entry in found if not entry.is_loss] == [
        (b"0" * PARTIAL, True),
        (b"\n", False),
        (b"next\n", False),
    ]
    assert [entry.is_loss for entry in found] == ([False, False, True, False] if tells == "yes" else [False] * 3)
    if tells == "yes":
        assert journal.told()[0] == rest


@POLICIES
def test_journal_that_never_comes(journal, new_run, policy):
    """The exit file is there at once, and the end follows; what is lost is said."""
    journal.remove()
    command = new_run("seq 1 20000; exit 7")
    command.options.update({"--log-path": "journald", "--log-on-error": policy})
    command.launch(preexec_fn=journal.enter)
    wait_until(command.exit_file.exists, "the exit file")
    if policy == "wait":
        assert not command.ended()
        command.signal(signal.SIGTERM)
    assert command.wait() == 7
    said = (command.top / "stderr").read_text()
    assert "conward: Failed to write the journal: No such file or directory. The container" in said
    size = len(k8slog.numbered(1, 20000))
    assert f"Lost {size} bytes in 20000 records of stdout: the journal did not take them\n" in said


def test_end_while_the_journal_is_stopped(journal, logging):
    """More than the queue and the buffers hold: the report comes first, then what can be sent."""
    journal.stop()
    container = logging("seq 1 1000; exit 7", "wait")
    container.create(prepare=journal.enter)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_text() == "7"
    assert not container.monitor_ended()
    journal.go_on()
    assert container.wait() == 7
    wait_until(lambda: journal.output() == k8slog.numbered(1, 1000), "all output")


def test_stopped_journal_and_the_end(journal, new_container):
    """Without any option of our own, so that conmon can be looked at, too."""
    journal.stop()
    container = new_container(command="seq 1 5000; exit 7", cid=ID)
    container.options["--log-path"] = "journald"
    container.create(prepare=journal.enter)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_text() == "7"
    assert container.wait() == 7
    journal.go_on()


def test_end_while_the_journal_is_slow(journal, logging):
    """Whoever hears of the end finds everything."""
    container = logging("seq 1 3000; exit 7")
    container.create(prepare=journal.enter)
    journal.stop()
    journal.go_on(pause=0.0001)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    at_the_end = journal.output()
    assert container.wait() == 7
    wanted = k8slog.numbered(1, 3000)
    wait_until(lambda: journal.output() == wanted, "all output")
    assert len(wanted) - len(at_the_end) < 300 * len(b"3000\n"), "more than its queue holds"


@POLICIES
def test_end_while_the_journal_takes_a_set_number_each_second(journal, logging, policy):
    """It needs longer than anybody waits for a journal that takes nothing, but it takes entries all the time: it gets
    all of them, while the end has been reported. The monitor sleeps in between."""
    container = logging("seq 1 4000; exit 7", policy)
    container.create(prepare=journal.enter)
    journal.stop()
    journal.go_on(rate=300)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    reported = len(journal.entries)
    busy = spent(container.monitor.pid) / os.sysconf("SC_CLK_TCK")
    assert busy < 1, f"{busy} seconds of a processor's time"
    assert container.wait() == 7
    wanted = k8slog.numbered(1, 4000)
    wait_until(lambda: len(journal.output()) + journal.told()[0] >= len(wanted), "all output")
    print(f"{reported} of {len(journal.entries)} entries were there when the end was reported")
    assert journal.output() == wanted


@pytest.mark.survival
@POLICIES
def test_journal_that_pauses(journal, logging, policy):
    """As a slow machine's does while it writes to its disk: the container waits as long, and nothing is lost."""
    journal.stop()
    container = logging("seq 1 3000; read word < go; exit 7", policy)
    trouble = Trouble(container)
    go = begin(container, journal)
    wait_until(lambda: page(container.monitor.pid)["journal_fails"] == 1, "a full queue")
    trouble.suspend(container.monitor.pid, 5)
    journal.go_on()
    wanted = k8slog.numbered(1, 3000)
    wait_until(lambda: len(journal.output()) + journal.told()[0] >= len(wanted), "all output")
    os.write(go, b"\n")
    assert container.wait() == 7
    assert journal.output() == wanted


def begin_with_its_end(journal, logging, policy, lines=1000):
    """A container that has ended, and whose journal is stopped. Returns it, and its trouble."""
    journal.stop()
    container = logging(f"seq 1 {lines}; exit 7", policy)
    trouble = Trouble(container)
    container.create(prepare=journal.enter)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    return container, trouble


@pytest.mark.survival
@POLICIES
@pytest.mark.parametrize("crashes", [False, True], ids=["", "crashes"])
def test_end_while_the_journal_takes_nothing_for_a_while(journal, logging, policy, crashes):
    """Under wait it may be away for as long as systemd needs to see that it hangs."""
    container, trouble = begin_with_its_end(journal, logging, policy)
    trouble.suspend(container.monitor.pid, 1 if policy == "drop" else 250)
    if crashes:
        crash(container.monitor.pid, "fault")
    journal.go_on()
    assert container.wait() == 7
    wait_until(lambda: journal.output() == k8slog.numbered(1, 1000), "all output")


@pytest.mark.survival
@POLICIES
@pytest.mark.parametrize("crashes", [False, True], ids=["", "crashes"])
def test_end_while_the_journal_takes_nothing_any_more(journal, logging, policy, crashes):
    """The monitor leaves by itself, and its time does not begin anew with each image of it."""
    container, trouble = begin_with_its_end(journal, logging, policy)
    if crashes:
        if policy == "wait":
            trouble.suspend(container.monitor.pid, 250)
        crash(container.monitor.pid, "fault")
    trouble.suspend(container.monitor.pid, 11 if policy == "drop" else 301)
    assert container.wait() == 7
    journal.take_rest()
    assert len(journal.entries) < 100


@pytest.mark.survival
def test_end_while_the_journal_takes_entries_now_and_then(journal, logging):
    """Whatever it takes is progress; but that does not go on for more than an hour."""
    container, trouble = begin_with_its_end(journal, logging, "wait", lines=3000)
    for suspended in range(200, 3601, 200):
        assert not container.monitor_ended()
        before = len(journal.entries)
        journal.take_rest()
        assert len(journal.entries) > before, "it has taken all"
        trouble.suspend(container.monitor.pid, suspended)
    journal.take_rest()
    trouble.suspend(container.monitor.pid, 3700)
    assert container.wait() == 7
    assert k8slog.numbered(1, 3000).startswith(journal.output())


def end_on_request(journal, logging, lines, **speed):
    """A container that logs to a slow journal ends, and its monitor gets a signal. Returns what was printed."""
    container = logging(f"seq 1 {lines}; exit 7")
    container.create(prepare=journal.enter)
    journal.stop()
    journal.go_on(**speed)
    ended = procfs.Process(container.pid)
    container.start()
    wait_until(lambda: not ended.alive(), "the container's end")
    os.kill(container.monitor.pid, signal.SIGTERM)
    assert container.wait() == 7
    return k8slog.numbered(1, lines)


def test_end_that_somebody_wants(journal, logging):
    """As when a unit is stopped: a service manager sends the signal right after the container's end."""
    wanted = end_on_request(journal, logging, 1500, rate=300)
    wait_until(lambda: journal.output() == wanted, "all output")


def test_loss_at_the_end(journal, logging):
    """The journal is slow, and nobody waits for it any more: the queue is full when there is a loss to be told, and it
    is told all the same."""
    wanted = end_on_request(journal, logging, 10000, pause=0.02)
    wait_until(lambda: len(journal.output()) + journal.told()[0] >= len(wanted), "the loss to be told")
    assert check_told(journal, wanted)[0] > 0


def test_endless_line_while_the_journal_is_away(journal, logging):
    """What of a line is lost takes its rest along."""
    journal.kill()
    container = logging("head -c 300000 /dev/zero; read word < go; echo rest; read word < go; echo next; exit 7")
    go = begin(container, journal)
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent"] > 200000, "the loss")
    journal.start()
    os.write(go, b"\n")
    wait_until(lambda: any(entry.is_loss for entry in list(journal.entries)), "the loss to be told")
    os.write(go, b"\n")
    assert container.wait() == 7
    journal.wait_output(b"next\n")
    lost, _ = check_told(journal, bytes(300000) + b"rest\nnext\n")
    assert lost == 300005


def test_no_loss_entry(journal, logging):
    journal.kill()
    container = logging("seq 1 1000; read word < go; echo next; exit 7")
    container.options["--log-loss-record"] = "no"
    go = begin(container, journal)
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent_records"] == 1000, "the loss")
    journal.start()
    os.write(go, b"\n")
    assert container.wait() == 7
    wait_until(lambda: journal.entries or container.monitor_ended(), "the end")
    assert not any(entry.is_loss for entry in journal.entries)


def test_policy_that_changes_while_the_container_waits(journal, logging):
    journal.stop()
    container = logging("seq 1 60000; exit 7", "wait")
    container.create(prepare=journal.enter)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["journal_waits"] == 1, "the container to wait")
    container.control("set log-on-error drop\n")
    assert container.wait() == 7
    journal.go_on()


# Crashes


@pytest.mark.survival
def test_crashes(journal, logging):
    container = logging(AT_FULL_SPEED, "wait", file=True)
    go = begin(container, journal)
    for number in range(10):
        crash(container.monitor.pid, "fault" if number % 2 else None)
    (container.bundle / "enough").touch()
    wait_until(lambda: (container.bundle / "printed").exists(), "the container to have printed enough")
    wanted = printed(container)
    journal.wait_output(wanted[wanted.rindex(b"\n", 0, -1) + 1 :])
    os.write(go, b"\n")
    assert container.wait() == 7
    assert b"".join(entry["MESSAGE"] for entry in journal.all()) == wanted
    assert container.output() == wanted
    assert journal.doubles() <= 5, "more than one for each crash inside a send"


@pytest.mark.survival
def test_recovery_that_another_image_sees(journal, logging):
    """The journal comes back while the monitor cannot look, and what the monitor does then is to crash."""
    journal.kill()
    container = logging("echo 1; read word < go; exit 7")
    go = begin(container, journal)
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent"] > 0, "a loss")
    container.pause_monitor()
    journal.start()
    container.signal_monitor(signal.SIGSEGV)
    container.resume_monitor()
    assert journal.wait_event("log-recovered")["CONWARD_LOG_DRIVER"] == b"journald"
    os.write(go, b"\n")
    assert container.wait() == 7


@pytest.mark.survival
def test_crash_while_the_journal_is_stopped(journal, logging):
    journal.stop()
    container = logging("seq 1 60000; read word < go; exit 7", "wait")
    go = begin(container, journal)
    wait_until(lambda: page(container.monitor.pid)["journal_waits"] == 1, "the container to wait")
    crash(container.monitor.pid, "fault")
    journal.go_on()
    journal.wait_output(b"60000\n")
    os.write(go, b"\n")
    assert container.wait() == 7
    assert journal.output() == k8slog.numbered(1, 60000)
