"""SIGKILL before and after each step of each command, each way of proving names; then the same again, to its end (CR1).

What must hold is in `tests.crash.invariants`: at the instant of the death, and at the end: one account, one certificate
for each generation that was wanted, its order continued, nothing left in the world. `make test` has each step's two
deaths once, the ways in turn; `make test-long` has them all.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.invariants import broken_at_the_end, broken_now
from tests.crash.runs import KILLED, Forks
from tests.crash.scenarios import ALL, Scenario
from tests.crash.world import Way, world


def cells() -> Iterator[Any]:
    """Every (scenario, way, death). Long are those whose death is tried already, in another scenario or way."""
    tried: set[str] = set()
    for scenario in ALL:
        deaths = {way: scenario.deaths(way) for way in scenario.ways}
        for number, death in enumerate(dict.fromkeys(itertools.chain(*deaths.values()))):
            ways = [way for way in scenario.ways if death in deaths[way]]
            for way in ways:
                is_first = way is ways[number % len(ways)] and death not in tried
                marks = () if is_first else (pytest.mark.long,)
                yield pytest.param(scenario, way, death, id=f"{scenario.name}-{way.value}-{death}", marks=marks)
            tried.add(death)


@pytest.mark.parametrize(("scenario", "way", "death"), tuple(cells()))
async def test_a_death_costs_no_more_than_the_same_command_again(
    tmp_path: Path, warm: Forks, scenario: Scenario, way: Way, death: str
) -> None:
    async with world(tmp_path, warm) as w:
        await scenario.before(w, way)
        w.hold(death)
        ended = await w.certd(*scenario.command(w, way), point=death)
        w.may_look.set()
        assert ended.status == KILLED, ended
        assert broken_now(w.seen(), scenario.goal(way).pruned) == []
        await scenario.again(w, way)
        assert broken_at_the_end(w.seen(), scenario.goal(way)) == []
