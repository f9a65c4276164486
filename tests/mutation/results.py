"""What became of each mutant: a file of JSON lines, to which every one is added at once, so that nothing is done twice;
and the list of those that cannot be told from the original."""

import collections
import json
import pathlib

EQUIVALENTS = pathlib.Path(__file__).resolve().parent / "equivalents"

KILLED = ("killed", "timeout")
ALIVE = ("survived", "unreached")
# In the order of the table.
STATES = (*KILLED, *ALIVE, "equivalent", "same", "invalid")


class Bad(Exception):
    """Something that a person has written cannot be understood."""


def read_equivalents(path=EQUIVALENTS):
    """{key: reason}. In the file, a key has a line of its own, and the lines behind it, indented, are the reason. What
    begins with # is a comment."""
    found = {}
    key = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line[0].isspace():
            if key and not found[key]:
                raise Bad(f"{path}:{number}: the mutant before has no reason")
            key = line.strip()
            if " => " not in key:
                raise Bad(f"{path}:{number}: a mutant's key is PATH FUNCTION: BEFORE => AFTER")
            if key in found:
                raise Bad(f"{path}:{number}: the same mutant twice")
            found[key] = ""
        elif key is None:
            raise Bad(f"{path}:{number}: a reason without a mutant")
        else:
            found[key] = f"{found[key]} {line.strip()}".strip()
    if key and not found[key]:
        raise Bad(f"{path}: the last mutant has no reason")
    return found


class Results:
    def __init__(self, path):
        self._path = path
        self._found = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    result = json.loads(line)
                    self._found[result["key"]] = result
                except (ValueError, KeyError, TypeError):
                    raise Bad(f"{path}:{number}: not a result") from None

    def __iter__(self):
        return iter(self._found.values())

    def get(self, key):
        return self._found.get(key)

    def add(self, result):
        self._found[result["key"]] = result
        with open(self._path, "a", encoding="utf-8") as file:
            print(json.dumps(result), file=file)


def table(results):
    """By room. What is the same as the original, or does not compile, is not counted."""
    rooms = collections.defaultdict(collections.Counter)
    for result in results:
        rooms[result["room"]][result["state"]] += 1
    total = sum(rooms.values(), collections.Counter())
    lines = ["| room | " + " | ".join(STATES) + " | % killed |", "|---|" + "---|" * (len(STATES) + 1)]
    for name, counts in [*sorted(rooms.items()), ("all", total)]:
        killed = sum(counts[state] for state in KILLED)
        counted = killed + sum(counts[state] for state in ALIVE)
        share = f"{100 * killed / counted:.0f}" if counted else "–"
        lines.append(f"| {name} | " + " | ".join(str(counts[state]) for state in STATES) + f" | {share} |")
    return "\n".join(lines)
