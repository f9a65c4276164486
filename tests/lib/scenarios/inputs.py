"""The container's input."""

import os

import engine
import k8slog
from crashes import Witness
from waiting import wait_until


def with_input(play):
    """More than can wait comes before anybody reads."""
    data = k8slog.numbered(1, 30000)
    container = play.container("echo ready; read word < go; cat > got; exit 7")
    container.options["--stdin"] = True
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    client.send(b"before\n")
    container.start()
    client.receive_until(b"ready\n")
    client.send(data)
    client.half_close()
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
    assert (container.bundle / "got").read_bytes() == b"before\n" + data


def with_late_input(play):
    """Who only watches ends nothing, who has sent something does, were it a single packet."""
    container = play.container("cat > got; echo ended; exit 7")
    container.options["--stdin"] = True
    witness = Witness(container)
    play.create(container)
    container.start()
    wait_until((container.bundle / "got").exists, "the container to run")
    watcher, client = container.attach(), container.attach()
    watcher.half_close()
    client.send(b"one\n")
    wait_until(lambda: (container.bundle / "got").read_bytes() == b"one\n", "the line")
    client.half_close()
    engine.receive_all(watcher, client)
    witness.check(7)
    assert (container.bundle / "got").read_bytes() == b"one\n"
    assert watcher.output() == client.output() == b"ended\n"


def with_unwanted_input(play):
    """The container closes its input while there is some, and ends while somebody sends more."""
    container = play.container("echo ready; read word < go; exec < /dev/null; echo closed; read word < go; exit 7")
    container.options["--stdin"] = True
    go = container.fifo("go")
    witness = Witness(container)
    play.create(container)
    client = container.attach()
    container.start()
    client.receive_until(b"ready\n")
    client.send(bytes(170_000))
    os.write(go, b"\n")
    client.receive_until(b"closed\n")
    client.send(bytes(170_000))
    os.write(go, b"\n")
    engine.receive_all(client)
    witness.check(7)
