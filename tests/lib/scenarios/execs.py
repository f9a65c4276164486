"""Further processes in a container."""

import os

import engine
import k8slog
from crashes import Witness
from fault_points import NotStarted


def attached_exec(play):
    process = play.exec("echo began >> beginnings; echo one; printf two >&2; read word < go; seq 1 3000; exit 7")
    go = process.fifo("go")
    witness = Witness(process)
    client = play.execute(process)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert process.report() == {"data": 7}
    witness.check(7)
    assert (process.bundle / "beginnings").read_text() == "began\n"
    assert client.output() == b"one\n" + k8slog.numbered(1, 3000)
    assert client.output("stderr") == b"two"


def legacy_exec(play):
    process = play.exec_sync("echo began >> beginnings; seq 1 3000; echo two >&2; exit 7")
    process.execute()
    answer = process.answer()
    if answer["data"] < 0:
        assert answer["message"] == "The monitor crashed before it had started anything"
        assert process.wait() == 1
        assert not (process.bundle / "beginnings").exists()
        raise NotStarted
    assert answer == {"data": 7, "exit_code": 7}
    assert process.wait() == 7
    assert (process.bundle / "beginnings").read_text() == "began\n"
    assert process.output() == k8slog.numbered(1, 3000)
    assert process.output("stderr") == b"two\n"
