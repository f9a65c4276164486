"""Settings of a whole node: where they come from, which of them holds, and that nothing that is wrong with them keeps a
container from starting."""

import os
import pathlib
import socket
import subprocess

import pytest

import engine
from crashes import crash, image, page
from node import Node
from test_page import TEXTS, files
from waiting import LIMIT, wait_until

DEFAULT = 16384
NAMES = ["vendor", "file", "directory", "later in the directory", "environment", "option"]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")


def enters(node):
    """Whether it can be entered here; some sandboxes forbid it."""
    return subprocess.run(["true"], preexec_fn=node.enter, check=False).returncode == 0


def make_node(top, **how):
    node = Node(top, **how)
    try:
        enters(node)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no mount namespace: {error}")
    return node


@pytest.fixture
def node(directory):
    return make_node(directory / "node")


def conf(**settings):
    return "[conward]\n" + "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in settings.items())


def create(container, node, prepare=None):
    """The whole create flow on the node. Returns what was said on standard error."""

    def enter():
        node.enter()
        if prepare is not None:
            prepare()

    container.launch(prepare=enter)
    said = container.let_go().decode()
    container.pid = container.report()["data"]
    assert container.pid > 0
    return said


def run(container, node, **how):
    """The same to the end, which must be a good one."""
    said = create(container, node, **how)
    container.start()
    assert container.wait() == 0
    return said


def written_down(pid):
    """Settings that are written down behind the page, and where they came from: {name: "FROM VALUE"}."""
    (path,) = files(pid, ".state")
    words = path.read_bytes()[TEXTS:].split(b"\0")
    texts = dict(word.decode().split("=", 1) for word in words if word)
    found = {}
    for name, text in texts.items():
        if name.startswith("set:"):
            where, _, value = text.partition(" ")
            found[name[4:]] = (texts[f"file:{where[1:]}"] if where.startswith("f") else where, value)
    return found


# Which of them holds


@pytest.mark.parametrize("count", range(len(NAMES) + 1), ids=["none", *NAMES])
def test_order(new_container, node, count):
    """The first `count` places have a value, and the last of them holds."""
    container = new_container(command="true")
    paths = [node.vendor, node.conf, node.directory / "10-a.conf", node.directory / "9-b.conf"]
    for number, path in enumerate(paths[:count]):
        path.write_text(conf(log_line_max=1000 + number))
    if count > NAMES.index("environment"):
        container.environment["CONWARD_LOG_LINE_MAX"] = "1004"
    if count > NAMES.index("option"):
        container.options["--log-line-max"] = "1005"
    assert create(container, node) == ""
    assert page(container.monitor.pid)["log_line_max"] == (DEFAULT if count == 0 else 999 + count)
    if os.geteuid() == 0:
        where = {5: "e", 6: "o"}.get(count) or node.seen(paths[count - 1])
        expected = {"log-line-max": (where, str(999 + count))} if count > 0 else {}
        assert written_down(container.monitor.pid) == expected
    container.start()
    assert container.wait() == 0


def test_each_comes_from_where_it_is(new_container, node):
    container = new_container(command="true")
    node.conf.write_text(conf(log_line_max=1000, log_partial_flush=7))
    (node.directory / "a.conf").write_text(conf(log_line_max=2000))
    assert create(container, node) == ""
    now = page(container.monitor.pid)
    assert (now["log_line_max"], now["log_partial_flush"]) == (2000, 7)
    container.start()
    assert container.wait() == 0


def test_a_wrong_value_counts_as_none(new_container, node):
    container = new_container(command="true")
    node.vendor.write_text(conf(log_line_max=1000))
    node.conf.write_text(conf(log_line_max=-1, log_partial_flush="now"))
    container.environment["CONWARD_LOG_LINE_MAX"] = "0x400"
    said = create(container, node)
    lines = said.splitlines()
    assert [line.split(":")[0] for line in lines] == ["[conmon"] * 3
    assert lines[0].startswith("[conmon:w]: /etc/conward/conward.conf: log-line-max -1 is refused: ")
    assert "use a number of bytes" in lines[0]
    assert "/etc/conward/conward.conf: log-partial-flush 'now' is refused: use " in lines[1]
    assert "In the environment, CONWARD_LOG_LINE_MAX '0x400' is refused: use " in lines[2]
    now = page(container.monitor.pid)
    assert (now["log_line_max"], now["log_partial_flush"]) == (1000, 100)
    container.start()
    assert container.wait() == 0


@pytest.mark.parametrize("length", [100, 1000, 60000])
def test_a_long_value_does_not_hide_what_to_use(new_container, node, length):
    container = new_container(command="true")
    node.conf.write_text(conf(log_line_max="x" * length))
    said = run(container, node)
    assert "use a number of bytes from 256" in said or "is too long; make it shorter" in said
    assert len(said) < 500


def test_only_the_command_line_must_be_right(new_container, node):
    container = new_container(command="true")
    container.options["--log-line-max"] = "0"
    container.launch(prepare=node.enter)
    assert b"[conmon:e]: --log-line-max 0 is refused" in container.let_go(status=1)


def test_empty_variables_are_none(new_container, node):
    container = new_container(command="true")
    container.environment["CONWARD_LOG_LINE_MAX"] = ""
    assert run(container, node) == ""


def big(container):
    """A log of more than 3000 bytes, and how much of it is there in the end."""
    container.stub("command", "i=0; while [ $i -lt 100 ]; do echo line number $i; i=$((i + 1)); done")
    return lambda: container.log.stat().st_size


@pytest.mark.parametrize("given", [None, "-1", "0", "100000"])
def test_size_limit_where_the_engine_gives_none(new_container, node, given):
    container = new_container()
    size = big(container)
    node.conf.write_text(conf(log_size_max=1000))
    container.options["--log-size-max"] = given
    assert run(container, node) == ""
    assert (size() <= 1000) == (given is None)
    assert container.records()[-1].content == b"line number 99"


def test_the_environment_goes_on_unchanged(new_container, node):
    container = new_container(command='echo "$CONWARD_LOG_LINE_MAX"')
    container.environment["CONWARD_LOG_LINE_MAX"] = "300"
    container.options["--exit-command"] = "/bin/sh"
    container.options["--exit-command-arg"] = ["-c", 'echo "$CONWARD_LOG_LINE_MAX" > "$0"', str(container.top / "said")]
    assert run(container, node) == ""
    assert container.output() == b"300\n"
    assert (container.top / "said").read_text() == "300\n"


# What is wrong


def garbage(path):
    path.write_text("[conward]\nlog-line-max = 300\nwhat is this?\n")


def binary(path):
    path.write_bytes(bytes(range(256)) * 10)


def fifo(path):
    os.mkfifo(path)


def directory_there(path):
    path.mkdir()


def dangling(path):
    path.symlink_to("nothing")


def to_a_device(path):
    path.symlink_to("/dev/zero")


def to_itself(path):
    path.symlink_to(path.name)


def huge(path):
    path.write_text("[conward]\nlog-line-max = 300\n" + "#" * 65536)


def sparse(path):
    path.touch()
    os.truncate(path, 1 << 40)


def socket_there(path):
    """Its path may be too long for a socket's."""
    fd = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{fd}/{path.name}")
    finally:
        os.close(fd)


def for_all_to_write(path):
    path.write_text(conf(log_line_max=300))
    path.chmod(0o666)


def unreadable(path):
    path.write_text(conf(log_line_max=300))
    path.chmod(0)


def of_somebody(path):
    path.write_text(conf(log_line_max=300))
    os.chown(path, 12345, 0)


def no_section(path):
    path.write_text("log-line-max = 300\n")


def other_section(path):
    path.write_text("[conmon]\nlog-line-max = 300\n")


def unknown(path):
    path.write_text("[conward]\nlog-line-maximum = 300\n")


def wrong_value(path):
    path.write_text("[conward]\nlog-line-max = plenty\n")


BROKEN = [
    garbage,
    binary,
    fifo,
    directory_there,
    dangling,
    to_a_device,
    to_itself,
    huge,
    sparse,
    socket_there,
    for_all_to_write,
    unreadable,
    pytest.param(of_somebody, marks=AS_ROOT),
    no_section,
    other_section,
    unknown,
    wrong_value,
]


@pytest.mark.parametrize("make", BROKEN)
def test_what_is_wrong_is_a_warning(new_container, node, make):
    """Exactly one, which names the file; and the default holds."""
    container = new_container(command="echo hello")
    make(node.conf)
    said = create(container, node, prepare=engine.obey_file_modes)
    assert said.count("\n") == 1
    assert said.startswith("[conmon:w]: /etc/conward/conward.conf")
    assert said.rstrip().endswith("is ignored")
    assert page(container.monitor.pid)["log_line_max"] == DEFAULT
    container.start()
    assert container.wait() == 0
    assert container.output() == b"hello\n"


@pytest.mark.parametrize("make", BROKEN)
def test_version_and_help_look_at_nothing(node, make):
    """CRI-O takes standard output and error apart together."""
    for path in (node.vendor, node.conf, node.directory / "a.conf"):
        make(path)
    for option in ("--version", "--help"):
        expected = subprocess.run([engine.conward(), option], capture_output=True, check=True)
        done = subprocess.run(
            [engine.conward(), option], capture_output=True, check=False, preexec_fn=node.enter, timeout=LIMIT
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, b"")


@pytest.mark.parametrize("make", BROKEN)
def test_run_refuses_what_is_wrong(new_run, node, make):
    run = new_run("echo never")
    make(node.conf)

    def enter():
        node.enter()
        engine.obey_file_modes()

    assert run.launch(preexec_fn=enter).wait() == 2
    said = (run.top / "stderr").read_text()
    assert said.startswith("conward: /etc/conward/conward.conf")
    assert "ignored" not in said
    assert (run.top / "stdout").read_bytes() == b""


def test_run_refuses_a_wrong_variable(new_run, node):
    run = new_run("echo never")
    run.environment["CONWARD_LATE_OUTPUT"] = "9999"
    assert run.launch(preexec_fn=node.enter).wait() == 2
    assert "In the environment, CONWARD_LATE_OUTPUT '9999' is refused" in (run.top / "stderr").read_text()


def test_run_takes_what_is_right(new_run, node):
    run = new_run("printf '%0600d\\n' 0")
    node.conf.write_text(conf(log_line_max=300))
    assert run.launch(preexec_fn=node.enter).wait() == 0
    assert [len(record.content) for record in run.records()] == [300, 300]


def test_a_directory_that_is_none(new_container, node):
    container = new_container(command="true")
    node.directory.rmdir()
    node.directory.mkdir(mode=0)
    said = run(container, node, prepare=engine.obey_file_modes)
    assert said.startswith("[conmon:w]: /etc/conward/conward.conf.d cannot be used: ")


def test_no_files_at_all(new_container, node):
    container = new_container(command="true")
    node.directory.rmdir()
    node.conf.parent.rmdir()
    assert run(container, node) == ""


def test_links_are_followed(new_container, node):
    container = new_container(command="true")
    (node.conf.parent / "real").write_text(conf(log_line_max=300))
    node.conf.symlink_to("real")
    assert create(container, node) == ""
    assert page(container.monitor.pid)["log_line_max"] == 300
    container.start()
    assert container.wait() == 0


def test_only_conf_files_of_the_directory(new_container, node):
    container = new_container(command="true")
    for name in ("README", "a.conf.conward-backup", ".hidden.conf", "b.conf~"):
        garbage(node.directory / name)
    assert run(container, node) == ""


def test_what_is_said_is_bounded(new_container, node):
    container = new_container(command="true")
    for name in ("a.conf", "b.conf"):
        (node.directory / name).write_text("[conward]\n" + "".join(f"x{i} = 1\n" for i in range(2000)))
    said = run(container, node)
    assert 2 <= said.count("\n") <= 10
    assert "conwardctl doctor" in said.splitlines()[-1]


def test_a_file_where_the_directory_belongs(new_container, node):
    container = new_container(command="true")
    node.directory.rmdir()
    os.mkfifo(node.directory)
    said = run(container, node)
    assert said.startswith("[conmon:w]: /etc/conward/conward.conf.d cannot be used: Not a directory")


def test_a_full_directory(new_container, node):
    container = new_container(command="true")
    for number in range(1100):
        (node.directory / f"{number}.old").touch()
    said = run(container, node)
    assert said.count("\n") == 1 and "too many files" in said


def test_too_many_files(new_container, node):
    container = new_container(command="true")
    for number in range(150):
        (node.directory / f"{number:03}.conf").write_text(conf(log_line_max=1000 + number))
    said = create(container, node)
    assert said.count("\n") == 1 and "too many files" in said
    assert page(container.monitor.pid)["log_line_max"] == 1099
    container.start()
    assert container.wait() == 0


# Further processes


def test_exec_sync_has_its_answer_to_itself(new_exec_sync, node):
    """Nothing of the node changes what the engine reads, and nothing is said."""
    process = new_exec_sync(command="printf '%0600d\\n' 0; printf prompt; exit 3")
    node.conf.write_text(conf(log_line_max=256, log_size_max=300, log_partial_flush=0, late_output=0))
    garbage(node.directory / "a.conf")
    process.environment["CONWARD_LOG_LINE_MAX"] = "300"
    process.environment["CONWARD_LOG_SIZE_MAX"] = "300"
    process.launch(prepare=node.enter)
    said = process.let_go()
    assert process.report()["data"] == 3
    assert said == b"" and process.said() == b""
    assert [len(record.content) for record in process.records()] == [600, 6]


# After a crash


def poll_timeout(pid):
    """Milliseconds for which the monitor is ready to wait for news, or None if it is not waiting."""
    words = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()
    return int(words[3], 16) & 0xFFFFFFFF if words[0] == "7" else None


def become_garbage(node):
    garbage(node.conf)


def vanish(node):
    node.conf.unlink()


def become_another(node):
    node.conf.write_text(conf(log_line_max=5000, log_size_max=77, attach_linger=1))


@pytest.mark.survival
@pytest.mark.parametrize("change", [vanish, become_another, become_garbage])
@pytest.mark.parametrize("kind", ["signal", "fault"])
def test_crash(new_container, node, change, kind):
    """The next image has the settings of the first one, those that are on the page and those that are not."""
    container = new_container(command="read word < go; yes | head -c 4000000")
    go = container.fifo("go")
    node.conf.write_text(conf(log_line_max=300, log_size_max=100000, attach_linger=3600, attach_spool_max=67108864))
    container.environment["CONWARD_LOG_PARTIAL_FLUSH"] = "never"
    assert create(container, node) == ""
    pid = container.monitor.pid
    before, texts = page(pid), written_down(pid) if os.geteuid() == 0 else None
    client = container.attach()  # it never reads
    container.start()
    change(node)
    for _ in range(2):
        crash(pid, kind)
    os.write(go, b"\n")
    wait_until(lambda: container.exit_file.exists(), "the end of the container")
    after = page(pid)
    assert after["crashes"] == 2
    assert [after[name] for name in ("log_line_max", "log_partial_flush")] == [300, -1]
    assert before["log_line_max"] == 300
    if texts is not None:
        assert written_down(pid) == texts
    assert container.log.stat().st_size <= 100000
    wait_until(lambda: (poll_timeout(pid) or 0) > 60000, "the monitor to wait for its client as long as it was told")
    client.close()
    assert container.wait() == 0


@pytest.mark.survival
def test_crash_with_a_limit_of_the_command_line(new_run, node):
    run = new_run("read word; printf '%0600d\\n' 0")
    node.conf.write_text(conf(log_line_max=300))
    input_end, go = os.pipe2(os.O_CLOEXEC)
    run.launch(preexec_fn=node.enter, stdin=input_end)
    os.close(input_end)
    run.command_pid()
    garbage(node.conf)
    crash(run.pid, "fault")
    assert image(run.pid) is not None
    os.write(go, b"\n")
    os.close(go)
    assert run.wait() == 0
    assert [len(record.content) for record in run.records()] == [300, 300]


# Users


@pytest.fixture
def user(directory):
    """A node of a rootless engine, and the user's own file."""
    node = make_node(directory / "rootless", rootless=True)
    own = directory / "home/.config/conward/conward.conf"
    own.parent.mkdir(parents=True)
    own.write_text(conf(log_line_max=700))
    return node, own


@pytest.mark.parametrize("how", ["XDG_CONFIG_HOME", "HOME", "none", "relative"])
def test_rootless_engine(new_container, user, how):
    """User 0 of a user namespace has a file of its own, which comes last."""
    node, own = user
    node.conf.write_text(conf(log_line_max=600, log_partial_flush=7))
    container = new_container(command="true")
    if how in ("XDG_CONFIG_HOME", "relative"):
        container.environment["XDG_CONFIG_HOME"] = str(own.parent.parent) if how != "relative" else "home/.config"
    if how == "HOME":
        container.environment["HOME"] = str(own.parent.parent.parent)
    assert create(container, node) == ""
    now = page(container.monitor.pid)
    assert now["log_line_max"] == (700 if how in ("XDG_CONFIG_HOME", "HOME") else 600)
    assert now["log_partial_flush"] == 7
    container.start()
    assert container.wait() == 0


@AS_ROOT
def test_home_of_somebody_else(new_run, directory):
    """As for who has become another user: there is nothing of his own."""
    run = new_run("echo hello")
    home = directory / "home"
    home.mkdir(mode=0o700)
    for path in (run.top, run.logs, run.exits, directory):
        path.chmod(0o777)
    run.environment.update({"HOME": str(home), "XDG_CONFIG_HOME": ""})
    status = run.launch(preexec_fn=lambda: os.setresuid(65534, 65534, 65534)).wait()
    assert (status, (run.top / "stderr").read_text()) == (0, "")


@AS_ROOT
def test_no_user_changes_what_root_has(new_container, node, user):
    own = user[1]
    container = new_container(command="true")
    container.environment["XDG_CONFIG_HOME"] = str(own.parent.parent)
    container.environment["HOME"] = str(own.parent.parent.parent)
    assert create(container, node) == ""
    assert page(container.monitor.pid)["log_line_max"] == DEFAULT
    container.start()
    assert container.wait() == 0
