"""Further processes in containers: Podman's exec, and CRI-O's synchronous one."""

import signal

from engine import PODMAN, Family
from exec_engine import BATS_EXEC
from scenario import scenario
from waiting import is_readable

# Sockets without packets, as CRI-O has them for containers: nobody runs an exec so, but a monitor cannot know.
STREAM_EXEC = Family("stream", 1, "stream", 3, 4, b"\0", 5)
SOCKETS = {"podman": PODMAN, "stream": STREAM_EXEC}
FAMILIES = {**SOCKETS, "bats": BATS_EXEC}


@scenario(
    *("--exec", "--exec-process-spec", "--exec-attach", "sync pipe: exec, version 1"),
    *("attach pipe: one line, when everybody can connect and nothing runs",),
    *("start pipe: the second message, of --exec-attach",),
    each=FAMILIES,
    of={
        "podman": ["pipes: SEQPACKET", "attach pipe: SEQPACKET"],
        "stream": ["pipes: STREAM", "attach pipe: STREAM"],
        "bats": ["pipes: fifos", "attach pipe: a fifo"],
    },
)
def an_exec(lab, family):
    lab.life(lab.exec("echo out; echo err >&2; exit 7", family=family), clients=2).run()


@scenario("--exec-attach", "--exec")
def a_detached_exec(lab):
    """Nobody connects, and everything else is the same."""
    lab.life(lab.exec("echo out; exit 7"), clients=0).run()


@scenario("--exec", "--api-version")
def an_exec_without_attach(lab):
    process = lab.exec("echo out; exit 7")
    process.options["--exec-attach"] = None
    lab.life(process).run()


@scenario("--exec", "--log-path", "--log-tag")
def an_exec_with_a_log(lab):
    process = lab.exec("echo out; echo err >&2; exit 7")
    process.log_to_file()
    lab.life(process).run()


@scenario("--exec", "--log-tag", "--exit-delay", "--persist-dir")
def an_exec_as_podman_words_it(lab):
    process = lab.exec("exit 7")
    process.options["--log-tag"] = "a tag"
    process.options["--exit-delay"] = "0"
    process.options["--systemd-cgroup"] = True
    process.options["--no-pivot"] = True
    process.options["--runtime-opt"] = ["--preserve-fds", "1"]
    lab.life(process).run()


@scenario("start pipe: held until the second message", each=SOCKETS)
def the_start_pipe_before_the_second_message(lab, family):
    process = lab.exec(family=family)
    process.begin()
    process.gate()
    lab.note("held", not is_readable(process._start_pipe))


@scenario("sync pipe: nobody reads the second line", "sync pipe: exec, version 1", each=SOCKETS)
def an_exec_whose_engine_has_its_pid(lab, family):
    """Podman closes its end then."""
    process = lab.exec("exit 7", family=family)
    life = lab.life(process)
    life.create()
    process.close_sync()
    life.start()
    life.finish()


@scenario("start pipe: the end in place of the second message")
def an_engine_that_dies_before_the_second_message(lab):
    process = lab.exec("touch ran; exit 7", waits=False)
    process.begin()
    process.gate()
    process.close_pipe("start")
    lab.note("status", process.wait())
    lab.note("the process ran", (process.bundle / "ran").exists())


@scenario("attach pipe: missing", "--exec-attach")
def no_attach_pipe(lab):
    process = lab.exec()
    process.options["--sync"] = True
    process.launch(prepare=lambda: process.environment.pop("_OCI_ATTACHPIPE"))
    process.say_go()
    status, said = process.end_of_first(), process.said()
    lab.note("status", status)
    lab.note("words", said)


@scenario(
    *("exec with a status other than 0", "sync pipe: exec fails, version 1"),
    each={
        "plain": b"exec failed: no such file\n",
        "special": b'a "b" \\ \n\x01\xff',
        "long": b"x" * 5000,
        "silent": b"",
    },
)
def a_runtime_that_cannot_exec(lab, words):
    process = lab.exec()
    process.stub("stderr", words)
    process.stub("exit", "1")
    lab.life(process).fail()


@scenario(
    *("exec with a status other than 0", "sync pipe: exec fails, version 0"),
    each={"pid file is there": True, "pid file is not there": False},
    of={
        "pid file is there": ["pid file: empty, made by the engine"],
        "pid file is not there": ["pid file: none, and words"],
    },
)
def a_runtime_that_cannot_exec_for_crio(lab, there):
    process = lab.exec_sync()
    if not there:
        process.pidfile.unlink()
    process.stub("stderr", "exec failed: no such file\n")
    process.stub("exit", "1")
    lab.life(process, exit_command=False).fail()


@scenario("exec with a status other than 0", "status of exec is the process', not the runtime's")
def an_exec_whose_runtime_fails_late(lab):
    """It has made the process; what it ends with does not count. conmon waits for the end of its standard error."""
    process = lab.exec("exit 7")
    last = process.hold_runtime_at_its_end()
    life = lab.life(process, clients=0)
    life.launch()
    life.runtime()
    last.wait()
    last.let_go(5)
    life.start()
    life.report(look=False)
    life.finish()


@scenario("--exec", "words of a runtime that succeeds")
def a_runtime_that_says_something_and_execs(lab):
    process = lab.exec("echo hello; exit 6")
    process.log_to_file()
    process.stub("stdout", "what the runtime says\n")
    process.stub("stderr", "a warning\n")
    lab.life(process, clients=0).run()


@scenario("end before the pid is known", "status of exec is the process', not the runtime's")
def a_fast_exec(lab):
    process = lab.exec("echo fast; exit 6", waits=False)
    process.stub("fast")
    lab.life(process, clients=0).run()


@scenario(
    *("--exec", "--sync", "--log-global-size-max", "--socket-dir-path", "sync pipe: exec, version 0"),
    *("the container's status", "pipes: a pipe"),
)
def an_exec_sync(lab):
    process = lab.exec_sync("echo out; echo err >&2; printf unfinished; exit 7")
    lab.life(process, exit_command=False).run()


@scenario("--exec", "--sync")
def an_exec_sync_in_the_background(lab):
    process = lab.exec_sync("echo out; exit 7")
    process.options["--sync"] = None
    process.options["--conmon-pidfile"] = str(process.monitor_pidfile)
    lab.life(process, exit_command=False).run()


@scenario("death by a signal", "sync pipe: exec, version 0")
def an_exec_sync_that_is_killed(lab):
    lab.life(lab.exec_sync("kill -9 $$; sleep 100"), exit_command=False).run()


@scenario("sync pipe: nobody reads the first line", "sync pipe: exec, version 0")
def an_exec_sync_whose_engine_has_gone(lab):
    process = lab.exec_sync("exit 7", waits=True)
    life = lab.life(process, exit_command=False)
    life.create()
    process.close_sync()
    life.start()
    life.finish()


@scenario("--timeout", "sync pipe: command timed out", "status of a timeout")
def an_exec_sync_that_takes_too_long(lab):
    process = lab.exec_sync("echo hello; exec sleep 100")
    process.options["--timeout"] = "1"
    lab.life(process, exit_command=False).run()


@scenario("the container's status", each={sig.name: sig for sig in (signal.SIGINT, signal.SIGTERM)})
def an_exec_sync_that_is_interrupted(lab, sig):
    process = lab.exec_sync("trap 'exit 41' INT TERM; echo ready; read word < go")
    process.fifo("go")
    life = lab.life(process, exit_command=False)
    life.create()
    process.wait_log(b"ready")
    process.signal_monitor(sig)
    life.finish()


@scenario("--log-global-size-max", "--exec")
def an_exec_sync_that_says_too_much(lab):
    """Records are dropped as a whole; how many fit is compared, and what is in them."""
    process = lab.exec_sync("i=0; while [ $i -lt 100 ]; do echo line $((1000 + i)); i=$((i + 1)); done; exit 7")
    process.options["--log-global-size-max"] = "5500"
    lab.life(process, exit_command=False).run()


@scenario("--exec", "--terminal")
def an_exec_with_a_terminal(lab):
    process = lab.exec("tty > /dev/null && echo on a terminal; exit 7")
    process.options["--terminal"] = True
    process.options["--stdin"] = True
    lab.life(process).run()


@scenario("exec with a status other than 0", "terminal: none came", "sync pipe: exec fails, version 1")
def an_exec_with_a_terminal_that_fails(lab):
    process = lab.exec()
    process.options["--terminal"] = True
    process.stub("stderr", "exec failed: no such file\n")
    process.stub("exit", "1")
    lab.life(process).fail()


@scenario("--stdin", "--exec")
def an_exec_with_input(lab):
    process = lab.exec("cat; exit 7")
    process.options["--stdin"] = True
    life = lab.life(process)
    life.create()
    life.start()
    life.clients[0].send(b"typed\n" * 1000)
    life.clients[0].half_close()
    life.finish()


@scenario("--bundle", "--exec")
def an_exec_whose_bundle_is_removed(lab):
    """As Podman does when it is in a hurry."""
    process = lab.exec("read word; exit 7")
    life = lab.life(process, exit_command=False)
    life.create()
    for path in (process.bundle / "ctl", process.bundle / "winsz"):
        path.unlink()
    process.exits.rmdir()
    life.start()
    life.finish()
