"""The container's terminal."""

import os

import engine
import k8slog
from crashes import Witness
from fault_points import NotStarted


def own_temporary_files(play, container):
    """Returns a directory in which only this container's monitor makes some."""
    tmp = play.top / "tmp"
    tmp.mkdir()
    container.environment["TMPDIR"] = str(tmp)
    return tmp


def with_terminal(play):
    container = play.container(
        "stty -echo -onlcr; until [ \"$(stty size)\" = '33 77' ]; do sleep 0.01; done; "
        "read word; echo got $word; seq 1 3000; read word; exit 7"
    )
    container.options["--terminal"] = True
    container.stub("console-noise")
    tmp = own_temporary_files(play, container)
    witness = Witness(container)
    try:
        play.create(container)
    finally:
        assert os.listdir(tmp) == []
    container.control("33 77\n", "winsz")
    client = container.attach()
    client.send(b"word\n")
    container.start()
    client.receive_until(b"\n3000\n")
    client.send(b"\n")
    engine.receive_all(client)
    witness.check(7)
    output = container.output()
    assert output.endswith(b"got word\n" + k8slog.numbered(1, 3000)), "the settings are not the container's"
    assert client.output() == output


def without_terminal(play):
    """The runtime does not hand one over."""
    container = play.container()
    container.options["--terminal"] = True
    container.stub("console-silent")
    container.stub("stderr", "no such thing\n")
    tmp = own_temporary_files(play, container)
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert container.line() == b""
    assert container.wait() == 1
    assert os.listdir(tmp) == []
    if "crashed" in report["message"]:
        raise NotStarted
    assert report["message"] == "no such thing\n"


def with_something_that_is_no_terminal(play):
    """It ends before the container does, and what is sent then goes nowhere."""
    container = play.container("echo hello; read line; exec <&- >&- 2>&-; read word < go; exit 7")
    container.options["--terminal"] = True
    container.stub("console-socket")
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    client.receive_until(b"hello\n")
    client.send(b"line\n")
    other = container.attach()
    other.send(bytes(1_000_000))
    os.write(go, b"\n")
    engine.receive_all(client, other)
    witness.check(7)
    assert container.output() == client.output() == b"hello\n"
    assert other.output() == b""
