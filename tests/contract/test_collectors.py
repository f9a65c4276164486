"""Logs of all kinds as the programs get them that collect logs: each line becomes one entry, whole, and is nobody else's.
What such a program does by its own rules (tests/lib/collectors.py, the table in conward-log(5)) is not the log's doing,
and is shown here too, so that the table stays true."""

import os
import re

import pytest

import engine
import k8slog
from collectors import BY_NAME, COLLECTORS, NoRecord
from waiting import wait_until

LINE = 60_000  # several records

EACH = pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)


def files_of(container):
    """The log's files, the oldest first."""
    old = sorted(container.log.parent.glob(container.log.name + ".[0-9]*"), key=lambda path: -int(path.suffix[1:]))
    return [path.read_bytes() for path in [*old, container.log]]


def check(files, wrote, stream="stdout"):
    """What each of them makes of the log is what its rules make of the lines."""
    for collector in COLLECTORS:
        found = collector.texts(files, stream)
        wanted = collector.wants(wrote)
        assert len(found) == len(wanted), collector.name
        for number, (is_there, ought) in enumerate(zip(found, wanted)):
            assert is_there == ought, (collector.name, number, is_there[:100], ought[:100])


def write_out(new_container, wrote, **options):
    """A container that writes these bytes to its standard output."""
    container = new_container(command="cat wrote; exit 7")
    (container.bundle / "wrote").write_bytes(wrote)
    container.options.update({"--" + name.replace("_", "-"): value for name, value in options.items()})
    assert container.run() == 7
    return container


def line(number, size=LINE, letter=b"x"):
    return (b"%d " % number).ljust(size, letter) + b"\n"


# The rules


def test_table_of_the_manual():
    manual = (engine.TOP / "man/conward-log.5").read_text()
    table = re.search(r"^\.Bl -column.*?^\.El", manual, re.MULTILINE | re.DOTALL)[0]
    rows = [row.replace("\\", "").split(" Ta ") for row in re.findall(r"^\.It (.*)$", table, re.MULTILINE)]
    assert rows[1:] == [collector.row() for collector in COLLECTORS]


def record(text, stream="stdout", tag="F", second=7):
    return b"2026-08-21T09:05:%02d.000123456+02:00 %s %s %s\n" % (second, stream.encode(), tag.encode(), text)


@EACH
def test_rules_are_told_apart(collector):
    """A log as it must not be shows what each of them does."""
    mixed = record(b"a ", tag="P") + record(b"x", "stderr", "P") + record(b"b") + record(b"y", "stderr")
    if collector.joins == "file":
        assert collector.texts([mixed], "stdout")[0] in (b"a xb", b"axb")
    else:
        assert (collector.texts([mixed], "stdout"), collector.texts([mixed], "stderr")) == ([b"a b"], [b"xy"])
    twice = collector.texts([record(b"same") + record(b"same")], "stdout")
    assert twice == [b"same"] * (1 if collector.name == "Promtail" else 2)
    over = collector.texts([record(b"a", tag="P"), record(b"b")], "stdout")
    assert over == {"shown": [b"ab"], "sent late": [b"a", b"b"], "kept": [b"b"]}[collector.open_end]
    with pytest.raises(NoRecord):
        collector.texts([record(b"a") + b"b\n"], "stdout")
    with pytest.raises(NoRecord):
        collector.texts([record(b"torn")[:-1]], "stdout")


# Logs of all kinds


def test_lines_of_all_lengths(new_container):
    wrote = b"".join(line(number, size) for number, size in enumerate([10, 16384, 16385, 32768, 60000, 200000, 10]))
    check(files_of(write_out(new_container, wrote)), wrote)


def test_blanks_at_the_cuts(new_container):
    """Of the line's own end they are missing where the program takes them off."""
    wrote = b"".join(piece * 10000 + b"\n" for piece in (b"abc ", b"ab  \t ", b"\r\tabcdef", b" \r xy"))
    container = write_out(new_container, wrote)
    assert sum(record.tag == "P" for record in container.records()) >= 9
    check(files_of(container), wrote)


def test_utf_8_at_the_cuts(new_container):
    wrote = ("\u20ac" * 20000 + "\n" + "a" + "\U0001f600" * 20000 + "\n").encode()
    container = write_out(new_container, wrote)
    for record_found in container.records():
        record_found.content.decode()
    check(files_of(container), wrote)


def test_equal_lines(new_container):
    wrote = b"same\n" * 6100 + b"\n" * 1000
    check(files_of(write_out(new_container, wrote)), wrote)


def test_both_streams_at_once(new_container):
    """Lines longer than a record, whose parts are written to one stream and the other in turn."""
    count = 40
    in_turn = "cat out.$i.1; cat err.$i.1 >&2; cat out.$i.2; cat err.$i.2 >&2"
    container = new_container(command=f"for i in $(seq {count}); do {in_turn}; done; exit 7")
    container.options["--log-partial-flush"] = "never"  # a line waits as long as it may for the other's end
    wrote = {"out": b"", "err": b""}
    for number in range(1, count + 1):
        for name in wrote:
            text = line(number, 40_000, name[:1].encode())
            (container.bundle / f"{name}.{number}.1").write_bytes(text[:20_000])
            (container.bundle / f"{name}.{number}.2").write_bytes(text[20_000:])
            wrote[name] += text
    assert container.run() == 7
    check(files_of(container), wrote["out"])
    check(files_of(container), wrote["err"], "stderr")


def test_rotation_among_long_lines(new_container):
    """No line is divided between two files, where it would become two entries."""
    wrote = b"".join(line(number) for number in range(150))
    container = write_out(new_container, wrote, log_size_max="1000000", log_rotate=True, log_max_files="20")
    files = files_of(container)
    assert len(files) >= 9
    check(files, wrote)


@pytest.mark.parametrize("closes", ["no", "yes"])
def test_last_line_without_newline(new_container, closes):
    wrote = b"one\nlast words"
    container = write_out(new_container, wrote, log_close_last_line=closes)
    files = files_of(container)
    if closes == "no":
        check(files, wrote)
        return
    for collector in COLLECTORS:
        assert collector.texts(files, "stdout") == [b"one", b"last words"], collector.name
        ended = [event.ended for event in collector.read(files)]
        assert ended == [True, not collector.knows_closings], collector.name


def test_loss_in_a_line(new_container):
    """The loss record is an entry of its own, and so is what is left of the line."""
    container = new_container(command="printf begins; read word < go; echo ', ends'; seq 100; exit 7")
    container.options.update({"--log-rate-limit": "1:50", "--log-rate-policy": "drop"})
    go = container.fifo("go")
    container.create()
    container.start()
    wait_until(lambda: len(container.log.read_bytes()) > 0, "the beginning of the line")
    os.write(go, b"\n")
    assert container.wait() == 7
    missing = len(b", ends") + len(k8slog.numbered(1, 100))
    told = b"[conward] lost %d bytes in 101 records on stdout, " % missing
    for collector in COLLECTORS:
        begin, loss = collector.texts(files_of(container), "stdout")
        assert begin == b"begins", collector.name
        assert loss.startswith(told), collector.name


# What the log cannot help


@pytest.mark.parametrize("most", [32700, 40000])
def test_records_too_long_for_some(new_container, most):
    """--log-line-max above 32700 is a trap, and doctor warns of it."""
    wrote = b"first\n" + line(2, most) + b"last\n"
    container = write_out(new_container, wrote, log_line_max=str(most))
    files = files_of(container)
    if most == 32700:
        check(files, wrote)
        return
    lines = wrote.split(b"\n")[:-1]
    for collector in COLLECTORS:
        wanted = {"Fluent Bit": lines[:1], "Vector": [lines[0], lines[2]]}.get(collector.name, lines)
        assert collector.texts(files, "stdout") == wanted, collector.name


def test_prompt_beside_the_other_stream(new_container):
    """A line that is shown before its end is mixed with the other stream's by those that join by file."""
    command = "printf 'name? '; read word < go; echo other >&2; read word < go; echo answer; exit 7"
    container = new_container(command=command)
    go = container.fifo("go")
    container.create()
    container.start()
    for text in (b" P name? \n", b" F other\n"):
        container.wait_log(text)
        os.write(go, b"\n")
    assert container.wait() == 7
    files = files_of(container)
    assert BY_NAME["Fluent Bit"].texts(files, "stdout") == [b"name? answer"]
    assert BY_NAME["Filebeat"].texts(files, "stdout") == [b"name? other", b"answer"]
