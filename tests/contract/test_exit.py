"""The end of a container: status, exit files, exit command, time limit, signals, and what must not delay any of it."""

import os
import shutil
import signal
import stat

import pytest

import engine
import procfs
from engine import CRIO, PODMAN
from waiting import Watch, is_readable, wait_until

FAMILIES = pytest.mark.parametrize("family", [PODMAN, CRIO], ids=lambda family: family.name)


# The status


@FAMILIES
@pytest.mark.parametrize("code", [0, 1, 127, 128, 255])
def test_exit_code(new_container, family, code):
    container = new_container(command=f"exit {code}", family=family)
    assert container.run() == code
    assert container.exit_file.read_bytes() == b"%d" % code
    assert (container.persist / "exit").read_bytes() == b"%d" % code
    assert container.line() == b"", "the pid report is all that is ever said on the sync pipe"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
def test_death_by_signal(new_container, sig):
    container = new_container(command="sleep 1000 & wait")
    container.create()
    os.kill(container.pid, sig)
    assert container.wait() == 128 + sig
    assert container.exit_file.read_bytes() == b"%d" % (128 + sig)


@pytest.mark.parametrize("command, status", [("exit 7", 7), ("kill -KILL $$", 137)])
def test_container_that_ends_before_its_pid_is_known(new_container, command, status):
    container = new_container(command=command, waits=False)
    container.stub("fast")
    container.create()
    assert container.wait() == status
    assert container.exit_file.read_bytes() == b"%d" % status


def test_container_reaped_by_the_runtime(new_container):
    """Nobody can know how it ended any more; a success must not be invented."""
    container = new_container(command="kill -KILL $$", waits=False)
    container.stub("reap")
    container.create()
    assert container.wait() == 255
    assert container.exit_file.read_bytes() == b"-1"


def test_orphans_are_reaped(new_container):
    """The monitor is the parent of everything the container leaves behind."""
    container = new_container(command="for i in 1 2 3 4 5 6 7 8 9; do (true &); done; echo ready; sleep 1000 & wait")
    container.create()
    container.start()
    container.wait_log(b"ready")
    monitor = container.monitor.pid
    wait_until(lambda: procfs.children(monitor) == [(container.pid, "S")], "the orphans to be reaped")


def test_pipe_held_by_a_grandchild_delays_nothing(new_container):
    container = new_container(command="sleep 1000 & echo $! > orphan; echo hello; exit 5")
    container.create()
    container.start()
    assert container.wait() == 5
    assert container.exit_file.read_bytes() == b"5"
    assert container.output() == b"hello\n"
    assert procfs.Process(int((container.bundle / "orphan").read_text())).alive()


# The files


def test_exit_files_and_their_order(new_container, directory):
    """One inotify queue sees the inherited descriptor close, the attach socket go, then the two files come."""
    port = os.open(directory / "port", os.O_WRONLY | os.O_CREAT)
    container = new_container(command="exit 5")
    watch = Watch(directory, container.bundle, container.persist, container.exits)
    container.create(extra_fds=[port], prepare=lambda: os.umask(0o077))
    os.close(port)
    container.attach()
    watch.take()
    container.start()
    assert container.wait() == 5
    events = watch.take()
    watch.close()

    for path in (container.persist / "exit", container.exit_file):
        assert (Watch.MOVED_TO, path) in events, "a reader never finds half a file"
        assert (Watch.CREATE, path) not in events
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    order = [
        (Watch.CLOSE_WRITE, directory / "port"),
        (Watch.MOVED_TO, container.persist / "exit"),
        (Watch.MOVED_TO, container.exit_file),
    ]
    assert [event for event in events if event in order] == order
    gone = (Watch.DELETE, container.bundle / "attach")
    assert gone in events
    assert events.index(gone) < events.index(order[1])
    assert os.listdir(container.persist) == ["exit"], "neither a temporary file nor an `oom`"
    assert os.listdir(container.exits) == [container.cid]


def test_no_exit_directories(new_container):
    container = new_container(command="exit 5")
    container.options["--exit-dir"] = None
    container.options["--persist-dir"] = None
    assert container.run() == 5


def test_socket_link_of_cri_o(new_container):
    container = new_container(command="exit 0", family=CRIO)
    link = container.sockets / container.cid
    link.symlink_to("/stale")
    container.create()
    assert os.readlink(link) == str(container.bundle)
    assert (link / "attach").is_socket()
    watch = Watch(container.sockets, container.exits)
    container.start()
    container.wait()
    events = watch.take()
    watch.close()
    assert (Watch.DELETE, link) in events
    assert not os.path.lexists(link)


# The exit command


def test_exit_command(new_container):
    container = new_container(command="echo hello; exit 5")
    container.environment["KEPT"] = "a=b c"
    hold = container.hold_exit_command()
    container.create()
    client = container.attach()
    container.start()
    command = procfs.Process(hold.wait())

    # All of the report is out, and the engine may take as long as it likes.
    assert container.line() == b"", "the sync pipe is closed, or the engine would wait for us and we for it"
    assert container.exit_file.read_bytes() == b"5"
    assert (container.persist / "exit").read_bytes() == b"5"
    engine.receive_all(client)
    assert client.output() == b"hello\n"
    assert not container.monitor_ended()

    words = [word.decode() for word in command.words("cmdline")]
    assert words == [container.options["--exit-command"], *container.options["--exit-command-arg"]]
    assert command.descriptors() == {0: "/dev/null", 1: "/dev/null", 2: "/dev/null"}
    assert command.signals("SigIgn") == set()
    assert command.signals("SigBlk") == set()
    assert int(command.stat()[1]) == container.monitor.pid
    assert os.readlink(command.path / "cwd") == os.getcwd()
    environment = {
        key: value for key, value in container.environment.items() if key not in ("_OCI_SYNCPIPE", "_OCI_STARTPIPE")
    }
    assert command.environment() == environment

    hold.let_go()
    assert container.wait() == 5


@pytest.mark.parametrize("status", [0, 1, 42])
def test_status_of_the_exit_command(new_container, status):
    container = new_container(command="exit 5")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    hold.wait()
    hold.let_go(status)
    assert container.wait() == (status or 5)
    assert container.exit_file.read_bytes() == b"5"


def test_exit_command_killed(new_container):
    container = new_container(command="exit 5")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    os.kill(hold.wait(), signal.SIGKILL)
    assert container.wait() == 128 + signal.SIGKILL


def test_missing_exit_command(new_container):
    container = new_container(command="exit 5")
    container.options["--exit-command"] = str(container.top / "missing")
    assert container.run() not in (0, 5)
    assert container.exit_file.read_bytes() == b"5"


def test_exit_command_after_a_failed_create(new_container):
    container = new_container()
    container.stub("exit", "1")
    container.stub("stderr", "the runtime's reason")
    hold = container.hold_exit_command()
    assert container.create_fails() == "the runtime's reason"
    hold.wait()
    assert container.line() == b""
    assert not container.exit_file.exists()
    hold.let_go()
    assert container.wait() == 1


def test_exit_delay(new_container):
    """The report does not wait for it."""
    container = new_container(command="exit 5")
    container.options["--exit-delay"] = "1"
    hold = container.hold_exit_command()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert not hold.reached()
    assert container.line() == b""
    assert not hold.reached()
    hold.wait()
    hold.let_go(3)
    assert container.wait() == 3


def test_exit_delay_ends_with_the_bundle(new_container):
    """The container has been removed: there is nothing left to wait for."""
    container = new_container(command="exit 5")
    container.options["--exit-delay"] = "1000"
    hold = container.hold_exit_command()
    container.create()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    shutil.rmtree(container.bundle)
    hold.wait()
    hold.let_go()
    assert container.wait() == 5


def test_exit_command_does_not_wait_for_orphans(new_container):
    container = new_container(command="sleep 1000 & exit 5")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    hold.wait()
    hold.let_go()
    assert container.wait() == 5


# The time limit


def test_time_limit(new_container):
    """What was in the pipes when the time was up is kept. The monitor stands still meanwhile, so that it finds both at
    once: the output and the end of the time."""
    container = new_container(
        command="echo ready; read word < go; seq 1 5000; sleep 4.2; touch late; sleep 1000 & echo $! > other; wait"
    )
    container.options["--timeout"] = "4"  # in which a slow machine can print something, and stop the monitor
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"ready")
    container.pause_monitor()
    os.write(go, b"go\n")
    wait_until((container.bundle / "late").exists, "the time limit to be over")
    wait_until(lambda: (container.bundle / "other").exists() and (container.bundle / "other").read_text(), "the child")
    container.resume_monitor()
    assert container.wait() == 255
    assert container.exit_file.read_bytes() == b"-1"
    assert (container.persist / "exit").read_bytes() == b"-1"
    assert container.output() == b"ready\n" + b"".join(b"%d\n" % number for number in range(1, 5001))
    for pid in (container.pid, int((container.bundle / "other").read_text())):
        wait_until(lambda: not procfs.Process(pid).alive(), "the whole process group to be killed")


def test_time_limit_with_a_shared_process_group(new_container):
    """A container that stayed in the monitor's process group must not take the monitor with it."""
    container = new_container(command="sleep 1000 & wait")
    container.stub("no-session")
    container.options["--timeout"] = "1"
    assert container.run() == 255
    assert container.exit_file.read_bytes() == b"-1"
    assert not procfs.Process(container.pid).alive()


# Signals


@pytest.mark.parametrize("sig", ["TERM", "INT", "QUIT"])
def test_signals_are_forwarded(new_container, sig):
    container = new_container(
        command=f"trap 'echo got {sig}; kill $child; exit 9' {sig}; sleep 1000 & child=$!; echo ready; wait"
    )
    container.create()
    container.start()
    container.wait_log(b"ready")
    container.signal_monitor(getattr(signal, f"SIG{sig}"))
    assert container.wait() == 9
    assert container.output() == b"ready\ngot %s\n" % sig.encode()


# Signals after the end: whoever sends one wants the monitor to be done, but an exit command is never signalled.


AFTER_THE_END = pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])


def take_signals(monitor, sig, send):
    """Sends a signal three times; each has been taken, and what follows from it done, before the next."""
    for _ in range(3):
        send(sig)
        wait_until(lambda: sig not in monitor.signals("ShdPnd") and monitor.stat()[0] == "S", "the signal to be taken")


@AFTER_THE_END
@pytest.mark.parametrize("status", [0, 3])
def test_signal_while_the_exit_command_runs(new_container, sig, status):
    """A service manager sends it to all processes of a unit: what the exit command makes of it is no failure."""
    container = new_container(command="exit 5")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    command = procfs.Process(hold.wait())
    take_signals(container.monitor, sig, container.signal_monitor)
    assert command.alive()
    hold.let_go(status)
    assert container.wait() == (status if sig == signal.SIGHUP and status else 5)
    assert container.exit_file.read_bytes() == b"5"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_while_the_exit_command_of_a_failed_create_runs(new_container, sig):
    container = new_container()
    container.stub("exit", "1")
    hold = container.hold_exit_command()
    container.create_fails()
    command = procfs.Process(hold.wait())
    take_signals(container.monitor, sig, container.signal_monitor)
    assert command.alive()
    hold.let_go()
    assert container.wait() == 1


def test_signal_while_the_exit_command_of_a_time_limit_runs(new_container):
    container = new_container(command="sleep 1000")
    container.options["--timeout"] = "1"
    hold = container.hold_exit_command()
    container.create()
    container.start()
    command = procfs.Process(hold.wait())
    take_signals(container.monitor, signal.SIGTERM, container.signal_monitor)
    assert command.alive()
    hold.let_go()
    assert container.wait() == 255
    assert container.exit_file.read_bytes() == b"-1"


@AFTER_THE_END
@pytest.mark.parametrize("ended", ["by itself", "by the signal"])
def test_signal_while_the_exit_command_of_run_runs(new_run, sig, ended):
    """The second request to stop is no other than the first: the exit command is left alone."""
    run = new_run("exit 5" if ended == "by itself" else "echo ready; exec sleep 1000")
    directory = run.top / "exit-command"
    directory.mkdir()
    cleanup = run.top / "cleanup"
    cleanup.write_text(f"#!/bin/sh\nexec {engine.stub_runtime()} hold {directory}\n")
    cleanup.chmod(0o755)
    run.options["--exit-command"] = str(cleanup)
    hold = engine.Hold(directory)
    try:
        run.launch()
        if ended == "by the signal":
            wait_until(lambda: run.log.exists() and run.output() == b"ready\n", "the command")
            run.signal(sig)
        command = procfs.Process(hold.wait())
        take_signals(procfs.Process(run.pid), sig, run.signal)
        assert command.alive()
        hold.let_go()
        status = 5 if ended == "by itself" else 128 + sig
        assert run.wait() == status
        assert run.exit_file.read_text() == str(status)
    finally:
        hold.close()


@AFTER_THE_END
def test_signal_while_the_exit_command_of_an_exec_runs(new_exec, sig):
    process = new_exec("exit 5")
    hold = process.hold_exit_command()
    process.execute()
    command = procfs.Process(hold.wait())
    take_signals(process.monitor, sig, process.signal_monitor)
    assert command.alive()
    hold.let_go()
    assert process.wait() == 5


def test_signal_that_also_ends_the_exit_command(new_container):
    """The monitor finds both when it goes on."""
    container = new_container(command="exit 5")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    command = procfs.Process(hold.wait())
    container.pause_monitor()
    container.signal_monitor(signal.SIGTERM)
    os.kill(command.pid, signal.SIGTERM)
    wait_until(lambda: not command.alive(), "the exit command to end")
    container.resume_monitor()
    assert container.wait() == 5


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_that_comes_with_the_end(new_container, sig):
    """The container is dead when the signal comes, and the monitor has seen neither: the signal is for the monitor. The
    command it then runs at once is not killed by the next one."""
    container = new_container(command="read word < go; exit 5")
    container.options["--exit-delay"] = "600"
    go = container.fifo("go")
    hold = container.hold_exit_command()
    container.create()
    container.start()
    container.pause_monitor()
    os.write(go, b"\n")
    container.wait_dead()
    container.signal_monitor(sig)
    container.resume_monitor()
    command = procfs.Process(hold.wait())
    take_signals(container.monitor, sig, container.signal_monitor)
    assert command.alive()
    hold.let_go()
    assert container.wait() == 5


@pytest.mark.parametrize("sig", ["PIPE", "XFSZ", "XCPU", "USR1"])
def test_signals_that_change_nothing(new_container, sig):
    """CRI-O's scopes send SIGPIPE at shutdown; the monitor has to stay and watch."""
    container = new_container(command="echo ready; read word < go; exit 5")
    go = container.fifo("go")
    container.create()
    container.start()
    container.wait_log(b"ready")
    for _ in range(3):
        container.signal_monitor(getattr(signal, f"SIG{sig}"))
    os.write(go, b"go\n")
    assert container.wait() == 5
    assert container.output() == b"ready\n"


def test_container_has_default_signals(new_container):
    container = new_container(command="grep -E 'Sig(Blk|Ign)' /proc/self/status")
    assert container.run() == 0
    assert container.output() == b"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
