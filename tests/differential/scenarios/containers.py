"""Containers that are created, restored, started and end."""

import errno
import os
import signal

import notify
import procfs
from engine import BATS, CRIO, PODMAN
from scenario import scenario
from waiting import is_readable, wait_until

FAMILIES = {family.name: family for family in (PODMAN, CRIO, BATS)}
STREAM = {"podman": PODMAN, "crio": CRIO}  # the two kinds of sockets, and the two versions of the protocol


@scenario(
    *("--api-version", "--bundle", "--cid", "--cuuid", "--name", "--runtime", "--runtime-arg", "--conmon-pidfile"),
    *("--container-pidfile", "--log-path", "--log-level", "--exit-dir", "--exit-command", "--exit-command-arg"),
    *("sync pipe: open until the end", "sync pipe: nobody else holds it", "pid file: the pid", "exit status"),
    *("descriptors: standard streams are let go", "the started process after the fork", "the container's status"),
    each=FAMILIES,
    of={
        "podman": ("--full-attach", "--persist-dir", "sync pipe: create, version 1", "pipes: SEQPACKET"),
        "crio": ("--socket-dir-path", "--persist-dir", "sync pipe: create, version 0", "pipes: STREAM"),
        "bats": ("sync pipe: create, version 0", "pipes: fifos"),
    },
)
def a_container(lab, family):
    lab.life(lab.container("echo out; echo err >&2; exit 7", family=family), clients=2).run()


@scenario("exit status", each={str(status): status for status in (0, 1, 126, 255)})
def exit_status(lab, status):
    lab.life(lab.container(f"exit {status}")).run()


@scenario("death by a signal", each={sig.name: sig for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT)})
def death(lab, sig):
    lab.life(lab.container(f"kill -{int(sig)} $$; sleep 100")).run()


@scenario("start pipe: nothing happens before the first message", each=FAMILIES)
def before_the_first_message(lab, family):
    """Except that the log is made."""
    container = lab.container(family=family)
    hold = container.hold_runtime()
    container.launch()
    first = container.first_gate()
    lab.note("children", procfs.children(first.pid))
    lab.note("runtime", hold.reached())
    lab.note("files", _names(container))
    lab.note("sync pipe", is_readable(container.sync))
    lab.note("status", container.let_go())
    hold.wait()


def _names(container):
    return sorted(str(path.relative_to(container.top)) for path in container.top.rglob("*") if "stub" not in str(path))


@scenario("start pipe: the whole first message is read", each=FAMILIES)
def a_long_first_message(lab, family):
    container = lab.container(family=family)
    container.launch()
    os.write(container._start_pipe, b"x" * 1000)
    container.wait_first()
    container.report()
    lab.note("left in the pipe", is_readable(container._start_pipe))


@scenario("start pipe: let go after the first message", each=STREAM)
def the_start_pipe_after_its_message(lab, family):
    container = lab.container(family=family)
    container.create()
    lab.note("held", not is_readable(container._start_pipe))


@scenario("sync pipe: everything is ready before the first line", each=FAMILIES)
def what_is_ready_at_the_report(lab, family):
    container = lab.container(family=family)
    container.create()
    lab.note("conmon pidfile", container.monitor_pidfile.read_bytes() == b"%d" % container.monitor.pid)
    lab.note("pid", container.pid == int(container.pidfile.read_bytes()))
    for name in ("ctl", "winsz"):
        lab.note(f"{name} has a reader", _has_a_reader(container.bundle / name))
    container.attach()


def _has_a_reader(fifo):
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return errno.errorcode[error.errno]
    return True


@scenario("start pipe: its end", each=STREAM)
def the_end_in_place_of_the_first_message(lab, family):
    """The engine has died."""
    container = lab.container(family=family)
    container.launch()
    container.close_pipe("start")
    status, said = container.end_of_first(), container.said()
    lab.note("started process", [status, said])
    line = container.line()
    lab.note("sync pipe", "a pid" if line.endswith(b"}\n") and b"-1" not in line else line)


@scenario("--sync", "--conmon-pidfile", each=FAMILIES)
def in_the_foreground(lab, family):
    container = lab.container("echo hello; exit 9", family=family)
    container.options["--sync"] = True
    lab.life(container).run()


@scenario(
    *("--restore", "--runtime-opt"),
    each=STREAM,
    of={"podman": ["sync pipe: restore, version 1"], "crio": ["sync pipe: restore, version 0"]},
)
def a_restored_container(lab, family):
    container = lab.container("read word < go; echo restored; exit 8", family=family, waits=False)
    container.options["--restore"] = str(container.top / "checkpoint")
    container.options["--runtime-opt"] = ["--tcp-established", "--lsm-profile=selinux:x"]
    go = container.fifo("go")
    life = lab.life(container)
    life.create()
    os.write(go, b"\n")
    life.finish()


@scenario("--restore", "end before the pid is known")
def a_restored_container_that_is_fast(lab):
    container = lab.container("echo restored; exit 8", waits=False)
    container.options["--restore"] = str(container.top / "checkpoint")
    container.stub("fast")
    lab.life(container, clients=0).run()


@scenario("--restore-arg", "--runtime-opt")
def the_old_name_of_runtime_options(lab):
    container = lab.container("read word < go; exit 8", waits=False)
    container.options["--restore"] = str(container.top / "checkpoint")
    container.options["--restore-arg"] = ["--first", "--second=x"]
    go = container.fifo("go")
    life = lab.life(container)
    life.create()
    os.write(go, b"\n")
    life.finish()


SHORT = {
    **{"--bundle": "-b", "--cid": "-c", "--cuuid": "-u", "--name": "-n", "--runtime": "-r", "--log-path": "-l"},
    **{"--container-pidfile": "-p", "--conmon-pidfile": "-P", "--persist-dir": "-0"},
}


@scenario(*SHORT)
def short_options(lab):
    """Each comes with its value in the next word. The flags among them are in the command lines."""
    container = lab.container("echo hello; exit 3")
    container.options = {SHORT.get(option, option): value for option, value in container.options.items()}
    container.options["-T"] = "100"
    lab.life(container).run()


FLAGS = ("--systemd-cgroup", "--no-pivot", "--no-new-keyring")


@scenario(*FLAGS, "--runtime-arg", "--runtime-opt", each={"create": None, "restore": "--restore"})
def arguments_of_the_runtime(lab, restore):
    container = lab.container(waits=restore is None)
    if restore:
        container.options["--restore"] = "/check point"
    container.options["--runtime-arg"] = ["--log", "--log=/x y", "", "--", "-c"]
    container.options["--runtime-opt"] = ["--preserve-fds", "1", "", "--help"]
    container.options.update(dict.fromkeys(FLAGS, True))
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    lab.note("arguments", procfs.Process(hold.wait()).words("cmdline"))


@scenario(
    "--bundle",
    "--container-pidfile",
    each={"without": {"--bundle": None, "--container-pidfile": None}, "empty": {"--container-pidfile": ""}},
)
def defaults_from_the_working_directory(lab, options):
    container = lab.container("exit 3")
    container.options.update(options)
    container.cwd = container.bundle
    if options["--container-pidfile"] is None:
        container.pidfile = container.bundle / f"pidfile-{container.cid}"
    lab.life(container).run()


@scenario("--pidfile")
def the_old_name_of_the_pid_file(lab):
    container = lab.container("exit 3")
    container.options["--pidfile"] = container.options.pop("--container-pidfile")
    lab.life(container).run()


@scenario("--conmon-pidfile", "--exit-dir", "--persist-dir", each={"podman": PODMAN, "crio": CRIO})
def without_what_is_optional(lab, family):
    container = lab.container("exit 3", family=family)
    for option in ("--exit-dir", "--persist-dir", "--name", "--runtime-arg", "--log-level"):
        container.options[option] = None
    lab.life(container).run()


@scenario("--exit-dir", "--persist-dir")
def results_of_an_earlier_life(lab):
    """They are replaced; what the engine removes stays."""
    container = lab.container("exit 3")
    for path in (container.exit_file, container.persist / "exit", container.persist / "oom"):
        path.write_text("99")
    lab.life(container).run()


@scenario("--cuuid", "--socket-dir-path", each={"nothing": None, "a file": "file", "a link": "link"})
def the_link_to_the_bundle(lab, before):
    """It replaces whatever has its name."""
    container = lab.container("exit 3", family=CRIO)
    container.options["--cuuid"] = "another-id"
    link = container.sockets / "another-id"
    if before == "file":
        link.write_text("stale")
    elif before == "link":
        link.symlink_to("/nowhere")
    lab.life(container).run()


@scenario("--socket-dir-path", each={"106": 106, "107": 107, "108": 108})
def a_long_link_to_the_bundle(lab, length):
    container = lab.container("exit 3", family=CRIO)
    container.options["--cuuid"] = "u" * (length - len(str(container.sockets)) - 1)
    lab.call("u" * (length - len(str(container.sockets)) - 2), "ALL-BUT-ONE")
    lab.life(container).run()


@scenario("--bundle", "--full-attach", each={"podman": PODMAN, "crio": CRIO})
def a_bundle_with_a_long_path(lab, family):
    lab.directory /= "d" * 60 + "/" + "e" * 60
    lab.life(lab.container("echo hello", family=family)).run()


@scenario("--bundle", each=STREAM)
def stale_files_in_the_bundle(lab, family):
    container = lab.container("exit 0", family=family)
    for name in ("attach", "ctl", "winsz"):
        (container.bundle / name).write_text("stale")
    lab.life(container).run()


@scenario("descriptors: of the user", "descriptors: behind the pipes", "--runtime-opt")
def inherited_descriptors(lab):
    container = lab.container("exit 0")
    container.options["--runtime-opt"] = ["--preserve-fds", "2"]
    files = [os.open(container.top / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) for name in ("a", "b", "port")]
    life = lab.life(container)
    life.launch(user_fds=files[:2], extra_fds=files[2:])
    life.runtime()
    life.report()
    for fd in files:
        os.close(fd)
    held = [name for name in container.monitor.descriptors().values() if name == str(container.top / "port")]
    lab.note("port while the container runs", len(held))
    life.start()
    life.finish()


@scenario("LISTEN_PID: another's", "--replace-listen-pid", each={"as it is": None, "replaced": True})
def socket_activation_of_another(lab, replace):
    container = lab.container("exit 0")
    container.options["--replace-listen-pid"] = replace
    container.environment.update(LISTEN_FDS="2", LISTEN_FDNAMES="web", LISTEN_PID="1")
    lab.life(container).run()


@scenario("--replace-listen-pid")
def no_socket_activation_to_replace(lab):
    container = lab.container("exit 0")
    container.options["--replace-listen-pid"] = True
    lab.life(container).run()


@scenario("LISTEN_PID: the monitor's", "--replace-listen-pid")
def socket_activation_of_the_monitor(lab):
    container = lab.container("exit 0")
    container.options["--sync"] = True
    container.environment.update(LISTEN_FDS="1")
    life = lab.life(container)

    def name_the_monitor():
        container.environment["LISTEN_PID"] = str(os.getpid())

    life.launch(prepare=name_the_monitor)
    lab.call_pid(container.monitor.pid, "<monitor>")
    life.runtime()
    life.report()
    life.start()
    life.finish()


@scenario("pipes: no variables", each={"podman": PODMAN, "crio": CRIO})
def without_pipes(lab, family):
    container = lab.container("exit 5", family=family)
    container.launch(prepare=lambda: [container.environment.pop(f"_OCI_{name}PIPE") for name in ("SYNC", "START")])
    lab.note("started process", [container.end_of_first(), container.said()])
    wait_until(container.pidfile.exists, "the pid file")
    container.start()
    lab.note("status", container.wait())
    lab.note("exit file", container.exit_file.read_bytes())


@scenario("end before the pid is known", "pid file: the pid", each={"a pid": (), "a pid and a newline": ("newline",)})
def a_fast_container(lab, plan):
    container = lab.container("echo fast; exit 6", waits=False)
    for name in ("fast", *plan):
        container.stub(name)
    lab.life(container, clients=0).run()


@scenario("words of a runtime that succeeds", each=STREAM)
def a_runtime_that_says_something(lab, family):
    container = lab.container("echo hello", family=family)
    container.stub("stdout", "what the runtime says\n")
    container.stub("stderr", "a warning\n")
    lab.life(container, clients=0).run()


@scenario("--name", each={"a name": "x y", "empty": "", "long": "n" * 300})
def names(lab, name):
    container = lab.container("exit 0")
    container.options["--name"] = name
    lab.life(container).run()


@scenario("--exit-command", "the exit command's status", each={"status": "exit 5", "signal": "kill -9 $$"})
def a_failing_exit_command(lab, script):
    container = lab.container("exit 3")
    container.options["--exit-command"] = "/bin/sh"
    container.options["--exit-command-arg"] = ["-c", script]
    lab.life(container, exit_command=False).run()


@scenario("--exit-command", each={"missing": "/nonexistent", "not in PATH": "true"})
def an_exit_command_that_is_not_there(lab, path):
    container = lab.container("exit 3")
    container.options["--exit-command"] = path
    lab.life(container, exit_command=False).run()


@scenario("--exit-command-arg")
def arguments_of_the_exit_command(lab):
    container = lab.container("exit 3")
    life = lab.life(container)
    container.options["--exit-command-arg"] += ["", "--root", "x y", "--", "--help"]
    life.run()


@scenario("--exit-delay")
def a_delayed_exit_command(lab):
    """The exit files come before, the engine's pipe is closed before."""
    container = lab.container("exit 3")
    container.options["--exit-delay"] = "1"
    life = lab.life(container)
    life.create()
    life.start()
    wait_until(container.exit_file.exists, "the exit file")
    lab.note("exit command when the exit file is there", "runs" if life._hold_exit.reached() else "waits")
    life.finish()


@scenario("--timeout", "status of a timeout", "sync pipe: command timed out", each=STREAM)
def a_container_that_takes_too_long(lab, family):
    container = lab.container("echo hello; exec sleep 100", family=family)
    container.options["--timeout"] = "1"
    lab.life(container).run()


@scenario("--timeout", each={"not over": "100", "zero": "0", "negative": "-1"})
def a_timeout_that_is_not_reached(lab, seconds):
    container = lab.container("echo hello; exit 3")
    container.options["--timeout"] = seconds
    lab.life(container).run()


@scenario("--sdnotify-socket")
def notifications(lab):
    container = lab.container("exit 3")
    container.environment["NOTIFY_SOCKET"] = "/for/podman"
    container.options["--sdnotify-socket"] = str(container.top / "host")
    (container.bundle / "notify").mkdir()
    host = lab.keep(_host(container))
    life = lab.life(container)
    life.create()
    sent = [b"STOPPING=1\nMAINPID=5\nSTATUS=up", b"BARRIER=1", b"WATCHDOG=1\r\nERRNO=2\n", b"X=1\nREADY=1"]
    lab.note("notifications", _passed_on(container, host, sent))
    life.start()
    life.finish()


def _host(container):
    return notify.Host(str(container.top / "host"))


def _passed_on(container, host, datagrams):
    """What the host gets; the last of the datagrams must be one that passes."""
    sender = notify.Sender(container)
    got = []
    for datagram in datagrams:
        sender.send(datagram)
        sender.wait_taken()
    while not got or got[-1] != b"READY=1":
        got.append(host.receive())
    return got


@scenario("sync pipe: nobody reads the first line", each=STREAM)
def an_engine_that_goes_away(lab, family):
    container = lab.container("exit 4", family=family)
    life = lab.life(container)
    life.launch()
    life.runtime_is_there()
    container.close_sync()
    life.runtime_goes_on()
    wait_until(container.pidfile.exists, "the pid file")
    life.start()
    life.finish()


@scenario("SIGTERM before the runtime runs", each={sig.name: sig for sig in (signal.SIGTERM, signal.SIGPIPE)})
def a_signal_before_the_first_message(lab, sig):
    container = lab.container()
    container.launch()
    first = container.first_gate()
    os.kill(first.pid, sig)
    if sig is signal.SIGPIPE:
        container.let_go()
        lab.note("sync pipe", sorted(container.report()))
        return
    lab.note("started process", [container.end_of_first(), container.said()])
    lab.note("sync pipe", container.line())


@scenario("the container's status", each={sig.name: sig for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)})
def signals_are_forwarded(lab, sig):
    container = lab.container("trap 'exit 41' TERM; trap 'exit 42' INT; trap 'exit 43' QUIT; echo; read word < go")
    container.fifo("go")
    life = lab.life(container)
    life.create()
    life.start()
    container.wait_log(b"stdout")
    container.signal_monitor(sig)
    life.finish()


@scenario("the container's status", each={sig.name: sig for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)})
def signals_for_the_runtime(lab, sig):
    container = lab.container()
    life = lab.life(container)
    life.launch()
    life.runtime_is_there()
    container.signal_monitor(sig)
    life.report()
    life.finish()


@scenario("a fatal error in the background")
def the_runtime_dies_with_the_monitor(lab):
    container = lab.container()
    hold = container.hold_runtime()
    container.launch()
    container.let_go()
    runtime = procfs.Process(hold.wait())
    container.signal_monitor(signal.SIGKILL)
    lab.note("status", container.wait())
    wait_until(lambda: not runtime.alive(), "the runtime to be killed")
    lab.note("sync pipe", container.line())
