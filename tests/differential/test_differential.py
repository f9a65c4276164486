"""Every scenario with both monitors: what differs is in the table of differences.py, and nothing else is there."""

import pytest
import rows
import scenario
import scenarios  # noqa: F401  (fills scenario.ALL)
from compare import USED, both, faults
from differences import DIFFERENCES, EVERYWHERE, RULES


@pytest.mark.parametrize("name", scenario.ALL)
def test_scenario(name):
    found = faults(scenario.ALL[name], *both(scenario.ALL[name]))
    assert not found, "\n".join(
        [name, *(f"{note}: {why}\n    conmon:  {theirs!r}\n    conward: {ours!r}" for note, theirs, ours, why in found)]
    )


def test_differences_everywhere_are_somewhere(request):
    played = sum(item.name.startswith("test_scenario[") for item in request.session.items)
    if played < len(scenario.ALL):
        pytest.skip("only when all scenarios are played")
    everywhere = {(EVERYWHERE, difference.note) for difference in DIFFERENCES if difference.scenario == EVERYWHERE}
    assert not everywhere - USED


@pytest.mark.parametrize("row", rows.ALL)
def test_row_has_a_scenario(row):
    assert any(row in one.covers for one in scenario.ALL.values())


def test_scenarios_cover_rows():
    unknown = {(one.name, row) for one in scenario.ALL.values() for row in one.covers if row not in rows.ALL}
    assert not unknown


def test_differences_are_of_scenarios():
    named = {difference.scenario for difference in DIFFERENCES} - {EVERYWHERE} | {rule.example for rule in RULES}
    assert not named - set(scenario.ALL)


def test_differences_are_told_once():
    told = [(difference.scenario, difference.note) for difference in DIFFERENCES]
    assert len(told) == len(set(told))
