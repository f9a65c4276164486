"""systemd's own journal and its reader, in the place of tests/lib/fake_journal.py."""

import os
import shutil
import subprocess

import pytest

import engine
import k8slog
import node
import real_journal
from crashes import page
from real_journal import RealJournal
from waiting import wait_until

ID = "fedcba9876543210" * 4
OF_IT = f"CONTAINER_ID_FULL={ID}"

pytestmark = pytest.mark.skipif(real_journal.missing() is not None, reason=str(real_journal.missing()))


@pytest.fixture
def journal(directory):
    made = RealJournal(directory / "node")
    yield made
    made.close()


@pytest.fixture
def logging(new_container):
    def new(command, policy):
        container = new_container(command=command, cid=ID)
        container.options.update(
            {
                "--log-path": [container.options["--log-path"], "journald"],
                "--log-on-error": policy,
                "--log-tag": "the tag",
                "--log-label": ["A_LABEL=its value"],
            }
        )
        return container

    return new


def output(entries, priority="6"):
    return b"".join(entry["MESSAGE"] for entry in entries if entry["PRIORITY"] == priority)


def test_many_lines(journal, logging):
    """With long and unfinished ones, to the byte."""
    container = logging(
        "seq 1 20000; head -c 200000 /dev/zero | tr '\\0' x; echo; printf '\\377\\0\\n'; seq 20001 40000; echo two >&2; "
        "read word < go; printf end",
        "wait",
    )
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()
    journal.wait(40000 + 5 + 1 + 1, OF_IT)
    os.write(go, b"\n")
    assert container.wait() == 0
    wanted = k8slog.numbered(1, 20000) + b"x" * 200000 + b"\n\xff\0\n" + k8slog.numbered(20001, 40000) + b"end"
    entries = journal.wait(40000 + 5 + 1 + 1 + 1, OF_IT)
    assert output(entries) == wanted
    assert container.output() == wanted
    assert output(entries, "3") == b"two\n"
    assert sorted(int(entry["CONWARD_SEQ"]) for entry in entries) == list(range(len(entries)))
    assert {entry["_PID"] for entry in entries} == {str(container.monitor.pid)}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"the tag"}
    assert [entry["MESSAGE"][-3:] for entry in entries if "CONTAINER_PARTIAL_MESSAGE" in entry][-1] == b"end"
    assert len(journal.entries(OF_IT, "CONTAINER_TAG=the tag", "A_LABEL=its value")) == len(entries)


@pytest.mark.parametrize("policy", ["drop", "wait"])
def test_stopped_under_load(journal, logging, policy):
    """The container's end does not wait for it under the policy drop, nor its exit file under either."""
    container = logging("seq 1 1000; read word < go; seq 1001 1500; exit 7", policy)
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()
    journal.wait(1000, OF_IT)
    journal.stop()
    os.write(go, b"\n")
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_text() == "7"
    if policy == "drop":
        assert container.wait() == 7
    journal.go_on()
    assert container.wait() == 7
    wanted = k8slog.numbered(1, 1500)
    assert container.output() == wanted
    if policy == "wait":
        assert output(journal.wait(1500, OF_IT)) == wanted
    else:
        assert wanted.startswith(output(journal.wait(1000, OF_IT)))


def test_stopped_while_the_container_goes_on(journal, logging):
    """What the journal has lost it says when it is back."""
    container = logging("seq 1 1000; read word < go; seq 1001 60000; read word < go; exit 7", "drop")
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()
    journal.wait(1000, OF_IT)
    journal.stop()
    os.write(go, b"\n")
    container.wait_log(b" 60000\n")
    wait_until(lambda: page(container.monitor.pid)["stdout_unsent"] > 0, "the loss")
    journal.go_on()
    wait_until(lambda: [e for e in journal.entries(OF_IT) if "CONWARD_LOST_BYTES" in e], "the loss to be told")
    os.write(go, b"\n")
    assert container.wait() == 7
    entries = journal.entries(OF_IT)
    lost = sum(int(entry["CONWARD_LOST_BYTES"]) for entry in entries if "CONWARD_LOST_BYTES" in entry)
    got = output([entry for entry in entries if "CONWARD_LOST_BYTES" not in entry])
    assert lost > 0 and len(got) + lost == len(k8slog.numbered(1, 60000))


@pytest.fixture
def catalog(directory, journal):
    """A program that finds the catalog that comes with the monitor, and no other."""
    texts, database = directory / "catalog", directory / "database"
    texts.mkdir()
    database.mkdir()
    shutil.copy(engine.TOP / "contrib/systemd/conward.catalog", texts)

    def enter():
        journal.enter()
        node.cover("/usr/lib/systemd/catalog", texts)
        node.cover("/var/lib/systemd/catalog", database)

    def read(*words):
        return subprocess.run(["journalctl", *words], preexec_fn=enter, stdout=subprocess.PIPE, check=True).stdout

    read("--update-catalog")
    return read


def test_events_are_explained(journal, catalog, new_container):
    container = new_container(command="printf %010000d 0; read word < go; exit 7", cid=ID)
    container.options.update({"--log-line-max": "256", "--name": "culprit"})
    go = container.fifo("go")
    container.create(prepare=journal.enter)
    container.start()
    shown = ["--directory", journal.directory, "--catalog", "--no-pager"]

    def explained():
        return catalog(*shown, f"_PID={container.monitor.pid}", "CONTAINER_NAME=culprit", "CONWARD_EVENT=long-line")

    text = wait_until(lambda: b"A line on stdout has" in (text := explained()) and text, "the event")
    assert b"Subject: Container culprit prints a line that does not end" in text
    assert b"A line on the stdout of container " + ID.encode() in b" ".join(text.replace(b"-- ", b"").split())
    assert b"@" not in text
    os.write(go, b"\n")
    assert container.wait() == 7
