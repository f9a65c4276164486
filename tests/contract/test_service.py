"""`conward run` as the main process of a unit: what it tells the service manager, to the byte, and what the command
sees of that."""

import array
import os
import re
import signal
import socket

import pytest

from crashes import HeldFault, appearance, check_appearance, crash, wait_at_rest
from notify import unit
from waiting import is_readable, wait_readable, wait_until

READY = b"READY=1\nSTATUS=0 bytes logged"
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


@pytest.fixture
def new_unit(new_run):
    """unit(command, **how) makes a run and its service manager."""
    made = []

    def new(command, **how):
        run = new_run(command)
        run.go = None
        made.append((run, unit(run, **how)))
        return made[-1]

    yield new
    for run, manager in made:
        manager.close()
        if run.go is not None:
            os.close(run.go)


def sender(manager):
    """Takes a notification; returns it and the pid of who has sent it."""
    manager.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    wait_readable(manager.socket.fileno(), "a notification")
    text, ancillary, _, _ = manager.socket.recvmsg(1000, 100)
    return text, array.array("i", ancillary[0][2])[0]


def let_go(run):
    """Lets a command go on that reads a line from its fifo."""
    os.write(run.go, b"\n")


def waiting(script):
    """A command that does something and then waits for let_go()."""
    return f"{script}; read word < go; exit 7"


def make_fifo(run):
    """Held open, so that a line is never lost between two readers."""
    os.mkfifo(run.top / "go")
    run.go = os.open(run.top / "go", os.O_RDWR)


def begin(run, manager):
    """With that fifo, until the manager knows that it is ready."""
    make_fifo(run)
    run.launch()
    assert manager.receive() == READY


def test_life(new_unit):
    run, manager = new_unit(waiting("echo hello; printf '%0300d' 0"))
    run.options["--log-line-max"] = "256"
    run.options["--log-partial-flush"] = "never"
    begin(run, manager)
    wait_until(lambda: len(run.records()) == 2, "the output")
    run.signal(signal.SIGHUP)
    assert manager.receive().startswith(b"RELOADING=1\n")
    assert manager.receive() == b"READY=1\nSTATUS=262 bytes logged, a line of 256 goes on"
    let_go(run)
    # The end of the output may be seen before that of the command, or after it.
    assert manager.receive() in [
        b"STOPPING=1\nSTATUS=%d bytes logged, a line of %d goes on" % (line + 6, line) for line in (256, 300)
    ]
    assert run.wait() == 7
    assert not is_readable(manager.socket.fileno())


def test_ready_after_the_start(new_unit):
    """Not before: here the command cannot be executed."""
    run, manager = new_unit("exit 7")
    run.environment["PATH"] = "/nowhere"
    run.launch()
    assert run.wait() == 127
    assert not is_readable(manager.socket.fileno()), "neither ready nor stopping"


def test_ready_means_that_the_program_runs(new_unit):
    run, manager = new_unit(waiting(":"))
    begin(run, manager)
    assert os.path.basename(os.readlink(f"/proc/{run.command_pid()}/exe")) != os.path.basename(run.program)
    let_go(run)
    assert run.wait() == 7


def test_sender_is_the_main_process(new_unit):
    run, manager = new_unit("exit 7")
    manager.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    run.launch()
    assert sender(manager) == (READY, run.pid)
    assert sender(manager)[1] == run.pid
    assert run.wait() == 7


def test_abstract_address(new_unit):
    run, manager = new_unit("exit 7", address=f"@conward-test-{os.getpid()}")
    run.launch()
    assert manager.receive() == READY
    assert run.wait() == 7


@pytest.mark.parametrize("variable", [False, True])
def test_main_process(new_unit, variable):
    """Where it says so, systemd gives its pid."""
    run, manager = new_unit("exit 7", variables=["SYSTEMD_EXEC_PID"] if variable else [])
    run.launch()
    assert manager.receive() == READY
    assert run.wait() == 7


def test_not_the_main_process(new_unit):
    """A script of the unit calls `conward run`: the unit's ways to speak are the script's, or the command's."""
    run, manager = new_unit("echo $NOTIFY_SOCKET $WATCHDOG_USEC; kill -HUP $PPID; read word < go")
    make_fifo(run)
    run.environment.update({"SYSTEMD_EXEC_PID": str(os.getpid()), "WATCHDOG_USEC": "2000"})
    run.launch()
    assert run.wait() == 128 + signal.SIGHUP, "a hangup is the command's, as ever"
    assert run.output() == f"{run.top}/manager 2000\n".encode()
    assert not is_readable(manager.socket.fileno())


def test_command_does_not_see_the_variables(new_unit):
    run, manager = new_unit("env", variables=["WATCHDOG_PID", "SYSTEMD_EXEC_PID"])
    run.environment["WATCHDOG_USEC"] = "600000000"
    run.options["--exit-command"] = run.top / "exit-command"
    (run.top / "exit-command").write_text(f"#!/bin/sh\nenv > {run.top}/last\n")
    (run.top / "exit-command").chmod(0o755)
    run.launch()
    assert run.wait() == 0
    for seen in (run.output(), (run.top / "last").read_bytes()):
        assert b"SYSTEMD_EXEC_PID=" in seen
        for name in VARIABLES:
            assert f"\n{name}=".encode() not in b"\n" + seen


def test_command_that_notifies(new_unit):
    """It is asked for, and has the word then; only signs of life are the monitor's."""
    run, manager = new_unit("env; read word < go; exit 7", variables=["WATCHDOG_PID"])
    make_fifo(run)
    run.environment["WATCHDOG_USEC"] = "20000"
    run.options["--sdnotify"] = "command"
    run.launch()
    assert [manager.receive() for _ in range(3)] == [b"WATCHDOG=1"] * 3
    let_go(run)
    assert run.wait() == 7
    assert f"NOTIFY_SOCKET={run.top}/manager\n".encode() in run.output()
    assert b"WATCHDOG_" not in run.output()
    while is_readable(manager.socket.fileno()):
        assert manager.receive() == b"WATCHDOG=1"


@pytest.mark.parametrize("who", ["monitor", "command"])
def test_detached(new_unit, who):
    """The first main process says which one is the next, once the command runs."""
    run, manager = new_unit("read word < go; exit 7", variables=["SYSTEMD_EXEC_PID", "WATCHDOG_PID"])
    make_fifo(run)
    run.options.update({"--detach": True, "--pidfile": run.monitor_pidfile, "--sdnotify": who})
    manager.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    run.launch()
    text, first = sender(manager)
    monitor = int(run.monitor_pidfile.read_bytes())
    assert text == b"MAINPID=%d" % monitor + (b"\nREADY=1" if who == "monitor" else b"")
    assert first == run.pid
    let_go(run)
    assert run.wait_monitor() == 7
    if who == "monitor":
        assert sender(manager) == (b"STOPPING=1\nSTATUS=0 bytes logged", monitor)
    assert not is_readable(manager.socket.fileno())


def test_detached_and_not_started(new_unit):
    run, manager = new_unit("exit 7")
    run.environment["PATH"] = "/nowhere"
    run.options.update({"--detach": True, "--pidfile": run.monitor_pidfile})
    run.launch()
    assert run.wait() == 127
    assert not is_readable(manager.socket.fileno())


# The watchdog


def watched(new_unit, command, interval="20000"):
    run, manager = new_unit(command, variables=["WATCHDOG_PID"])
    run.environment["WATCHDOG_USEC"] = interval
    begin(run, manager)
    return run, manager


def test_signs_of_life(new_unit):
    run, manager = watched(new_unit, waiting("echo hello"))
    run_log = b"WATCHDOG=1\nSTATUS=6 bytes logged"
    wait_until(lambda: manager.receive() == run_log, "what is logged")
    assert [manager.receive() for _ in range(5)] == [run_log] * 5
    let_go(run)
    assert run.wait() == 7


def test_hung_monitor(new_unit):
    run, manager = watched(new_unit, waiting(":"))
    manager.receive()
    run.signal(signal.SIGSTOP)
    wait_until(lambda: open(f"/proc/{run.pid}/stat").read().rsplit(")")[1].split()[0] == "T", "the monitor to stop")
    while is_readable(manager.socket.fileno()):
        manager.receive()
    # So long as it hangs, nothing else can come. That it goes on later, is said at once.
    run.signal(signal.SIGCONT)
    assert manager.receive().startswith(b"WATCHDOG=1\n")
    let_go(run)
    assert run.wait() == 7


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "2000x"},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "99999999999999999999"},
        {"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"},
    ],
    ids=str,
)
def test_no_watchdog(new_unit, environment):
    """It is not woken up then: it sleeps without a deadline."""
    run, manager = new_unit(waiting(":"))
    run.environment.update(environment)
    begin(run, manager)
    assert sleeps_for_ever(run.pid)
    assert not is_readable(manager.socket.fileno())
    let_go(run)
    assert run.wait() == 7


def sleeps_for_ever(pid):
    """Waits until the process is in poll(2) without a time-out."""

    def is_so():
        words = open(f"/proc/{pid}/syscall").read().split()
        return words[0] == "7" and int(words[3], 16) & 0xFFFFFFFF == 0xFFFFFFFF

    return wait_until(is_so, "the monitor to sleep without a deadline")


# Reload


def test_reload(new_unit):
    run, manager = new_unit(waiting("echo one; read word < go; echo two"))
    begin(run, manager)
    wait_until(lambda: run.output() == b"one\n", "the first line")
    run.log.rename(run.logs / "before")
    run.signal(signal.SIGHUP)
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[0-9]{6,}", manager.receive())
    assert manager.receive() == b"READY=1\nSTATUS=4 bytes logged"
    assert run.log.read_bytes() == b"", "the new file is there when that is said"
    let_go(run)
    wait_until(lambda: run.output() == b"two\n", "the second line")
    let_go(run)
    assert manager.receive() == b"STOPPING=1\nSTATUS=8 bytes logged"
    assert run.wait() == 7


def test_reload_in_the_middle_of_a_line(new_unit):
    """The new file comes a moment later, and that is said only then."""
    run, manager = new_unit(waiting("printf word; read word < go; echo more"))
    begin(run, manager)
    wait_until(lambda: run.output() == b"word", "the beginning of the line")
    run.log.rename(run.logs / "before")
    run.signal(signal.SIGHUP)
    assert manager.receive().startswith(b"RELOADING=1\n")
    assert manager.receive() == b"READY=1\nSTATUS=4 bytes logged, a line of 4 goes on"
    assert run.log.read_bytes() == b"", "the new file is there when that is said"
    let_go(run)
    wait_until(lambda: run.output() == b"more\n", "the end of the line")
    let_go(run)
    assert manager.receive().startswith(b"STOPPING=1\n")
    assert run.wait() == 7


def test_reload_without_a_log(new_unit):
    run, manager = new_unit(waiting(":"))
    run.options["--log-path"] = "none"
    begin(run, manager)
    run.signal(signal.SIGHUP)
    assert manager.receive().startswith(b"RELOADING=1\n")
    assert manager.receive() == READY
    let_go(run)
    assert run.wait() == 7


def test_reload_that_fails(new_unit):
    """It is repeated until it succeeds, and the unit is ready nevertheless."""
    run, manager = new_unit(waiting("echo one"))
    begin(run, manager)
    wait_until(lambda: run.output() == b"one\n", "the first line")
    run.logs.rename(run.top / "elsewhere")
    run.signal(signal.SIGHUP)
    assert manager.receive().startswith(b"RELOADING=1\n")
    assert manager.receive() == b"READY=1\nSTATUS=4 bytes logged"
    (run.top / "elsewhere").rename(run.logs)
    wait_until(lambda: run.log.read_bytes() == b"", "the new log")
    let_go(run)
    assert run.wait() == 7


def test_no_reload_without_a_unit(new_run):
    run = new_run("trap 'exit 9' HUP; echo ready; while :; do sleep 0.01; done").launch()
    wait_until(lambda: run.log.exists() and run.output() == b"ready\n", "the command")
    run.signal(signal.SIGHUP)
    assert run.wait() == 9


# Crashes


@pytest.mark.survival
@pytest.mark.parametrize("kind", ["fault", signal.SIGABRT], ids=str)
def test_crash(new_unit, kind):
    run, manager = watched(new_unit, waiting("echo one; read word < go; env; echo two"))
    wait_at_rest(run.pid)
    before = appearance(run.pid)
    crash(run.pid, kind)
    while is_readable(manager.socket.fileno()):
        assert manager.receive().startswith(b"WATCHDOG=1\n")
    assert manager.receive().startswith(b"WATCHDOG=1\n"), "it still gives signs of life"
    check_appearance(run.pid, before)
    run.signal(signal.SIGHUP)
    wait_until(lambda: manager.receive().startswith(b"RELOADING=1\n"), "the reload")
    let_go(run)
    wait_until(lambda: b"two\n" in run.output(), "the second line")
    let_go(run)
    wait_until(lambda: manager.receive().startswith(b"STOPPING=1\n"), "the end")
    assert run.wait() == 7
    for name in VARIABLES:
        assert f"\n{name}=".encode() not in run.output()


@pytest.mark.survival
def test_crash_when_a_sign_of_life_is_due(new_unit):
    run, manager = watched(new_unit, waiting(":"), interval="400000")
    fault = HeldFault(run.pid)
    fault.let_go()
    assert manager.receive().startswith(b"WATCHDOG=1\n")
    let_go(run)
    assert run.wait() == 7
    assert b"Resumed after a crash" in (run.top / "stderr").read_bytes()


@pytest.mark.survival
def test_crash_detached(new_unit):
    """The variables name the process that has gone; the page knows better."""
    run, manager = new_unit("read word < go; exit 7", variables=["SYSTEMD_EXEC_PID", "WATCHDOG_PID"])
    make_fifo(run)
    run.environment["WATCHDOG_USEC"] = "20000"
    run.options.update({"--detach": True, "--pidfile": run.monitor_pidfile})
    run.launch()
    assert run.wait() == 0
    monitor = int(run.monitor_pidfile.read_bytes())
    crash(monitor, "fault")
    while is_readable(manager.socket.fileno()):
        manager.receive()
    assert manager.receive() == b"WATCHDOG=1\nSTATUS=0 bytes logged"
    let_go(run)
    assert run.wait_monitor() == 7


# A service manager that is no good


def test_full_service_manager(new_unit):
    """The command goes on; the words come later, in order, and signs of life do not pile up."""
    run, manager = new_unit(waiting("echo one"), variables=["WATCHDOG_PID"])
    make_fifo(run)
    run.environment["WATCHDOG_USEC"] = "20000"
    full = manager.fill()
    run.launch()
    wait_until(lambda: run.log.exists() and run.output() == b"one\n", "the output")
    run.signal(signal.SIGHUP)
    wait_until(lambda: run.log.read_bytes() == b"", "the new log")
    for _ in range(full):
        assert manager.receive() == b"STATUS=full"
    said = []
    while len(said) < 3:
        text = manager.receive()
        if not text.startswith(b"WATCHDOG=1\n"):
            said.append(text.split(b"\n")[0])
    assert said == [b"READY=1", b"RELOADING=1", b"READY=1"]
    let_go(run)
    assert run.wait() == 7


def test_full_service_manager_at_the_end(new_unit):
    run, manager = new_unit("exit 7")
    manager.fill()
    run.launch()
    assert run.wait() == 7


@pytest.mark.parametrize(
    "address, why",
    [
        ("/nowhere/at/all", "No such file or directory"),
        ("relative", "Address family not supported by protocol"),
        ("@", "Address family not supported by protocol"),
        ("vsock:2:1234", "Address family not supported by protocol"),
        ("/" + "x" * 108, "File name too long"),
    ],
)
def test_no_service_manager(new_run, address, why):
    """That is said, once, and is no reason for anything."""
    run = new_run("env; kill -TERM $$")
    run.environment["NOTIFY_SOCKET"] = address
    run.launch()
    assert run.wait() == 128 + signal.SIGTERM
    said = (run.top / "stderr").read_text().splitlines()
    assert len([line for line in said if "The service manager cannot be reached" in line]) == 1
    assert f"NOTIFY_SOCKET={address}: {why}" in "\n".join(said)


def test_longest_address(new_run):
    """As long as a name may be: there is nobody, but it has been tried."""
    run = new_run("exit 7")
    run.environment["NOTIFY_SOCKET"] = "/" + "x" * 107
    run.launch()
    assert run.wait() == 7
    assert f"/{'x' * 107}: No such file or directory" in (run.top / "stderr").read_text()


def test_empty_address(new_run):
    run = new_run("exit 7")
    run.environment["NOTIFY_SOCKET"] = ""
    run.launch()
    assert run.wait() == 7
    assert (run.top / "stderr").read_bytes() == b""


# --stop-timeout

STUBBORN = "trap 'echo asked' TERM INT QUIT; echo ready; while :; do sleep 0.01; done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_timeout(new_run, number):
    """It is asked first, and then killed; what it has printed until then is in the log."""
    run = new_run(STUBBORN)
    run.options["--stop-timeout"] = "1"
    run.launch()
    wait_until(lambda: run.log.exists() and run.output() == b"ready\n", "the command")
    run.signal(number)
    assert run.wait() == 128 + signal.SIGKILL
    assert run.output() == b"ready\nasked\n"
    assert run.exit_file.read_text() == "137"
    assert "has not ended within --stop-timeout (1 s), and is killed" in (run.top / "stderr").read_text()


def test_stop_timeout_kills_the_group(new_run):
    """That of a command with a terminal of its own, which has one."""
    run = new_run("trap '' TERM HUP; sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 1000' & wait; wait; wait")
    run.options.update({"--stop-timeout": "1", "--terminal": True, "--detach": True, "--pidfile": run.monitor_pidfile})
    run.launch()
    assert run.wait() == 0
    wait_until(lambda: run.log.exists() and run.output(), "the child")
    child = int(run.output())
    os.kill(int(run.monitor_pidfile.read_bytes()), signal.SIGTERM)
    assert run.wait_monitor() == 128 + signal.SIGKILL
    assert not os.path.exists(f"/proc/{child}/fd/1")


def test_stop_timeout_of_an_obedient_command(new_run):
    run = new_run("trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done")
    run.options["--stop-timeout"] = "86400"
    run.launch()
    wait_until(lambda: run.log.exists() and run.output() == b"ready\n", "the command")
    run.signal(signal.SIGTERM)
    assert run.wait() == 9


@pytest.mark.survival
def test_crash_before_the_time_is_over(new_run):
    run = new_run(STUBBORN)
    run.options["--stop-timeout"] = "2"
    run.launch()
    wait_until(lambda: run.log.exists() and run.output() == b"ready\n", "the command")
    run.signal(signal.SIGTERM)
    wait_until(lambda: run.output() == b"ready\nasked\n", "it to be asked")
    crash(run.pid, "fault")
    assert run.wait() == 128 + signal.SIGKILL


def test_hangup_is_no_stop(new_run):
    """Nor is the end of the time for nothing."""
    run = new_run("trap 'echo asked' HUP; echo ready; until [ -e go ]; do sleep 0.01; done; exit 7")
    run.options["--stop-timeout"] = "1"
    run.launch()
    wait_until(lambda: run.log.exists() and run.output() == b"ready\n", "the command")
    run.signal(signal.SIGHUP)
    wait_until(lambda: run.output() == b"ready\nasked\n", "it to be asked")
    assert sleeps_for_ever(run.pid), "without a deadline"
    (run.top / "go").touch()
    assert run.wait() == 7


@pytest.mark.parametrize(
    "option, value, why",
    [
        ("--stop-timeout", "-1", "--stop-timeout -1 is out of range"),
        ("--stop-timeout", "86401", "--stop-timeout 86401 is out of range"),
        ("--sdnotify", "container", "--sdnotify container is neither monitor nor command"),
        ("--sdnotify", "", "--sdnotify  is neither monitor nor command"),
    ],
)
def test_refused(new_run, option, value, why):
    run = new_run("touch started")
    run.options[option] = value
    run.launch()
    assert run.wait() == 2
    assert why in (run.top / "stderr").read_text()
    assert not (run.top / "started").exists()
