"""Every signal that can be sent to a monitor and need not end it: whoever sends it, the log and the exit status stay what
they would have been. What SIGTERM, SIGINT and SIGQUIT do is looked at in test_exit.py, too."""

import contextlib
import os
import signal
import threading

import pytest

import engine
import procfs
from crashes import FATAL, Witness, crash, image, wait_image
from waiting import LIMIT, wait_until

# The C library keeps 32 and 33 for itself; anybody can send them.
ALL = [sig for sig in range(1, 65) if sig not in (signal.SIGKILL, signal.SIGSTOP)]
STOPPING = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
HARMLESS = [sig for sig in ALL if sig not in FATAL + STOPPING]

# Says which signals it gets, and repeats what it is told.
SCRIPT = """
trap 'echo got TERM' TERM
trap 'echo got INT' INT
trap 'echo got QUIT' QUIT
trap 'echo got HUP' HUP
exec 3<> go
echo ready
until [ "$word" = end ]; do
    if read -r word <&3; then echo "$word"; fi
done
exit 7
"""


def send(pid, sig):
    """One signal. A fatal one has made another image go on when this returns."""
    before = image(pid)
    os.kill(pid, sig)
    if sig in FATAL:
        wait_image(pid, before)


def ignored(pid):
    """As in /proc/PID/status: bit N - 1 is signal N."""
    return int(procfs.Process(pid).status()["SigIgn"], 16)


def bit(sig):
    return 1 << (sig - 1)


@contextlib.contextmanager
def storm(*pids):
    """Meanwhile, signals that change nothing come all the time."""
    over = threading.Event()

    def blow():
        while not over.is_set():
            for pid in pids:
                for sig in HARMLESS:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sig)

    thread = threading.Thread(target=blow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LIMIT)


@pytest.mark.survival
def test_each_while_the_container_runs(new_container):
    container = new_container(command=SCRIPT)
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    wanted = b"ready\n"
    container.wait_log(b"ready")
    for sig in ALL:
        send(container.monitor.pid, sig)
        if sig in STOPPING:
            wanted += b"got %s\n" % signal.Signals(sig).name.removeprefix("SIG").encode()
            wait_until(lambda: container.output() == wanted, f"the container to get signal {sig}")
        os.write(go, b"after %d\n" % sig)
        wanted += b"after %d\n" % sig
        wait_until(lambda: container.output() == wanted or container.monitor_ended(), f"the line after signal {sig}")
        assert container.output() == wanted, f"the log after signal {sig}"
    os.write(go, b"end\n")
    witness.check(7)
    assert container.output() == wanted + b"end\n"


@pytest.mark.survival
def test_all_at_once_while_the_container_is_idle(new_container):
    container = new_container(command="read word < go; echo $word; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    for _ in range(3):
        for sig in ALL:
            if sig not in STOPPING:
                container.signal_monitor(sig)
    os.write(go, b"end\n")
    witness.check(7)
    assert container.output() == b"end\n"


@pytest.mark.survival
def test_all_at_once_while_the_last_output_is_awaited(new_container):
    """That takes so long at most, however slow the machine is: the line may come too late."""
    container = new_container(command="(read word < go; echo $word) & exit 7")
    container.options["--late-output"] = "4000"
    go = container.fifo("go")
    witness = Witness(container)
    container.create()
    container.start()
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container to be reaped")
    for sig in ALL:
        if sig not in STOPPING:
            container.signal_monitor(sig)
    os.write(go, b"late\n")
    witness.check(7)
    assert container.output() in (b"late\n", b"")


@pytest.mark.survival
def test_each_while_the_exit_command_runs(new_container):
    container = new_container(command="echo hello; exit 7")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    command = hold.wait()
    for sig in ALL:
        send(container.monitor.pid, sig)
    assert procfs.Process(command).alive()
    assert ignored(command) == 0
    hold.let_go()
    assert container.wait() == 7
    assert container.output() == b"hello\n"


@pytest.mark.survival
def test_each_while_the_runtime_runs(new_container):
    container = new_container(command="echo hello; exit 7")
    hold = container.hold_runtime()
    witness = Witness(container)
    container.launch()
    container.let_go()
    runtime = hold.wait()
    assert ignored(runtime) == 0
    for sig in ALL:
        if sig not in STOPPING:
            send(container.monitor.pid, sig)
    hold.let_go()
    container.pid = container.report()["data"]
    container.start()
    witness.check(7)
    assert container.output() == b"hello\n"


@pytest.mark.survival
def test_from_the_first_moment_to_the_last(new_container):
    """The started process is there when the storm begins, and the monitor when it is born; it is not over before both
    are gone."""
    container = new_container(command="echo one; read word < go; echo two; exit 7")
    go = container.fifo("go")
    witness = Witness(container)
    container.launch()
    first = container.first_gate()
    with storm(first.pid):
        container.let_go()
        assert container.report()["data"] > 0
        with storm(container.monitor.pid):
            container.start()
            container.wait_log(b"one")
            for kind in ("fault", "sent"):
                crash(container.monitor.pid, kind)
            os.write(go, b"\n")
            witness.check(7)
    assert container.output() == b"one\ntwo\n"


def test_each_of_run_in_the_foreground(new_run):
    """A hangup is the command's; the others that stop it, too. One that stops a job stops the monitor, until it goes
    on."""
    run = new_run(SCRIPT)
    os.mkfifo(run.top / "go")
    go = os.open(run.top / "go", os.O_RDWR)
    try:
        run.launch()
        wanted = b"ready\n"
        wait_until(lambda: run.log.exists() and run.output() == wanted, "the command")
        for sig in ALL:
            if sig in FATAL:
                continue
            send(run.pid, sig)
            if sig in [signal.SIGHUP, *STOPPING]:
                wanted += b"got %s\n" % signal.Signals(sig).name.removeprefix("SIG").encode()
                wait_until(lambda: run.output() == wanted, f"the command to get signal {sig}")
            if sig == signal.SIGTSTP:
                wait_until(lambda: procfs.Process(run.pid).stat()[0] == "T", "the monitor to stop")
                run.signal(signal.SIGCONT)
            os.write(go, b"after %d\n" % sig)
            wanted += b"after %d\n" % sig
            wait_until(lambda: run.output() == wanted or run.ended(), f"the line after signal {sig}")
            assert run.output() == wanted, f"the log after signal {sig}"
        os.write(go, b"end\n")
        assert run.wait() == 7
        assert run.output() == wanted + b"end\n"
    finally:
        os.close(go)


def test_what_the_caller_of_run_ignores(new_run):
    """The command ignores it, too, as with any program that executes another; less what is about its pipes and
    limits."""
    kept = [signal.SIGHUP, signal.SIGUSR2, signal.SIGRTMIN + 6]

    def prepare():
        for sig in (*kept, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(sig, signal.SIG_IGN)

    run = new_run("exec sleep 1000")
    run.launch(preexec_fn=prepare, restore_signals=False)
    assert ignored(run.command_pid()) == sum(bit(sig) for sig in kept)
    os.kill(run.pid, signal.SIGHUP)
    run.signal(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM
