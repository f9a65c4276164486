"""The monitor crashes at each of its fault points: after every commit, between the steps of what takes several, and
behind the system calls that change what others see (tests/fault-points/calls.c). Whatever it was doing is finished by
the next image, exactly once.

There is one test a fault point, and what it plays are the scenarios of tests/lib/scenarios that pass it: once for each
passing whose place no earlier scenario has had. A passing's place are the three points passed before it and the one
behind it, in the life of the same kind of thing (container, exec, run): so what all of a kind have in common, such as
their start, is tried once, at each of its passings. Of more than MANY passings in one scenario, or in a slow one, one
at each place is tried, and of many in addition the first, the last and SOME by chance, whose seed is the name of the
point and of the scenario. $PASSINGS, if set, is how many passings of a point are tried at most. $CRASHES / 3 pairs of
points are tried in addition: a crash while the next image resumes.

What a scenario passes is seen in one play without a crash, which is shared by all workers of pytest-xdist. How often it
passes a point depends on who is faster, each time anew: a play may end without its crash, but no point may be left
without any.

No list of points is written down here, so none can be forgotten: a new one that no scenario passes fails."""

import collections
import fcntl
import json
import os
import random
import shutil

import pytest

pytest.register_assert_rewrite("scenarios", "fault_points")

import memory  # noqa: E402  (its messages, too, are to say what was compared)
from fault_points import NotStarted, Play, all_points, faulty, function, takes_trouble  # noqa: E402
from scenarios import QUICK, SCENARIOS, SLOW  # noqa: E402
from scenarios.life import whole_life  # noqa: E402
from scenarios.runs import run, run_of_nothing, run_with_terminal  # noqa: E402
from scenarios.starts import failing_start  # noqa: E402

pytestmark = pytest.mark.survival

MANY = 60
SOME = 12
MOST = int(os.environ.get("PASSINGS", "0")) or None
PAIRS = int(os.environ.get("CRASHES", "30")) // 3

# What no test can make happen.
OUT_OF_REACH = {
    "give_up_killing": "needs a process that does not end after SIGKILL",
    "start_exit_command": "needs a fork that fails",
}

# What only a machine with memory on cgroup v1 has; tests/guest crashes at the same points on v2.
OF_MEMORY_CGROUPS = ("open_count", "open_events", "count_kills", "kills_in", "on_event", "monitor_oom_look")
OF_MEMORY_CGROUPS += ("make_directory", "after_mkdirat", "add_undo", "remove_undo", "limit_memory")
OF_MEMORY_CGROUPS += ("cgroup_place_unmake",)
# And what only v2 has.
OF_CGROUP_V2 = ("hand_memory_down", "step_aside", "step_back")
# What needs trouble.so: a journal that is away for too long would have to be away for as long otherwise.
OF_LOSING_JOURNALS = ("journal_sender_worked", "lose_line", "lose_newline", "say_loss", "send_newline", "speak")

MISSING = set(OUT_OF_REACH).union(
    OF_CGROUP_V2, OF_MEMORY_CGROUPS if memory.missing() else (), () if takes_trouble() else OF_LOSING_JOURNALS
)
# In an order that has the data path's, which take longest, first.
POINTS = sorted((point for point in all_points() if function(point) not in MISSING), reverse=True)


# Playing scenarios


@pytest.fixture(scope="module", autouse=True)
def faulty_program():
    assert os.access(faulty(), os.X_OK), f"{faulty()} is not an executable: build first, or set FAULTY"
    before = os.environ.get("CONWARD")
    os.environ["CONWARD"] = faulty()
    yield
    del os.environ["CONWARD"]
    if before is not None:
        os.environ["CONWARD"] = before


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """play(scenario, armed) plays a scenario with crashes where armed, {point: passing}, and returns the Play. Not
    every passing is the same each time, so it may end without them."""
    directory = tmp_path_factory.mktemp("fault-points")
    count = 0

    def play(scenario, armed):
        nonlocal count
        count += 1
        one = Play(directory / str(count), armed)
        try:
            scenario(one)
        except NotStarted:
            pass
        except Exception as error:
            where = ", ".join(f"passing {passing} of {point}" for point, passing in armed.items())
            raise AssertionError(f"{scenario.__name__}, crash at {where or 'no point'}: {error!r}") from error
        finally:
            one.close()
        assert one.left() == []
        return one

    yield play
    shutil.rmtree(directory)


class Trace:
    """What a scenario passes when nothing crashes."""

    def __init__(self, kind, points, stores):
        self.points = points
        self.stores = stores
        behind = [*points[1:], None]
        self._places = [(kind, *points[max(0, at - 3) : at + 1], behind[at]) for at in range(len(points))]

    def places(self, point):
        """Where each passing of a point is."""
        return [place for place, passed in zip(self._places, self.points) if passed == point]


@pytest.fixture(scope="module")
def traces(play, tmp_path_factory):
    """{scenario: its Trace}. The workers share the work: each begins with another scenario."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    for scenario in random.sample(SCENARIOS, len(SCENARIOS)):
        with open(shared / f"trace-of-{scenario.__name__}", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size == 0:
                one = play(scenario, {})
                json.dump({"kind": one.kind(), "points": one.trace(), "stores": one.stores()}, file)
    return {
        scenario: Trace(**json.loads((shared / f"trace-of-{scenario.__name__}").read_text())) for scenario in SCENARIOS
    }


def some_of_many(new, count, chance):
    """`new`: {place: the first passing there}."""
    return sorted({1, count, *chance.sample(range(1, count + 1), SOME), *new.values()})


def passings(traces, point):
    """Those to be tried: (scenario, number of the passing)."""
    known = set()
    for scenario, trace in traces.items():
        places = trace.places(point)
        new = {place: passing for passing, place in reversed([*enumerate(places, 1)]) if place not in known}
        known.update(new)
        if scenario in SLOW:
            tried = sorted(new.values())
        elif len(places) > MANY:
            tried = some_of_many(new, len(places), random.Random(f"{point} {scenario.__name__}"))
        else:
            tried = [passing for passing, place in enumerate(places, 1) if place in new]
        for passing in tried:
            yield scenario, passing


# The tests


def test_there_are_points():
    assert POINTS


@pytest.mark.parametrize("point", POINTS)
def test_each_passing(play, traces, point):
    ways = [*passings(traces, point)]
    assert ways, "no scenario passes this point"
    crashes = sum(play(scenario, {point: passing}).has_crashed_at(point) for scenario, passing in ways[:MOST])
    for scenario, passing in 5 * ways if crashes == 0 else ():
        if play(scenario, {point: passing}).has_crashed_at(point):
            return
    assert crashes > 0, "no scenario passes this point any more"


def test_nothing_is_missing_that_is_there(traces):
    listed = {function(point) for point in all_points()}
    passed = {function(point) for trace in traces.values() for point in trace.points}
    assert MISSING <= listed
    assert not MISSING & passed


# The calls whose results cannot be had again, by who calls them, and which of our functions may be entered before the
# store of it: because that function stores it, or because in that case there is nothing to be stored.
STORED = {
    ("accept4", "advance"): ["fds_add"],
    ("accept4", "attach_accept_waiting"): ["add_client"],
    ("fork", "spawn"): [],
    ("read", "input_read"): [],
    ("read", "on_readable"): ["span_commit"],
    ("readv", "take"): [],
    ("recv", "take"): [],
    ("recvmsg", "receive"): ["on_terminal", "forget"],
    ("recvmsg", "take"): ["crash_asked", "input_ended"],  # dropped by a container without input
    ("send", "send_to_host"): [],
    ("send", "sync_send"): ["fd_close"],  # the engine may attach, and then closes that pipe
    ("sendmsg", "send_message"): ["take_line", "state_journal_cursors_next", "journal_socket_close"],
    ("sendmsg", "send_packet"): [],
    ("write", "send_some"): [],
    ("write", "sync_send"): [],
    ("write", "write_ready"): [],
    ("write", "write_to"): [],
}


def test_nothing_comes_before_a_store(traces):
    first = collections.defaultdict(set)
    for trace in traces.values():
        for call, caller, entered in trace.stores:
            first[call, caller].add(entered)
    for call, may_come in STORED.items():
        assert "" in first[call] or may_come, f"the result of {call} is never stored"
        assert first[call] and first[call] <= {"", *may_come}, call


def of_the_end(trace):
    """The points that are passed when nothing is left to do but to leave, and each passing of them, as armed."""
    last = max((i for i, point in enumerate(trace) if function(point) == "set_phase"), default=-1)
    before = collections.Counter(trace[: last + 1])
    for point in trace[last + 1 :]:
        before[point] += 1
        yield {point: before[point]}


OF_ALL_ENDS = [whole_life, failing_start, run, run_of_nothing, run_with_terminal]


@pytest.mark.parametrize("scenario", OF_ALL_ENDS, ids=lambda scenario: scenario.__name__)
def test_leaves_nothing_behind(play, scenario):
    """The monitor's last steps are repeated like all others, until nothing of it is left."""
    ways = list(of_the_end(play(scenario, {}).trace()))
    assert ways
    for armed in ways:
        play(scenario, armed)


@pytest.mark.parametrize("turn", range(PAIRS))
def test_two_points(play, traces, turn):
    """The second crash often meets an image that is still taking over."""
    chance = random.Random(turn)
    scenario = chance.choice(QUICK)
    points = sorted(set(traces[scenario].points))
    play(scenario, {chance.choice(points): chance.randint(1, 3), chance.choice(points): chance.randint(1, 3)})
