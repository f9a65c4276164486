"""Containers that do not come to be."""

import os
import re

from engine import CRIO
from fake_journal import FakeJournal
from fault_points import NotStarted


def failing_runtime(play, prepare=None):
    container = play.container()
    if prepare is not None:
        container.options["--log-path"] = "journald"
    container.stub("stderr", "a long story\n" * 10000 + "no such thing\n")
    container.stub("exit", "3")
    container.launch(prepare=prepare)
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    if "crashed" in report["message"]:
        assert container.wait() == 1
        raise NotStarted
    assert re.match(r"\[\d+ bytes left out\] ", report["message"])
    assert report["message"].endswith("a long story\nno such thing\n")
    assert container.line() == b""
    assert container.wait() == 1
    assert os.listdir(container.exits) == []


def failing_runtime_and_the_journal(play):
    journal = play.add(FakeJournal(play.top))
    failing_runtime(play, journal.enter)
    journal.settle()
    assert journal.entries == []


def failing_start(play):
    """A monitor that cannot make all that an engine uses; what it has made is gone."""
    container = play.container(family=CRIO)
    (container.bundle / "winsz" / "in-the-way").mkdir(parents=True)
    container.launch()
    container.let_go()
    report = container.report()
    assert report["data"] == -1
    assert container.wait() == 1
    assert not os.path.lexists(container.bundle / "attach")
    assert os.listdir(container.sockets) == []
    assert not container.pidfile.exists()
