"""Too little memory, and cgroups that are made for that."""

import json
import os

import memory
from crashes import Witness, page
from fault_points import NotStarted
from waiting import wait_until


def out_of_memory(play):
    """A process is killed for it, others go on; the cgroup is gone before the container."""
    cgroup = play.add(memory.Cgroup())
    container = play.container(
        command=f"read word < go; {memory.HOG}; {memory.HOG}; echo $$ > {cgroup.path.parent}/cgroup.procs; "
        "echo left; read word < go; exit 7"
    )
    go = container.fifo("go")
    cgroup.take(container)
    container.options["--sync-events"] = True
    witness = Witness(container)
    play.create(container)
    container.start()
    os.write(go, b"\n")
    container.wait_log(b" left\n")
    wait_until(lambda: page(container.monitor.pid)["oom_kills"] == 2, "the kills to be counted")
    wait_until(lambda: page(container.monitor.pid)["oom_told"] == 2, "them to be told")
    wait_until(lambda: page(container.monitor.pid)["oom_looks_again"] == 0, "its next look")
    cgroup.remove()
    os.write(go, b"\n")
    *kills, end = [json.loads(line) for line in iter(container.line, b"")]
    assert end == {"event": "exit", "status": 7, "signal": 0}
    told = [kill["kills"] for kill in kills]
    assert told == sorted(set(told)) and told[-1] == 2, "a kill was told twice"
    witness.check(7, left=("exit", "oom"))
    assert (container.bundle / "oom").exists()


def run_in_cgroup(play):
    """A command with little memory, in a cgroup that is made for it and is gone when it has ended."""
    cgroup = play.add(memory.Cgroup(make=False))
    command = play.command(f"echo began >> beginnings; {cgroup.without_swap()}; {memory.HOG}; exit 7")
    command.options.update({"--cgroup": cgroup.path, "--memory-max": memory.LIMIT, "--persist-dir": command.top})
    command.launch()
    status = command.wait()
    assert not cgroup.path.exists()
    if status == 125 and not command.exit_file.exists():
        assert not (command.top / "beginnings").exists()
        raise NotStarted
    assert status == 7
    assert (command.top / "beginnings").read_text() == "began\n"
    assert (command.top / "oom").exists()


def run_in_cgroup_of_nothing(play):
    """What should be in the cgroup cannot be executed."""
    cgroup = play.add(memory.Cgroup(make=False))
    command = play.command(["/nowhere"])
    command.options["--cgroup"] = cgroup.path
    command.launch()
    status = command.wait()
    assert not cgroup.path.exists()
    assert status in (125, 127)


def run_in_cgroup_that_is_there(play):
    """It was not made for the command, and stays."""
    cgroup = play.add(memory.Cgroup())
    command = play.command("exit 7")
    command.options["--cgroup"] = cgroup.path
    command.launch()
    status = command.wait()
    assert cgroup.path.exists()
    assert status == (7 if command.exit_file.exists() else 125)
