"""The journal, as a log and for events."""

import os

import k8slog
from crashes import Trouble, Witness, page
from fake_journal import FakeJournal
from waiting import wait_until


def to_the_journal(play):
    """And to a file. The journal stops while more is written than waits for it, and at the end."""
    journal = play.add(FakeJournal(play.top))
    container = play.container("seq 1 300; echo two >&2; read word < go; head -c 1000000 /dev/zero; printf end; exit 7")
    container.options.update(
        {"--log-path": [container.options["--log-path"], "journald"], "--log-on-error": "wait"}
    )
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    journal.wait_output(b"300\n")
    journal.stop()
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["journal_waits"] == 1, "the container to wait")
    journal.go_on()
    witness.check(7)
    wanted = k8slog.numbered(1, 300) + bytes(1_000_000) + b"end"
    wait_until(lambda: len(journal.output()) >= len(wanted), "all output")
    assert (journal.output(), journal.output("stderr")) == (wanted, b"two\n")
    assert (container.output(), container.output("stderr")) == (wanted, b"two\n")
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def with_priorities(play):
    journal = play.add(FakeJournal(play.top))
    container = play.container(
        "printf '<2>'; head -c 60000 /dev/zero; read word < go; head -c 60000 /dev/zero; echo; echo '<4>two' >&2; exit 7"
    )
    container.options.update({"--log-path": "journald", "--log-priority-prefix": True})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    wait_until(lambda: journal.entries, "the beginning of the line")
    os.write(go, b"\n")
    witness.check(7)
    wait_until(lambda: len(journal.all()) == 4, "all output")
    assert (journal.output(), journal.output("stderr")) == (bytes(120_000) + b"\n", b"two\n")
    assert {(entry.stream, entry["PRIORITY"]) for entry in journal.all()} == {("stdout", b"2"), ("stderr", b"4")}
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def large_entries(play):
    journal = play.add(FakeJournal(play.top))
    container = play.container("seq 1 10; exit 7")
    container.options["--log-path"] = "journald"
    container.options["--log-label"] = [f"L_{number}={'x' * 100_000}" for number in range(3)]
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    witness.check(7)
    wait_until(lambda: len(journal.entries) == 10, "all output")
    assert journal.output() == k8slog.numbered(1, 10)
    assert all(entry.is_file for entry in journal.all())


def losing_journal(play):
    """It is away until output is lost, and again at the end: each time in the middle of a line, whose newline is sent
    later, or never."""
    journal = play.add(FakeJournal(play.top))
    begin = b"0" * 49152  # as much as an entry holds
    line = f"printf %0{len(begin) + 1}d 0"
    container = play.container(
        f"{line}; read word < go; echo; seq 2 300; read word < go; {line}; read word < go; echo; seq 301 600; exit 7"
    )
    container.options["--log-path"] = "journald"
    trouble = Trouble(container)
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    journal.wait_output(begin)
    journal.kill()
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["journal_fails"] == 1, "the journal to be missed")
    trouble.suspend(container.monitor.pid, 11)
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent_records"] == 300, "the loss")
    journal.start()
    wait_until(lambda: any(entry.is_loss for entry in list(journal.entries)), "the loss to be told")
    assert journal.told() == (1 + len(k8slog.numbered(2, 300)), 300)
    os.write(go, b"\n")
    wait_until(lambda: journal.output() == begin + b"\n" + begin, "the beginning of another line")
    journal.kill()
    os.write(go, b"\n")
    wait_until(lambda: page(container.monitor.pid)["journal_fails"] == 1, "the journal to be missed")
    trouble.suspend(container.monitor.pid, 22)
    witness.check(7)
    assert journal.output() == begin + b"\n" + begin
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def slow_journal(play):
    """It takes what has waited when the end has been reported."""
    journal = play.add(FakeJournal(play.top))
    journal.stop()
    container = play.container("seq 1 300; exit 7")
    container.options["--log-path"] = "journald"
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    journal.go_on()
    witness.check(7)
    wait_until(lambda: journal.output() == k8slog.numbered(1, 300), "all output")
    assert len(journal.all()) == len(journal.entries), "an entry was sent twice"


def warnings(play):
    """Lines that do not end, one after the other within a minute, and what an engine hears that asks for events."""
    line = "head -c 9000 /dev/zero; read word < go; echo; "
    journal = play.add(FakeJournal(play.top))
    container = play.container(command=3 * line + "kill -9 $$")
    container.options.update({"--log-line-max": "256", "--sync-events": True})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    for count in (1, 2, 3):
        wait_until(lambda: page(container.monitor.pid)["stdout_long_lines"] == count, "the line")
        os.write(go, b"\n")
    wait_until(lambda: container.exit_file.exists() or not container.monitor.alive(), "the end")
    lines = list(iter(container.line, b""))
    assert lines == [b'{"event": "exit", "status": 137, "signal": 9}\n']
    witness.check(137)
    assert container.output() == 3 * (bytes(9000) + b"\n")
    journal.settle()
    assert journal.events_of("exited")
    assert 2 <= len(journal.events_of("long-line"))


def deaf_journal(play):
    """One that takes nothing when the container starts, hears of that later."""
    journal = play.add(FakeJournal(play.top))
    journal.stop()
    noise = journal.fill()
    container = play.container("read word < go; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container, prepare=journal.enter)
    container.start()
    wait_until(lambda: page(container.monitor.pid)["events_held"] > 0, "the start to be held back")
    journal.go_on()
    journal.wait_event("noise", noise - 1)
    os.write(go, b"\n")
    witness.check(7)
    journal.settle()
    assert journal.events_of("exited") and journal.events_of("started")
