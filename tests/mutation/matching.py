"""Which tests a mutant meets, and in which order: those that reach its line, the cheapest and likeliest first."""

import collections
import pathlib
import re

UNIT = "tests/unit/"
# They crash at every place in turn: much time for one mutant.
LAST = ("tests/contract/test_fault_points", "tests/contract/test_crash_calls")


def _words(path):
    return set(re.split(r"[-_/.]", path)) - {"src", "tests", "contract", "ctl", "test", "py", "c", "h"}


class Matching:
    def __init__(self, reach):
        self._reach = reach
        self._kills = collections.Counter()

    def note_kill(self, path, test):
        """What has killed a mutant of a file, or of its room, is likely to kill another one."""
        for place in (path, str(pathlib.PurePath(path).parent)):
            self._kills[place, self._function(test)] += 1

    @staticmethod
    def _function(test):
        return test.split("[")[0]

    def units(self, path, line, most):
        """The unit test programs, but for those that take more than `most` seconds."""
        found = [test for test in self._reach.tests_of(path, line) if test.startswith(UNIT)]
        return sorted((test for test in found if self.seconds(test) <= most), key=self.seconds)

    def tests(self, path, line, most):
        """Those of pytest, until they take `most` seconds."""
        words = _words(path)
        room = str(pathlib.PurePath(path).parent)
        found = sorted(
            (test for test in self._reach.tests_of(path, line) if not test.startswith(UNIT)), key=self.seconds
        )
        costs = {}
        alike = collections.Counter()
        for test in found:
            function = self._function(test)
            cost = (self.seconds(test) + 0.1) / (1 + 4 * len(words & _words(test)))
            if test.startswith(LAST):
                cost *= 4
            cost /= 1 + min(self._kills[path, function], 3) + min(self._kills[room, function], 3)
            costs[test] = cost * (1 + alike[function])  # the same with other values seldom sees more
            alike[function] += 1
        chosen = []
        for test in sorted(found, key=costs.get):
            most -= self.seconds(test)
            if most < 0 and chosen:
                break
            chosen.append(test)
        return chosen

    def seconds(self, test):
        return self._reach.seconds[test]
