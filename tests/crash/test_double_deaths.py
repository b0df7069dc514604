"""Killed, and killed again in the recovery: pairs at random, the same ones each time (CR4)."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash.invariants import broken_at_the_end, broken_now
from tests.crash.runs import KILLED, Forks
from tests.crash.scenarios import ALL
from tests.crash.world import world

PAIRS, SHORT = 500, 6
NUMBERS: list[Any] = [
    pytest.param(number, marks=() if number < SHORT else (pytest.mark.long,)) for number in range(PAIRS)
]


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_second_death_changes_nothing(tmp_path: Path, warm: Forks, number: int) -> None:
    dice = random.Random(number)
    scenario = dice.choice(ALL)
    way = dice.choice(scenario.ways)
    first, second = dice.choices(scenario.deaths(way), k=2)
    goal = scenario.goal(way)
    async with world(tmp_path, warm) as w:
        await scenario.before(w, way)
        statuses = []
        for death, command in ((first, scenario.command), (second, scenario.retry or scenario.command)):
            w.hold(death)
            statuses.append((await w.certd(*command(w, way), point=death)).status)
            w.may_look.set()
            assert broken_now(w.seen(), goal.pruned) == [], (scenario.name, way, first, second)
        assert statuses[0] == KILLED  # the second one need not come by that point
        await scenario.again(w, way)
        seen = w.seen()
        # A death in the midst of a validation fails it, and the order with it.
        lost = seen.ca.orders.count("invalid") - scenario.invalid
        assert 0 <= lost <= 1
        broken = broken_at_the_end(seen, replace(goal, orders=goal.orders + lost))
        assert broken == [], (scenario.name, way, first, second)
