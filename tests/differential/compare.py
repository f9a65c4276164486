"""Plays a scenario with both monitors, and compares the notes with the list of differences."""

import pathlib
import shutil
import tempfile

import engine
from differences import ANY, DIFFERENCES, EVERYWHERE, NONE, RULES
from lab import Lab

CONMON = "/usr/bin/conmon"

USED = set()  # the (scenario, note) of the table's lines that were needed


def play(scenario, program):
    """The notes of a scenario with one monitor."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="conward-"))
    lab = Lab(program, directory)
    try:
        scenario.play(lab)
        return lab.notes()
    finally:
        lab.close()
        shutil.rmtree(directory, ignore_errors=True)


def both(scenario):
    return play(scenario, CONMON), play(scenario, engine.conward())


def listed(scenario, note, there):
    """The line of the table for a note. That of the scenario comes before that for everywhere, which is only for notes
    that both have made."""
    for difference in DIFFERENCES:
        if (difference.scenario, difference.note) == (scenario, note):
            return difference
    for difference in DIFFERENCES:
        both = there or NONE in (difference.conmon, difference.conward)
        if (difference.scenario, difference.note) == (EVERYWHERE, note) and both:
            return difference
    return None


def fits(value, wanted):
    return wanted is ANY or value == wanted


def by_the_rules(notes):
    """Conmon's notes as conward's are to be."""
    changed = {name: _by_the_rules(name, value) for name, value in notes.items()}
    return {name: value for name, value in changed.items() if value is not NONE}


def _by_the_rules(name, value):
    for rule in RULES:
        if name.startswith(rule.note):
            value = rule.change(value)
    return value


def faults(scenario, conmon, conward):
    """What is wrong with two sets of notes: a list of (note, conmon's, conward's, in words)."""
    found = _idle_rules(scenario, conmon)
    conmon = by_the_rules(conmon)
    for note in [*conmon, *(note for note in conward if note not in conmon)]:
        theirs, ours = conmon.get(note), conward.get(note)
        difference = listed(scenario.name, note, note in conmon and note in conward)
        if difference is None:
            if theirs != ours:
                found.append((note, theirs, ours, "a difference that is not in the table"))
            continue
        USED.add((difference.scenario, difference.note))
        if theirs == ours:
            found.append((note, theirs, ours, "the table has a difference that is none"))
        elif not fits(theirs, difference.conmon) or not fits(ours, difference.conward):
            found.append((note, theirs, ours, "another difference than the one in the table"))
    for difference in DIFFERENCES:
        if difference.scenario == scenario.name and difference.note not in {*conmon, *conward}:
            found.append((difference.note, None, None, "the table has it, and nobody noted it"))
    return found


def _idle_rules(scenario, conmon):
    """The rules that should change something here, and do not."""
    return [
        (f"{rule.note}…", None, None, f"a rule changes nothing: {rule.reason}")
        for rule in RULES
        if rule.example == scenario.name
        and not any(name.startswith(rule.note) and rule.change(value) != value for name, value in conmon.items())
    ]
