"""Mutants of a C source: the same text with one small fault. Only inside function bodies, and never in comments,
strings or directives. A mutant keeps the number of lines, so that what is known of lines stays true.

The text is taken as clang-format leaves it: a function begins and ends with a brace in the first column, binary
operators have a blank on both sides."""

import bisect
import dataclasses
import re

_HIDDEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | ^[ \t]*\#(?:\\\n|[^\n])*""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_KEYWORDS = ("if", "for", "while", "do", "switch", "else", "case", "default", "return", "sizeof", "goto", "typedef")


@dataclasses.dataclass(frozen=True)
class Mutant:
    path: str
    line: int  # the first one that it changes
    key: str  # the same as long as the changed lines and their function's name are
    text: str  # of the whole file
    operator: str

    @property
    def room(self):
        return room(self.path)


def room(path):
    """src/log/batch.c -> log"""
    return path.split("/")[1] if path.count("/") > 1 else path


def blank(text):
    """The text without comments, strings, characters and directives: each of their characters is a blank."""
    return _HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def functions(code):
    """(name, begin, end) of each function's body in a blanked text."""
    for body in re.finditer(r"^\{\n.*?^\}", code, re.DOTALL | re.MULTILINE):
        head = code[: body.start()]
        head = head[max(head.rfind(";"), head.rfind("}")) + 1 :]
        name = re.search(r"(\w+)\(", head)
        if name:
            yield name.group(1), body.start() + 2, body.end() - 1


def _closing(code, at):
    """Where the parenthesis ends that begins at `at`."""
    depth = 0
    for place in range(at, len(code)):
        depth += (code[place] == "(") - (code[place] == ")")
        if depth == 0:
            return place
    return len(code)


# An edit is (begin, end, new text) within the file; each of these yields some of a function's body.


def _replacing(pattern, table):
    expression = re.compile(pattern)

    def edits(code, begin, end):
        for found in expression.finditer(code, begin, end):
            for new in table[found.group(1)]:
                yield found.start(1), found.end(1), new

    return edits


_comparison = _replacing(
    r" (<=|>=|==|!=|<|>) ",
    {
        "<": ("<=", ">="),
        "<=": ("<", ">"),
        ">": (">=", "<="),
        ">=": (">", "<"),
        "==": ("!=",),
        "!=": ("==",),
    },
)
_logic = _replacing(r" (&&|\|\|) ", {"&&": ("||",), "||": ("&&",)})
_arithmetic = _replacing(
    r"(?<=[\w)\]]) ([-+/*%&|]) (?=[\w(*~!&-])",
    {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&": "|", "|": "&"},
)
_assignment = _replacing(
    r" ([-+|&*/]=) ", {"+=": ("-=", "="), "-=": ("+=", "="), "|=": ("=",), "&=": ("=",), "*=": ("/=",), "/=": ("*=",)}
)
_step = _replacing(r"(\+\+|--)", {"++": ("--",), "--": ("++",)})
_truth = _replacing(r"\b(true|false)\b", {"true": ("false",), "false": ("true",)})
_extreme = _replacing(r"\b(MIN|MAX)\b(?=\()", {"MIN": ("MAX",), "MAX": ("MIN",)})
_jump = _replacing(r"\b(break|continue)(?=;)", {"break": ("continue",), "continue": ("break",)})


def _negation(code, begin, end):
    for found in re.finditer(r"!(?=[\w(*])", code[:end]):
        if found.start() >= begin:
            yield found.start(), found.end(), ""


def _constant(code, begin, end):
    for found in re.compile(r"(?<![\w.])(\d+)([uUlL]*)\b(?!\.)").finditer(code, begin, end):
        digits, suffix = found.groups()
        if digits != "0" and digits.startswith("0"):
            values = (0,)  # a file's mode
        else:
            values = dict.fromkeys(value for value in (int(digits) + 1, int(digits) - 1, 0) if value >= 0)
        for value in values:
            if value != int(digits):
                yield found.start(), found.end(), f"{value}{suffix}"


def _condition(code, begin, end):
    for found in re.compile(r"\b(if|while) \(").finditer(code, begin, end):
        first, last = found.end() - 1, _closing(code, found.end() - 1)
        if found.group(1) == "if":
            yield first, last + 1, f"(1 || {code[first:last + 1]})"
        yield first, last + 1, f"(0 && {code[first:last + 1]})"


def _result(code, begin, end):
    for found in re.compile(r"\breturn ([^;]+);").finditer(code, begin, end):
        if not re.fullmatch(r"[-\w]?\w*", found.group(1)) or re.fullmatch(r"[a-z]\w*", found.group(1)):
            if found.group(1) not in ("true", "false"):
                yield found.start(1), found.end(1), "0"


_LVALUE = r"(?:\*|\+\+|--)*[A-Za-z_]\w*(?:->\w+|\.\w+|\[[^];]*\])*"
_STATEMENT = re.compile(
    rf"(?:{_LVALUE}\s(?:[-+|&^*/%]|<<|>>)?=\s[^;]*|{_LVALUE}(?:\+\+|--)?|{_LVALUE}\([^;]*\)|\(void\)[^;]*|"
    r"break|continue|return);"
)


def statements(code, begin, end):
    """(begin, end) of each assignment, call and jump that has its lines for itself; not of declarations."""
    for line in re.compile(r"^([ \t]+)(?=\S)", re.MULTILINE).finditer(code, begin, end):
        found = _STATEMENT.match(code, line.end(), end)
        if not found or re.match(r"[^\n]*\S", code[found.end() : end]):
            continue
        text = found.group()
        if text.startswith("FAULT_POINT") or re.match(r"\w+", text) and re.match(r"\w*", text).group() in (
            set(_KEYWORDS) - {"return"}
        ):
            continue
        # What goes on from the line before is a part of something else.
        before = code[begin : line.start()].rstrip()
        if before and before[-1] not in ";{}:)" and not before.endswith("else"):
            continue
        if before.endswith(")") and not _is_header(code, begin, before):
            continue
        yield found.start(), found.end()


def _is_header(code, begin, before):
    """Whether the parenthesis that ends there belongs to an if, a for or a while."""
    depth, at = 0, begin + len(before) - 1
    while at >= begin:
        depth += (code[at] == ")") - (code[at] == "(")
        if depth == 0:
            break
        at -= 1
    return re.search(r"\b(?:if|for|while|switch) $", code[begin:at]) is not None


def _removal(code, begin, end):
    for first, last in statements(code, begin, end):
        yield first, last, ";"


_TARGET = re.compile(rf"({_LVALUE}) (?:\S)?=\s")


def _are_independent(one, other):
    """Whether they assign to different things that neither of them reads, without a call: nobody sees the order."""
    targets = [_TARGET.match(text) for text in (one, other)]
    if not all(targets) or re.search(r"\w\(", one + other):
        return False
    return targets[0].group(1) not in other and targets[1].group(1) not in one


def _order(code, begin, end):
    """Neighbours of the same depth, each on lines of its own, change places."""
    known = list(statements(code, begin, end))
    for (first, middle), (second, last) in zip(known, known[1:]):
        between = code[middle:second]
        depths = [code[code.rfind("\n", 0, at) + 1 : at] for at in (first, second)]
        jumps = re.match(r"(break|continue|return)\b", code[second:last])
        under_header = code[begin:first].rstrip()[-1:] == ")"
        if between.strip() or depths[0] != depths[1] or jumps or under_header:
            continue
        if _are_independent(code[first:middle], code[second:last]):
            continue
        yield first, last, (second, last, middle, second, first, middle)


OPERATORS = {
    "comparison": _comparison,
    "logic": _logic,
    "arithmetic": _arithmetic,
    "assignment": _assignment,
    "step": _step,
    "truth": _truth,
    "extreme": _extreme,
    "jump": _jump,
    "negation": _negation,
    "constant": _constant,
    "condition": _condition,
    "result": _result,
    "removal": _removal,
    "order": _order,
}


_ARRAY = re.compile(r"[ \t]+(?:const |static |unsigned |struct )*\w+ \*?\w+\[")


def _declares_array(code, at):
    """Whether the line there does: a smaller array would be undefined behaviour, a larger one is the same."""
    return _ARRAY.match(code, code.rfind("\n", 0, at) + 1) is not None


def _shown(text):
    return " ".join(text.split())


def mutants(path, text):
    """All mutants of a source, in the order of its lines, each of them once."""
    code = blank(text)
    starts = [0] + [found.end() for found in re.finditer("\n", text)]
    seen = {text}
    keys = {}
    made = []
    for name, begin, end in functions(code):
        for operator, edits in OPERATORS.items():
            for first, last, new in edits(code, begin, end):
                if isinstance(new, tuple):
                    new = "".join(text[a:b] for a, b in zip(new[::2], new[1::2]))
                elif operator == "condition":
                    new = new[:6] + text[first:last] + ")"
                new += "\n" * (text.count("\n", first, last) - new.count("\n"))
                mutated = text[:first] + new + text[last:]
                if mutated in seen or operator in ("constant", "arithmetic") and _declares_array(code, first):
                    continue
                seen.add(mutated)
                line = bisect.bisect_right(starts, first)
                from_, to = starts[line - 1], text.find("\n", last)
                before, after = _shown(text[from_:to]), _shown(text[from_:first] + new + text[last:to])
                key = f"{path} {name}: {before} => {after}"
                keys[key] = keys.get(key, 0) + 1
                if keys[key] > 1:
                    key += f" ({keys[key]})"
                made.append(Mutant(path, line, key, mutated, operator))
    return sorted(made, key=lambda mutant: mutant.line)
