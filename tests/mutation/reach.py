"""Which test reaches which lines, and how long it takes: found out once, by running every test with programs that note
it (reach.c), and again for each file of tests that has changed since.

It is kept in build-mutation/reach: one file of JSON for each file of tests, and the sources as they were then. Where
these have changed since, a line's tests are those of the line that it was; a new line's, those of the line before."""

import bisect
import concurrent.futures
import difflib
import functools
import hashlib
import json
import os
import pathlib
import queue
import re
import subprocess
import time

import reached
from tree import MONITORS, PROJECT, TOP, Failed, Tree, units

STORE = TOP / "reach"
UNIT_TIMEOUT = 120
FILE_TIMEOUT = 2400
# These need what is not in a sandbox, or minutes for a test.
WITHOUT = ("tests/contract/test_real_journal.py", "tests/contract/test_bounded.py")

_CALL = re.compile(r"call .*<__sanitizer_cov_trace_pc>$")
_INSTRUCTION = re.compile(r" +([0-9a-f]+):\t")
_PLACE = re.compile(r"(/.*):(\d+)(?: \(discriminator \d+\))?$")


def test_files():
    """The files of tests with pytest that run the monitor or conwardctl."""
    found = [*(PROJECT / "tests/contract").glob("test_*.py"), *(PROJECT / "tests/ctl").glob("test_*.py")]
    return [name for name in sorted(str(path.relative_to(PROJECT)) for path in found) if name not in WITHOUT]


def _sources(top):
    return {str(path.relative_to(top)): path.read_text() for path in sorted((top / "src").glob("*/*.[ch]"))}


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _key(name, tree=PROJECT):
    """Changes with the test: of a unit test program, with its source."""
    path = tree / (f"{name}.c" if name.startswith("tests/unit/") else name)
    return _digest(path.read_text())


class _Blocks:
    """The lines of each basic block of a program, by the address behind its call."""

    def __init__(self, tree, program):
        self._blocks = {}
        got = subprocess.run(
            ["objdump", "-dl", "--no-show-raw-insn", str(tree.build / program)], stdout=subprocess.PIPE, check=True
        )
        place = block = None
        awaited = False
        for line in got.stdout.decode(errors="replace").splitlines():
            if found := _PLACE.match(line):
                path = os.path.normpath(found.group(1))
                inside = path.startswith(f"{tree.path}/src/")
                place = (os.path.relpath(path, tree.path), int(found.group(2))) if inside else None
            elif found := _INSTRUCTION.match(line):
                if awaited:
                    block = self._blocks.setdefault(int(found.group(1), 16), set())
                awaited = _CALL.search(line) is not None
                # The call belongs to the block that it begins.
                if awaited:
                    begun = place
                elif block is not None and place:
                    block.add(place)
                    if begun:
                        block.add(begun)

    def lines(self, addresses=None):
        """Those of some blocks, or of all."""
        found = set()
        for address in self._blocks if addresses is None else addresses:
            found |= self._blocks.get(address, set())
        return found


def _as_ranges(lines):
    """{path: [first, last, first, last…]}"""
    ranges = {}
    for path, line in sorted(lines):
        known = ranges.setdefault(path, [])
        if known and known[-1] == line - 1:
            known[-1] = line
        else:
            known += [line, line]
    return ranges


def _from_ranges(ranges):
    for first, last in zip(ranges[::2], ranges[1::2]):
        yield from range(first, last + 1)


class _Explorer:
    """A tree that notes what is reached."""

    def __init__(self, number):
        self.tree = Tree(f"reach-{number}")
        self._now = self.tree.path / "build-reached"
        self._programs = {}

    def prepare(self):
        self.tree.copy()
        self._now.mkdir(exist_ok=True)
        # Another one makes all programs anew.
        hook = self.tree.path / f"build-reach-{_key('tests/mutation/reach.c')}.o"
        command = ["gcc", "-O2", "-fPIC", "-c", "-o", hook, f'-DREACH_DIRECTORY="{self._now}"']
        subprocess.run([*command, self.tree.path / "tests/mutation/reach.c"], check=True)
        self.tree.configure(
            "--optimization=0", "--debug", "-Dc_args=-w -fsanitize-coverage=trace-pc", f"-Dc_link_args={hook}"
        )
        self.tree.must_make()
        self._programs = {(self.tree.build / name).stat().st_size: name for name in [*MONITORS, *units()]}

    @functools.lru_cache(maxsize=None)
    def _blocks(self, program):
        return _Blocks(self.tree, program)

    def _lines(self, found):
        lines = set()
        for size, addresses in found.items():
            if int(size) in self._programs:
                lines |= self._blocks(self._programs[int(size)]).lines(addresses)
        return _as_ranges(lines)

    def version(self):
        """The sources, and which of their lines have code."""
        lines = set()
        for program in MONITORS:
            lines |= self._blocks(program).lines()
        return {"texts": _sources(self.tree.path), "code": _as_ranges(lines)}

    def explore(self, name):
        return self._explore_unit(name) if name.startswith("tests/unit/") else self._explore_file(name)

    def _explore_unit(self, name):
        for path in self._now.iterdir():
            path.unlink()
        begin = time.monotonic()
        status = self.tree.sandboxed([str(self.tree.build / name)], UNIT_TIMEOUT)
        seconds = time.monotonic() - begin
        lines = self._lines(reached.read(self._now))
        outcome = "passed" if status == 0 else "failed"
        return {name: {"seconds": round(seconds, 3), "outcome": outcome, "lines": lines}}

    def _explore_file(self, name):
        outcomes = self.tree.path / "build-outcomes"
        outcomes.write_text("")
        self.tree.pytest([name], FILE_TIMEOUT, {"OUTCOMES": str(outcomes), "REACHED": str(self._now)})
        return self._read(outcomes)

    def _read(self, outcomes):
        tests = {}
        with open(outcomes, encoding="utf-8") as file:
            for line in file:
                test = json.loads(line)
                if test["outcome"] != "skipped":
                    lines = self._lines(test["reached"])
                    tests[test["test"]] = {"seconds": test["seconds"], "outcome": test["outcome"], "lines": lines}
        return tests


def explore(jobs, say):
    """Finds out what is not known yet."""
    STORE.mkdir(parents=True, exist_ok=True)
    wanted = queue.Queue()
    names = units() + test_files()
    for name in names:
        stored = STORE / f"{name.replace('/', ':')}.json"
        if not stored.exists() or json.loads(stored.read_text())["key"] != _key(name):
            wanted.put((name, stored))
    if wanted.empty():
        return

    def work(number):
        explorer = _Explorer(number)
        explorer.prepare()
        version = explorer.version()
        digest = _digest(json.dumps(version))
        (STORE / f"sources-{digest}").write_text(json.dumps(version))
        while True:
            try:
                name, stored = wanted.get_nowait()
            except queue.Empty:
                return
            tests = explorer.explore(name)
            failed = sum(test["outcome"] != "passed" for test in tests.values())
            seconds = sum(test["seconds"] for test in tests.values())
            say(f"{name}: {len(tests)} tests, {failed} of them fail in this build, {seconds:.0f} s")
            found = {"key": _key(name, explorer.tree.path), "sources": digest, "tests": tests}
            stored.write_text(json.dumps(found))

    with concurrent.futures.ThreadPoolExecutor(jobs) as threads:
        for done in [threads.submit(work, number) for number in range(min(jobs, wanted.qsize()))]:
            done.result()


class Reach:
    """What explore() has found out."""

    def __init__(self):
        self.seconds = {}
        self._by_version = {}  # {version: {path: {line: [test]}}}
        for name in units() + test_files():
            stored = STORE / f"{name.replace('/', ':')}.json"
            if not stored.exists():
                raise Failed(f"It is not known what {name} reaches")
            self._add(json.loads(stored.read_text()))
        self._versions = {name: json.loads((STORE / f"sources-{name}").read_text()) for name in self._by_version}

    def _add(self, found):
        paths = self._by_version.setdefault(found["sources"], {})
        for name, test in found["tests"].items():
            self.seconds[name] = test["seconds"]
            for path, ranges in test["lines"].items():
                lines = paths.setdefault(path, {})
                for line in _from_ranges(ranges):
                    lines.setdefault(line, []).append(name)

    @functools.lru_cache(maxsize=None)
    def _mapping(self, version, path):
        """For each line now, the one that it was: as many as there are lines, from 1 on."""
        before = self._versions[version]["texts"].get(path, "").splitlines()
        now = (PROJECT / path).read_text().splitlines()
        mapping = [0] * (len(now) + 1)
        for block in difflib.SequenceMatcher(None, now, before, autojunk=False).get_matching_blocks():
            for at in range(block.size):
                mapping[block.a + at + 1] = block.b + at + 1
        for line in range(1, len(mapping)):
            mapping[line] = mapping[line] or mapping[line - 1]
        return mapping

    def tests_of(self, path, line):
        """The tests that reach a line; one without code of its own is a part of the line before it that has some."""
        found = []
        for version, paths in self._by_version.items():
            code = self._code(version, path)
            at = bisect.bisect_right(code, self._mapping(version, path)[line])
            if at > 0:
                found += paths.get(path, {}).get(code[at - 1], [])
        return found

    @functools.lru_cache(maxsize=None)
    def _code(self, version, path):
        return sorted(_from_ranges(self._versions[version]["code"].get(path, [])))
