"""What others see in which order: an engine that hears of one thing looks for the next ones at once, and only once."""

import contextlib
import os
import signal

import pytest

import engine
import order
import procfs
import traces
from memory import HOG, Cgroup, needed
from waiting import Watch, wait_until


@pytest.fixture(autouse=True)
def one_processor():
    with order.one_processor():
        yield


@pytest.fixture
def watch():
    with contextlib.ExitStack() as made:

        def new(*directories, mask=Watch.CREATE | Watch.DELETE | Watch.MOVED_TO | Watch.MODIFY):
            return made.enter_context(contextlib.closing(Watch(*directories, mask=mask)))

        yield new


def has_reader(path):
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    return True


def check_order(events, wanted):
    """The first of each of these; all must be there."""
    places = [events.index(event) for event in wanted]
    assert places == sorted(places), events


def last(events, event):
    return max(place for place, one in enumerate(events) if one == event)


def is_end_of_page(event, pid):
    mask, path = event
    return mask == Watch.DELETE and path.name.startswith(f"{pid}-") and path.suffix == ".state"


# The start


@pytest.mark.parametrize("family", [engine.PODMAN, engine.CRIO], ids=lambda family: family.name)
def test_pid(new_container, family):
    """Whoever hears of it can attach, send requests, and look at the page."""
    container = new_container(command="echo hello", family=family)
    container.launch(prepare=order.step_back)
    container.say_go()
    pid = container.report()["data"]
    client = container.attach()
    assert has_reader(container.bundle / "ctl") and has_reader(container.bundle / "winsz")
    assert family is engine.PODMAN or os.readlink(container.sockets / container.cid) == str(container.bundle)
    assert int(container.pidfile.read_bytes()) == pid
    container.wait_first()
    container.start()
    engine.receive_all(client)
    assert client.output() == b"hello\n"
    assert container.wait() == 0


def test_word_that_an_exec_can_be_attached(new_exec):
    process = new_exec(command="echo hello")
    process.launch(prepare=order.step_back)
    process.say_go()
    assert process.line("attach") == b'{"data": 0}\n'
    client = process.attach()
    assert has_reader(process.bundle / "ctl") and has_reader(process.bundle / "winsz")
    process.wait_first()
    process.go()
    assert process.report()["data"] > 0
    engine.receive_all(client)
    assert client.output() == b"hello\n"


def test_detached_run(new_run):
    run = new_run("exit 7")
    run.options.update({"--detach": True, "--pidfile": run.monitor_pidfile})
    run.launch(preexec_fn=order.step_back)
    assert run.wait() == 0
    assert int(run.pidfile.read_bytes()) > 0
    assert run.wait_monitor() == 7


# The end


def test_end_of_the_pipe(new_container):
    """All of the report is there, before the exit command has ended: it may wait for who waits for that end."""
    container = new_container(command="seq 1 5000; exit 5")
    hold = container.hold_exit_command()
    container.create(prepare=order.step_back)
    container.start()
    assert container.line() == b""
    assert not (container.bundle / "attach").exists()
    assert (container.persist / "exit").read_bytes() == b"5" == container.exit_file.read_bytes()
    assert container.output().endswith(b"\n5000\n")
    hold.wait()
    hold.let_go()
    assert container.wait() == 5


def test_status_for_podman(new_exec):
    process = new_exec(command="seq 1 5000; exit 5")
    process.log_to_file()
    process.execute(prepare=order.step_back)
    assert process.report() == {"data": 5}
    assert (process.persist / "exit").read_bytes() == b"5" == process.exit_file.read_bytes()
    assert not (process.bundle / "attach").exists()
    assert process.output().endswith(b"\n5000\n")
    assert process.wait() == 5


def test_status_for_cri_o(new_exec_sync):
    process = new_exec_sync(command="seq 1 5000; exit 5")
    process.launch(prepare=order.step_back)
    process.let_go()
    assert process.report() == {"exit_code": 5, "data": 5}
    assert process.output().endswith(b"\n5000\n")
    assert process.wait() == 5


@pytest.mark.parametrize("family", [engine.PODMAN, engine.CRIO], ids=lambda family: family.name)
def test_report(new_container, watch, family):
    """The output, the names in the file system, the exit files, and last the page."""
    container = new_container(command="read word < go; seq 1 5000; printf tail; exit 5", family=family)
    container.options.update({"--late-output": "0", "--log-partial-flush": "never"})
    go = container.fifo("go")
    seen = watch(container.logs, container.bundle, container.sockets, container.persist, container.exits, traces.PAGES)
    container.create()
    container.start()
    # It finds the end before it has read what was printed.
    container.pause_monitor()
    os.write(go, b"\n")
    container.wait_dead()
    seen.take()
    container.resume_monitor()
    assert container.wait() == 5
    events = seen.take()
    wanted = [
        (Watch.DELETE, container.bundle / "attach"),
        *([(Watch.DELETE, container.sockets / container.cid)] if family is engine.CRIO else []),
        (Watch.MOVED_TO, container.persist / "exit"),
        (Watch.MOVED_TO, container.exit_file),
        *[event for event in events if is_end_of_page(event, container.monitor.pid)],
    ]
    check_order(events, wanted)
    assert last(events, (Watch.MODIFY, container.log)) < events.index(wanted[0])
    assert is_end_of_page(wanted[-1], container.monitor.pid)
    assert container.output().endswith(b"\n5000\ntail")


def test_start_that_fails(new_container, watch):
    container = new_container()
    (container.bundle / "winsz").mkdir()
    seen = watch(container.bundle, traces.PAGES)
    assert "winsz" in container.create_fails()
    assert container.wait() == 1
    events = seen.take()
    (page,) = [event for event in events if is_end_of_page(event, container.monitor.pid)]
    check_order(events, [(Watch.DELETE, container.bundle / "attach"), page])


def test_fifo_of_a_run(new_run, watch):
    """Who finds a page may look for it."""
    run = new_run("exit 7")
    seen = watch(traces.PAGES)
    run.launch()
    assert run.wait() == 7
    gone = [path.suffix for mask, path in seen.take() if mask == Watch.DELETE and path.name.startswith(f"{run.pid}-")]
    assert gone == [".ctl", ".state"]


def check_oom_first(container, events):
    check_order(
        events,
        [
            (Watch.CREATE, container.persist / "oom"),
            (Watch.CREATE, container.bundle / "oom"),
            (Watch.MOVED_TO, container.persist / "exit"),
            (Watch.MOVED_TO, container.exit_file),
        ],
    )


@pytest.fixture
def cgroup():
    with contextlib.closing(Cgroup()) as one:
        yield one


@needed
def test_kill_for_want_of_memory(new_container, cgroup, watch):
    """An engine that sees an exit file looks for the others only then."""
    container = new_container(command=f"exec {HOG}")
    seen = watch(container.bundle, container.persist, container.exits)
    cgroup.take(container)
    container.create()
    container.pause_monitor()
    container.start()
    container.wait_dead()
    container.resume_monitor()
    assert container.wait() == 137
    check_oom_first(container, seen.take())


@needed
def test_kill_at_once(new_container, cgroup, watch):
    """The engine starts the container as soon as it knows its pid, however long its monitor does nothing then."""
    container = new_container(command=f"exec {HOG}")
    seen = watch(container.bundle, container.persist, container.exits)
    cgroup.take(container)
    hold = container.hold_runtime()
    container.launch(prepare=order.step_back)
    container.let_go()
    hold.wait()
    hold.let_go()
    container.pid = container.report()["data"]
    container.pause_monitor()
    container.start()
    container.wait_dead()
    container.resume_monitor()
    assert container.wait() == 137
    check_oom_first(container, seen.take())


@needed
def test_kill_in_a_cgroup_that_is_removed(new_container, cgroup, watch):
    """As systemd does as soon as the container has ended. Whoever still may print is somewhere else."""
    (cgroup.path / "cgroup.event_control").chmod(0o400)
    container = new_container(
        command=f"sh -c 'echo $$ > {cgroup.path.parent}/cgroup.procs; echo left; exec sleep 1000' &"
        f" read word < go; exec {HOG}"
    )
    container.options["--late-output"] = "4000"
    go = container.fifo("go")
    seen = watch(container.bundle, container.persist, container.exits)
    cgroup.take(container)
    container.create(prepare=engine.obey_file_modes)
    container.start()
    container.wait_log(b"left")
    os.write(go, b"\n")
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container's end to be seen")
    cgroup.remove()
    container.signal_monitor(signal.SIGTERM)
    assert container.wait() == 137
    check_oom_first(container, seen.take())


@needed
def test_kill_that_is_found_at_the_end(new_container, cgroup, watch):
    """Of a process that the container has left behind, when the kernel tells nothing: it was asked not to."""
    (cgroup.path / "cgroup.event_control").chmod(0o400)
    container = new_container(
        command=f"sh -c 'read word < hog; exec {HOG}' > /dev/null 2>&1 & sleep 1000 & echo end; exit 5"
    )
    container.options["--late-output"] = "4000"
    hog = container.fifo("hog")
    seen = watch(container.bundle, container.persist, container.exits)
    cgroup.take(container)
    container.create(prepare=engine.obey_file_modes)
    container.start()
    wait_until(lambda: not procfs.Process(container.pid).exists(), "the container's end to be seen")
    os.write(hog, b"\n")
    wait_until(lambda: cgroup.kills() == 1, "the kill")
    assert not any(path.name == "oom" for _, path in seen.take())
    container.signal_monitor(signal.SIGTERM)
    assert container.wait() == 5
    check_oom_first(container, seen.take())


# A new log


@pytest.mark.parametrize("who", ["moved", "rotated"])
def test_old_log(new_container, watch, who):
    """As soon as there is a new one nothing is written to it any more, though the container prints without a break."""
    container = new_container(command="while :; do echo hello; done")
    if who == "rotated":
        container.options.update({"--log-rotate": True, "--log-max-files": "100"})
    container.create(prepare=order.step_back)
    container.start()
    container.wait_log(b"hello")
    for number in range(20):
        old = os.open(container.log, os.O_RDONLY)
        seen = watch(container.logs, mask=Watch.CREATE | Watch.MOVED_TO)
        if who == "moved":
            container.log.rename(container.logs / f"old.{number}")
        container.control("2 0 0\n")
        seen.wait(lambda mask, path: mask == Watch.MOVED_TO and path == container.log, "the new log")
        size = os.fstat(old).st_size
        container.wait_log(b"hello")
        assert os.fstat(old).st_size == size
        os.close(old)
