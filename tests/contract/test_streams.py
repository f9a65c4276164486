"""From the container's pipes into the k8s-file log: every byte, once, in order, in whole records."""

import os
import random
import re
import stat

import pytest

import engine
import k8slog
import procfs
from crashes import FATAL, crash, descriptors_at_rest
from engine import CRIO
from waiting import Watch, wait_until

LINE_MAX = 16384


# The format


def test_record_to_the_byte(new_container):
    container = new_container(command="echo hello")
    assert container.run() == 0
    assert re.fullmatch(
        rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00 stdout F hello\n", container.log.read_bytes()
    )
    assert len(container.log.read_bytes()) == k8slog.HEADER + len("hello\n")


def test_time_zone(new_container):
    container = new_container(command="echo hello")
    container.environment["TZ"] = "XYZ-05:30"
    container.run()
    assert container.records()[0].time.endswith("+05:30")


CONTENTS = {
    "text": b"one\ntwo\n",
    "empty-lines": b"\n\n\na\n\n",
    "carriage-returns": b"a\r\nb\rc\r\n\r\n",
    "nul": b"\0\n\0\0a\0\n",
    "invalid-utf-8": b"\xff\xfe\n\xe2\x82\n\x80\x80\n",
    "escape-codes": b"\x1b[31mred\x1b[0m\n\t\n",
    "looks-like-a-record": b"2026-08-21T09:05:07.000123456+02:00 stderr P x\n",
    "all-bytes": bytes(range(256)) + b"\n",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_contents(new_container, content, stream):
    container = new_container(command="cat content" + (" >&2" if stream == "stderr" else ""))
    (container.bundle / "content").write_bytes(content)
    assert container.run() == 0
    assert [(record.stream, record.tag, record.content) for record in container.records()] == [
        (stream, "F", line) for line in content.split(b"\n")[:-1]
    ]


def test_last_line_without_newline(new_container):
    container = new_container(command="printf 'one\\ntwo'")
    container.run()
    assert [(record.tag, record.content) for record in container.records()] == [("F", b"one"), ("P", b"two")]
    assert container.log.read_bytes().endswith(b" stdout P two\n"), "nothing follows it"


def all_of(container):
    return [(record.stream, record.tag, record.content) for record in container.records()]


@pytest.mark.parametrize("crashes", [False, pytest.param(True, marks=pytest.mark.survival)], ids=["", "crashes"])
def test_last_line_that_is_closed(new_container, crashes):
    """On both streams, once, though the last records have been there for a while, and in whatever order the streams
    end. The newline is not the container's: the record has the time stamp of the one before it."""
    container = new_container(command="printf 'one\\nlast'; printf wrong >&2; read word < go; exit 7")
    container.options["--log-close-last-line"] = "yes"
    go = container.fifo("go")
    container.create()
    container.start()
    wait_until(lambda: len(container.records()) == 3, "what has no newline to show")
    if crashes:
        crash(container.monitor.pid, random.choice(FATAL))
    os.write(go, b"\n")
    assert container.wait() == 7
    records = container.records()
    closing = [record for record in records if record not in k8slog.without_closings(records)]
    assert sorted((record.stream, record.tag) for record in closing) == [("stderr", "F"), ("stdout", "F")]
    assert records[-2:] == closing
    assert {record.time for record in closing} == {records[-3].time}
    assert (container.output(), container.output("stderr")) == (b"one\nlast", b"wrong")


def test_last_line_that_has_its_newline(new_container):
    container = new_container(command="printf last; sleep 0.3; echo; exit 7")
    container.options["--log-close-last-line"] = "yes"
    assert container.run() == 7
    assert all_of(container)[-1] == ("stdout", "F", b"")
    assert container.output() == b"last\n"


def test_last_line_of_exec(new_exec_sync):
    """What an engine reads back is what the command wrote."""
    process = new_exec_sync("printf last")
    process.options["--log-close-last-line"] = "yes"
    process.execute()
    assert process.answer()["exit_code"] == 0
    assert [record.tag for record in k8slog.records(process.log.read_bytes())] == ["P"]


def test_no_output_no_record(new_container):
    container = new_container(command="true")
    container.run()
    assert container.log.read_bytes() == b""


def test_two_streams(new_container):
    container = new_container(command="seq 1 20000 & seq 1 20000 >&2; wait")
    container.run()
    assert container.output("stdout") == k8slog.numbered(1, 20000)
    assert container.output("stderr") == k8slog.numbered(1, 20000)


def test_equal_lines_have_different_times(new_container):
    """There are programs that take two records with the same text and time for one."""
    container = new_container(command="yes again | head -n 20000 & yes again | head -n 20000 >&2; wait")
    container.run()
    assert len({(record.time, record.content) for record in container.records()}) == 40000


# Lines and the limit


@pytest.mark.parametrize("length", [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, 2 * LINE_MAX, 50000])
@pytest.mark.parametrize("block", [1, 7, 4096])
def test_line_limit(new_container, length, block):
    container = new_container(command=f"dd if=content bs={block} 2> /dev/null")
    container.options["--log-partial-flush"] = "never"
    line = bytes(ord("a") + number % 26 for number in range(length))
    (container.bundle / "content").write_bytes(line + b"\n")
    container.run()
    parts = [line[at : at + LINE_MAX] for at in range(0, length, LINE_MAX)]
    assert [(record.tag, record.content) for record in container.records()] == [
        *(("P", part) for part in parts[:-1]),
        ("F", parts[-1]),
    ]


def test_line_that_never_ends(new_container):
    container = new_container(command="head -c 1000000 /dev/zero | tr '\\0' x")
    container.options["--log-partial-flush"] = "never"
    container.run()
    records = container.records()
    assert {record.tag for record in records} == {"P"}
    assert [len(record.content) for record in records[:-1]] == [LINE_MAX] * (1000000 // LINE_MAX)
    assert container.output() == b"x" * 1000000


def test_utf_8_is_not_cut(new_container):
    text = "x" + "€🐳" * 5000
    container = new_container(command="cat content")
    container.options["--log-partial-flush"] = "never"
    (container.bundle / "content").write_text(text + "\n")
    container.run()
    records = container.records()
    assert "".join(record.content.decode() for record in records) == text
    assert len(records) > 1


def test_readers_that_trim_lose_nothing_of_a_long_line(new_container):
    container = new_container(command="cat content")
    container.options["--log-partial-flush"] = "never"
    line = b"abc " * 10000 + b"\t\r " * 30 + b"end"
    (container.bundle / "content").write_bytes(line + b"\n")
    container.run()
    records = container.records()
    assert [record.tag for record in records] == ["P", "P", "F"]
    assert b"".join(record.content.strip() for record in records) == line


def test_long_line_is_not_mixed_with_the_other_stream(new_container):
    """There are programs that join the records of a file without looking at their stream."""
    container = new_container(command="read word < go; seq 1 100 >&2; cat content")
    container.options["--log-partial-flush"] = "never"
    (container.bundle / "content").write_bytes(b"x" * 300000 + b"\n")
    go = container.fifo("go")
    container.create()
    container.start()
    container.pause_monitor()
    os.write(go, b"\n")
    wait_until(lambda: procfs.waiting_in_pipe(container.pid, 1) >= 65536, "the beginning of the long line")
    container.resume_monitor()
    container.wait()
    tags = "".join(record.tag + record.stream[3] for record in container.records())
    assert re.fullmatch("(Po)+Fo(Fe)+|(Fe)+(Po)+Fo", tags)


def test_prompt_is_shown(new_container):
    """A line that waits for its end shows as P; what comes later closes it."""
    container = new_container(command="printf 'prompt> '; read word < go; printf 'answer\\n'; read word < go; exit 0")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b" stdout P prompt> \n")
    os.write(go, b"\n")
    container.wait_log(b" stdout F answer\n")
    os.write(go, b"\n")
    container.wait()
    assert [(record.tag, record.content) for record in container.records()] == [("P", b"prompt> "), ("F", b"answer")]


def test_closing_record_may_be_empty(new_container):
    container = new_container(command="printf 'prompt> '; read word < go; echo")
    container.options["--log-partial-flush"] = "0"
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b" stdout P prompt> \n")
    os.write(go, b"\n")
    container.wait()
    assert [(record.tag, record.content) for record in container.records()] == [("P", b"prompt> "), ("F", b"")]


# Nothing is lost


def test_many_small_writes(new_container):
    container = new_container(command="dd if=content bs=1 2> /dev/null")
    content = os.urandom(100_000)
    (container.bundle / "content").write_bytes(content)
    container.run()
    assert container.output() == content


def test_flood(new_container):
    container = new_container(command="seq 1 1000000")
    assert container.run() == 0
    assert container.output() == k8slog.numbered(1, 1000000)


def test_output_in_the_pipe_at_the_end(new_container):
    """The monitor stands still until the container has ended; all that is left to it is what lies in the pipes."""
    container = new_container(command="seq 1 5000; seq 1 5000 >&2; exit 5")
    container.create()
    container.pause_monitor()
    container.start()
    container.wait_dead()
    container.resume_monitor()
    assert container.wait() == 5
    assert container.output("stdout") == k8slog.numbered(1, 5000)
    assert container.output("stderr") == k8slog.numbered(1, 5000)


def test_container_closes_its_streams(new_container):
    container = new_container(command="echo hello; exec >&- 2>&-; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"hello")
    os.write(go, b"\n")
    assert container.wait() == 5
    assert container.output() == b"hello\n"


def test_streams_are_pipes_which_can_be_opened_again(new_container):
    container = new_container(command="echo one > /dev/stdout; echo two > /dev/stderr; cat")
    assert container.run() == 0
    assert container.output("stdout") == b"one\n"
    assert container.output("stderr") == b"two\n"


# The file


def test_file_is_appended_to(new_container):
    container = new_container(command="echo hello")
    old = b"2026-08-21T09:05:07.000123456+02:00 stdout F old\n"
    container.log.write_bytes(old)
    container.run()
    assert container.log.read_bytes().startswith(old)
    assert container.output() == b"old\nhello\n"


def test_file_mode(new_container):
    container = new_container(command="exit 0")
    container.run(prepare=lambda: os.umask(0))
    assert stat.S_IMODE(container.log.stat().st_mode) == 0o640


@pytest.mark.parametrize("value", ["none", "off", "null", "none:"])
def test_no_log(new_container, value):
    container = new_container(command="echo hello; exit 5")
    container.options["--log-path"] = value
    container.create()
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert client.output() == b"hello\n"
    assert container.wait() == 5
    assert not os.path.exists(value)


def test_colons_in_the_path(new_container):
    container = new_container(command="echo hello")
    container.log = container.logs / "a:b::c.log"
    container.options["--log-path"] = f"k8s-file:{container.log}"
    container.run()
    assert container.output() == b"hello\n"
    assert os.listdir(container.logs) == ["a:b::c.log"]


def test_bare_path(new_container):
    container = new_container(command="echo hello", family=CRIO)
    container.run()
    assert container.output() == b"hello\n"


def test_relative_path(new_container):
    container = new_container(command="echo hello")
    container.options["--log-path"] = "k8s-file:logs/ctr.log"
    container.run(prepare=lambda: os.chdir(container.top))
    assert container.output() == b"hello\n"


# Limits


@pytest.mark.parametrize("limit", [1000, 4096, 100_000])
def test_size_limit_keeps_the_newest(new_container, limit):
    container = new_container(command="seq 1 5000")
    container.options["--log-size-max"] = str(limit)
    container.run()
    assert container.log.stat().st_size <= limit
    lines = [int(record.content) for record in container.records()]
    assert lines == list(range(lines[0], 5001)), "the newest records and no others"


def test_size_limit_smaller_than_a_record(new_container):
    container = new_container(command="seq 1 100")
    container.options["--log-size-max"] = "10"
    container.run()
    assert [record.content for record in container.records()] == [b"100"]


def test_size_limit_counts_what_is_there(new_container):
    container = new_container(command="echo hello")
    container.options["--log-size-max"] = "1000"
    container.log.write_bytes(b"2026-08-21T09:05:07.000123456+02:00 stdout F old\n" * 20)
    container.run()
    assert [record.content for record in container.records()] == [b"hello"]


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_no_size_limit(new_container, limit):
    container = new_container(command="seq 1 5000")
    container.options["--log-size-max"] = limit
    container.options["--log-global-size-max"] = limit
    container.run()
    assert container.output() == k8slog.numbered(1, 5000)


@pytest.mark.parametrize("limit", [10, 49, 1000, 65536])
def test_global_limit_is_never_exceeded(new_container, limit):
    container = new_container(command="seq 1 5000; exit 5")
    container.options["--log-global-size-max"] = str(limit)
    container.create()
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert client.output() == k8slog.numbered(1, 5000), "who is attached gets everything"
    size = container.log.stat().st_size
    assert size <= limit
    assert container.output() == k8slog.numbered(1, len(container.records()))
    assert size + k8slog.HEADER + len("5000\n") > limit, "no room was left unused"


def test_global_limit_counts_what_is_there(new_container):
    container = new_container(command="seq 1 5000")
    old = b"2026-08-21T09:05:07.000123456+02:00 stdout F old\n" * 20
    container.log.write_bytes(old)
    container.options["--log-global-size-max"] = "2000"
    container.run()
    assert container.log.read_bytes().startswith(old)
    assert container.log.stat().st_size <= 2000


# Reopening through the ctl fifo

PRINTS = "i=0; until [ -e enough ]; do seq $((i + 1)) $((i + 1000)); i=$((i + 1000)); done; echo $i > printed"


def is_new(container):
    """CRI-O waits for a Create or Write event that names the log."""
    return lambda mask, path: path == container.log and mask & (Watch.CREATE | Watch.MOVED_TO | Watch.MODIFY)


@pytest.mark.parametrize("line", ["2 0 0\n", "2 1 1\n"])
def test_reopen(new_container, line):
    container = new_container(command="echo one; read word < go; echo two; read word < go")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    moved = container.logs / "moved"
    container.log.rename(moved)
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO | Watch.MODIFY)
    container.control(line)
    watch.wait(is_new(container), "the new log")
    watch.close()
    assert container.log.exists(), "the file appears by itself, without output"
    assert stat.S_IMODE(container.log.stat().st_mode) == 0o640
    os.write(go, b"\n")
    container.wait_log(b"two")
    os.write(go, b"\n")
    container.wait()
    assert k8slog.output(k8slog.records(moved.read_bytes())) == b"one\n"
    assert container.output() == b"two\n"
    assert sorted(os.listdir(container.logs)) == ["ctr.log", "moved"]


def test_reopen_at_full_speed(new_container):
    """As the kubelet rotates: rename, reopen, wait for the event; from then on the old file must not change."""
    container = new_container(command=PRINTS)
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    container.create()
    watch.take()
    descriptors = len(descriptors_at_rest(container.monitor.pid))
    container.start()
    parts = []
    for number in range(20):
        wait_until(lambda: container.log.stat().st_size > 50_000, "some output")
        part = container.logs / f"part-{number}"
        container.log.rename(part)
        container.control("2 0 0\n")
        watch.wait(is_new(container), "the new log")
        parts.append((part, part.stat().st_size))
    watch.close()
    wait_until(lambda: len(container.monitor.descriptors()) == descriptors, "the old files to be closed")
    (container.bundle / "enough").touch()
    container.wait()
    for part, size in parts:
        assert part.stat().st_size == size, "written to after the event"
    # Every file has whole records only, and together they are what was printed.
    found = [record for part, _ in parts for record in k8slog.records(part.read_bytes())] + container.records()
    assert k8slog.output(found) == k8slog.numbered(1, int((container.bundle / "printed").read_text()))


def test_reopen_of_a_deleted_log(new_container):
    container = new_container(command="echo one; read word < go; echo two")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    container.log.unlink()
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    container.control("2 1 1\n")
    watch.wait(is_new(container), "the new log")
    watch.close()
    os.write(go, b"\n")
    container.wait()
    assert container.output() == b"two\n"


def test_reopen_while_the_container_only_exists(new_container):
    container = new_container(command="echo one")
    container.create()
    moved = container.logs / "moved"
    container.log.rename(moved)
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    container.control("2 0 0\n")
    watch.wait(is_new(container), "the new log")
    watch.close()
    container.start()
    container.wait()
    assert moved.read_bytes() == b""
    assert container.output() == b"one\n"


def test_reopen_that_fails(new_container):
    """The directory has gone: nothing is lost to the file that is open, and nobody dies."""
    container = new_container(command="echo one; read word < go; echo two; exit 5")
    container.options["--log-path"] = f"k8s-file:{container.logs}/deep/ctr.log"
    container.log = container.logs / "deep" / "ctr.log"
    container.log.parent.mkdir()
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"one")
    elsewhere = container.logs / "elsewhere"
    container.log.parent.rename(elsewhere)
    container.control("2 0 0\n")
    container.pause_monitor()  # and with that it has been woken once more
    container.resume_monitor()
    os.write(go, b"\n")
    assert container.wait() == 5
    assert container.exit_file.read_bytes() == b"5"
    output = k8slog.output(k8slog.records((elsewhere / "ctr.log").read_bytes()))
    assert output.startswith(b"one\n")


def test_reopen_beside_a_planted_link(new_container):
    """Whoever may write to the directory of logs cannot choose what the monitor overwrites."""
    container = new_container(command="echo hello")
    victim = container.top / "victim"
    victim.write_bytes(b"precious")
    container.create()
    for name in ("ctr.log.tmp", f"ctr.log.{container.monitor.pid}.tmp"):
        (container.logs / name).symlink_to(victim)
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    container.control("2 0 0\n")
    watch.wait(is_new(container), "the new log")
    watch.close()
    container.start()
    container.wait()
    assert victim.read_bytes() == b"precious"
    assert not container.log.is_symlink()
    assert container.output() == b"hello\n"


GARBAGE = {
    "word": b"foo\n",
    "type": b"999 2 2\n",
    "number": b"999\n",
    "two-numbers": b"2 1\n",
    "negative": b"2 -1 -1\n",
    "too-big": b"2 1001 1\n",
    "hexadecimal": b"2 0x10 0x10\n",
    "float": b"2 10.5 1.5\n",
    "empty": b"\n\n\n",
    "binary": bytes(range(128, 256)) + b"\0\n",
    "just-full": b"x" * 199 + b"\n",
    "overlong": b"2" * 1000 + b"\n",
    "overlong-with-a-tail": b"x" * 200 + b"2 0 0\n",
    "resize": b"1 24 80\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_on_the_ctl_fifo(new_container, garbage):
    """It does nothing, and the next line counts, in the same write or in a later one."""
    container = new_container(command="exit 5")
    container.create()
    log = container.log.stat().st_ino
    container.control(garbage)
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    container.log.rename(container.logs / "moved")
    watch.take()
    container.control(garbage + b"2 0 0\n")
    events = watch.wait(is_new(container), "the new log")
    watch.close()
    assert (container.logs / "moved").stat().st_ino == log, "the garbage reopened nothing"
    assert len([path for _, path in events if path == container.log]) == 1
    container.start()
    assert container.wait() == 5


def test_control_line_in_pieces(new_container):
    container = new_container(command="exit 5")
    container.create()
    container.log.unlink()
    watch = Watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
    for piece in ("2", " 0", " ", "0", "\n"):
        container.control(piece)
    watch.wait(is_new(container), "the new log")
    watch.close()


def test_many_resizes_of_a_container_without_terminal(new_container):
    container = new_container(command="exit 5")
    container.create()
    for _ in range(3000):
        wait_until(lambda: _control(container, "1 24 80\n" * 10), "room in the ctl fifo")
    container.start()
    assert container.wait() == 5


def _control(container, text):
    """True when there was room."""
    try:
        container.control(text)
    except BlockingIOError:
        return False
    return True


def test_log_stays_within_the_container(new_container):
    """The log's descriptor is the monitor's alone."""
    container = new_container(command="ls -l /proc/self/fd")
    container.run()
    assert str(container.log).encode() not in container.output()
    assert procfs.children(container.monitor.pid) == []
