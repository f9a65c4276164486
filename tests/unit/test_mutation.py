"""What tests/mutate makes of a source, and what it reads and shows."""

import pathlib
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(PROJECT / "tests/mutation"))

import operators  # noqa: E402  (found through the path above)
import results  # noqa: E402
from matching import Matching  # noqa: E402

FUNCTION = "int f(int a, int b)\n{{\n    {};\n}}\n"


def changes(body, operator=None):
    """What becomes of a function's only line."""
    made = operators.mutants("src/log/x.c", FUNCTION.format(body))
    return [mutant.text.splitlines()[2].strip() for mutant in made if operator in (None, mutant.operator)]


@pytest.mark.parametrize("operator, body, expected", [
    ("comparison", "g = a < b", ["g = a <= b;", "g = a >= b;"]),
    ("comparison", "g = a >= b", ["g = a > b;", "g = a < b;"]),
    ("comparison", "g = a == b", ["g = a != b;"]),
    ("comparison", "g->x = a << 2", []),
    ("logic", "g = a && b", ["g = a || b;"]),
    ("arithmetic", "g = a + b - 1", ["g = a - b - 1;", "g = a + b + 1;"]),
    ("arithmetic", "g = a & ~b", ["g = a | ~b;"]),
    ("arithmetic", "g = *a", []),
    ("arithmetic", "g = -a", []),
    ("assignment", "g += a", ["g -= a;", "g = a;"]),
    ("assignment", "g |= a", ["g = a;"]),
    ("step", "g[a]--", ["g[a]++;"]),
    ("truth", "g = true", ["g = false;"]),
    ("extreme", "g = MIN(a, b)", ["g = MAX(a, b);"]),
    ("jump", "break", ["continue;"]),
    ("negation", "g = !a != b", ["g = a != b;"]),
    ("constant", "g = 7", ["g = 8;", "g = 6;", "g = 0;"]),
    ("constant", "g = 1u", ["g = 2u;", "g = 0u;"]),
    ("constant", "g = 0", ["g = 1;"]),
    ("constant", "g = 0644", ["g = 0;"]),
    ("constant", "g = a1 + 0x10 + 1.5", []),
    ("constant", "char text[16]", []),
    ("condition", "if (a < (b)) return", ["if (1 || (a < (b))) return;", "if (0 && (a < (b))) return;"]),
    ("condition", "while (a) b()", ["while (0 && (a)) b();"]),
    ("result", "return a + b", ["return 0;"]),
    ("result", "return a", ["return 0;"]),
    ("result", "return 0", []),
    ("result", "return true", []),
    ("removal", "g(a, b)", [";"]),
    ("removal", "*g = a", [";"]),
    ("removal", "g->x[a].y += b", [";"]),
    ("removal", "return", [";"]),
    ("removal", "int g = a", []),
    ("removal", "Page *g = a", []),
    ("removal", "FAULT_POINT()", []),
    ("removal", "if (a) g()", []),
])  # fmt: skip
def test_operator(operator, body, expected):
    assert changes(body, operator) == expected


def order(*lines):
    made = operators.mutants("src/log/x.c", FUNCTION.format(";\n    ".join(lines)))
    return [mutant.text.splitlines()[2:-1] for mutant in made if mutant.operator == "order"]


def test_neighbours_change_places():
    assert order("g(a)", "h(b)") == [["    h(b);", "    g(a);"]]
    assert order("x = a", "y = x") == [["    y = x;", "    x = a;"]]
    assert order("x = a", "y = b") == []  # nobody could tell
    assert order("g(a)", "return") == []
    assert order("if (a)\n        g(a)", "h(b)") == []
    assert order("for (;;)\n        g(a)", "h(b)") == []


def test_statement_of_several_lines():
    made = operators.mutants("src/log/x.c", FUNCTION.format("g(a,\n      b)"))
    removed = [mutant for mutant in made if mutant.operator == "removal"]
    assert [mutant.text for mutant in removed] == ["int f(int a, int b)\n{\n    ;\n\n}\n"]
    assert removed[0].key == "src/log/x.c f: g(a, b); => ;"


def test_comments_strings_and_directives_stay():
    hidden = '/* a < b */ "a < b" \'<\' // a < b\n#define X(a) \\\n    a < b\nc < d'
    assert operators.blank(hidden).split() == ["c", "<", "d"]
    assert len(operators.blank(hidden)) == len(hidden)
    assert changes('g("a < b; 1 + 1 /*", /* 0 && */ 2)', "comparison") == []
    assert len(changes('g("1 + 1", 2 /* 3 */)', "constant")) == 3


def test_only_function_bodies():
    source = "enum { X = 1 };\n\nstruct S {\n    int a[2];\n};\n\nint f(void)\n{\n    return 5;\n}\n\nint b = 3;\n"
    assert {mutant.line for mutant in operators.mutants("src/log/x.c", source)} == {9}


def test_keys_are_stable_and_different():
    source = FUNCTION.format("if (a < b)\n        g(1);\n    if (a < b)\n        g(1)")
    before = [mutant.key for mutant in operators.mutants("src/log/x.c", source)]
    after = [mutant.key for mutant in operators.mutants("src/log/x.c", "int more;\n\n" + source)]
    assert before == after
    assert len(set(before)) == len(before)
    assert "src/log/x.c f: if (a < b) => if (a <= b)" in before
    assert "src/log/x.c f: if (a < b) => if (a <= b) (2)" in before


def test_all_sources_have_mutants_of_their_own():
    for path in sorted((PROJECT / "src/log").glob("*.c")):
        text = path.read_text()
        made = operators.mutants(f"src/log/{path.name}", text)
        assert len({mutant.key for mutant in made}) == len({mutant.text for mutant in made}) == len(made)
        assert all(mutant.text.count("\n") == text.count("\n") for mutant in made)
        assert made or len(text.splitlines()) < 20


def test_equivalents(tmp_path):
    path = tmp_path / "equivalents"
    path.write_text("# why\n\nsrc/a.c f: x => y\n    It is never\n    looked at.\n")
    assert results.read_equivalents(path) == {"src/a.c f: x => y": "It is never looked at."}


@pytest.mark.parametrize("text", [
    "    a reason first\n",
    "no mutant\n    a reason\n",
    "a => b\n",
    "a => b\nc => d\n    a reason\n",
    "a => b\n    one\na => b\n    two\n",
])  # fmt: skip
def test_bad_equivalents(tmp_path, text):
    path = tmp_path / "equivalents"
    path.write_text(text)
    with pytest.raises(results.Bad):
        results.read_equivalents(path)


def test_equivalents_of_the_project_are_mutants():
    keys = {}
    for key in results.read_equivalents():
        path = key.split(" ")[0]
        if path not in keys:
            keys[path] = {mutant.key for mutant in operators.mutants(path, (PROJECT / path).read_text())}
        assert key in keys[path], "is of a source that has changed since"


def test_results_are_kept(tmp_path):
    path = tmp_path / "results"
    kept = results.Results(path)
    kept.add({"key": "a", "room": "log", "state": "survived"})
    kept.add({"key": "a", "room": "log", "state": "killed"})
    kept.add({"key": "b", "room": "state", "state": "invalid"})
    again = results.Results(path)
    assert again.get("a")["state"] == "killed"
    lines = results.table(again).splitlines()
    assert lines[-1].startswith("| all | 1 |") and lines[-1].endswith("| 100 |")
    assert lines[-2].startswith("| state | 0 |") and lines[-2].endswith("| – |")


class Reach:
    seconds = {"tests/unit/test-a": 1, "tests/contract/test_log.py::one[1]": 2, "tests/contract/test_log.py::one[2]": 2,
               "tests/contract/test_log.py::two": 2, "tests/contract/test_x.py::a": 2}  # fmt: skip

    def tests_of(self, path, line):
        return list(self.seconds) if line == 5 else []


def test_cheap_and_likely_tests_come_first():
    matching = Matching(Reach())
    assert matching.units("src/log/log.c", 5, 100) == ["tests/unit/test-a"]
    assert matching.units("src/log/log.c", 5, 0.5) == []
    assert matching.tests("src/log/log.c", 5, 100) == [
        "tests/contract/test_log.py::one[1]", "tests/contract/test_log.py::two", "tests/contract/test_log.py::one[2]",
        "tests/contract/test_x.py::a"
    ]  # fmt: skip
    assert len(matching.tests("src/log/log.c", 5, 5)) == 2
    assert matching.tests("src/log/log.c", 6, 100) == []
    for _ in range(9):
        matching.note_kill("src/log/log.c", "tests/contract/test_x.py::a")
    assert matching.tests("src/log/log.c", 5, 100)[0] == "tests/contract/test_x.py::a"


@pytest.mark.parametrize("arguments, said", [
    (["--list", "nowhere"], "nowhere: neither a C source"),
    (["--list", "tests/lib/fault.c", "--changed", "nosuchcommit"], "nosuchcommit"),
    (["--sample", "0"], "--sample must be more than 0"),
    (["--sample", "many"], "invalid int value"),
])  # fmt: skip
def test_mutate_refuses(arguments, said):
    got = subprocess.run([PROJECT / "tests/mutate", *arguments], capture_output=True, text=True)
    assert got.returncode == 2
    assert said in got.stderr


def test_mutate_chooses_by_seed():
    def chosen(*arguments):
        command = [PROJECT / "tests/mutate", "--list", *arguments, "log"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    some = chosen("--sample", "20", "--seed", "7")
    assert len(some) == len(set(some)) == 20
    assert some == chosen("--sample", "20", "--seed", "7")
    assert some != chosen("--sample", "20", "--seed", "8")
    text = (PROJECT / "src/log/none.c").read_text()
    assert len(chosen("--match", "src/log/none.c")) == len(operators.mutants("src/log/none.c", text)) > 0
