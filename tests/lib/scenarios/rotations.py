"""Log files that the monitor replaces."""

import os

import k8slog
from crashes import Witness, page
from waiting import wait_until


def rotated(play):
    """By size and on request: every line is in some file, once."""
    container = play.container(command="seq 1 200; read word < go; seq 201 220; read word < go; exit 7")
    container.options.update({"--log-rotate": True, "--log-max-files": "20", "--log-size-max": "1000"})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    container.wait_log(b" 200\n")
    before = page(container.monitor.pid)
    assert before["rotations"] == before["reopens"] >= 9
    container.control("2 0 0\n")
    wait_until(lambda: page(container.monitor.pid)["rotations"] == before["rotations"] + 1, "the new log")
    os.write(go, b"\n")
    container.wait_log(b" 220\n")
    assert page(container.monitor.pid)["reopens"] == before["reopens"] + 1, "the request was fulfilled twice"
    os.write(go, b"\n")
    witness.check(7)
    names = set(os.listdir(container.logs)) - {"ctr.log"}
    assert names == {f"ctr.log.{number}" for number in range(1, len(names) + 1)}
    assert len(names) == before["rotations"] + 1
    paths = [container.logs / f"ctr.log.{number}" for number in range(len(names), 0, -1)] + [container.log]
    records = [record for path in paths for record in k8slog.records(path.read_bytes())]
    k8slog.check_rising(records)
    assert k8slog.output(records) == k8slog.numbered(1, 220)


def discarded(play):
    """The same with too few files for all lines."""
    container = play.container(command="seq 1 200; exit 7")
    container.options.update({"--log-rotate": True, "--log-max-files": "2", "--log-size-max": "1000"})
    witness = Witness(container)
    play.create(container)
    container.start()
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["ctr.log", "ctr.log.1", "ctr.log.2"]
    paths = [container.logs / "ctr.log.2", container.logs / "ctr.log.1", container.log]
    records = [record for path in paths for record in k8slog.records(path.read_bytes())]
    output = k8slog.output(records)
    assert output.startswith(b"1") and k8slog.numbered(1, 200).endswith(b"\n" + output)
    assert len(records) > 40


def failing_rotation(play):
    """Something is in the way of a request's last step; it is fulfilled when that is gone."""
    container = play.container(command="echo one; read word < go; echo two; exit 7")
    container.options.update({"--log-rotate": True})
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    container.start()
    container.wait_log(b"one")
    backup = container.logs / "ctr.log.1"
    backup.mkdir()
    container.control("2 0 0\n")
    wait_until(lambda: page(container.monitor.pid)["rotation_failures"] > 0, "the failure")
    assert b"one" in container.log.read_bytes()
    backup.rmdir()
    wait_until(lambda: page(container.monitor.pid)["rotation_asked"] == 0, "the new log")
    os.write(go, b"\n")
    witness.check(7)
    assert sorted(os.listdir(container.logs)) == ["ctr.log", "ctr.log.1"]
    assert k8slog.output(k8slog.records(backup.read_bytes())) == b"one\n"
    assert container.output() == b"two\n"
