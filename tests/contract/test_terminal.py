"""A container with a terminal: how it is handed over, its size, its output and its input."""

import fcntl
import os
import pathlib
import re
import signal
import struct
import subprocess
import termios

import pytest

import engine
import k8slog
import node
import procfs
from crashes import descriptors_at_rest, wait_at_rest
from engine import BATS, CRIO, PODMAN
from interactive import assert_asleep, attach_now, fill, peak_memory, script_of, wait_gone, wait_script
from waiting import wait_until

NAME = len("/conward-XXXXXX/console")
ADDRESS_MAX = 107  # bytes of a socket's path


@pytest.fixture
def new_terminal(new_container):
    """Makes containers with a terminal; the directory for temporary files is their own, in the attribute `tmp`."""

    def new(command=None, **kwargs):
        container = new_container(command=command, **kwargs)
        container.options["--terminal"] = True
        container.tmp = container.top / "tmp"
        container.tmp.mkdir()
        container.environment["TMPDIR"] = str(container.tmp)
        return container

    return new


def lines(first, last):
    """What `seq first last` prints on a terminal."""
    return k8slog.numbered(first, last).replace(b"\n", b"\r\n")


def ask(container, name, text):
    """Writes to a control fifo and waits until the monitor has read it and done what it says."""
    rest = text
    while rest:
        rest = rest[wait_until(lambda: written(container, name, rest[:4096]), "room in the fifo") :]
    fd = os.open(container.bundle / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        wait_until(
            lambda: struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0] == 0,
            f"the monitor to read the fifo {name}",
        )
        wait_at_rest(container.monitor.pid)
    finally:
        os.close(fd)


def written(container, name, text):
    try:
        container.control(text, name)
    except BlockingIOError:
        return 0
    return len(text)


FIFOS = pytest.mark.parametrize("fifo, prefix", [("ctl", b"1 "), ("winsz", b"")], ids=["ctl", "winsz"])


# Output


@pytest.mark.parametrize("family", [PODMAN, CRIO, BATS], ids=lambda family: family.name)
def test_all_output_is_stdout(new_terminal, family):
    container = new_terminal("echo out; echo err >&2; printf prompt; exit 5", family=family)
    container.create()
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert container.exit_file.read_text() == "5"
    assert container.output() == client.output() == b"out\r\nerr\r\nprompt"
    assert container.output("stderr") == client.output("stderr") == b""


def test_it_is_a_terminal(new_terminal):
    """Newlines are translated though the runtime turned that off, and the terminal controls its session."""
    container = new_terminal("tty; stty -a; echo hello > /dev/tty; exit 5")
    assert container.run() == 5
    output = container.output()
    assert re.match(rb"/dev/pts/\d+\r\n", output)
    assert re.search(rb"[ \n]onlcr\b", output)
    assert output.endswith(b"hello\r\n")


def test_words_of_the_runtime_are_not_the_containers(new_terminal):
    container = new_terminal("echo hello; exit 5")
    container.stub("stderr", "a warning\n")
    container.stub("stdout", "a remark\n")
    assert container.run() == 5
    assert container.output() == b"hello\r\n"
    assert container.output("stderr") == b""


@pytest.mark.parametrize("turn", range(10))
def test_last_output_is_complete(new_terminal, turn):
    container = new_terminal(f"seq 1 20000; printf 'the end {turn}'; exit 5")
    container.create()
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert container.output() == client.output() == lines(1, 20000) + b"the end %d" % turn


def test_last_output_and_the_end_at_once(new_terminal):
    """The monitor finds them together."""
    container = new_terminal("seq 1 500; exit 5")
    container.create()
    container.pause_monitor()
    client = container.attach()
    container.start()
    container.wait_dead()
    container.resume_monitor()
    engine.receive_all(client)
    assert container.wait() == 5
    assert container.output() == client.output() == lines(1, 500)


def test_killed(new_terminal):
    container = new_terminal("echo hello; read word")
    container.create()
    container.start()
    container.wait_log(b"hello")
    os.kill(container.pid, signal.SIGKILL)
    assert container.wait() == 137
    assert container.output() == b"hello\r\n"


def test_terminal_that_everybody_closes(new_terminal):
    """It may be opened again. Nobody looks meanwhile whether it has been."""
    container = new_terminal(
        """
        terminal=$(tty)
        for turn in 1 2 3; do
            exec < "$terminal" > "$terminal" 2>&1
            echo open $turn
            exec < /dev/null > /dev/null 2>&1
            echo $turn >> closed
            read word < go
        done
        exit 5"""
    )
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    for turn in (b"1", b"2", b"3"):
        client.receive_until(b"open " + turn + b"\r\n")
        wait_script(container, "closed", turn)
        assert_asleep(container)
        os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5
    assert container.output() == client.output() == b"open 1\r\nopen 2\r\nopen 3\r\n"


def test_grandchild_that_outlives_the_container(new_terminal):
    """It has the terminal. What it has printed when the monitor sees the end is taken; the end does not wait for it."""
    container = new_terminal(
        """
        (trap '' HUP; touch ready; read word < go; echo late; touch printed; read word < go) &
        until [ -e ready ]; do :; done
        echo hello
        exit 5"""
    )
    go = container.fifo("go")
    container.create()
    container.pause_monitor()
    container.start()
    container.wait_dead()
    os.write(go, b"\n")
    wait_until((container.bundle / "printed").exists, "the grandchild's output")
    container.resume_monitor()
    assert container.wait() == 5
    assert container.output() == b"hello\r\nlate\r\n"


# Size


@FIFOS
def test_size_before_the_terminal(new_terminal, fifo, prefix):
    """Podman asks for it before it starts the container; here not even the terminal is there."""
    container = new_terminal("stty size; exit 5")
    hold = container.hold_runtime_at("console")
    container.launch()
    container.let_go()
    hold.wait()
    ask(container, fifo, prefix + b"33 77\n")
    hold.let_go()
    container.pid = container.report()["data"]
    container.start()
    assert container.wait() == 5
    assert container.output() == b"33 77\r\n"


@FIFOS
def test_size_before_the_start(new_terminal, fifo, prefix):
    container = new_terminal("stty size; exit 5")
    container.create()
    ask(container, fifo, prefix + b"33 77\n")
    container.start()
    assert container.wait() == 5
    assert container.output() == b"33 77\r\n"


@FIFOS
def test_size_while_it_runs(new_terminal, fifo, prefix):
    """The container hears of it by its signal."""
    container = new_terminal("trap 'stty size' WINCH; echo ready; while :; do read word && exit 5; done")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\r\n")
    for rows, columns in ((24, 80), (1, 1), (1000, 1000)):
        ask(container, fifo, prefix + b"%d %d\n" % (rows, columns))
        client.receive_until(b"%d %d\r\n" % (rows, columns))
    client.send(b"\n")
    engine.receive_all(client)
    assert container.wait() == 5


GARBAGE = {
    "text": b"foo\n",
    "empty lines": b"\n\n\n",
    "one number": b"1\n",
    "negative": b"1 -1 20\n-1 20\n",
    "too large": b"1 1001 20\n1 20 1001\n1001 20\n20 1001\n",
    "hexadecimal": b"1 0x10 0x10\n0x10 0x10\n",
    "no such type": b"3 20 30\n",
    "nul bytes": bytes(100) + b"\n",
    "199 bytes": b"x" * 199 + b"\n",
    "200 bytes": b"x" * 200 + b"\n",
    "endless": b"x" * 100_000 + b"\n",
    "numbers beyond the limit": b"1" * 199 + b" 20 30\n",
}


@FIFOS
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_on_the_fifos(new_terminal, fifo, prefix, garbage):
    """It changes nothing, nobody turns in circles because of it, and the line behind it is not lost."""
    container = new_terminal("stty size; exit 5")
    container.create()
    size = b"33 77\n"
    ask(container, fifo, prefix + size)
    if fifo == "winsz":  # where three numbers are two and something
        garbage = b"".join(line for line in garbage.splitlines(True) if len(line.split()) != 3 or len(line) > 199)
    ask(container, fifo, garbage)
    assert_asleep(container)
    container.start()
    assert container.wait() == 5
    assert container.output() == b"33 77\r\n"


@FIFOS
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_line_behind_garbage(new_terminal, fifo, prefix, garbage):
    container = new_terminal("stty size; exit 5")
    container.create()
    ask(container, fifo, garbage + prefix + b"33 77\n")
    container.start()
    assert container.wait() == 5
    assert container.output() == b"33 77\r\n"


@FIFOS
def test_unfinished_line(new_terminal, fifo, prefix):
    """199 bytes without a newline are no reason to turn in circles."""
    container = new_terminal("stty size; exit 5")
    container.create()
    for size in (1, 198, 1, 1, 5000):
        ask(container, fifo, b"9" * size)
        assert_asleep(container)
    ask(container, fifo, b"\n" + prefix + b"33 77\n")
    container.start()
    assert container.wait() == 5
    assert container.output() == b"33 77\r\n"


@FIFOS
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipes"])
def test_many_resizes(new_terminal, fifo, prefix, terminal):
    container = new_terminal("echo hello; exit 5")
    container.options["--terminal"] = terminal or None
    container.create()
    ask(container, fifo, b"".join(prefix + b"%d %d\n" % (i % 1000, i % 999) for i in range(100_000)))
    assert_asleep(container)
    container.start()
    assert container.wait() == 5
    assert container.output() == (b"hello\r\n" if terminal else b"hello\n")


# The console socket


def socket_of(runtime):
    words = procfs.Process(runtime).words("cmdline")
    return os.fsdecode(words[words.index(b"--console-socket") + 1])


def test_only_we_can_enter_its_directory(new_terminal):
    container = new_terminal("exit 5")
    container.family = PODMAN
    hold = container.hold_runtime()
    container.launch(prepare=lambda: os.umask(0))
    container.let_go()
    path = socket_of(hold.wait())
    directory = os.path.dirname(path)
    assert os.path.dirname(directory) == str(container.tmp)
    assert os.stat(directory).st_mode & 0o7777 == 0o700
    assert os.listdir(container.tmp) == [os.path.basename(directory)]
    assert os.listdir(directory) == [os.path.basename(path)]
    hold.let_go()
    container.pid = container.report()["data"]
    assert os.listdir(container.tmp) == []
    container.start()
    assert container.wait() == 5


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_tmpdir(new_terminal, value):
    container = new_terminal("exit 5")
    del container.environment["TMPDIR"]
    if value is not None:
        container.environment["TMPDIR"] = value
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    path = socket_of(hold.wait())
    assert re.fullmatch(r"/tmp/conward-......", os.path.dirname(path))
    hold.let_go()
    container.pid = container.report()["data"]
    container.start()
    assert container.wait() == 5
    assert not os.path.exists(os.path.dirname(path))


def long_directory(container, length):
    path = str(container.tmp) + "/" + "x" * (length - len(str(container.tmp)) - 1)
    os.mkdir(path)
    assert len(path) == length
    return path


def test_longest_tmpdir(new_terminal):
    container = new_terminal("echo hello; exit 5")
    path = long_directory(container, ADDRESS_MAX - NAME)
    container.environment["TMPDIR"] = path
    assert container.run() == 5
    assert container.output() == b"hello\r\n"
    assert os.listdir(path) == []


# Directories for temporary files that are of no use.
USELESS = {
    "too-long": lambda container: long_directory(container, ADDRESS_MAX - NAME + 1),
    "absent": lambda container: str(container.tmp / "nowhere"),
    "no-directory": lambda container: "/dev/null",
    "read-only": lambda container: str(container.tmp),
}
OURS = pathlib.Path("/run/conward")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def make_read_only(path):
    """For a child that is about to execute a program: what is mounted below stays as it is."""
    mount("--rbind", path, path)
    mount("-o", "remount,bind,ro", path)


def enter(container, places):
    """The same: only what the container needs of them can be written there."""
    node.unshare_mounts()
    mount("--bind", container.top, container.top)
    for place in places:
        make_read_only(place)


def lengthen_bundle(container):
    """As long as Podman's: too long for a socket."""
    container.options["--bundle"] = str(container.top / ("x" * 100))
    os.symlink(container.bundle, container.options["--bundle"])


@as_root
@pytest.mark.parametrize("tmp", USELESS)
@pytest.mark.parametrize("place", ["bundle", "/run/conward", "/tmp"])
def test_tmpdir_of_no_use(new_terminal, tmp, place):
    """The first place that can have the socket does."""
    container = new_terminal("echo hello; exit 5")
    container.environment["TMPDIR"] = USELESS[tmp](container)
    OURS.mkdir(mode=0o755, exist_ok=True)
    if place != "bundle":
        lengthen_bundle(container)
    unwritable = [container.tmp] if tmp == "read-only" else []
    if place == "/tmp":
        unwritable.append(OURS)
    hold = container.hold_runtime()
    container.launch(prepare=lambda: enter(container, unwritable))
    container.let_go()
    directory = os.path.dirname(socket_of(hold.wait()))
    assert os.path.dirname(directory) == (str(container.bundle) if place == "bundle" else place)
    hold.let_go()
    container.pid = container.report()["data"]
    assert not os.path.exists(directory)
    container.start()
    assert container.wait() == 5
    assert container.output() == b"hello\r\n"


@as_root
def test_no_place_for_the_socket(new_terminal):
    """Not even where nothing else fails; the engine is told all places."""
    container = new_terminal("exit 5")
    path = long_directory(container, ADDRESS_MAX - NAME + 1)
    container.environment["TMPDIR"] = path
    lengthen_bundle(container)
    OURS.mkdir(mode=0o755, exist_ok=True)
    text = container.create_fails(prepare=lambda: enter(container, [OURS, "/tmp"]))
    assert f"in any of {path} (File name too long), {container.options['--bundle'][:100]}" in text
    assert "(File name too long), /run/conward (Read-only file system), /tmp (Read-only file system); set TMPDIR" in text
    assert container.wait() == 1
    assert os.listdir(path) == []
    assert not os.path.lexists(container.bundle / "attach")


@pytest.mark.parametrize("plan", ["console-noise", "console-two"])
def test_odd_handover(new_terminal, plan):
    """A stranger who connects first, a descriptor too many: the terminal is found all the same, and nothing kept."""
    plain = new_terminal("read word")
    plain.create()
    container = new_terminal("stty size; read word; exit 5")
    container.stub(plan)
    container.create()
    assert os.listdir(container.tmp) == []

    def kinds(monitor):
        return sorted(re.sub(r"-\w{8}\.state|\d+|/bundle.*", "", path) for path in monitor.descriptors().values())

    expected = kinds(plain.monitor)
    wait_until(lambda: kinds(container.monitor) == expected, "the descriptors of any other container")
    client = container.attach()
    container.start()
    client.receive_until(b"0 0\r\n")
    client.send(b"\n")
    engine.receive_all(client)
    assert container.wait() == 5


def test_late_handover(new_terminal):
    """The runtime connects and takes its time; everything else is served."""
    container = new_terminal("stty size; read word; echo got $word; exit 5")
    hold = container.hold_runtime_at("console-ready")
    container.launch()
    container.let_go()
    hold.wait()
    assert_asleep(container)
    client = attach_now(container)
    client.send(b"word\n")
    ask(container, "ctl", b"1 33 77\n")
    hold.let_go()
    container.pid = container.report()["data"]
    assert os.listdir(container.tmp) == []
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    # The terminal shows what is typed, whether somebody reads it yet or not.
    assert client.output().count(b"33 77\r\n") == 1
    assert client.output().endswith(b"got word\r\n")


def test_end_of_the_runtime_and_handover_at_once(new_terminal):
    """The monitor finds the runtime's end, its connection and its message together."""
    container = new_terminal("echo hello; exit 5")
    hold = container.hold_runtime_at("console")
    container.launch()
    container.let_go()
    hold.wait()
    container.pause_monitor()
    [(runtime, _)] = procfs.children(container.monitor.pid)
    hold.let_go()
    wait_until(lambda: procfs.Process(runtime).stat()[0] == "Z", "the runtime to end")
    container.resume_monitor()
    container.pid = container.report()["data"]
    assert container.pid > 0
    assert os.listdir(container.tmp) == []
    container.start()
    assert container.wait() == 5
    assert container.output() == b"hello\r\n"


def test_container_that_ends_at_once(new_terminal):
    container = new_terminal("exit 5", waits=False)
    container.stub("fast")
    container.create()
    assert container.wait() == 5
    assert container.exit_file.read_text() == "5"
    assert os.listdir(container.tmp) == []


# A runtime that fails


@pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)
@pytest.mark.parametrize("plan", ["exit", "console-never", "console-silent"])
@pytest.mark.parametrize("words", ["no such program\n", ""], ids=["words", "silence"])
def test_no_terminal(new_terminal, plan, words, family):
    """What the runtime has said is the reason that the engine is told."""
    container = new_terminal(family=family)
    container.stub("stderr", words)
    container.stub(plan, "3")
    message = container.create_fails()
    if words:
        assert message == words
    elif plan == "exit":
        assert message.endswith("failed with exit status 3 and said nothing")
    else:
        assert message == "Runtime did not set up terminal"
    assert container.wait() == 1
    assert os.listdir(container.tmp) == []
    assert os.listdir(container.exits) == []
    assert not os.path.lexists(container.bundle / "attach")


@pytest.mark.parametrize("place", ["console", "console-ready"])
@pytest.mark.parametrize("who", ["runtime", "monitor"])
def test_killed_before_the_handover(new_terminal, place, who):
    """By its engine, or by a signal that the monitor passes on."""
    container = new_terminal("exit 5")
    container.stub("no-session")
    hold = container.hold_runtime_at(place)
    container.launch()
    container.let_go()
    hold.wait()
    [(runtime, _)] = procfs.children(container.monitor.pid)
    if who == "runtime":
        os.kill(runtime, signal.SIGKILL)
    else:
        container.signal_monitor(signal.SIGTERM)
    assert container.report()["data"] == -1
    assert container.wait() == 1
    assert os.listdir(container.tmp) == []


# Input


def test_keys(new_terminal):
    """A terminal's own: echo, interrupt, end of file."""
    container = new_terminal("trap 'echo interrupted' INT; echo ready; until read word; do :; done; echo got $word; cat; exit 5")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\r\n")
    client.send(b"\x03")
    client.receive_until(b"interrupted\r\n")
    client.send(b"word\n")
    client.receive_until(b"word\r\ngot word\r\n")
    client.send(b"line\n")
    client.receive_until(b"line\r\nline\r\n")
    client.send(b"\x04")
    engine.receive_all(client)
    assert container.wait() == 5


@pytest.mark.parametrize("half_close", [True, False], ids=["half-close", "close"])
@pytest.mark.parametrize("option", [None, "--stdin"], ids=["-t", "-ti"])
def test_who_leaves_ends_nothing(new_terminal, option, half_close):
    """The next one finds the terminal as it was."""
    container = new_terminal("while read line; do echo got $line; [ $line = end ] && exit 5; done; exit 6")
    if option is not None:
        container.options[option] = True
    container.create()
    before = None
    for number in range(5):
        client = attach_now(container)
        if number == 0:
            container.start()
            before = len(descriptors_at_rest(container.monitor.pid))
        client.send(b"line %d\n" % number)
        client.receive_until(b"got line %d\r\n" % number)
        if half_close:
            client.half_close()
        client.close()
        wait_gone(container, before - 1)
    client = container.attach()
    client.send(b"end\n")
    engine.receive_all(client)
    assert container.wait() == 5


def test_input_before_the_terminal(new_terminal):
    container = new_terminal("stty -echo; read one; read two; echo got $one $two; exit 5")
    hold = container.hold_runtime_at("console")
    container.launch()
    container.let_go()
    hold.wait()
    client = attach_now(container)
    client.send(b"first\n")
    client.send(b"second\n")
    assert_asleep(container)
    hold.let_go()
    container.pid = container.report()["data"]
    container.start()
    engine.receive_all(client)
    assert container.wait() == 5
    assert client.output().endswith(b"got first second\r\n")


def test_reader_that_waits(new_terminal):
    """A terminal takes some thousand bytes that nobody reads; the rest waits, and nobody turns in circles."""
    container = new_terminal(
        """
        stty raw -echo
        echo ready
        read word < go
        head -c $(cat size) > got
        echo done
        read word < go
        exit 5"""
    )
    go = container.fifo("go")
    container.create()
    before = peak_memory(container)
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    sent = fill(client)
    assert_asleep(container)
    assert peak_memory(container) - before < 4096
    more = os.urandom(1_500_000)
    (container.bundle / "size").write_text(str(len(sent + more)))
    os.write(go, b"\n")
    client.send(more)
    client.receive_until(b"done")
    assert script_of(container, "got") == sent + more
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5


def test_output_while_input_is_blocked(new_terminal):
    container = new_terminal("stty raw -echo; echo ready; read word < go; seq 1 50000; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    fill(client)
    os.write(go, b"\n")
    client.receive_until(b"\n50000\n")
    assert client.output() == b"ready\n" + k8slog.numbered(1, 50000)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 5


def test_input_while_output_is_blocked(new_terminal):
    data = os.urandom(300_000)
    container = new_terminal(
        f"stty raw -echo; exec 3<&0; seq 1 300000 & head -c {len(data)} <&3 > got; touch ended; wait; exit 5"
    )
    container.without_spool()
    container.create()
    client = container.attach()
    container.start()
    client.receive_until(b"1\n")
    sent = 0
    while sent < len(data):  # without a look at the output
        sent += client.socket.send(data[sent : sent + 32768])
    wait_until((container.bundle / "ended").exists, "all the input")
    engine.receive_all(client)
    assert container.wait() == 5
    assert script_of(container, "got") == data
    assert client.output() == k8slog.numbered(1, 300000)


def test_something_that_is_no_terminal(new_terminal):
    """It is not held open, so it can end. Whatever has its descriptor's number then is not written to."""
    container = new_terminal("echo hello; read line; echo got $line; exec <&- >&- 2>&-; read word < go; exit 5")
    go = container.fifo("go")
    container.stub("console-socket")
    container.create()
    first = attach_now(container)
    before = len(descriptors_at_rest(container.monitor.pid))
    container.start()
    first.receive_until(b"hello\n")
    first.send(b"line\n")
    first.receive_until(b"got line\n")
    wait_gone(container, before - 1)
    others = [attach_now(container) for _ in range(3)]
    for client in (first, *others):
        client.send(b"\x02whoever reads this\n")
    assert_asleep(container)
    os.write(go, b"\n")
    engine.receive_all(first, *others)
    assert container.wait() == 5
    assert first.output() == b"hello\ngot line\n"
    for client in others:
        assert client.output() == b""
    assert container.output() == b"hello\ngot line\n"
