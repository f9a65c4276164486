"""`conward run --detach`: whoever has called it is not held up by what it leaves behind."""

import os

import procfs
from waiting import read_to_end


def test_nothing_of_the_callers_is_kept(new_run):
    """The caller's standard streams are at their end as soon as the command is started, as in `x=$(conward run …)`."""
    run = new_run("read word < go; exit 7")
    go = run.top / "go"
    os.mkfifo(go)
    run.options["--detach"] = True
    run.options["--pidfile"] = run.monitor_pidfile
    output, theirs = os.pipe2(os.O_CLOEXEC)
    run.launch(stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert run.wait() == 0
    assert read_to_end(output, "the end of the output of conward itself") == b""
    os.close(output)
    monitor = procfs.Process(int(run.monitor_pidfile.read_bytes()))
    assert [monitor.descriptors()[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3
    go.write_text("\n")
    assert run.wait_monitor() == 7
