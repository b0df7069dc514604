"""The list of fail-points is complete: every step is gone through by some scenario, every effect stands in a step."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certd.model.steps import Step
from tests.crash.invariants import broken_at_the_end
from tests.crash.runs import REPOSITORY, Forks
from tests.crash.scenarios import ALL, ISSUE, Scenario
from tests.crash.tracing import OUTSIDE
from tests.crash.world import Way, world


def runs() -> Iterator[Any]:
    """Short are, beside those of `issue`, the ways that take all of a scenario's steps."""
    for scenario in ALL:
        for way in scenario.ways:
            is_short = scenario is ISSUE or len(scenario.ways) == 1 or scenario.steps_by(way) == scenario.steps
            marks = () if is_short else (pytest.mark.long,)
            yield pytest.param(scenario, way, id=f"{scenario.name}-{way.value}", marks=marks)


@pytest.mark.parametrize(("scenario", "way"), tuple(runs()))
async def test_a_command_goes_through_the_steps_that_it_is_killed_at(
    tmp_path: Path, warm: Forks, scenario: Scenario, way: Way
) -> None:
    """And writes to the ledger, sends, renames and starts programs nowhere else; alone it comes to the same end."""
    async with world(tmp_path, warm) as w:
        await scenario.before(w, way)
        trace = tmp_path / "trace"
        w.environment = {"TRACE": str(trace)}
        ended = await w.certd(*scenario.command(w, way))
        w.environment = {}
        assert ended.status == scenario.status, ended
        lines = trace.read_text().splitlines()
        assert [line for line in lines if line.startswith(OUTSIDE)] == []
        assert sorted(lines) == sorted(scenario.steps_by(way))
        await scenario.again(w, way)
        assert broken_at_the_end(w.seen(), scenario.goal(way)) == []


def test_every_step_is_killed_in_some_scenario() -> None:
    killed = {death.partition(":")[0] for each in ALL for way in each.ways for death in each.deaths(way)}
    assert killed == {step.value for step in Step}


def test_every_step_has_its_place_in_the_program() -> None:
    """A step that nobody takes would only seem to be tested."""
    used: set[str] = set()
    for path in (REPOSITORY / "certd").rglob("*.py"):
        if path.name != "steps.py":
            used.update(re.findall(r"\bStep\.([A-Z_]+)\b", path.read_text()))
    assert used == {step.name for step in Step}
