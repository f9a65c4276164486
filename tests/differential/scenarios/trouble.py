"""Runtimes that fail, in every way there is, and engines that are not as they should be."""

import contextlib
import os
import subprocess

import procfs
from engine import CRIO, PODMAN, allow_no_process
from lab import accepted
from scenario import scenario
from waiting import is_readable, wait_until

STREAM = {"podman": PODMAN, "crio": CRIO}
WORDS = {
    "plain": b"runc: no such thing\n",
    "without newline": b"no such thing",
    "special characters": b'a "quoted" \\ word / \t tab \r \b \f \x01 \x1f \x7f \xc3\xa4 \xff end\n',
    "several lines": b"one\ntwo\n\nthree",
}
LONG = (1000, 4000, 8000, 9000)
FAILS = {"podman": "sync pipe: create fails, version 1", "crio": "sync pipe: create fails, version 0"}


@scenario(
    *("create with a status other than 0", "a create that fails: the exit command runs, and there are no results"),
    *("a fatal error in the background",),
    each={f"{family}, {what}": (STREAM[family], words) for family in STREAM for what, words in WORDS.items()},
    of={
        **{f"{family}, plain": [row] for family, row in FAILS.items()},
        **{f"{family}, special characters": ["sync pipe: special characters"] for family in FAILS},
    },
)
def a_runtime_that_fails(lab, how):
    family, words = how
    container = lab.container(family=family)
    container.stub("stderr", words)
    container.stub("exit", "3")
    lab.life(container).fail()


@scenario(
    *("create with a status other than 0", "sync pipe: longer than a packet"),
    each={f"{family}, {length}": (STREAM[family], length) for family in STREAM for length in LONG},
)
def a_failing_runtime_that_says_much(lab, how):
    family, length = how
    container = lab.container(family=family)
    container.stub("stderr", b"x" * length)
    container.stub("exit", "3")
    lab.life(container).fail()


@scenario("create with a status other than 0", "sync pipe: no message", each=STREAM)
def a_runtime_that_fails_silently(lab, family):
    container = lab.container(family=family)
    container.stub("exit", "3")
    lab.life(container).fail()


@scenario("create with a status other than 0", "a fatal error with --sync", each=STREAM)
def a_runtime_that_fails_in_the_foreground(lab, family):
    container = lab.container(family=family)
    container.options["--sync"] = True
    container.stub("stderr", "no such thing\n")
    container.stub("exit", "3")
    lab.life(container).fail()


@scenario(
    "restore with a status other than 0",
    each=STREAM,
    of={"podman": ["sync pipe: restore fails, version 1"], "crio": ["sync pipe: restore fails, version 0"]},
)
def a_runtime_that_cannot_restore(lab, family):
    container = lab.container(family=family)
    container.options["--restore"] = "/checkpoint"
    container.stub("stderr", "no such checkpoint\n")
    container.stub("exit", "3")
    lab.life(container).fail()


@scenario("create with a status other than 0", "--runtime")
def a_runtime_that_cannot_be_executed(lab):
    container = lab.container()
    container.options["--runtime"] = "/"
    container.launch()
    container.let_go()
    lab.note("sync pipe", container.line())
    lab.note("end", container.line())
    lab.note("status", container.wait())


@scenario(
    each={"silent": b"", "with words": b"why\n"},
    of={"silent": ["pid file: none, and no words"], "with words": ["pid file: none, and words"]},
)
def no_pid_file(lab, words):
    container = lab.container(waits=False)
    container.stub("stderr", words)
    container.stub("no-pidfile")
    lab.life(container).fail()


@scenario(
    each={"empty": "", "zero": "0", "text": "abc", "negative": "-7"},
    of={"empty": ["pid file: empty"], "text": ["pid file: no number"]},
)
def a_pid_file_without_a_pid(lab, text):
    container = lab.container(waits=False)
    container.stub("pidfile", text)
    container.stub("stderr", "why\n")
    lab.life(container, exit_command=False).fail()


@scenario("no child of the monitor, and gone", "status of an unknown end")
def reaped_by_the_runtime(lab):
    """Its status is lost."""
    container = lab.container("exit 6", waits=False)
    container.stub("reap")
    lab.life(container, clients=0).run()


@scenario("exit status", "--exit-dir", "--persist-dir", each={"exit": "exits", "persist": "persist"})
def a_result_that_cannot_be_written(lab, name):
    container = lab.container("exit 3")
    life = lab.life(container)
    life.create()
    os.rename(container.top / name, container.top / "elsewhere")
    life.start()
    life.finish()


PIPES = {name: name for name in ("SYNC", "START", "ATTACH")}


@scenario("pipes: the variable is no number", each=PIPES)
def a_pipe_that_is_no_number(lab, name):
    _broken_pipe(lab, name, "3x")


@scenario("pipes: the descriptor is not open", each=PIPES)
def a_pipe_that_is_not_open(lab, name):
    _broken_pipe(lab, name, "77")


def _broken_pipe(lab, name, number):
    container = lab.exec() if name == "ATTACH" else lab.container()
    container.options["--sync"] = True
    container.launch(prepare=lambda: container.environment.update({f"_OCI_{name}PIPE": number}))
    container.say_go()
    status, said = container.end_of_first(), container.said()
    lab.note("status", status)
    lab.note("words", said)


@scenario("start pipe: cannot be read")
def a_start_pipe_that_cannot_be_read(lab):
    """It is a directory."""
    container = lab.container()
    container.options["--sync"] = True
    with _descriptor(container.top) as fd:
        container.launch(extra_fds=[fd], prepare=lambda: container.environment.update(_OCI_STARTPIPE=BEHIND))
    status, said = container.end_of_first(), container.said()
    lab.note("status", status)
    lab.note("words", said)


@scenario("sync pipe: cannot be written")
def a_sync_pipe_that_cannot_be_written(lab):
    container = lab.container("exit 4")
    with _descriptor("/dev/null") as fd:
        container.launch(extra_fds=[fd], prepare=lambda: container.environment.update(_OCI_SYNCPIPE=BEHIND))
    container.let_go()
    wait_until(container.pidfile.exists, "the pid file")
    container.start()
    lab.note("status", container.wait())
    lab.note("exit file", container.exit_file.read_bytes() if container.exit_file.exists() else None)


BEHIND = "5"  # the descriptor behind a container's pipes


@contextlib.contextmanager
def _descriptor(path):
    """That can be read at most."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@scenario("a fork that fails")
def a_fork_that_fails(lab):
    container = lab.container()
    for path in (container.top, container.bundle):
        path.chmod(0o777)  # for who is not quite root
    container.launch(prepare=allow_no_process)
    container.say_go()
    lab.note("status", container.end_of_first())
    lab.note("words", container.said())


@scenario("the conmon pidfile cannot be written", "--conmon-pidfile")
def an_unwritable_conmon_pidfile(lab):
    container = lab.container()
    container.options["--conmon-pidfile"] = str(container.top / "missing" / "pidfile")
    container.launch()
    container.say_go()
    status, said = container.end_of_first(), container.said()
    lab.note("status", status)
    lab.note("words", said)


@scenario("LISTEN_PID: not a number", each={"text": "abc", "zero": "0", "trailing": "5x"})
def socket_activation_of_nobody(lab, value):
    container = lab.container(waits=False)
    container.environment["LISTEN_PID"] = value
    container.launch()
    container.let_go()
    line = container.line()
    lab.note("sync pipe", line if b"-1" in line else "a pid")
    lab.note("end", container.line())
    lab.note("status", container.wait())


@scenario("no child of the monitor, and alive")
def a_container_of_another_family(lab):
    """The pid file names a process of the engine's own, as if the runtime had asked somebody else to make it."""
    container = lab.container("exit 6", waits=False)
    stranger = subprocess.Popen(["sleep", "1000"], env=container.environment, start_new_session=True)
    lab.call_pid(stranger.pid, "<container>")
    container.stub("pidfile", str(stranger.pid))
    container.stub("reap")
    life = lab.life(container, clients=0)
    life.create()
    lab.note("watched while it lives", all(_accepts(container) for _ in range(3)))
    stranger.kill()
    stranger.wait()
    life.finish()


def _accepts(container):
    """Whether the monitor accepts one more client, or ends."""
    before = accepted(container.monitor)
    try:
        client = container.attach()
    except OSError:
        return False
    wait_until(lambda: accepted(container.monitor) > before or is_readable(client.socket), "an answer to the client")
    return not is_readable(client.socket)


@scenario("the child of another process that ends")
def left_to_another_parent(lab):
    """While the container lives, the monitor waits."""
    container = lab.container("exit 6")
    parent = container.fifo("stub/parent")
    life = lab.life(container)
    life.create()
    os.write(parent, b"\n")
    wait_until(lambda: int(procfs.Process(container.pid).stat()[1]) == container.monitor.pid, "a new parent")
    life.start()
    life.finish()
