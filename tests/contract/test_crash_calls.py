"""The monitor faults after each of its system calls from the start of the runtime to its own end, as soon as it has
stored what the call has brought: one life for each call. fault.c is as in test_crash.py."""

import os

import pytest

import engine
import k8slog
from crashes import FaultAfter, Witness, fault_tool

pytestmark = pytest.mark.survival

PARTS = 4  # for several workers
MOST = 1000  # calls of a life, which has less than 200

LINES = 50


@pytest.fixture(scope="module", autouse=True)
def built():
    assert os.access(fault_tool(), os.X_OK), f"{fault_tool()} is not an executable: build first, or set FAULT"


def live(container, call):
    """One life with a client that writes and reads. Returns whether there were so many calls."""
    hold = container.hold_runtime()
    witness = Witness(container)
    container.launch()
    container.let_go()
    hold.wait()
    fault = FaultAfter(container.monitor.pid, call)
    hold.let_go()
    container.pid = container.report()["data"]
    assert container.pid > 0
    client = container.attach()
    container.start()
    client.send(b"word\n")
    engine.receive_all(client)
    witness.check(7)
    newline = b"\r\n" if "--terminal" in container.options else b"\n"
    wanted = (k8slog.numbered(1, LINES) + b"got word\n").replace(b"\n", newline)
    for output in (client.output(), container.output()):
        # A terminal shows what is typed, too, whenever that is.
        assert output.replace(b"word" + newline, b"", output.count(b"word") - 1) == wanted
    return fault.wait()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("option", ["--stdin", "--terminal"])
def test_after_each_call(new_container, option, part):
    number = 1 + part
    while True:
        assert number < MOST
        container = new_container(command=f"seq 1 {LINES}; read word; echo got $word; exit 7")
        container.options[option] = True
        if not live(container, number):
            break
        number += PARTS
    assert number > 2 * PARTS
