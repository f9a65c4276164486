"""conwardctl logs: what comes out is what the container wrote, whatever the log is made of. The program under test is
$CONWARDCTL (default: build/src/conwardctl); logs are made here, or by $CONWARD run (default: build/src/conward)."""

import datetime
import gzip
import os
import pathlib
import random
import re
import signal
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lib"))

import k8slog  # noqa: E402  (found through the path above)
from follower import Follower  # noqa: E402
from procfs import Process  # noqa: E402
from waiting import is_readable, wait_readable, wait_until  # noqa: E402

OK, WRONG, FAILED = 0, 2, 3
LIMIT = 60
TIME = b"2026-08-21T09:05:07.000123456+02:00"


def program(variable, name):
    return os.path.abspath(os.environ.get(variable, TOP / "build/src" / name))


def logs(*args, status=OK, **kwargs):
    """Runs it and returns what is on its two streams."""
    done = subprocess.run(
        [program("CONWARDCTL", "conwardctl"), "logs", *map(str, args)],
        capture_output=True,
        timeout=LIMIT,
        check=False,
        **kwargs,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def record(content, stream="stdout", tag="F", time=TIME):
    return b"%s %s %s %s\n" % (time, stream.encode(), tag.encode(), content)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "0.log"


# What is shown


def test_streams_go_to_streams(log):
    log.write_bytes(record(b"a") + record(b"b", "stderr") + record(b"c"))
    assert logs(log) == (b"a\nc\n", b"b\n")
    assert logs("--stream", "stdout", log) == (b"a\nc\n", b"")
    assert logs("--stream=stderr", log) == (b"", b"b\n")


def test_partial_records_are_joined(log):
    log.write_bytes(record(b"a", tag="P") + record(b"x", "stderr", "P") + record(b"b") + record(b"y", "stderr"))
    assert logs(log) == (b"ab\n", b"xy\n")


def test_open_line_is_shown_as_far_as_it_is(log):
    log.write_bytes(record(b"a") + record(b"b", tag="P"))
    assert logs(log)[0] == b"a\nb"
    log.write_bytes(record(b"a") + record(b"b")[:-1])
    assert logs(log) == (b"a\nb", b"")
    log.write_bytes(record(b"a") + record(b"b")[:20])
    assert logs(log) == (b"a\n", b"")


EARLIER = b"2026-08-21T09:05:06.000123456+02:00"


@pytest.mark.parametrize("between", [b"", record(b"other", "stderr")])
def test_closing_record_is_not_shown(log, between):
    """--log-close-last-line: the record has the time stamp of the one before it."""
    begin = record(b"last", tag="P") if not between else record(b"last", tag="P", time=EARLIER)
    log.write_bytes(record(b"a", time=EARLIER) + begin + between + record(b""))
    assert logs("--stream", "stdout", log)[0] == b"a\nlast"
    assert logs("--tail", "1", "--stream", "stdout", log)[0] == b"last"
    assert logs("--raw", log)[0] == log.read_bytes()
    # The next container that logs there goes on as if that record were not there.
    with log.open("ab") as file:
        file.write(record(b" words") + record(b"next"))
    assert logs("--stream", "stdout", log)[0] == b"a\nlast words\nnext\n"


def test_newline_that_comes_later_is_shown(log):
    log.write_bytes(record(b"last", tag="P", time=EARLIER) + record(b""))
    assert logs(log)[0] == b"last\n"


def test_empty_lines_of_one_time_are_shown(log):
    """conmon gives all that it reads at once one time stamp."""
    log.write_bytes(record(b"") + record(b"") + record(b"a") + record(b""))
    assert logs(log)[0] == b"\n\na\n\n"


def test_every_byte_of_the_content_comes_through(log):
    content = bytes(byte for byte in range(256) if byte != 0x0A)
    log.write_bytes(record(content) + record(b"") + record(b" x ") + record(b"\r"))
    assert logs(log)[0] == content + b"\n\n x \n\r\n"


def test_containerd_records(log):
    log.write_bytes(
        record(b"a", time=b"2026-08-21T09:05:07.1Z")
        + record(b"b", tag="P:x:y", time=b"2026-08-21T09:05:07Z")
        + record(b"c", tag="F:x", time=b"2026-08-21T09:05:07.123456-03:30")
    )
    assert logs("-t", log)[0] == b"2026-08-21T09:05:07.1Z a\n2026-08-21T09:05:07Z bc\n"


@pytest.mark.parametrize("seed", range(3))
def test_what_conward_logs(log, seed):
    """Real logs: random bytes, in lines of any length, written in pieces to both streams."""
    bytes_of = random.Random(seed).randbytes
    pick = random.Random(seed).choice
    wrote = {1: b"", 2: b""}
    steps = []
    for number in range(60):
        piece = bytes_of(pick([0, 1, 50, 5000, 40000])).replace(b"\n", pick([b"", b"\n"])) + pick([b"", b"\n"])
        (log.parent / f"piece-{number}").write_bytes(piece)
        fd = pick([1, 2])
        wrote[fd] += piece
        steps.append(f"cat piece-{number} >&{fd}")
    subprocess.run(
        [program("CONWARD", "conward"), "run", "--quiet", "--log-path", log, "--", "sh", "-c", "; ".join(steps)],
        cwd=log.parent,
        check=True,
        timeout=LIMIT,
    )
    assert logs(log) == (wrote[1], wrote[2])
    assert logs("--raw", log) == (log.read_bytes(), b"")


def test_raw(log):
    last = record(b"c", tag="F:x", time=b"2026-08-21T09:05:07Z")
    data = record(b"a", tag="P") + record(b"b", "stderr") + last
    log.write_bytes(data)
    assert logs("--raw", log) == (data, b"")
    assert logs("--raw", "--stream", "stderr", log) == (record(b"b", "stderr"), b"")
    assert logs("--raw", "--tail", 1, log) == (record(b"a", tag="P") + last, b"")


def test_timestamps_stand_before_the_first_record_of_a_line(log):
    log.write_bytes(
        record(b"a", tag="P")
        + record(b"x", "stderr", "P", b"2026-08-21T09:05:08Z")
        + record(b"b", time=b"2026-08-21T09:05:09Z")
        + record(b"", "stderr", time=b"2026-08-21T09:05:10Z")
    )
    assert logs("-t", log) == (TIME + b" ab\n", b"2026-08-21T09:05:08Z x\n")


def shared(*args):
    """Both streams in the same pipe."""
    return subprocess.run(
        [program("CONWARDCTL", "conwardctl"), "logs", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=True,
    ).stdout


def test_streams_in_one_place_do_not_share_a_line(log):
    log.write_bytes(
        record(b"one", tag="P")
        + record(b"error", "stderr", "P")
        + record(b"", tag="P")
        + record(b" more", "stderr")
        + record(b" two")
        + record(b"three")
    )
    assert shared(log) == b"one\nerror\n more\n two\nthree\n"
    parts = [b"one\n", b"error\n", b"\n", b" more\n", b" two\n", b"three\n"]
    assert shared("-t", log) == b"".join(TIME + b" " + part for part in parts)
    assert logs(log) == (b"one two\nthree\n", b"error more\n")


def test_streams_in_one_place_keep_their_order(log):
    log.write_bytes(b"".join(record(b"%d" % i, "stderr" if i % 3 == 0 else "stdout") for i in range(20000)))
    assert shared(log) == k8slog.numbered(0, 19999)


# Which records


def test_times_are_compared_as_times(log):
    times = [b"2026-08-21T09:00:00.5+02:00", b"2026-08-21T07:30:00Z", b"2026-08-21T04:30:00.000000001-03:30"]
    log.write_bytes(b"".join(record(b"%d" % i, time=time) for i, time in enumerate(times)))
    assert logs("--since", "2026-08-21T07:30:00Z", log)[0] == b"1\n2\n"
    assert logs("--since", "2026-08-21T09:30:00.000000001+02:00", log)[0] == b"2\n"
    assert logs("--until", "2026-08-21T07:30:00Z", log)[0] == b"0\n"
    assert logs("--since", "2026-08-21T07:00:00.500Z", "--until", "2026-08-21T08:00:00+00:00", log)[0] == b"0\n1\n"
    assert logs("--since", "2026-08-21T07:10:00Z", "--tail", 1, "--until", "2026-08-21T08:00:00Z", log)[0] == b"1\n"


def test_durations(log):
    now = datetime.datetime.now(datetime.timezone.utc)
    ages = {
        b"3d": datetime.timedelta(days=3),
        b"3h": datetime.timedelta(hours=3),
        b"3m": datetime.timedelta(minutes=3),
    }
    log.write_bytes(b"".join(record(name, time=(now - age).isoformat().encode()) for name, age in ages.items()))
    assert logs("--since", "4d", log)[0] == b"3d\n3h\n3m\n"
    assert logs("--since", "1d2h", log)[0] == b"3h\n3m\n"
    assert logs("--since", "2h", log)[0] == b"3m\n"
    assert logs("--since", "1m", log)[0] == b""
    assert logs("--until", "60m", log)[0] == b"3d\n3h\n"


def tail_of(found, count, streams):
    """The model of --tail: each stream's output, as the last `count` lines of both."""
    lines = []
    open_lines = {}
    for number, (stream, tag, content) in enumerate(found):
        if stream not in streams:
            continue
        if stream not in open_lines:
            open_lines[stream] = [number, stream, b""]
            lines.append(open_lines[stream])
        line = open_lines[stream]
        line[0] = number
        line[2] += content + (b"\n" if tag == "F" else b"")
        if tag == "F":
            del open_lines[stream]
    last = sorted(lines)[len(lines) - min(count, len(lines)) :]
    return tuple(b"".join(line[2] for line in last if line[1] == stream) for stream in ("stdout", "stderr"))


@pytest.mark.parametrize("seed", range(6))
def test_tail_over_all_files(log, seed):
    """Random records in random files, some compressed, against the model."""
    dice = random.Random(seed)
    times = (b"2026-08-21T09:05:%02d+02:00" % second for second in range(40))

    def content():
        return dice.randbytes(dice.choice([0, 3, 300])).replace(b"\n", b"")

    found = [(dice.choice(["stdout", "stderr"]), dice.choice("PF"), content()) for _ in range(40)]
    if seed == 0:  # longer than the blocks in which files are read backwards
        found[20] = ("stdout", "F", dice.randbytes(200000).replace(b"\n", b""))
    cuts = sorted(dice.randrange(41) for _ in range(3))
    parts = [found[start:end] for start, end in zip([0, *cuts], [*cuts, 40])]
    for name, part in zip(["0.log.3", "0.log.2", "0.log.1", "0.log"], parts):
        data = b"".join(record(content, stream, tag, next(times)) for stream, tag, content in part)
        if name != "0.log" and dice.choice([True, False]):
            (log.parent / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (log.parent / name).write_bytes(data)
    for count in [*range(30), 1000]:
        assert logs("--tail", count, log) == tail_of(found, count, ["stdout", "stderr"]), count
        if count % 5 == 1:
            assert logs("--tail", count, "--stream", "stderr", log) == tail_of(found, count, ["stderr"]), count


def test_tail_of_many_lines(log):
    """Headers lie across the ends of the blocks in which a file is read backwards."""
    log.write_bytes(b"".join(record(b"%d" % number) for number in range(1, 20001)))
    for count in (1000, 10000, 19999, 20000):
        assert logs("--tail", count, log)[0] == k8slog.numbered(20001 - count, 20000)


def test_tail_with_a_line_left_open_in_a_compressed_file(log):
    data = record(b"a") + record(b"open", "stderr", "P")
    (log.parent / "0.log.1.gz").write_bytes(gzip.compress(data))
    log.write_bytes(record(b"b"))
    assert logs("--tail", 1, log) == (b"b\n", b"")
    assert logs("--tail", 2, log) == (b"b\n", b"open")
    assert logs("--tail", 3, log) == (b"a\nb\n", b"open")


def test_tail_of_torn_and_bad_lines(log):
    log.write_bytes(record(b"a") + b"garbage\n" + record(b"b") + b"\0" * 100000 + b"\n" + record(b"torn")[:-1])
    assert logs("--tail", 1, log)[0] == b"torn"
    assert logs("--tail", 2, log)[0] == b"b\ntorn"
    assert logs("--tail", 3, log)[0] == b"a\nb\ntorn"
    log.write_bytes(record(b"a") + record(b"b")[:20])
    assert logs("--tail", 1, log)[0] == b"a\n"
    log.write_bytes(b"")
    assert logs("--tail", 1, log) == (b"", b"")


def test_tail_does_not_read_all_for_a_rare_stream(log):
    """The last line on stderr may begin further back than a MiB of other records: it is shown from there on."""
    log.write_bytes(
        record(b"far", "stderr", "P") + record(b"x" * 1000) * 3000 + record(b"near", "stderr") + record(b"y")
    )
    assert logs("--tail", 2, log) == (b"y\n", b"near\n")


# Rotated files


def write_rotated(log):
    for number, name in enumerate(
        ["20260101-000000.gz", "20260102-000000", "20260102-000001", "10", "9.gz", "2", "1"], 1
    ):
        data = record(b"%d" % number)
        (log.parent / f"{log.name}.{name}").write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    log.write_bytes(record(b"8"))


def test_rotated_files_come_first(log):
    write_rotated(log)
    for name in ["0.log.tmp", "0.log.0", "0.log.01", "0.log.1.bak", "0.log.", "0.log.gz", "1.log.1", "x0.log.1"]:
        (log.parent / name).write_bytes(record(b"another"))
    assert logs(log)[0] == k8slog.numbered(1, 8)
    assert logs("--no-rotated", log)[0] == b"8\n"
    assert logs("--tail", 3, log)[0] == k8slog.numbered(6, 8)
    assert logs("--no-rotated", "--tail", 3, log)[0] == b"8\n"


def test_symbolic_link_of_the_user(log, tmp_path):
    """As in /var/log/containers: the rotated files are beside what the link leads to."""
    write_rotated(log)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere/pod.log"
    link.symlink_to("../middle")
    (tmp_path / "middle").symlink_to(log)
    assert logs(link)[0] == k8slog.numbered(1, 8)


def test_line_goes_on_in_the_next_file(log):
    (log.parent / "0.log.2").write_bytes(record(b"a") + record(b"b", tag="P"))
    (log.parent / "0.log.1.gz").write_bytes(gzip.compress(record(b"c", tag="P") + record(b"torn")[:-1]))
    log.write_bytes(record(b"d", tag="P") + record(b"e"))
    assert logs(log)[0] == b"a\nbctorn\nde\n"
    assert logs("--tail", 2, log)[0] == b"bctorn\nde\n"


def test_gzip_of_many_members(log):
    log = log.with_suffix(".log.gz")
    log.write_bytes(gzip.compress(record(b"a")) + gzip.compress(record(b"b")))
    assert logs(log)[0] == b"a\nb\n"


def test_file_that_is_just_being_compressed_is_shown_once(log):
    (log.parent / "0.log.1").write_bytes(record(b"a"))
    (log.parent / "0.log.1.gz").write_bytes(gzip.compress(record(b"a"))[:-9])
    log.write_bytes(record(b"b"))
    assert logs(log) == (b"a\nb\n", b"")


# What nobody should have to deal with


DAMAGES = {
    "torn": lambda data: data[:-30],
    "overwritten": lambda data: data[:50] + b"\xff" * 20 + data[70:],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_gzip(log, damage):
    data = gzip.compress(b"".join(record(b"%d" % number) for number in range(1000)), mtime=0)
    (log.parent / "0.log.1.gz").write_bytes(damage(data))
    log.write_bytes(record(b"last but one") + record(b"last"))
    output, notes = logs(log, status=FAILED if damage(data) else OK)
    assert output.endswith(b"last but one\nlast\n")
    assert (b"0.log.1.gz" in notes and b"damaged" in notes) == bool(damage(data))
    assert logs("--tail", 1, log)[0] == b"last\n"


def test_lines_that_are_no_records(log):
    log.write_bytes(record(b"a") + b"\n" + b"x" * 300 + b"\n" + record(b"b") + b"\0\0\0" + record(b"hidden"))
    output, notes = logs(log)
    assert output == b"a\nb\n"
    assert notes == b"conwardctl: 3 lines are not records and were skipped\n"
    log.write_bytes(record(b"a") + b"no record, and no newline yet")
    assert logs(log) == (b"a\n", b"conwardctl: 1 line is not a record and was skipped\n")
    log.write_bytes(record(b"x", "stderr", "P") + b"no time at all\n")
    assert logs(log)[1] == b"x\nconwardctl: 1 line is not a record and was skipped\n"


@pytest.mark.parametrize("seed", range(20))
def test_garbage(log, seed):
    dice = random.Random(seed)
    data = b"".join(
        dice.choice([record(b"x"), record(b"y", "stderr", "P"), TIME, b" stdout", b" F ", b"\n", dice.randbytes(30)])
        for _ in range(500)
    )
    log.write_bytes(data)
    for args in [[], ["-t"], ["--raw"], ["--tail", "5"], ["--since", "1h"]]:
        logs(*args, log)


def test_what_is_not_a_regular_file_is_refused(log, tmp_path):
    os.mkfifo(log)
    (tmp_path / "link").symlink_to(log)
    for path in [log, tmp_path / "link", tmp_path, "/dev/zero", "/dev/tty"]:
        output, notes = logs(path, status=FAILED)
        assert output == b"" and notes.startswith(b"conwardctl: Cannot ")
    assert b"is not a regular file" in logs(log, status=FAILED)[1]


def test_what_lies_under_a_rotated_name_is_not_followed(log, tmp_path):
    (tmp_path / "secret").write_bytes(record(b"secret"))
    (tmp_path / "0.log.1").symlink_to("secret")
    os.mkfifo(tmp_path / "0.log.2")
    (tmp_path / "0.log.3").mkdir()
    log.write_bytes(record(b"a"))
    output, notes = logs(log, status=FAILED)
    assert output == b"a\n"
    assert [b"0.log.%d" % number in notes for number in (1, 2, 3)] == [True] * 3


def test_more_rotated_files_than_are_read(log):
    for number in range(1, 300):
        (log.parent / f"0.log.{number}").write_bytes(record(b"%d" % (300 - number)))
    log.write_bytes(record(b"300"))
    output, notes = logs(log, status=FAILED)
    assert output == k8slog.numbered(44, 300)
    assert b"43 older rotated files are left out" in notes


WRONG_ARGUMENTS = """

a b
--tail -1 x
--tail all x
--since 1 x
--until yesterday x
--stream both x
--raw -t x
--no-such-option x"""


@pytest.mark.parametrize("args", [line.split() for line in WRONG_ARGUMENTS.splitlines()[1:]])
def test_wrong_command_line(args):
    output, notes = logs(*args, status=WRONG)
    assert output == b"" and re.match(rb"conwardctl: .+", notes)


def test_nothing_of_that_name(tmp_path):
    assert b"nobody" in logs("nobody", status=FAILED, cwd=tmp_path)[1]
    assert b"No such file" in logs("./nobody", status=FAILED, cwd=tmp_path)[1]
    (tmp_path / "somebody").write_bytes(record(b"a"))
    assert logs("somebody", cwd=tmp_path)[0] == b"a\n"


def test_output_that_cannot_be_written(log):
    log.write_bytes(record(b"x" * 100000))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [program("CONWARDCTL", "conwardctl"), "logs", log],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
            check=False,
        )
    assert done.returncode == FAILED and b"No space left on device" in done.stderr


def test_reader_that_goes_away(log):
    log.write_bytes(record(b"x" * 1000) * 10000)
    command = [program("CONWARDCTL", "conwardctl"), "logs", log]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(LIMIT) in (OK, -signal.SIGPIPE)


# Following


@pytest.fixture
def follow():
    made = []

    def new(*args):
        command = [program("CONWARDCTL", "conwardctl"), "logs", "--follow", *map(str, args)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        made.append(Follower(process))
        return made[-1]

    yield new
    for follower in made:
        follower.process.kill()
        follower.process.wait()
        follower.process.stdout.close()
        follower.process.stderr.close()


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_follow(log, follow, sig):
    log.write_bytes(record(b"a") + record(b"b", tag="P"))
    follower = follow(log)
    follower.expect(b"a\nb")
    follower.wait_idle()
    append(log, record(b"c"))
    follower.expect(b"c\n")
    data = record(b"in two parts")
    for cut in (10, 50):
        append(log, data[:cut])
        follower.wait_idle()
        append(log, data[cut:])
        follower.expect(b"in two parts\n")
    append(log, b"bad\n")
    follower.wait_idle()
    assert follower.end(sig) == (b"", b"conwardctl: 1 line is not a record and was skipped\n")


def test_follow_from_the_last_lines(log, follow):
    write_rotated(log)
    follower = follow("--tail", 2, log)
    follower.expect(b"7\n8\n")
    append(log, record(b"9"))
    follower.expect(b"9\n")
    assert follower.end() == (b"", b"")
    follower = follow("--tail", 0, log)
    follower.wait_idle()
    append(log, record(b"10"))
    follower.expect(b"10\n")
    assert follower.end() == (b"", b"")


@pytest.fixture
def rotating(log):
    """`conward run` with a command that prints numbered lines until there is a file `enough`, and a log that rotates."""
    options = ["--log-path", log, "--log-size-max", "5000", "--log-rotate", "--log-max-files", "1000"]
    script = "i=0; until [ -e enough ]; do seq $((i + 1)) $((i + 50)); i=$((i + 50)); sleep 0.05; done; echo $i > printed"
    process = subprocess.Popen(
        [program("CONWARD", "conward"), "run", "--quiet", *options, "--", "sh", "-c", script], cwd=log.parent
    )

    def end():
        """Returns what was printed."""
        (log.parent / "enough").touch()
        assert process.wait(LIMIT) == 0
        return k8slog.numbered(1, int((log.parent / "printed").read_text()))

    yield end
    if process.poll() is None:
        process.kill()
        process.wait()


def test_read_while_a_monitor_rotates(log, rotating):
    """At every moment there is a log, and no line is missing or there twice."""
    wait_until((log.parent / "0.log.3").exists, "some rotations")
    last = 0
    for _ in range(50):
        output = logs(log)[0]
        count = output.count(b"\n")
        assert output == k8slog.numbered(1, count)
        assert count >= last > 0 or last == 0
        last = count
        logs("--no-rotated", log)
    printed = rotating()
    assert logs(log)[0] == printed


def test_follow_while_a_monitor_rotates(log, rotating, follow):
    wait_until((log.parent / "0.log.3").exists, "some rotations")
    follower = follow(log)
    follower.wait_idle()
    wait_until((log.parent / "0.log.20").exists, "more rotations")
    follower.expect(rotating())
    assert follower.end() == (b"", b"")


@pytest.mark.parametrize("options", [[], ["--no-rotated"]])
def test_follow_through_rotations(log, follow, options):
    """Rotations of every kind while it reads: nothing is lost and nothing comes twice."""
    log.write_bytes(b"")
    follower = follow(*options, log)
    follower.wait_idle()
    written = 0
    for rotation in range(1, 41):
        # The writer of a log has the old file open until it has made the new one.
        with open(log, "ab") as old:
            for _ in range(rotation % 4 * 50):
                written += 1
                old.write(record(b"%d" % written))
            old.flush()
            for number in range(3, 0, -1):
                if (log.parent / f"0.log.{number}").exists():
                    os.rename(log.parent / f"0.log.{number}", log.parent / f"0.log.{number + 1}")
            os.rename(log, log.parent / "0.log.1")
            written += 1
            old.write(record(b"%d" % written))
            old.flush()
            log.touch()
            written += 1
            old.write(record(b"%d" % written))
        if rotation % 3 == 0:
            written += 1
            append(log, record(b"%d" % written))
        if rotation % 2 == 0:
            # A reader that is further behind than rotated files are kept could not be helped.
            follower.expect(expected_since(follower, written))
    follower.expect(expected_since(follower, written))
    assert follower.end() == (b"", b"")


def expected_since(follower, last):
    first = getattr(follower, "last", 0) + 1
    follower.last = last
    return k8slog.numbered(first, last)


def test_follow_through_rotations_by_the_kubelet(log, follow):
    log.write_bytes(record(b"1"))
    follower = follow(log)
    follower.expect(b"1\n")
    os.rename(log, log.parent / "0.log.20260101-000000")
    append(log.parent / "0.log.20260101-000000", record(b"2"))
    follower.expect(b"2\n")
    log.write_bytes(record(b"3"))
    follower.expect(b"3\n")
    data = (log.parent / "0.log.20260101-000000").read_bytes()
    (log.parent / "0.log.20260101-000000.gz").write_bytes(gzip.compress(data))
    (log.parent / "0.log.20260101-000000").unlink()
    append(log, record(b"4"))
    follower.expect(b"4\n")
    assert follower.end() == (b"", b"")


def test_follow_through_several_rotations_at_once(log, follow):
    """A stopped reader misses the moments of all rotations; the files are still there."""
    log.write_bytes(record(b"1"))
    follower = follow(log)
    follower.expect(b"1\n")
    follower.wait_idle()
    follower.stop()
    for number in range(2, 5):
        for old in range(number, 0, -1):
            if (log.parent / f"0.log.{old}").exists():
                os.rename(log.parent / f"0.log.{old}", log.parent / f"0.log.{old + 1}")
        os.rename(log, log.parent / "0.log.1")
        log.write_bytes(record(b"%d" % number))
    follower.process.send_signal(signal.SIGCONT)
    follower.expect(b"2\n3\n4\n")
    assert follower.end() == (b"", b"")


def test_follow_a_file_that_is_rotated_already(log, follow):
    """Its writer may still have it open as long as the new one is empty."""
    log.write_bytes(record(b"1"))
    follower = follow(log)
    follower.expect(b"1\n")
    follower.wait_idle()
    follower.stop()
    os.rename(log, log.parent / "0.log.2")
    (log.parent / "0.log.1").write_bytes(record(b"2"))
    log.touch()
    follower.process.send_signal(signal.SIGCONT)
    follower.expect(b"2\n")
    follower.wait_idle()
    append(log.parent / "0.log.1", record(b"3"))
    follower.expect(b"3\n")
    append(log, record(b"4"))
    follower.expect(b"4\n")
    assert follower.end() == (b"", b"")


def test_follow_through_the_replacement_of_conward(log, follow):
    """A file renamed over the log, as at --log-size-max: the old one is gone."""
    log.write_bytes(record(b"1") + record(b"open", tag="P"))
    follower = follow(log)
    follower.expect(b"1\nopen")
    for number in range(2, 10):
        with open(log, "ab") as old:
            (log.parent / "new").write_bytes(b"")
            os.rename(log.parent / "new", log)
            follower.wait_idle()
            append(log, record(b"%d" % number))
            follower.expect(b"%d\n" % number)
            del old
    assert follower.end() == (b"", b"")


def test_follow_through_copytruncate(log, follow):
    log.write_bytes(record(b"a") + record(b"b")[:-1])
    follower = follow(log)
    follower.expect(b"a\nb")
    follower.wait_idle()
    os.truncate(log, 0)
    follower.expect(b"\n")
    append(log, record(b"c"))
    follower.expect(b"c\n")
    assert follower.end() == (b"", b"")


def test_follow_a_real_container(log, follow):
    log.touch()
    follower = follow(log)
    follower.wait_idle()
    container = subprocess.Popen(
        [program("CONWARD", "conward"), "run", "--quiet", "--log-path", log, "--", "seq", "200000"],
    )
    follower.expect(k8slog.numbered(1, 200000))
    assert container.wait(LIMIT) == 0
    assert follower.end() == (b"", b"")


def test_follow_ends_with_the_time_wanted(log, follow):
    log.write_bytes(record(b"a"))
    assert follow("--until", "0s", log).ended()[0] == b"a\n"


def test_follow_ends_when_nobody_reads(log, follow):
    log.write_bytes(record(b"a"))
    follower = follow(log)
    follower.expect(b"a\n")
    follower.wait_idle()
    follower.process.stdout.close()
    assert follower.process.wait(LIMIT) == OK
    assert follower.process.stderr.read() == b""


def test_follow_ends_with_the_directory(tmp_path, follow):
    directory = tmp_path / "pod"
    directory.mkdir()
    (directory / "0.log").write_bytes(record(b"a"))
    follower = follow(directory / "0.log")
    follower.expect(b"a\n")
    follower.wait_idle()
    (directory / "0.log").unlink()
    follower.wait_idle()
    directory.rmdir()
    assert follower.ended() == (b"", b"")


def test_signal_ends_a_write_that_waits(log, follow):
    log.write_bytes(record(b"x" * 1000) * 1000)
    follower = follow(log)
    wait_readable(follower.process.stdout.fileno(), "output")
    # In write(2), which waits: the pipe is full.
    syscall = Process(follower.process.pid).path / "syscall"
    if os.uname().machine == "x86_64":
        wait_until(lambda: syscall.read_text().startswith("1 0x1 "), "a write that waits")
    assert follower.end()[1] == b""


# Bounded


def peak(follow, log, *args):
    """The most memory it had, in KiB, when it has read all there is."""
    follower = follow(*args, log)
    while not follower.is_idle():
        wait_until(lambda: follower.is_idle() or is_readable(follower.process.stdout.fileno()), "output or its end")
        if is_readable(follower.process.stdout.fileno()):
            os.read(follower.process.stdout.fileno(), 1 << 20)
    kib = int(Process(follower.process.pid).status()["VmHWM"].split()[0])
    follower.process.kill()
    return kib


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks at the number of a system call")
@pytest.mark.parametrize("args", [[], ["--tail", "1"], ["--tail", "1000000000"], ["-t", "--since", "1d"]])
@pytest.mark.parametrize("kind", ["one record", "records", "no record", "no newline", "compressed"])
def test_memory_does_not_depend_on_the_line(log, follow, kind, args):
    size = (50 if kind == "compressed" else 200) << 20

    def fill(size):
        with open(log, "wb") as file:
            if kind == "one record":
                file.write(TIME + b" stdout P ")
                file.truncate(size)
            elif kind == "no record":
                file.truncate(size)
                file.seek(size)
                file.write(b"\n")
            elif kind == "no newline":
                file.truncate(size)
            elif kind == "records":
                for _ in range(size >> 20):
                    file.write(record(b"x" * 16000, tag="P") * 65)

    if kind == "compressed":
        fill_one = gzip.compress(record(b"x" * 16000, tag="P") * 65)
        log.write_bytes(b"")
        (log.parent / "0.log.1.gz").write_bytes(fill_one)
        short = peak(follow, log, *args)
        (log.parent / "0.log.1.gz").write_bytes(fill_one * (size >> 20))
    else:
        fill(1 << 20)
        short = peak(follow, log, *args)
        fill(size)
    assert peak(follow, log, *args) < short + 512
