"""Whole lives of containers, and what an engine asks for and hears meanwhile."""

import os

import engine
import k8slog
from crashes import Witness, page
from engine import CRIO
from notify import Sender, notifying
from waiting import is_readable, wait_until


def whole_life(play):
    container = play.container(
        command="echo began >> beginnings; echo one; printf two >&2; read word < go; seq 1 3000; "
        "printf %0300d 0 >&2; read word < go; exit 7"
    )
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    wait_until(lambda: len(container.records()) == 2, "the first line, and the beginning of another")
    before = container.logs / "before"
    container.log.rename(before)
    container.control("2 0 0\n")
    wait_until(container.log.exists, "the new log")
    container.control("set log-line-max 256\nset log-partial-flush 2\n")
    wait_until(lambda: page(container.monitor.pid)["log_partial_flush"] == 2, "the new settings")
    os.write(go, b"\n")
    container.wait_log(b" 3000\n")
    assert page(container.monitor.pid)["reopens"] == 1
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["before", "ctr.log"]
    assert (container.bundle / "beginnings").read_text() == "began\n"
    records = k8slog.records(before.read_bytes()) + container.records()
    k8slog.check_rising(records)
    assert max(len(record.content) for record in records) <= 256
    for stream, wanted in (("stdout", b"one\n" + k8slog.numbered(1, 3000)), ("stderr", b"two" + b"0" * 300)):
        assert k8slog.output(records, stream) == wanted
        assert client.output(stream) == wanted


def one_after_the_other(play):
    """An engine with a start socket, stream pipes and a link to the bundle; nothing is logged."""
    container = play.container(command="seq 1 20000; exit 7", family=CRIO)
    container.options["--log-path"] = "none"
    play.create(container)
    client = container.attach()
    container.start()
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == k8slog.numbered(1, 20000)
    assert os.listdir(container.sockets) == []


def stalled(play):
    """A client reads nothing while the container prints more than anybody holds in memory, and then everything."""
    container = play.container(command="seq 1 150000; seq 1 50000 >&2; read word < go; seq 1 20000; exit 7")
    container.options["--attach-spool-max"] = "100000000"
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    container.wait_log(b" 150000\n")
    container.wait_log(b"stderr F 50000\n")
    while not client.output().endswith(b"\n150000\n"):
        client.receive()
        assert not client.at_end
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    for stream, wanted in (
        ("stdout", k8slog.numbered(1, 150000) + k8slog.numbered(1, 20000)),
        ("stderr", k8slog.numbered(1, 50000)),
    ):
        assert client.output(stream) == wanted
        assert container.output(stream) == wanted


def late_output(play):
    container = play.container("(while kill -0 $$ 2> /dev/null; do :; done; echo late) & echo hello; exit 7")
    container.options["--late-output"] = "4000"
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
    assert container.output() == b"hello\nlate\n"


def passthrough(play):
    """The caller's standard streams are the container's; to the monitor, there is nothing but an end."""
    container = play.container(command="echo hello; exit 7")
    container.options["--log-path"] = "passthrough"
    output = container.top / "output"

    def prepare():
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(fd, number)

    witness = Witness(container)
    play.create(container, prepare=prepare)
    container.start()
    witness.check(7)
    assert output.read_text() == "hello\n", "not a word of the monitor"


def child_of_another(play):
    """The container is not our child: its end is seen, its status is not."""
    container = play.container(command="echo hello")
    os.mkfifo(container.plan / "parent")
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(255, reported=-1)
    assert container.output() == b"hello\n"


def notify(play):
    """A host that is full at first: one notification waits with the monitor."""
    container = play.container(command="echo hello; exit 7")
    host = notifying(container)
    full = host.fill()
    witness = Witness(container)
    play.create(container)
    sender = Sender(container)
    sender.send(b"MAINPID=1")
    sender.send(b"STATUS=up\nREADY=1")
    sender.wait_taken()
    for _ in range(full):
        host.receive()
    assert host.receive() == b"STATUS=up\nREADY=1"
    sender.send(b"STOPPING=1")
    assert host.receive() == b"STOPPING=1"
    container.start()
    witness.check(7)
    assert not is_readable(host.socket.fileno())
