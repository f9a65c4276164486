"""What goes through a container's standard streams, its terminal, and the fifos of the bundle."""

import fcntl
import os
import struct
import termios

from engine import CRIO, PODMAN
from lab import attach, settle
from scenario import scenario

STREAM = {"podman": PODMAN, "crio": CRIO}

OUTPUT = {
    "nothing": "true",
    "an unfinished line": "printf unfinished",
    "empty lines": r"printf '\n\n\na\n\n'",
    "bytes": r"printf 'cr\r\nnul\000esc\033[1m \377\376 \303\244\n\303'; printf '\200\n' >&2",
    "a long line": "head -c 100000 /dev/zero | tr '\\0' x; echo",
    "many lines": "seq 1 20000; seq 1 20000 >&2",
    "small writes": "i=0; while [ $i -lt 200 ]; do printf a; i=$((i + 1)); done",
    "one stream only": "echo alone >&2",
    "8192 bytes": "head -c 8191 /dev/zero | tr '\\0' x; echo; head -c 8192 /dev/zero | tr '\\0' y; echo",
}


@scenario("--log-path", each=OUTPUT)
def output(lab, script):
    lab.life(lab.container(script), clients=2).run()


@scenario("--log-path", each={"none": "none", "off": "off:"})
def output_without_a_log(lab, value):
    container = lab.container("echo out; echo err >&2")
    container.options["--log-path"] = value
    lab.life(container).run()


@scenario("--log-path", "--bundle")
def passthrough(lab):
    container = lab.container("cat; echo out; echo err >&2; exit 7")
    container.options["--log-path"] = "passthrough"
    lab.life(container).run(prepare=callers_files(container))


def callers_files(container):
    """Gives the monitor files for its standard streams."""
    paths = [container.top / f"caller-{name}" for name in ("input", "output", "error")]
    for path in paths:
        path.write_text("typed\n" if path is paths[0] else "")

    def prepare():
        for number, path in enumerate(paths):
            os.dup2(os.open(path, (os.O_WRONLY | os.O_APPEND) if number else os.O_RDONLY), number)

    return prepare


@scenario("--log-path")
def passthrough_of_a_runtime_that_fails(lab):
    container = lab.container()
    container.options["--log-path"] = "passthrough"
    container.stub("stderr", "no such thing\n")
    container.stub("exit", "3")
    lab.life(container).fail(prepare=callers_files(container))


@scenario("--stdin", each=STREAM)
def input_of_a_client(lab, family):
    container = lab.container("cat; echo end; exit 7", family=family)
    container.options["--stdin"] = True
    life = lab.life(container)
    life.create()
    life.start()
    life.clients[0].send(b"typed\n" * 20000)
    life.clients[0].half_close()
    life.finish()


@scenario("--stdin", each=STREAM)
def input_before_the_start(lab, family):
    container = lab.container("cat; exit 7", family=family)
    container.options["--stdin"] = True
    life = lab.life(container)
    life.create()
    life.clients[0].send(b"early\n")
    life.clients[0].half_close()
    life.start()
    life.finish()


@scenario("--stdin", each=STREAM)
def a_client_that_only_closes(lab, family):
    """Connected before the start, it has sent nothing."""
    container = lab.container("cat; exit 7", family=family)
    container.options["--stdin"] = True
    life = lab.life(container, clients=1)
    life.create()
    life.clients[0].half_close()
    life.start()
    life.finish()


@scenario("--stdin", each=STREAM)
def a_client_that_leaves(lab, family):
    """Its end is that of the container's input, if it has sent something."""
    container = lab.container("cat; exit 7", family=family)
    container.options["--stdin"] = True
    life = lab.life(container, clients=2)
    life.create()
    life.start()
    client = life.clients.pop(0)
    client.send(b"typed\n")
    client.receive_until(b"typed\n")
    client.close()
    life.finish()


@scenario("--stdin", each=STREAM)
def two_clients_with_input(lab, family):
    """The input of all is merged."""
    container = lab.container("read a; echo $a; read b; echo $b; exit 7", family=family)
    container.options["--stdin"] = True
    life = lab.life(container, clients=2)
    life.create()
    life.start()
    for number, client in enumerate(life.clients, 1):
        client.send(b"typed by %d\n" % number)
        client.receive_until(b"typed by %d\n" % number)
    life.finish()


@scenario("--leave-stdin-open", each=STREAM)
def input_that_stays_open(lab, family):
    container = lab.container("read a; echo $a; read b; echo $b; exit 7", family=family)
    container.options["--stdin"] = True
    container.options["--leave-stdin-open"] = True
    life = lab.life(container, clients=2)
    life.create()
    life.start()
    for client in life.clients:
        client.send(b"typed\n")
        client.receive_until(b"typed\n")
        client.half_close()
    life.finish()


@scenario("--stdin", each=STREAM)
def input_without_the_option(lab, family):
    container = lab.container("cat; exit 7", family=family)
    life = lab.life(container)
    life.create()
    life.clients[0].send(b"lost\n")
    life.start()
    life.finish()


@scenario("--stdin", each=STREAM)
def a_client_that_only_watches(lab, family):
    """It comes when the container runs, and half-closes at once, as Podman's do without input."""
    container = lab.container("cat; read word < go; exit 7", family=family)
    container.options["--stdin"] = True
    go = container.fifo("go")
    life = lab.life(container)
    life.create()
    life.start()
    life.clients[0].send(b"typed\n")
    life.clients[0].receive_until(b"typed\n")
    pipe = os.readlink(f"/proc/{container.pid}/fd/0")
    watcher = container.attach()
    watcher.half_close()
    settle(container)
    lab.note("container's input", "open" if pipe in container.monitor.descriptors().values() else "closed")
    watcher.close()
    life.clients[0].half_close()
    os.write(go, b"\n")
    life.finish()


@scenario("--log-path", each=STREAM)
def clients_that_come_and_go(lab, family):
    """Late ones get no history."""
    container = lab.container("echo one; read word < go; echo two; exit 7", family=family)
    go = container.fifo("go")
    life = lab.life(container, clients=1)
    life.create()
    gone = attach(container)
    life.start()
    gone.receive_until(b"one\n")
    life.clients[0].receive_until(b"one\n")
    life.clients.append(attach(container))
    gone.close()
    os.write(go, b"\n")
    life.finish()


@scenario("--terminal", each=STREAM)
def a_terminal(lab, family):
    container = lab.container("stty -a; tty > /dev/null && echo on a terminal; echo err >&2; exit 7", family=family)
    container.options["--terminal"] = True
    lab.life(container).run()


@scenario("--terminal", "--stdin", each={"-t": None, "-t -i": True})
def input_of_a_terminal(lab, stdin):
    container = lab.container("head -n 1; echo; exit 7")
    container.options["--terminal"] = True
    container.options["--stdin"] = stdin
    life = lab.life(container)
    life.create()
    life.start()
    life.clients[0].send(b"typed\n")
    life.finish()


@scenario("--terminal", each={"one": "1 24 80\n", "two": "1 1 2\n1 24 80\n", "zeros": "1 0024 0080\n"})
def size_of_a_terminal_that_is_not_there_yet(lab, text):
    container = lab.container("stty size; exit 7")
    container.options["--terminal"] = True
    life = lab.life(container)
    life.launch()
    life.runtime_is_there()
    container.control(text)
    life.runtime_goes_on()
    life.report()
    settle(container)
    lab.note("size", size(container))
    life.start()
    life.finish()


SIZES = {
    "plain": "1 2 3\n",
    "extra field": "1 2 3 4\n",
    "largest": "1 1000 1000\n",
    "zeros in front": "1 0010 0020\n",
    "negative": "1 -1 5\n",
    "two fields": "1 5\n",
    "one field": "1\n",
    "word": "foo\n",
    "unknown type": "999 2 2\n",
    "number alone": "999\n",
    "float": "1 10.5 5\n",
    "hexadecimal": "1 0x10 5\n",
    "too large": "1 1001 5\n",
    "much too large": "1 65535 100000\n",
    "spaces": "  1   2   3  \n",
    "unfinished": "1 2 3",
    "two lines": "1 2 3\n1 4 5\n",
    "a bad line and a good one": "foo\n1 4 5\n",
    "empty lines": "\n\n1 4 5\n",
}


@scenario("--terminal", each=SIZES)
def size_of_a_terminal(lab, text):
    container = lab.container("exit 7")
    container.options["--terminal"] = True
    life = lab.life(container)
    life.create()
    container.control(text)
    settle(container)
    lab.note("size", size(container))
    life.start()
    life.finish()


@scenario("--terminal")
def size_by_the_other_fifo(lab):
    container = lab.container("exit 7")
    container.options["--terminal"] = True
    life = lab.life(container)
    life.create()
    container.control("5 6\n", name="winsz")
    settle(container)
    lab.note("size", size(container))
    life.start()
    life.finish()


def size(container):
    """Of the container's terminal: rows and columns."""
    fd = os.open(f"/proc/{container.pid}/fd/1", os.O_RDONLY | os.O_NOCTTY)
    try:
        return struct.unpack("hhhh", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))[:2]
    finally:
        os.close(fd)


@scenario("terminal: none came", each={"podman": PODMAN, "crio": CRIO})
def a_runtime_without_a_terminal(lab, family):
    container = lab.container(family=family, waits=False)
    container.options["--terminal"] = True
    container.stub("console-never")
    container.stub("stderr", "no terminal today\n")
    lab.life(container).fail()


@scenario("terminal: none came", "create with a status other than 0")
def a_runtime_that_fails_with_a_terminal(lab):
    container = lab.container()
    container.options["--terminal"] = True
    container.stub("stderr", "no such thing\n")
    container.stub("exit", "3")
    lab.life(container).fail()

