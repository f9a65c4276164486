"""Further processes in a container: Podman's exec with its three pipes, and CRI-O's ExecSync, whose answer is a log."""

import json
import os
import shutil
import signal
import stat

import pytest

import engine
import k8slog
import procfs
from crashes import crash, descriptors_at_rest
from exec_engine import BATS_EXEC, SESSION, Exec, ExecSync
from waiting import Watch, is_readable, wait_until

STATUSES = [("exit 0", 0), ("exit 1", 1), ("exit 126", 126), ("exit 255", 255), ("kill -KILL $$", 137)]


# The pipes


def test_words_for_podman(new_exec):
    process = new_exec("read word < go; exit 7")
    go = process.fifo("go")
    process.launch()
    assert process.let_go() == b"", "not a word on standard error"
    assert process.line("attach") == b'{"data": 0}\n'
    process.gate()
    assert not is_readable(process.sync), "not a word before the process runs"
    process.go()
    assert process.line() == b'{"data": %s}\n' % process.pidfile.read_bytes()
    assert not is_readable(process.sync)
    os.write(go, b"\n")
    assert process.line() == b'{"data": 7}\n'
    assert process.exit_file.read_bytes() == b"7", "before the last word"
    assert process.line() == b""
    assert process.line("attach") == b"", "one word and no more"
    assert process.wait() == 7


def test_words_for_cri_o(new_exec_sync):
    process = new_exec_sync("echo out; echo err >&2; exit 7")
    process.execute()
    assert process.line() == b'{"exit_code": 7}\n'
    assert process.line() == b""
    assert process.wait() == 7
    assert process.said() == b""
    assert process.output() == b"out\n"
    assert process.output("stderr") == b"err\n"


@pytest.mark.parametrize("command, status", STATUSES)
def test_status_for_podman(new_exec, command, status):
    process = new_exec(command)
    process.execute()
    assert process.report() == {"data": status}
    assert process.wait() == status
    assert process.exit_file.read_bytes() == b"%d" % status
    assert (process.persist / "exit").read_bytes() == b"%d" % status


@pytest.mark.parametrize("command, status", STATUSES)
def test_status_for_cri_o(new_exec_sync, command, status):
    process = new_exec_sync(command)
    process.execute()
    assert process.answer() == {"data": status, "exit_code": status}
    assert process.wait() == status


def test_engine_that_has_heard_enough(new_exec):
    """Podman closes its end when it knows the pid, and looks for the exit file."""
    process = new_exec("read word < go; exit 7")
    go = process.fifo("go")
    process.execute()
    process.close_sync()
    os.write(go, b"\n")
    assert process.wait() == 7
    assert process.exit_file.read_bytes() == b"7"


def test_missing_attach_pipe(new_exec):
    process = new_exec("echo began >> beginnings")
    process.options["--sync"] = True
    prepare = process._become_monitor

    def without_attach_pipe(*args):
        del process.environment["_OCI_ATTACHPIPE"]
        prepare(*args)

    process._become_monitor = without_attach_pipe
    process.launch()
    process.let_go()
    assert process.wait() == 1
    assert b"--attach specified but _OCI_ATTACHPIPE was not" in process.said()
    assert process.line() == b""
    assert not (process.bundle / "beginnings").exists()


# What is run


def test_runtime_of_podman(new_exec, directory):
    user = os.open(directory / "user", os.O_RDWR | os.O_CREAT)
    process = new_exec("exit 0")
    process.options["--runtime-arg"] = ["--log-format=json", "--log", "--log=/x y", ""]
    process.options["--runtime-opt"] = ["--preserve-fds", "1"]
    for ignored in ("--systemd-cgroup", "--no-pivot", "--no-new-keyring"):
        process.options[ignored] = True
    process.options["--log-tag"] = "passed with a driver that has no use for it"
    process.environment["KEPT"] = "a=b c"
    hold = process.hold_runtime()
    process.begin(user_fds=[user])
    os.close(user)
    process.go()
    runtime = procfs.Process(hold.wait())
    assert [word.decode() for word in runtime.words("cmdline")] == [
        engine.stub_runtime(),
        *process.options["--runtime-arg"],
        "exec",
        "--pid-file",
        str(process.pidfile),
        "--process",
        str(process.spec),
        "--detach",
        "--preserve-fds",
        "1",
        process.cid,
    ]
    assert os.readlink(runtime.path / "cwd") == str(process.bundle)
    assert runtime.environment()["KEPT"] == "a=b c"
    assert runtime.signals("SigIgn") == runtime.signals("SigBlk") == set()
    descriptors = runtime.descriptors()
    assert set(descriptors) == {0, 1, 2, 3}, "none of the engine's pipes"
    assert descriptors[0] == "/dev/null"
    assert descriptors[3] == str(directory / "user")
    for fd in (1, 2):
        mode = (runtime.path / "fd" / str(fd)).stat().st_mode
        assert stat.S_ISFIFO(mode) and stat.S_IMODE(mode) == 0o777
    hold.let_go()
    assert process.report()["data"] > 0
    assert process.wait() == 0


def test_runtime_of_cri_o(new_exec_sync):
    process = new_exec_sync("exit 0")
    process.options["--systemd-cgroup"] = True
    hold = process.hold_runtime()
    process.execute()
    runtime = procfs.Process(hold.wait())
    assert [word.decode() for word in runtime.words("cmdline")] == [
        engine.stub_runtime(),
        *process.options["--runtime-arg"],
        "exec",
        "--pid-file",
        str(process.pidfile),
        "--process",
        str(process.spec),
        "--detach",
        process.cid,
    ]
    assert set(runtime.descriptors()) == {0, 1, 2}
    assert os.listdir(process.sockets) == [], "nobody can attach"
    assert not (process.bundle / "ctl").exists()
    hold.let_go()
    assert process.answer()["data"] == 0


def test_everything_is_ready_when_the_engine_can_attach(new_exec):
    process = new_exec("exit 0")
    process.begin()
    mode = (process.bundle / "attach").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o700
    process.control("1 24 80\n")
    assert (process.bundle / "winsz").is_fifo()
    process.attach()
    assert os.listdir(process.sockets) == []


def test_attach_link(new_exec):
    """Named after the session, not the container."""
    process = new_exec("exit 0")
    process.options["--full-attach"] = None
    process.options["--socket-dir-path"] = str(process.sockets)
    process.begin()
    assert os.listdir(process.sockets) == [SESSION]
    process.go()
    assert process.report()["data"] > 0
    assert process.wait() == 0
    assert os.listdir(process.sockets) == []


# Before the second word


def test_nothing_runs_before_the_second_word(new_exec):
    process = new_exec("exit 0")
    hold = process.hold_runtime()
    process.begin()
    child = process.gate()
    assert procfs.children(process.monitor.pid) == [(child.pid, "S")]
    assert os.readlink(child.path / "exe") == os.path.realpath(engine.conward())
    assert not process.pidfile.exists()
    assert not hold.reached()
    process.go()
    assert hold.wait() == child.pid


def test_first_word_of_many_bytes_is_not_the_second(new_exec):
    process = new_exec("exit 0", family=BATS_EXEC)
    process.begin()
    process.gate()
    assert not is_readable(process._start_pipe)
    process.go()
    assert process.report()["data"] > 0
    assert process.wait() == 0


def test_loop_turns_meanwhile(new_exec):
    """Who attaches is accepted, and what was asked for on the ctl fifo is done."""
    process = new_exec("echo hello")
    process.log_to_file()
    process.begin()
    process.gate()
    descriptors = len(descriptors_at_rest(process.monitor.pid))
    client = process.attach()
    wait_until(lambda: len(process.monitor.descriptors()) > descriptors, "the client to be accepted")
    process.log.rename(process.logs / "before")
    process.control("2 0 0\n")
    wait_until(process.log.exists, "the new log")
    process.go()
    engine.receive_all(client)
    assert client.output() == b"hello\n"
    assert process.wait() == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signal_meanwhile(new_exec, sig):
    """There is no process yet, and there will be none."""
    process = new_exec("echo began >> beginnings")
    process.begin()
    child = process.gate()
    process.signal_monitor(sig)
    report = process.report()
    assert report["data"] == -1
    assert str(128 + sig) in report["message"]
    assert process.wait() == 1
    assert not child.alive()
    assert not (process.bundle / "beginnings").exists()
    assert not process.exit_file.exists()


def test_monitor_killed_meanwhile(new_exec):
    process = new_exec("echo began >> beginnings")
    process.begin()
    child = process.gate()
    process.signal_monitor(signal.SIGKILL)
    assert process.line() == b""
    wait_until(lambda: not child.alive(), "the monitor's child to die with it")
    assert not (process.bundle / "beginnings").exists()


def test_engine_that_dies_meanwhile(new_exec):
    """A process that nobody has asked for to the end, and whose output nobody will see, is not run."""
    process = new_exec("echo began >> beginnings")
    hold = process.hold_exit_command()
    process.begin()
    process.gate()
    process.leave()
    hold.wait()
    hold.let_go()
    assert process.wait() == 1
    assert not (process.bundle / "beginnings").exists()
    assert not process.pidfile.exists()
    assert os.listdir(process.exits) == []
    assert not os.path.lexists(process.bundle / "attach")


def test_engine_that_only_closes_its_start_pipe(new_exec):
    """It hears why nothing was run."""
    process = new_exec("echo began >> beginnings")
    process.begin()
    process.gate()
    process.close_pipe("start")
    report = process.report()
    assert report["data"] == -1
    assert "the engine went away" in report["message"]
    assert process.wait() == 1
    assert not (process.bundle / "beginnings").exists()


def test_start_fifo_that_is_closed(new_exec):
    """Of a fifo, the end is a word like any other: conmon's own tests do that."""
    process = new_exec("exit 7", family=BATS_EXEC)
    process.begin()
    process.gate()
    process.close_pipe("start")
    assert process.report()["data"] > 0
    assert process.report() == {"data": 7}
    assert process.wait() == 7


# Output


def test_first_byte(new_exec):
    """Everybody who has connected before the second word gets everything, accepted or not: the monitor stands still
    until the process has ended."""
    process = new_exec("echo hello; echo world >&2; exit 7")
    process.log_to_file()
    process.begin()
    process.gate()
    accepted = process.attach()
    process.pause_monitor()
    waiting = process.attach()
    process.go()
    wait_until(process.pidfile.exists, "the runtime to have run")
    wait_until(lambda: procfs.children(process.monitor.pid), "the process to be the monitor's")
    wait_until(lambda: all(state == "Z" for _, state in procfs.children(process.monitor.pid)), "its end")
    process.resume_monitor()
    engine.receive_all(accepted, waiting)
    for client in (accepted, waiting):
        assert client.output() == b"hello\n"
        assert client.output("stderr") == b"world\n"
    assert process.wait() == 7
    assert process.output() == b"hello\n"


def test_output_before_the_runtime_has_ended(new_exec):
    """The process runs at once: what it prints meanwhile is its own, and is served when the runtime has succeeded."""
    process = new_exec("seq 1 20000; echo began >> beginnings; read word < go; exit 7")
    process.log_to_file()
    go = process.fifo("go")
    hold = process.hold_runtime_at_its_end()
    process.begin()
    client = process.attach()
    process.go()
    hold.wait()
    wait_until((process.bundle / "beginnings").exists, "the process to have printed")
    assert not is_readable(process.sync)
    hold.let_go()
    assert process.report()["data"] > 0
    os.write(go, b"\n")
    engine.receive_all(client)
    assert process.wait() == 7
    assert client.output() == process.output() == k8slog.numbered(1, 20000)


LINE = b"0123456789" * 50 + b"\n"
MUCH = f"yes {LINE[:-1].decode()} | head -c"


def test_fifty_megabytes_for_cri_o(new_exec_sync):
    process = new_exec_sync(f"{MUCH} 50000000; exit 7")
    process.options["--log-global-size-max"] = None
    process.execute()
    assert process.answer()["data"] == 7
    assert process.output() == (LINE * 100000)[:50000000]


def test_fifty_megabytes_for_podman(new_exec):
    process = new_exec(f"{MUCH} 50000000; exit 7")
    process.begin()
    client = process.attach()
    process.go()
    engine.receive_all(client)
    assert process.wait() == 7
    assert client.output() == (LINE * 100000)[:50000000]


def test_global_limit_of_cri_o(new_exec_sync):
    """CRI-O reads so much of the log and calls more an error. The process ends as if there were no limit."""
    limit = 16777216
    process = new_exec_sync(f"{MUCH} 20000000; echo end >&2; exit 7")
    process.execute()
    assert process.answer()["data"] == 7
    assert limit - 2 * len(LINE) < process.log.stat().st_size <= limit
    output = process.output()
    assert output == (LINE * 40000)[: len(output)]


# Fast processes


def test_process_that_ends_before_its_pid_is_known(directory):
    for number in range(50):
        with Exec(directory / str(number), f"echo {number}; exit {number}") as process:
            process.stub("fast")
            process.begin()
            client = process.attach()
            process.go()
            assert process.report()["data"] > 0
            assert process.report() == {"data": number}
            assert process.wait() == number
            engine.receive_all(client)
            assert client.output() == b"%d\n" % number


def test_the_same_for_cri_o(directory):
    for number in range(50):
        with ExecSync(directory / str(number), f"echo {number}; exit {number}") as process:
            process.stub("fast")
            process.execute()
            assert process.answer() == {"data": number, "exit_code": number}
            assert process.output() == b"%d\n" % number


def test_process_reaped_by_the_runtime(new_exec_sync):
    """Nobody can know how it ended any more; a success must not be invented."""
    process = new_exec_sync("kill -KILL $$")
    process.stub("reap")
    process.execute()
    answer = process.answer()
    assert answer["data"] == -1
    assert answer["message"]
    assert process.wait() == 255


def test_status_of_the_runtime_is_not_that_of_the_process(new_exec):
    """runc exec may fail at something when the process runs already."""
    process = new_exec("read word < go; exit 7")
    go = process.fifo("go")
    hold = process.hold_runtime_at_its_end()
    process.begin()
    process.go()
    hold.wait()
    hold.let_go(3)
    assert process.report()["data"] > 0
    os.write(go, b"\n")
    assert process.report() == {"data": 7}
    assert process.wait() == 7


# Failures

NOT_FOUND = 'exec failed: unable to start: exec: "nonsense": executable file not found in $PATH\n'
LONG = "a long story\n" * 5384  # 70000 bytes less a few


@pytest.fixture(params=["podman", "cri-o"])
def failing(request, new_exec, new_exec_sync):
    """fails(stderr): runs a process with a runtime that fails and returns the message for the engine."""
    sync = request.param == "cri-o"

    def fails(stderr, status=1):
        process = (new_exec_sync if sync else new_exec)("echo began >> beginnings")
        process.stub("stderr", stderr)
        process.stub("exit", str(status))
        if sync:
            process.execute()
            report = process.answer()
        else:
            process.begin()
            client = process.attach()
            process.go()
            report = process.report()
            engine.receive_all(client)
            assert client.output() == client.output("stderr") == b"", "it is a reason, and not output"
            assert process.line() == b""
            assert not process.exit_file.exists()
            assert os.listdir(process.persist) == []
        assert process.wait() == 1
        assert report["data"] == -1
        assert not (process.bundle / "beginnings").exists()
        fails.process = process
        return report["message"]

    return fails


def test_failing_runtime(failing):
    """CRI-O's pid file exists and is empty; that is no process."""
    assert failing(NOT_FOUND) == NOT_FOUND
    if failing.process.log.exists():
        assert failing.process.log.read_bytes() == b""


@pytest.mark.parametrize("plan", ["exit", "console-never"])
def test_failing_runtime_with_a_terminal(new_exec, plan):
    """That there is no terminal is not the reason."""
    process = new_exec()
    process.options["--terminal"] = True
    process.environment["TMPDIR"] = str(process.top)
    process.stub("stderr", NOT_FOUND)
    process.stub(plan, "1")
    assert process.fails() == NOT_FOUND
    assert process.wait() == 1


def test_failing_runtime_that_says_nothing(failing):
    message = failing("", status=3)
    assert "exit status 3" in message
    assert engine.stub_runtime() in message


def test_failing_runtime_with_much_to_say(failing):
    """More than a pipe holds, so it ends only because somebody reads. Its last words are what counts."""
    message = failing(LONG + NOT_FOUND)
    assert message.endswith("a long story\n" + NOT_FOUND)
    assert len(message) > 3000


def test_runtime_that_says_more_than_anybody_keeps(new_exec_sync):
    process = new_exec_sync("true")
    process.stub("stderr", LONG * 50)
    process.stub("exit", "1")
    process.execute()
    answer = process.answer()
    assert answer["data"] == -1
    assert answer["message"]


def test_runtime_that_cannot_be_executed(new_exec):
    process = new_exec()
    process.options["--runtime"] = "/tmp"
    assert "cannot execute /tmp" in process.fails()
    assert process.wait() == 1


def test_link_when_the_runtime_cannot_be_executed(new_exec):
    """The process that failed to become the runtime takes nothing away that belongs to the monitor."""
    process = new_exec()
    process.options["--runtime"] = "/tmp"
    process.options["--full-attach"] = None
    process.options["--socket-dir-path"] = str(process.sockets)
    process.begin()
    child = process.gate()
    process.pause_monitor()
    process.go()
    wait_until(lambda: not child.alive(), "the child to fail")
    assert os.listdir(process.sockets) == [SESSION]
    process.resume_monitor()
    process.wait()
    assert os.listdir(process.sockets) == []


@pytest.mark.parametrize("text", ["", "0", "-1", "nonsense"])
def test_pid_file_of_no_use(new_exec_sync, text):
    """A runtime that calls it a success, but has left no pid."""
    process = new_exec_sync("true")
    process.stub("pidfile", text)
    process.execute()
    answer = process.answer()
    assert answer["data"] == -1
    assert str(process.pidfile) in answer["message"]


def test_every_line_is_valid(new_exec):
    """Whatever the runtime says."""
    process = new_exec()
    process.stub("stderr", bytes(range(256)) * 100)
    process.stub("exit", "1")
    process.begin()
    process.go()
    line = process.line()
    assert len(line) <= 4096
    assert json.loads(line.decode("utf-8"))["data"] == -1


# The time limit and signals


def test_time_limit(new_exec_sync):
    process = new_exec_sync("echo before; sleep 1000; echo after")
    process.options["--timeout"] = "3"
    process.execute()
    assert process.line() == b'{"exit_code": -1, "message": "command timed out"}\n'
    assert process.line() == b""
    assert process.wait() == 255
    assert process.said() == b""
    assert process.output() == b"before\n"


def test_time_limit_that_is_not_reached(new_exec_sync):
    process = new_exec_sync("echo hello; exit 7")
    process.options["--timeout"] = "1000"
    process.execute()
    assert process.answer() == {"data": 7, "exit_code": 7}


@pytest.mark.parametrize("sig", ["INT", "TERM"])
def test_signals_are_forwarded(new_exec_sync, sig):
    process = new_exec_sync(
        f"trap 'echo got {sig}; kill $child; exit 9' {sig}; sleep 1000 & child=$!; echo ready; wait"
    )
    process.execute()
    process.wait_log(b"ready")
    process.signal_monitor(getattr(signal, f"SIG{sig}"))
    assert process.answer()["data"] == 9
    assert process.output() == b"ready\ngot %s\n" % sig.encode()


def test_signal_while_the_runtime_runs(new_exec_sync):
    """There is nobody else to pass it on to."""
    process = new_exec_sync("true")
    hold = process.hold_runtime()
    process.execute()
    hold.wait()
    process.signal_monitor(signal.SIGTERM)
    answer = process.answer()
    assert answer["data"] == -1
    assert "143" in answer["message"]


# The end


def test_exit_files_and_their_order(new_exec):
    process = new_exec("read word < go; exit 5")
    go = process.fifo("go")
    process.execute()
    watch = Watch(process.bundle, process.persist, process.exits)
    client = process.attach()
    os.write(go, b"\n")
    engine.receive_all(client)
    assert process.wait() == 5
    events = watch.take()
    watch.close()
    order = [
        (Watch.DELETE, process.bundle / "attach"),
        (Watch.MOVED_TO, process.persist / "exit"),
        (Watch.MOVED_TO, process.exit_file),
    ]
    assert [event for event in events if event in order] == order
    assert process.exit_file == process.exits / process.cid
    for path in (process.persist / "exit", process.exit_file):
        assert path.read_bytes() == b"5"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("sync", [False, True], ids=["podman", "cri-o"])
def test_no_exit_directories(new_exec, new_exec_sync, sync):
    process = (new_exec_sync if sync else new_exec)("exit 5")
    process.options["--exit-dir"] = process.options["--persist-dir"] = None
    assert process.run() == 5


def test_bundle_that_is_deleted(new_exec):
    """Podman may be faster than its monitor."""
    process = new_exec("exec < go; echo ready; read word; echo last; exit 7")
    hold = process.hold_exit_command()
    go = process.fifo("go")
    process.begin()
    client = process.attach()
    process.go()
    assert process.report()["data"] > 0
    wait_until(lambda: client.receive() or client.packets, "the process to be ready")
    shutil.rmtree(process.bundle)
    os.write(go, b"\n")
    engine.receive_all(client)
    assert client.output() == b"ready\nlast\n"
    hold.wait()
    assert process.report() == {"data": 7}
    hold.let_go()
    assert process.wait() == 7
    assert (process.persist / "exit").read_bytes() == b"7"
    assert not process.bundle.exists()


def test_exit_delay(new_exec):
    """The report does not wait for it, and there is one process that waits, not two."""
    process = new_exec("exit 5")
    process.options["--exit-delay"] = "1000"
    hold = process.hold_exit_command()
    process.execute()
    assert process.report() == {"data": 5}
    assert process.line() == b"", "the end of the sync pipe"
    assert process.exit_file.read_bytes() == b"5"
    assert procfs.children(process.monitor.pid) == []
    assert not hold.reached()
    assert not process.monitor_ended()
    process.signal_monitor(signal.SIGTERM)
    hold.wait()
    hold.let_go()
    assert process.wait() == 5


@pytest.mark.survival
def test_exit_delay_ends_with_the_container(new_exec):
    """Podman removes the bundle of an exec as soon as that has ended, and must still be able to say how it ended, until
    the exit command; but not when the container, in whose directory the bundle was, has been removed. The other image
    looks at once."""
    process = new_exec("exit 5")
    process.options["--exit-delay"] = "1000"
    hold = process.hold_exit_command()
    process.execute()
    assert process.report() == {"data": 5}
    shutil.rmtree(process.bundle)
    crash(process.monitor.pid, "fault")
    wait_until(lambda: process.monitor.stat()[0] == "S", "the other image to have looked")
    assert not hold.reached()
    shutil.rmtree(process.bundle.parent)
    hold.wait()
    hold.let_go()
    assert process.wait() == 5


def test_exit_command_does_not_have_the_pipes(new_exec):
    process = new_exec("exit 5")
    hold = process.hold_exit_command()
    process.execute()
    command = procfs.Process(hold.wait())
    assert command.descriptors() == {0: "/dev/null", 1: "/dev/null", 2: "/dev/null"}
    assert process.report() == {"data": 5}
    assert process.line() == b""


def test_fifty_at_once(new_exec):
    processes = [new_exec(f"echo {number}; exit {number}") for number in range(50)]
    for process in processes:
        process.begin()
    clients = [process.attach() for process in processes]
    for process in processes:
        process.go()
    engine.receive_all(*clients)
    for number, process in enumerate(processes):
        assert process.wait() == number
        assert process.exit_file.read_bytes() == b"%d" % number
        assert clients[number].output() == b"%d\n" % number
