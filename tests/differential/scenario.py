"""The list of scenarios."""

import functools
from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Scenario:
    name: str
    covers: tuple  # rows of rows.py
    play: Callable  # of a Lab


ALL = {}


def add(name, covers, play):
    assert name not in ALL, f"two scenarios have the name {name}"
    ALL[name] = Scenario(name, tuple(covers), play)


def scenario(*covers, each=None, of=None):
    """Makes a function of a lab a scenario under its name, or one for each of some {name: value}, with the value as a
    second argument; `of` is {name: the rows that only this one covers}."""
    of = of or {}
    assert set(of) <= set(each or ()), f"rows of no scenario: {set(of) - set(each or ())}"

    def register(function):
        name = function.__name__.replace("_", " ")
        if each is None:
            add(name, covers, function)
        else:
            for one, value in each.items():
                add(f"{name}, {one}", (*covers, *of.get(one, ())), functools.partial(_play, function, value))
        return function

    return register


def _play(function, value, lab):
    function(lab, value)
