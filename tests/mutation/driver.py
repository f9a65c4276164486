"""Tries mutants: each in one of several copies of the project, against the tests that reach it."""

import json
import queue
import threading
import time

from matching import Matching
from operators import Mutant
from results import KILLED, read_equivalents
from tree import HELPERS, MONITORS, Failed, Tree

PROGRAMS = (*MONITORS, *HELPERS)
# Without debugging information, objects are equal if what they do is.
BUILD = ("--optimization=2", "-Ddebug=false", "-Dc_args=-w")


class Plain:
    """The project without a mutant. What fails here, too, has not killed one."""

    def __init__(self):
        self.tree = Tree("plain")
        self._proved = {}
        self._lock = threading.Lock()

    def prepare(self):
        self.tree.copy()
        self.tree.configure(*BUILD)

    def object(self, name):
        """The digest of one of its objects."""
        with self._lock:
            self.tree.must_make(name)
            return self.tree.digest(name)

    def passes(self, test, programs, run):
        """Whether a test passes; `run` runs it with the programs of a tree."""
        with self._lock:
            if test not in self._proved:
                self.tree.must_make(*programs)
                self._proved[test] = run(self.tree)
            return self._proved[test]

    @property
    def broken(self):
        return [test for test, passes in self._proved.items() if not passes]


class Job:
    """One copy of the project."""

    def __init__(self, number, plain, matching, most):
        self.tree = Tree(f"tree-{number}")
        self._plain = plain
        self._matching = matching
        self._most = most
        self._text = {}

    def prepare(self):
        self.tree.copy()
        self.tree.configure(*BUILD)

    def _original(self, path):
        return (self._plain.tree.path / path).read_text()

    def _put(self, path, text):
        target = self.tree.path / path
        if target.read_text() != text:
            target.write_text(text)

    def try_mutant(self, mutant: Mutant):
        """The state that it is in, what has killed it and how, and how many tests it has met."""
        units = self._matching.units(mutant.path, mutant.line, self._most)
        tests = self._matching.tests(mutant.path, mutant.line, self._most)
        object_ = self.tree.object_of(mutant.path)
        begin = time.monotonic()
        self._put(mutant.path, mutant.text)
        try:
            if object_:
                if not self.tree.make(object_):
                    return self._result(mutant, "invalid", begin)
                if self.tree.digest(object_) == self._plain.object(object_):
                    return self._result(mutant, "same", begin)
            if not units and not tests:
                return self._result(mutant, "unreached", begin)
            if units and not self.tree.make(*units):
                return self._result(mutant, "invalid", begin)
            for unit in units:
                if state := self._meet_unit(unit):
                    return self._result(mutant, state, begin, unit)
            if tests and not self.tree.make(*PROGRAMS):
                return self._result(mutant, "invalid", begin)
            state, by, why = self._meet_tests(tests)
            return self._result(mutant, state, begin, by, why, len(units) + len(tests))
        finally:
            self._put(mutant.path, self._original(mutant.path))

    def _result(self, mutant, state, begin, by=None, why=None, met=None):
        if state in KILLED:
            self._matching.note_kill(mutant.path, by)
        return {
            "key": mutant.key,
            "room": mutant.room,
            "operator": mutant.operator,
            "line": mutant.line,
            "state": state,
            "by": by,
            "why": why,
            "met": met,
            "seconds": round(time.monotonic() - begin, 1),
        }

    def _run_unit(self, unit, build):
        return self.tree.sandboxed([str(build.build / unit)], 60 + 10 * self._matching.seconds(unit))

    def _meet_unit(self, unit):
        status = self._run_unit(unit, self.tree)
        if status == 0 or not self._plain.passes(unit, [unit], lambda plain: self._run_unit(unit, plain) == 0):
            return None
        return "timeout" if status is None else "killed"

    def _run_tests(self, tests, programs=None):
        """The outcomes of tests, up to the first one that fails."""
        chosen, outcomes = self.tree.path / "build-chosen", self.tree.path / "build-outcomes"
        limits = {test: 30 + 10 * self._matching.seconds(test) for test in tests}
        chosen.write_text(json.dumps(list(limits.items())))
        outcomes.write_text("")
        files = list(dict.fromkeys(test.split("::")[0] for test in tests))
        self.tree.pytest(
            ["-x", *files],
            300 + 10 * sum(self._matching.seconds(test) for test in tests),
            {"CHOSEN": str(chosen), "OUTCOMES": str(outcomes)},
            programs,
        )
        return [json.loads(line) for line in outcomes.read_text().splitlines()]

    def _meet_tests(self, tests):
        """A test kills if it fails twice, and passes without the mutant."""
        left = list(tests)
        while left:
            found = self._run_tests(left)
            failed = found[-1] if found and found[-1]["outcome"] in ("failed", "timeout") else None
            if failed is None:
                if not found:  # not even one has begun
                    raise Failed(f"No test runs: see {self.tree.path}/build-test-log")
                break
            test = failed["test"]
            again = self._run_tests([test])
            if again and again[-1]["outcome"] in ("failed", "timeout") and self._plain.passes(
                test, PROGRAMS, lambda plain, test=test: self._passes(test, plain)
            ):
                return {"failed": "killed"}.get(failed["outcome"], "timeout"), test, failed["why"]
            left = left[left.index(test) + 1 :]
        return "survived", None, None

    def _passes(self, test, plain):
        found = self._run_tests([test], plain)
        return bool(found) and found[-1]["outcome"] == "passed"


def try_all(mutants, results, reach, jobs, most, say):
    """Tries all mutants that have no result yet."""
    equivalents = read_equivalents()
    plain = Plain()
    matching = Matching(reach)
    wanted = queue.Queue()
    for mutant in mutants:
        if mutant.key not in equivalents:
            wanted.put(mutant)
    if wanted.empty():
        return []
    plain.prepare()
    lock = threading.Lock()
    stopped = threading.Event()
    problems = []

    def work(number):
        job = Job(number, plain, matching, most)
        try:
            job.prepare()
            while not stopped.is_set():
                mutant = wanted.get_nowait()
                result = job.try_mutant(mutant)
                with lock:
                    results.add(result)
                    say(result, wanted.qsize())
        except queue.Empty:
            pass
        except Exception as problem:
            problems.append(problem)
            stopped.set()

    threads = [threading.Thread(target=work, args=[number], daemon=True) for number in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return plain.broken
