"""Each deadline acts once: a monitor that has done what was due, or cannot do it now, sleeps, and until a moment that
is still to come. What it says then it says once."""

import os
import signal

import pytest

import engine
import k8slog
import procfs
import rest
from crashes import page
from notify import unit
from waiting import is_readable, read_to_end, wait_readable, wait_until

MORE_THAN_IT_HOLDS = "seq 1 1000000; exit 7"
# Where the monitor cannot kill other users' processes.
NOBODY = "3141592"
STUBBORN = f"exec setpriv --reuid {NOBODY} --clear-groups sleep 1000"


def wait_stubborn(pid):
    wait_until(lambda: procfs.Process(pid).status()["Uid"].split()[0] == NOBODY, "the process to be another user's")


def check_deadline(pid, seconds):
    """It sleeps, and for so long at most."""
    left = rest.time_out(pid)
    assert left is not None and 0 < left <= seconds + 0.001  # rounded up


def wait_without_deadline(pid):
    wait_until(lambda: rest.time_out(pid) is None, "the monitor to have nothing to do any more")


def is_held(monitor):
    return page(monitor)["waits"] == 1


def datagrams(receiver):
    """What is in the receiver's queue."""
    found = []
    while is_readable(receiver.fileno()):
        found.append(receiver.recv(65536))
    return found


def launch(container, **how):
    container.create(**how)
    container.start()
    return container.monitor.pid


@pytest.fixture
def stubborn(new_container, system_log):
    """A container that has outlived its time limit, and SIGKILL, and the socket that hears of it."""
    if os.geteuid() != 0:
        pytest.skip("only root may have processes of other users")
    receiver, enter = system_log
    container = new_container(command=STUBBORN)
    container.options.update({"--timeout": "3", "--syslog": True})

    def prepare():
        enter()
        engine.cannot_kill()

    launch(container, prepare=prepare)
    container.pause_monitor()
    wait_stubborn(container.pid)
    container.resume_monitor()
    wait_readable(receiver.fileno(), "the monitor's word")
    yield container, receiver


# The container's time


def test_time_limit(stubborn):
    """It waits for the end of what it has killed."""
    container, receiver = stubborn
    check_deadline(container.monitor.pid, 10)
    (said,) = datagrams(receiver)
    assert b"command timed out after 3 seconds" in said


def test_time_limit_in_vain(stubborn):
    """It waits no longer than that, and says so once."""
    container, receiver = stubborn
    assert container.wait() == 255
    assert container.exit_file.read_text() == "-1"
    said = [text.partition(b">: ")[2] for text in datagrams(receiver)]
    assert len(said) == 2
    assert said[1].startswith(b"The container's process %d does not end after SIGKILL" % container.pid)


def test_stop_timeout(new_run):
    if os.geteuid() != 0:
        pytest.skip("only root may have processes of other users")
    run = new_run(STUBBORN)
    run.options["--stop-timeout"] = "1"
    run.launch(preexec_fn=engine.cannot_kill)
    wait_stubborn(run.command_pid())
    run.signal(signal.SIGTERM)
    wait_until((run.top / "stderr").read_bytes, "the monitor's word")
    check_deadline(run.pid, 10)
    assert (run.top / "stderr").read_text().count("has not ended within") == 1


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
def test_time_limit_that_is_no_longer_needed(new_container, killed):
    """The container has ended: only the exit command is waited for."""
    container = new_container(command="sleep 1000" if killed else "exit 7")
    container.options["--timeout"] = "1" if killed else "1000"
    hold = container.hold_exit_command()
    pid = launch(container)
    hold.wait()
    assert rest.time_out(pid) is None
    hold.let_go()
    assert container.wait() == (255 if killed else 7)


def test_stop_timeout_that_is_no_longer_needed(new_run):
    run = new_run("trap 'exit 9' TERM; touch started; while :; do sleep 0.01; done")
    run.options["--stop-timeout"] = "1000"
    hold = run.hold_exit_command()
    run.launch()
    wait_until((run.top / "started").exists, "the command")
    run.signal(signal.SIGTERM)
    hold.wait()
    assert rest.time_out(run.pid) is None
    hold.let_go()
    assert run.wait() == 9


# Start and end


def test_runtime_that_hangs(new_container):
    container = new_container(command="exit 7")
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    assert rest.time_out(container.monitor.pid) is None
    hold.let_go()
    container.report()
    container.start()
    assert container.wait() == 7


def test_exit_delay(new_container):
    """Now and then it looks whether the container has been removed."""
    container = new_container(command="exit 7")
    container.options["--exit-delay"] = "1000"
    container.hold_exit_command()
    pid = launch(container)
    wait_until(container.exit_file.exists, "the exit file")
    check_deadline(pid, 5)


def test_late_output(new_container):
    """Somebody still holds the streams."""
    container = new_container(command="sleep 1000 & exit 7")
    container.options["--late-output"] = "4000"
    pid = launch(container)
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container's end to be seen")
    check_deadline(pid, 4)


@pytest.mark.parametrize("how", ["read", "dropped"])
def test_linger(new_container, how):
    """A client with a backlog is served after the end, when nothing else is left to be done."""
    container = new_container(command="head -c 1000000 /dev/zero; exit 7")
    container.options.update({"--attach-linger": "1000" if how == "read" else "1", "--log-path": "none"})
    container.create()
    client = container.attach()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    if how == "read":
        check_deadline(container.monitor.pid, 1000)
        engine.receive_all(client)
    assert container.wait() == 7


# A service manager


@pytest.fixture
def manager(new_run):
    run = new_run("read word < go; exit 7")
    os.mkfifo(run.top / "go")
    one = unit(run)
    yield run, one
    one.close()


def test_watchdog(manager):
    run, host = manager
    run.environment["WATCHDOG_USEC"] = "200000"
    run.launch()
    while not host.receive().startswith(b"WATCHDOG=1"):
        pass
    check_deadline(run.pid, 0.1)


def test_full_service_manager(manager):
    """What it is owed is tried again after a while."""
    run, host = manager
    run.environment["WATCHDOG_USEC"] = "20000"  # a sign of life each 10 ms
    host.fill()
    run.launch()
    run.command_pid()
    wait_until(lambda: rest.time_out(run.pid) > 0.02, "the first sign of life to find no room")
    check_deadline(run.pid, 0.1)


# Output


def test_partial_line(new_container):
    """It is written once, when its time has come."""
    container = new_container(command="printf 'a prompt> '; read word < go; exit 7")
    go = container.fifo("go")
    pid = launch(container)
    container.wait_log(b"P a prompt> ")
    wait_without_deadline(pid)
    os.write(go, b"\n")
    assert container.wait() == 7
    assert [(record.tag, record.content) for record in container.records()] == [("P", b"a prompt> ")]


def test_partial_line_that_is_completed_in_time(new_container):
    container = new_container(command="printf one; read word < go; echo two; read word < go; exit 7")
    container.options["--log-partial-flush"] = "10000"
    go = container.fifo("go")
    pid = launch(container)
    wait_until(lambda: page(pid)["stdout_read"] == 3, "the beginning of the line")
    check_deadline(pid, 10)
    os.write(go, b"\n")
    container.wait_log(b" F onetwo\n")
    assert rest.time_out(pid) is None


def test_partial_line_in_the_journal(new_container, journal):
    container = new_container(command="printf 'a prompt> '; touch done; read word < go; exit 7")
    container.options["--log-path"] = "journald"
    container.fifo("go")
    pid = launch(container, prepare=journal.enter)
    wait_until((container.bundle / "done").exists, "the container to wait")
    wait_without_deadline(pid)


def test_memory_is_given_back(new_container):
    container = new_container(command="head -c 1000000 /dev/zero; echo; echo end; read word < go; exit 7")
    container.fifo("go")
    pid = launch(container)
    container.wait_log(b"end")
    wait_without_deadline(pid)


@pytest.mark.parametrize("policy", ["wait", "drop"])
def test_rate(new_container, policy):
    """At so low a rate the bucket needs ten seconds for a record."""
    lines = {"wait": 100000, "drop": 1000}[policy]
    container = new_container(command=f"echo begin; seq 1 {lines}; read word < go; exit 7")
    container.options.update({"--log-rate-limit": "256:256", "--log-rate-policy": policy})
    container.fifo("go")
    pid = launch(container)
    container.wait_log(b"begin")
    if policy == "wait":
        wait_until(lambda: is_held(pid), "the container to wait")
        check_deadline(pid, 60)
    else:
        wait_until(lambda: page(pid)["stdout_lost_records"] > 0, "a loss")
        rest.wait_asleep(pid)
    assert not container.monitor_ended()


def test_turn(new_container):
    """One stream waits for the end of a line of the other."""
    container = new_container(command="printf '%01000d' 0; echo other >&2; read word < go; exit 7")
    container.options.update({"--log-line-max": "256", "--log-partial-flush": "never"})
    go = container.fifo("go")
    pid = launch(container)
    container.wait_log(b"other")  # not for ever
    wait_without_deadline(pid)
    os.write(go, b"\n")
    assert container.wait() == 7


# Others that do nothing


def test_events_that_are_not_taken(new_container, journal):
    """They are said later, and until then not tried again and again."""
    journal.stop()
    journal.fill()
    container = new_container(command="head -c 100000 /dev/zero; read word < go; exit 7")
    container.options.update({"--log-line-max": "256", "--log-partial-flush": "never"})
    container.fifo("go")
    pid = launch(container, prepare=journal.enter)
    wait_until(lambda: page(pid)["events_held"] == 2, "the start and the line to be spoken of")
    check_deadline(pid, 60)


def test_container_that_does_not_read(new_container):
    container = new_container(command="read word < go; exit 7")
    container.options["--stdin"] = True
    container.fifo("go")
    pid = launch(container)
    client = container.attach()
    data = bytes(32768)

    def is_full():
        return client.send_some(data) == 0 and rest.is_asleep(pid) and client.send_some(data) == 0

    wait_until(is_full, "room for no more input")
    assert rest.time_out(pid) is None


def test_reader_of_our_output_that_does_not_read(new_run):
    reader, writer = os.pipe()
    run = new_run(["seq", "1", "1000000"])
    run.launch(stdout=writer)
    os.close(writer)
    command = run.command_pid()
    wait_until(lambda: rest.is_asleep(run.pid) and rest.is_asleep(command), "the command to be held")
    wait_without_deadline(run.pid)
    output = read_to_end(reader, "all output")
    os.close(reader)
    assert output == k8slog.numbered(1, 1000000)
    assert run.wait() == 0


# A log that takes nothing


@pytest.mark.parametrize("asked", [True, False], ids=["on request", "by size"])
def test_log_that_cannot_be_replaced(new_container, asked):
    """Somebody waits for the new one, or it has become too large: it is tried again after a while."""
    container = new_container(command="seq 1 1000; read word < go; exit 7")
    container.options.update({"--log-rotate": True, "--log-partial-flush": "1"})  # so long a line's end is waited for
    if not asked:
        container.options["--log-size-max"] = "2000"
    (container.logs / "ctr.log.1").mkdir()
    container.fifo("go")
    pid = launch(container)
    container.wait_log(b" 1000\n")
    if asked:
        container.control("2 0 0\n")
    wait_until(lambda: page(pid)["rotation_failures"] > 0, "a failure")
    if asked:
        check_deadline(pid, 60)
    else:
        rest.wait_asleep(pid)


@pytest.mark.parametrize("file", [False, True], ids=["", "and a file"])
@pytest.mark.parametrize("policy", ["wait", "drop"])
@pytest.mark.parametrize("trouble", ["stopped", "removed", "killed"])
def test_journal(new_container, journal, policy, trouble, file):
    """With a buffer that is full, if the container waits."""
    {"stopped": journal.stop, "removed": journal.remove, "killed": journal.kill}[trouble]()
    command = MORE_THAN_IT_HOLDS if policy == "wait" else "seq 1 2000; touch done; read word < go; exit 7"
    container = new_container(command=command, cid="0123456789abcdef" * 4)
    container.fifo("go")
    paths = [container.options["--log-path"]] if file else []
    container.options.update({"--log-path": [*paths, "journald"], "--log-on-error": policy})
    pid = launch(container, prepare=journal.enter)
    if policy == "wait":
        wait_until(lambda: page(pid)["journal_waits"] == 1, "the container to wait")
        check_deadline(pid, 1)
    else:
        wait_until((container.bundle / "done").exists, "the container to have printed all")
        rest.wait_asleep(pid)


@pytest.mark.parametrize("policy", ["wait", "drop"])
def test_full_disk(disk, logging_to, policy):
    command = MORE_THAN_IT_HOLDS if policy == "wait" else "seq 1 100; read word < go"
    container = logging_to(policy, command)
    container.fifo("go")
    disk.fill()
    pid = launch(container)
    if policy == "wait":
        wait_until(lambda: is_held(pid), "the container to wait")
        check_deadline(pid, 1)
    else:
        wait_until(lambda: page(pid)["stdout_lost_records"] > 0, "a loss")
        rest.wait_asleep(pid)


def test_end_while_the_disk_is_full(disk, logging_to):
    """The report is out, and the log is tried until it is given up."""
    container = logging_to("wait", "seq 1 100; exit 7")
    disk.fill()
    pid = launch(container)
    wait_until(container.exit_file.exists, "the exit file")
    check_deadline(pid, 1)
    disk.free()
    assert container.wait() == 7
