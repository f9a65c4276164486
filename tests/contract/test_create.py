"""The create flow: start pipe, sync pipe, pid files, and what the monitor and the runtime look like meanwhile."""

import os
import signal
import stat

import pytest

import engine
import procfs
from engine import BATS, CRIO, PODMAN
from waiting import Watch, is_readable, wait_until

FAMILIES = pytest.mark.parametrize("family", [PODMAN, CRIO, BATS], ids=lambda family: family.name)
SETTABLE = {sig for sig in signal.valid_signals() if sig < 32} - {signal.SIGKILL, signal.SIGSTOP}


@FAMILIES
def test_pid_report(new_container, family):
    container = new_container(command="exit 0", family=family)
    container.launch()
    assert container.let_go() == b"", "not a word on standard error"
    key = "data" if family is PODMAN else "pid"
    assert container.line() == b'{"%s": %s}\n' % (key.encode(), container.pidfile.read_bytes())
    container.start()
    assert container.wait() == 0


@FAMILIES
def test_nothing_happens_before_the_start_message(new_container, family):
    container = new_container(command="exit 0", family=family)
    hold = container.hold_runtime()
    container.launch()
    first = container.first_gate()
    assert procfs.children(first.pid) == []
    assert not container.monitor_pidfile.exists()
    assert not hold.reached()
    assert not is_readable(container.sync)
    container.let_go()
    hold.wait()


def test_whole_start_message_is_consumed(new_container):
    container = new_container(command="exit 0", family=BATS)
    container.create()
    assert not is_readable(container._start_pipe)


def test_background_process(new_container):
    container = new_container(command="exit 0")
    container.create()
    monitor = container.monitor
    # The pid file has the bare number and was renamed into place: nothing else of it is left.
    assert container.monitor_pidfile.read_bytes() == b"%d" % monitor.pid
    assert stat.S_IMODE(container.monitor_pidfile.stat().st_mode) == 0o644
    assert [path.name for path in container.bundle.iterdir() if "conmon-pidfile" in path.name] == ["conmon-pidfile"]
    assert int(monitor.stat()[1]) == os.getpid(), "the started process has ended, so its child is ours"
    assert monitor.words("cmdline") == [word.encode() for word in container.command_line]


def test_sync_stays_in_the_foreground(new_container):
    container = new_container(command="exit 9")
    container.options["--sync"] = True
    container.create()
    assert container.monitor.pid == container._first
    assert not container.monitor_pidfile.exists()
    container.start()
    assert container.wait() == 9


def test_pid_file_appears_by_rename(new_container):
    container = new_container(command="exit 0")
    container.options["--conmon-pidfile"] = container.monitor_pidfile = container.logs / "conmon-pidfile"
    watch = Watch(container.logs, mask=Watch.MOVED_TO | Watch.CREATE)
    container.create()
    events = [mask for mask, path in watch.take() if path == container.monitor_pidfile]
    watch.close()
    assert events == [Watch.MOVED_TO]


def test_unwritable_pid_file_is_an_error(new_container):
    container = new_container(command="exit 0")
    container.options["--conmon-pidfile"] = str(container.top / "missing" / "pidfile")
    container.launch()
    assert b"conmon pidfile" in container.let_go(status=1)


def test_monitor_seen_from_outside(new_container):
    container = new_container(command="exit 0")
    container.create(prepare=lambda: os.umask(0o077))
    monitor = container.monitor
    assert int(monitor.stat()[3]) == monitor.pid, "the monitor leads a session"
    assert {monitor.descriptors()[fd] for fd in (0, 1, 2)} == {"/dev/null"}
    assert {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGXCPU} <= monitor.signals("SigIgn")
    assert monitor.comm() == os.path.basename(engine.conward())
    assert monitor.status()["Threads"] == "1"
    assert monitor.status()["Umask"] == "0022"
    assert os.readlink(monitor.path / "cwd") == os.getcwd()
    environment = monitor.environment()
    assert {key: environment.get(key) for key in container.environment} == container.environment


def test_monitor_is_the_last_victim_of_the_oom_killer(new_container):
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        old = os.read(fd, 16)
        os.write(fd, b"-1000")
        os.pwrite(fd, old, 0)
        os.close(fd)
    except PermissionError:
        pytest.skip("may not lower oom_score_adj here")

    def be_a_likely_victim():
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("300")

    container = new_container(command="exit 0")
    hold = container.hold_runtime()
    hold_exit = container.hold_exit_command()
    container.launch(prepare=be_a_likely_victim)
    container.let_go()
    assert container.monitor.oom_score_adj() == -1000
    assert procfs.Process(hold.wait()).oom_score_adj() == 300
    hold.let_go()
    container.pid = container.report()["data"]
    assert procfs.Process(container.pid).oom_score_adj() == 300
    container.start()
    assert procfs.Process(hold_exit.wait()).oom_score_adj() == 300


# What the monitor runs


@FAMILIES
def test_runtime_arguments(new_container, family):
    container = new_container(family=family)
    container.options["--runtime-arg"] = ["--log-format=json", "--log", "--log=/x y", ""]
    container.options["--runtime-opt"] = ["--preserve-fds", "1"]
    container.options["--no-pivot"] = True
    container.options["--no-new-keyring"] = True
    container.options["--systemd-cgroup"] = True
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    words = procfs.Process(hold.wait()).words("cmdline")
    assert [word.decode() for word in words] == [
        engine.stub_runtime(),
        "--systemd-cgroup",
        *container.options["--runtime-arg"],
        "create",
        "--bundle",
        str(container.bundle),
        "--pid-file",
        str(container.pidfile),
        "--no-pivot",
        "--no-new-keyring",
        "--preserve-fds",
        "1",
        container.cid,
    ]


def test_runtime_seen_from_outside(new_container):
    container = new_container()
    container.environment["KEPT"] = "a=b c"
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    assert runtime.signals("SigIgn") == set()
    assert runtime.signals("SigBlk") == set()
    assert int(runtime.stat()[1]) == container.monitor.pid
    assert os.readlink(runtime.path / "cwd") == os.getcwd()

    environment = runtime.environment()
    pipes = {key: value for key, value in container.environment.items() if key.startswith("_OCI_")}
    assert {key: value for key, value in environment.items() if key not in pipes} == {
        key: value for key, value in container.environment.items() if key not in pipes
    }

    descriptors = runtime.descriptors()
    assert set(descriptors) == {0, 1, 2}
    assert descriptors[0] == "/dev/null"
    for fd in (1, 2):
        mode = (runtime.path / "fd" / str(fd)).stat().st_mode
        assert stat.S_ISFIFO(mode)
        assert stat.S_IMODE(mode) == 0o777, "an unprivileged container process can reopen /dev/stdout"
        flags = (runtime.path / "fdinfo" / str(fd)).read_text().split("flags:")[1].split()[0]
        assert not int(flags, 8) & os.O_NONBLOCK, "the container writes to a blocking pipe"
    assert descriptors[1] != descriptors[2]


def test_runtime_gets_the_inherited_descriptors(new_container, directory):
    user = os.open(directory / "user", os.O_RDWR | os.O_CREAT)
    port = os.open(directory / "port", os.O_RDWR | os.O_CREAT)
    container = new_container(command="exit 0")
    hold = container.hold_runtime()
    container.launch(user_fds=[user], extra_fds=[port])
    os.close(user)
    os.close(port)
    container.let_go()
    descriptors = procfs.Process(hold.wait()).descriptors()
    assert set(descriptors) == {0, 1, 2, 3, 6}, "neither the sync pipe nor the start pipe"
    assert descriptors[3] == str(directory / "user")
    assert descriptors[6] == str(directory / "port")
    hold.let_go()
    assert container.report()["data"] > 0
    container.start()
    assert container.wait() == 0


def test_socket_activation_of_others_passes_through(new_container):
    container = new_container()
    container.environment.update(LISTEN_FDS="1", LISTEN_PID="1")
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    assert runtime.environment()["LISTEN_PID"] == "1"
    assert runtime.environment()["LISTEN_FDS"] == "1"


@pytest.mark.parametrize("value", ["", "abc", "0", "-1", "5x", "0x5", "5 ", "99999999999"])
def test_socket_activation_of_nobody(new_container, value):
    """The engine hears of it before anything is started."""
    container = new_container()
    container.environment["LISTEN_PID"] = value
    hold = container.hold_runtime()
    assert container.create_fails() == f"Invalid LISTEN_PID {value}"
    assert container.line() == b""
    assert container.wait() == 1
    assert not hold.reached()
    assert not os.path.lexists(container.bundle / "attach")


def listen_pid(container, **how):
    """What the runtime sees, its pid, and what the exit command sees."""
    seen = container.top / "seen"
    container.options["--exit-command"] = "/bin/sh"
    container.options["--exit-command-arg"] = ["-c", 'echo "$LISTEN_PID" > "$0"', str(seen)]
    container.environment["LISTEN_FDS"] = "1"
    container.environment["LISTEN_FDNAMES"] = "web"
    hold = container.hold_runtime()
    container.launch(**how)
    container.let_go()
    runtime = procfs.Process(hold.wait())
    environment = runtime.environment()
    assert (environment["LISTEN_FDS"], environment["LISTEN_FDNAMES"]) == ("1", "web")
    assert list(environment).count("LISTEN_PID") <= 1
    hold.let_go()
    assert container.report()["data"] > 0
    container.start()
    assert container.wait() == 0
    return environment.get("LISTEN_PID"), runtime.pid, seen.read_text().strip()


def test_socket_activation_is_replaced_on_demand(new_container):
    container = new_container(command="exit 0")
    container.environment["LISTEN_PID"] = "1"
    container.options["--replace-listen-pid"] = True
    seen, runtime, at_the_end = listen_pid(container)
    assert seen == str(runtime)
    assert at_the_end == "1"


def test_socket_activation_of_the_monitor(new_container):
    container = new_container(command="exit 0")
    container.options["--sync"] = True

    def name_the_monitor():
        container.environment["LISTEN_PID"] = str(os.getpid())

    seen, runtime, at_the_end = listen_pid(container, prepare=name_the_monitor)
    assert seen == str(runtime)
    assert at_the_end == str(container.monitor.pid)


def test_socket_activation_of_another(new_container):
    container = new_container(command="exit 0")
    container.environment["LISTEN_PID"] = "2147483647"
    seen, _, at_the_end = listen_pid(container)
    assert seen == at_the_end == "2147483647"


def test_no_socket_activation_to_replace(new_container):
    container = new_container(command="exit 0")
    container.options["--replace-listen-pid"] = True
    seen, _, at_the_end = listen_pid(container)
    assert seen is None
    assert at_the_end == ""


def test_preserved_descriptors_with_socket_activation(new_container, directory):
    """They keep their numbers, and are open in the runtime."""
    users = [os.open(directory / f"user-{number}", os.O_RDWR | os.O_CREAT) for number in range(3)]
    container = new_container(command="exit 0")
    container.environment["LISTEN_PID"] = "1"
    container.options["--replace-listen-pid"] = True
    container.options["--runtime-opt"] = ["--preserve-fds", "3"]
    hold = container.hold_runtime()
    container.launch(user_fds=users)
    for fd in users:
        os.close(fd)
    container.let_go()
    runtime = procfs.Process(hold.wait())
    descriptors = runtime.descriptors()
    assert [descriptors.pop(fd) for fd in (3, 4, 5)] == [str(directory / f"user-{number}") for number in range(3)]
    assert set(descriptors) == {0, 1, 2}
    assert runtime.environment()["LISTEN_PID"] == str(runtime.pid)


def test_runtime_dies_with_the_monitor(new_container):
    container = new_container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    container.signal_monitor(signal.SIGKILL)
    container.wait()
    wait_until(lambda: not runtime.alive(), "the runtime to be killed")


def test_sync_pipe_is_not_inherited(new_container):
    """The engine sees the end of the pipe as soon as the monitor has gone, though the container lives on."""
    container = new_container(command="exec sleep 1000")
    container.create()
    container.start()
    container.signal_monitor(signal.SIGKILL)
    assert container.line() == b""
    assert procfs.Process(container.pid).alive()


def test_everything_is_ready_when_the_pid_is_reported(new_container):
    container = new_container(command="exit 0")
    container.create()
    mode = (container.bundle / "ctl").stat().st_mode
    assert stat.S_ISFIFO(mode) and stat.S_IMODE(mode) == 0o640
    assert (container.bundle / "winsz").is_fifo()
    mode = (container.bundle / "attach").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o700
    container.control("1 24 80\n")
    container.attach()


def test_attach_is_ready_before_the_runtime(new_container):
    container = new_container(command="echo hello")
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    hold.wait()
    client = container.attach()
    container.control("1 24 80\n")
    hold.let_go()
    assert container.report()["data"] > 0
    container.start()
    engine.receive_all(client)
    assert client.output() == b"hello\n"


def test_stale_files_in_the_bundle_are_replaced(new_container):
    container = new_container(command="exit 0")
    for name in ("attach", "ctl", "winsz"):
        (container.bundle / name).write_text("stale")
    container.create()
    container.control("1 24 80\n")
    container.attach()


def test_two_hundred_containers(new_container):
    for number in range(200):
        with engine.Container(
            new_container.directory / f"many-{number}", f"echo {number}; exit {number}", cid=f"id-{number}"
        ) as container:
            assert container.run() == number
            assert container.exit_file.read_bytes() == b"%d" % number
            assert container.output() == b"%d\n" % number


def test_fifty_containers_at_once(new_container):
    containers = [new_container(command=f"echo {n}; exit {n}", cid=f"id-{n}") for n in range(50)]
    for container in containers:
        container.launch()
    for container in containers:
        container.let_go()
    for container in containers:
        assert container.report()["data"] > 0
    for container in containers:
        container.start()
    for number, container in enumerate(containers):
        assert container.wait() == number
        assert container.exit_file.read_bytes() == b"%d" % number
        assert container.output() == b"%d\n" % number
