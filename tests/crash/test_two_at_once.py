"""Several `certd issue` on one state directory: one works, the others wait or say who it is; never two orders."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.crash.invariants import broken_at_the_end
from tests.crash.runs import KILLED, Forks, Run
from tests.crash.scenarios import wanted
from tests.crash.stumbles import held
from tests.crash.world import NAME, ZONE, Way, World, world

LATER = 75


@asynccontextmanager
async def one_at_work(tmp_path: Path, warm: Forks) -> AsyncIterator[tuple[World, Run, asyncio.Event]]:
    """A world, a run whose newOrder the CA has and does not answer yet, and the event that lets it."""
    async with world(tmp_path, warm) as w:
        came, answer = asyncio.Event(), asyncio.Event()
        w.hell.fault("new-order", held(came, answer))
        run = await w.begin(*w.issue(Way.HTTP))
        try:
            await came.wait()
            yield w, run, answer
        finally:
            answer.set()
            await run.end()


async def test_who_does_not_wait_is_told_who_holds_the_state(tmp_path: Path, warm: Forks) -> None:
    async with one_at_work(tmp_path, warm) as (w, run, answer):
        second = await w.certd(*w.issue(Way.HTTP, "--wait", "0"))
        assert second.status == LATER, second
        assert f"{w.state}: held by pid {run.pid} (certd issue -d www.{NAME}.{ZONE}" in second.err
        answer.set()
        first = await run.end()
        assert first.status == 0, first
        assert w.hell.count("new-order") == 1
        assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1)) == []


async def test_who_waits_finds_it_done(tmp_path: Path, warm: Forks) -> None:
    """Locked, then looked again: what the other one issued is not issued once more."""
    async with one_at_work(tmp_path, warm) as (w, run, answer):
        waiting = await w.begin(*w.issue(Way.HTTP))
        # By the time that this one has given up, the other one waits as well.
        assert (await w.certd(*w.issue(Way.HTTP, "--wait", "0.3"))).status == LATER
        answer.set()
        assert (await run.end()).status == 0
        second = await waiting.end()
        assert second.status == 0, second
        assert second.out.startswith(f"up to date   {NAME}"), second
        assert w.hell.count("new-order") == 1
        assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1)) == []


async def test_a_killed_holder_is_followed_at_once_and_its_order_continued(tmp_path: Path, warm: Forks) -> None:
    """The lock is the kernel's: no stale file, nothing to time out (I14)."""
    async with one_at_work(tmp_path, warm) as (w, run, answer):
        run.signal(signal.SIGKILL)
        assert (await run.end()).status == KILLED
        answer.set()
        second = await w.certd(*w.issue(Way.HTTP, "--wait", "0"))
        assert second.status == 0, second
        assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1)) == []


@pytest.mark.parametrize("new", [True, False], ids=["new state", "known account"])
async def test_three_with_names_of_their_own_take_turns(tmp_path: Path, warm: Forks, *, new: bool) -> None:
    """Also before there is an account: they do not make three."""
    async with world(tmp_path, warm) as w:
        if not new:
            assert (await w.certd(*w.issue(Way.HTTP, name="zero", names=(f"zero.{ZONE}",)))).status == 0
        names = [f"{each}.{ZONE}" for each in ("one", "two", "three")]
        runs = [await w.begin(*w.issue(Way.HTTP, name=each, names=(each,))) for each in names]
        for run in runs:
            ended = await run.end()
            assert ended.status == 0, ended
        assert len(w.hell.accounts) == 1
        assert len(w.hell.certificates) == len(names) + (not new)
        assert all((w.state / "live" / each / "fullchain.pem").is_file() for each in names)
