"""SIGTERM and SIGINT at each step: a clean stop with a message, and the next run goes on with what was begun (CR5)."""

import itertools
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash.invariants import broken_at_the_end, broken_now, read_ledger
from tests.crash.runs import Forks
from tests.crash.scenarios import ISSUANCE, ISSUE, Scenario, wanted, well
from tests.crash.world import RECORD, Way, World, world

STOP_LIMIT = 10.0  # seconds
SIGNALS = {"term": signal.SIGTERM, "int": signal.SIGINT}


def cells() -> Iterator[Any]:
    """Every (scenario, way, fail-point), signals in turn. Short are those after the steps of `issue`, ways in turn."""
    words = itertools.cycle(SIGNALS)
    for scenario in ISSUANCE:
        deaths = {way: scenario.deaths(way) for way in scenario.ways}
        for number, death in enumerate(dict.fromkeys(itertools.chain(*deaths.values()))):
            ways = [way for way in scenario.ways if death in deaths[way]]
            for way, word in zip(ways, words, strict=False):
                is_short = scenario is ISSUE and ":after:" in death and way is ways[number % len(ways)]
                point = death.replace("kill", word)
                yield pytest.param(
                    *(scenario, way, point, SIGNALS[word]),
                    id=f"{scenario.name}-{way.value}-{point}",
                    marks=() if is_short else (pytest.mark.long,),
                )


@pytest.mark.parametrize(("scenario", "way", "point", "number"), tuple(cells()))
async def test_a_signal_stops_certd_and_the_next_run_goes_on(
    tmp_path: Path, warm: Forks, scenario: Scenario, way: Way, point: str, number: signal.Signals
) -> None:
    async with world(tmp_path, warm) as w:
        await scenario.before(w, way)
        w.hold(point)
        ended = await (await w.begin(*scenario.command(w, way), point=point)).end(STOP_LIMIT)
        w.may_look.set()
        if ended.status != scenario.status:  # it may have been all but done
            assert ended.status == 128 + number, ended
            assert f"stopped by {number.name}" in ended.err
        assert "Traceback" not in ended.err
        assert broken_now(w.seen()) == []
        await scenario.again(w, way)
        seen, goal = w.seen(), scenario.goal(way)
        # A CA that has just connected meets nobody any more: that validation is lost, and the order with it.
        lost = seen.ca.orders.count("invalid") - scenario.invalid
        assert 0 <= lost <= 1
        assert broken_at_the_end(seen, replace(goal, orders=goal.orders + lost)) == []


@pytest.mark.parametrize("way", list(Way))
async def test_a_proof_that_the_ca_was_told_of_outlives_sigterm(tmp_path: Path, warm: Forks, way: Way) -> None:
    """A `finally` would take it away in the middle of the validation, and the validation would fail."""
    async with world(tmp_path, warm) as w:
        w.may_look.clear()
        stopped = await w.certd(*w.issue(way), point="challenges-answered:after:term")
        assert stopped.status == 128 + signal.SIGTERM, stopped
        assert _still_published(w, way)
        w.may_look.set()  # while nobody listens; what is asked now waits in the socket
        await well(w, *w.issue(way))
        assert w.hell.count("new-order") == 1
        assert broken_at_the_end(w.seen(), wanted(way, generations=1, orders=1)) == []


def _still_published(w: World, way: Way) -> bool:
    if way is Way.DNS:
        return len(w.zone.values()[RECORD]) > 1
    states = [row["state"] for row in read_ledger(w.state)["proofs"]]
    return states == ["journalled"] * len(way.names)
