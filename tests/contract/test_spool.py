"""The spool of attach clients: what one has not read yet is kept for it, and the container goes on."""

import concurrent.futures
import os
import resource
import socket
import stat
import time

import pytest

import engine
import procfs
from crashes import is_idle, wait_at_rest
from waiting import wait_until

MEBIBYTE = 1 << 20
# Nobody says how much the disk below the tests may be used by default: a tmpfs has less.
PLENTY = str(1 << 30)

WAITS = "cat content; read word < go; exit 7"
TOO_MUCH = "head -c 4000000 /dev/zero; exit 7"


def with_content(container, size):
    """Random bytes, and a last line by which wait_logged() knows them."""
    end = b"\nthe end\n"
    content = os.urandom(size - len(end)) + end
    (container.bundle / "content").write_bytes(content)
    return content


def spool_files(monitor):
    """What the monitor's spool files are, by stat; they have no name any more."""
    found = []
    for fd, target in monitor.descriptors().items():
        if target.endswith(" (deleted)") and "/bundle/" in target:
            try:
                found.append((monitor.path / "fd" / str(fd)).stat())
            except FileNotFoundError:
                pass
    return found


def disk_use(monitor):
    return sum(st.st_blocks * 512 for st in spool_files(monitor))


def wait_logged(container, times=1):
    """Waits until the content is in the log, so often."""
    wait_until(
        lambda: container.log.exists() and container.log.read_bytes().count(b" F the end\n") == times,
        "the content in the log",
    )


def receive_bytes(client, size):
    """Serves a client until it has that much of standard output."""
    got = 0
    while got < size:
        before = len(client.packets)
        client.receive()
        assert not client.at_end
        got += sum(len(data) for _, data in client.packets[before:])


def is_held(container):
    """Whether the container's pipe is full, and its monitor sleeps."""
    return is_idle(container.monitor.pid) and any(
        is_writing(pid) for pid in [container.pid, *(pid for pid, _ in procfs.children(container.pid))]
    )


def is_writing(pid):
    try:
        return (procfs.Process(pid).path / "syscall").read_text().split()[0] == "1"
    except (OSError, IndexError):
        return False


def wait_held(container):
    """Nothing has moved for a while: a container that is about to be held writes and waits, too."""
    seen = [0]

    def still():
        seen[0] = seen[0] + 1 if is_held(container) else 0
        return seen[0] > 50

    wait_until(still, "the container to be held")


def activity(monitor):
    """How often it has gone to sleep, and for how many clock ticks it has run."""
    fields = monitor.stat()
    return int(monitor.status()["voluntary_ctxt_switches"]), int(fields[11]) + int(fields[12])


def check_idle(monitor):
    """It has nothing to do, and does nothing: no busy loop, and no looking around."""
    wait_at_rest(monitor.pid)
    before = activity(monitor)
    time.sleep(2)  # not to wait for anything: this is the time that is looked at
    after = activity(monitor)
    switches, ticks = (after[i] - before[i] for i in range(2))
    print(f"{switches} times asleep and {ticks} ticks of CPU in 2 seconds")
    assert switches <= 10
    assert ticks <= 0.2 * 2 * os.sysconf("SC_CLK_TCK")


# Room for everything


def test_client_that_reads_only_after_the_end(new_container):
    """Nobody waits for it: not the container, not the log, not the exit files."""
    container = new_container(command=WAITS)
    container.options["--attach-spool-max"] = PLENTY
    go = container.fifo("go")
    content = with_content(container, 32_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_logged(container)
    check_idle(container.monitor)
    os.write(go, b"\n")
    wait_until(container.exit_file.exists, "the exit file")
    assert container.exit_file.read_bytes() == b"7"
    assert container.output() == content
    assert not container.monitor_ended()
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


def test_both_streams(new_container):
    container = new_container(command="cat content; cat content >&2; exit 7")
    container.options["--attach-spool-max"] = PLENTY
    content = with_content(container, 2_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    assert len(spool_files(container.monitor)) == 2
    engine.receive_all(client)
    assert container.wait() == 7
    for stream in ("stdout", "stderr"):
        assert client.output(stream) == content
        assert container.output(stream) == content


def test_default_maximum(new_container):
    """More than a pipe, a socket and the buffers can hold fits wherever the bundle is."""
    container = new_container(command="cat content; exit 7")
    content = with_content(container, 3_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


def receive_slowly(client, pause):
    while not client.at_end:
        client.receive()
        time.sleep(pause)


def test_clients_of_different_speeds(new_container):
    container = new_container(command=WAITS)
    container.options["--attach-spool-max"] = PLENTY
    go = container.fifo("go")
    content = with_content(container, 6_000_000)
    container.create()
    early = [container.attach() for _ in range(4)]
    container.start()
    with concurrent.futures.ThreadPoolExecutor(len(early)) as threads:
        serving = [
            threads.submit(engine.receive_all, early[0]),
            threads.submit(receive_slowly, early[1], 0.0005),
            threads.submit(receive_slowly, early[2], 0.001),
        ]
        wait_logged(container)
        late = container.attach()
        os.write(go, b"\n")
        wait_until(container.exit_file.exists, "the exit file")
        engine.receive_all(early[3], late)
        for served in serving:
            served.result()
    assert container.wait() == 7
    for client in early:
        assert client.output() == content
    assert late.output() == b""


def test_client_that_goes_on(new_container):
    """It comes back from the spool to what is written now, more than once."""
    script = "for i in 1 2 3; do cat content; read word < go; done; exit 7"
    container = new_container(command=script)
    container.options["--attach-spool-max"] = PLENTY
    go = container.fifo("go")
    content = with_content(container, 1_000_000)
    container.create()
    client = container.attach()
    container.start()
    for turn in range(1, 4):
        wait_logged(container, turn)
        assert spool_files(container.monitor)
        receive_bytes(client, len(content))
        wait_until(lambda: not spool_files(container.monitor), "the spool to be gone")
        os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == 3 * content


def test_spool_that_is_no_longer_needed(new_container):
    """The files have no name, nobody else can open them, and what has been read of them takes no room."""
    container = new_container(command=WAITS)
    container.options["--attach-spool-max"] = PLENTY
    go = container.fifo("go")
    content = with_content(container, 8_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_logged(container)
    names = os.listdir(container.bundle)
    files = spool_files(container.monitor)
    assert [stat.S_IMODE(st.st_mode) for st in files] == [0o600]
    assert disk_use(container.monitor) > 7_000_000
    receive_bytes(client, 5_000_000)
    wait_until(lambda: disk_use(container.monitor) < 4_000_000, "the room of what has been read")
    receive_bytes(client, len(content) - len(client.output()))
    wait_until(lambda: not spool_files(container.monitor), "the spool to be gone")
    assert os.listdir(container.bundle) == names
    os.write(go, b"\n")
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


@pytest.mark.parametrize("how", ["closes", "half-closes"])
def test_client_that_leaves(new_container, how):
    """What was kept for it is gone, too. Who only closes its own direction still listens."""
    container = new_container(command=WAITS)
    container.options["--attach-spool-max"] = PLENTY
    go = container.fifo("go")
    content = with_content(container, 1_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_logged(container)
    assert spool_files(container.monitor)
    if how == "closes":
        client.close()
        wait_until(lambda: not spool_files(container.monitor), "the spool to be gone")
    else:
        client.socket.shutdown(socket.SHUT_WR)
        engine_says = container.attach()  # accepted after the other's end of input has been seen
        os.write(go, b"\n")
        engine.receive_all(client, engine_says)
        assert client.output() == content
    os.write(go, b"\n")
    assert container.wait() == 7


def test_late_client_is_not_dropped_while_there_is_room(new_container):
    container = new_container(command="echo one; read word < go; cat content; sleep 2; exit 7")
    container.options["--attach-spool-max"] = PLENTY
    container.options["--attach-stall-timeout"] = "1"
    go = container.fifo("go")
    content = with_content(container, 1_000_000)
    container.create()
    container.start()
    container.wait_log(b"one")
    client = container.attach()
    os.write(go, b"\n")
    wait_until(container.exit_file.exists, "the exit file")
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


def test_linger(new_container):
    """After the end nobody waits for ever."""
    container = new_container(command="head -c 1000000 /dev/zero; exit 7")
    container.options["--attach-spool-max"] = PLENTY
    container.options["--attach-linger"] = "1"
    container.create()
    client = container.attach()
    container.start()
    assert container.wait() == 7
    engine.receive_all(client)
    assert 0 < len(client.output()) < 1_000_000


def test_linger_begins_at_the_end(new_container):
    """Who has read nothing for longer than that before the end still has all of it."""
    container = new_container(command="cat content; sleep 6; exit 7")
    container.options["--attach-spool-max"] = PLENTY
    container.options["--attach-linger"] = "5"
    content = with_content(container, 1_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    time.sleep(1)  # such clients are not fast
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


def test_linger_for_a_slow_client(new_container):
    """It takes longer for what its socket holds than one may read nothing: but it reads."""
    container = new_container(command="cat content; exit 7")
    container.options["--attach-spool-max"] = PLENTY
    container.options["--attach-linger"] = "1"
    content = with_content(container, 400_000)
    container.create()
    client = container.attach()
    container.start()
    wait_until(container.exit_file.exists, "the exit file")
    receive_slowly(client, 0.1)
    assert container.wait() == 7
    assert client.output() == content


def test_no_linger(new_container):
    container = new_container(command="head -c 1000000 /dev/zero; exit 7")
    container.options["--attach-spool-max"] = PLENTY
    container.options["--attach-linger"] = "0"
    container.create()
    container.attach()
    container.start()
    assert container.wait() == 7
    assert container.output() == bytes(1_000_000)


# No room any more


def little_room():
    """No file may become larger; a container that logs nothing needs no larger one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEBIBYTE, MEBIBYTE))


def test_maximum_with_an_early_client(new_container):
    """The container waits for it, and not a byte is lost."""
    container = new_container(command="cat content; exit 7")
    container.options["--log-path"] = "none"
    container.options["--attach-stall-timeout"] = "1"
    content = with_content(container, 4_000_000)
    container.create(prepare=little_room)
    client = container.attach()
    container.start()
    wait_held(container)
    assert MEBIBYTE <= disk_use(container.monitor) < MEBIBYTE + 65536
    check_idle(container.monitor)
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


def test_maximum_with_a_late_client(new_container):
    """It is dropped, and who came early has everything."""
    container = new_container(command="echo one; read word < go; cat content; exit 7")
    container.options["--log-path"] = "none"
    container.options["--attach-stall-timeout"] = "1"
    go = container.fifo("go")
    content = with_content(container, 4_000_000)
    container.create(prepare=little_room)
    early = container.attach()
    container.start()
    receive_bytes(early, len(b"one\n"))
    late = container.attach()
    os.write(go, b"\n")
    engine.receive_all(early)
    assert container.wait() == 7
    assert early.output() == b"one\n" + content
    engine.receive_all(late)
    assert late.output()
    assert content.startswith(late.output()) and len(late.output()) < len(content)


@pytest.mark.parametrize("size", ["0", "100000", str(MEBIBYTE)])
def test_explicit_maximum(new_container, size):
    """It holds for early clients, too: they are dropped, and the container goes on."""
    container = new_container(command=TOO_MUCH)
    container.options["--attach-spool-max"] = size
    container.options["--attach-stall-timeout"] = "1"
    container.create()
    client = container.attach()
    container.start()
    assert container.wait() == 7
    assert container.output() == bytes(4_000_000)
    engine.receive_all(client)
    assert 0 < len(client.output()) < 4_000_000


def test_client_that_reads_at_the_maximum(new_container):
    """However slowly: it is not dropped, and the container has its pace."""
    container = new_container(command="cat content; exit 7")
    container.options["--attach-spool-max"] = "100000"
    content = with_content(container, 4_000_000)
    container.create()
    client = container.attach()
    container.start()
    receive_slowly(client, 0.0002)
    assert container.wait() == 7
    assert client.output() == content
    assert container.output() == content


def test_no_room_at_all(new_container):
    """A spool that cannot be made is as one that is full; and it is not tried again and again."""
    container = new_container(command="cat content; exit 7")
    container.options["--log-path"] = "none"
    content = with_content(container, 4_000_000)
    container.create(prepare=engine.obey_file_modes)
    container.bundle.chmod(0o500)
    client = container.attach()
    container.start()
    wait_held(container)
    assert not spool_files(container.monitor)
    check_idle(container.monitor)
    container.bundle.chmod(0o700)
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == content


def test_room_that_ends(new_container):
    """What was written before the first failure is served from the file, the rest from memory."""
    container = new_container(command="cat content; read word < go; cat content; exit 7")
    container.options["--log-path"] = "none"
    go = container.fifo("go")
    content = with_content(container, 3_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_until(lambda: disk_use(container.monitor) > 2_500_000, "most of it in the spool")
    wait_at_rest(container.monitor.pid)
    resource.prlimit(container.monitor.pid, resource.RLIMIT_FSIZE, (3_100_000, 3_100_000))
    os.write(go, b"\n")
    wait_held(container)
    check_idle(container.monitor)
    engine.receive_all(client)
    assert container.wait() == 7
    assert client.output() == 2 * content


def test_file_that_somebody_has_cut(new_container):
    """What a client is owed cannot be had any more: its connection ends, rather than go on with a gap."""
    container = new_container(command=WAITS)
    container.options["--attach-spool-max"] = PLENTY
    go = container.fifo("go")
    content = with_content(container, 1_000_000)
    container.create()
    client = container.attach()
    container.start()
    wait_logged(container)
    cut = [fd for fd, target in container.monitor.descriptors().items() if "/bundle/#" in target]
    os.truncate(container.monitor.path / "fd" / str(cut[0]), 0)
    engine.receive_all(client)
    assert client.output()
    assert content.startswith(client.output())
    os.write(go, b"\n")
    assert container.wait() == 7
    assert container.output() == content
