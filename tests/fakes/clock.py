"""Clocks for tests: one that stands until it is moved, one that leaps to whatever is waited for."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class ManualClock:
    """Stands still; `advance` moves it and wakes who has waited long enough."""

    def __init__(self, start: datetime = START) -> None:
        self.sleepers = 0  # who waits now: moved before anybody does, the clock is later for all of them
        self._now = start
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        self.sleepers += 1
        try:
            async with self._moved:
                await self._moved.wait_for(lambda: self._now >= moment)
        finally:
            self.sleepers -= 1

    async def advance(self, by: timedelta) -> None:
        async with self._moved:
            self._now += by
            self._moved.notify_all()


class LeapingClock:
    """A sleep is over at once, and it is later then: minutes of waiting in no time, for one task that waits.

    Not for code with deadlines: those would pass at once, too.
    """

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self.slept: list[timedelta] = []

    def now(self) -> datetime:
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        self.slept.append(moment - self._now)
        self._now = max(self._now, moment)
        await asyncio.sleep(0)


class VirtualClock:
    """Moves by itself to the next moment that anybody waits for, whenever there is nothing else left to do.

    For code with deadlines and several tasks. Not where threads, sockets or programs are waited for: to this clock
    that looks like nothing to do.
    """

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._numbers = itertools.count()  # equal moments in the order of asking
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        if moment <= self._now:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        if not self._sleepers:
            loop.call_soon(self._move)
        heapq.heappush(self._sleepers, (moment, next(self._numbers), woken))
        await woken

    def _move(self) -> None:
        loop = asyncio.get_running_loop()
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # cancelled
        if self._sleepers and not getattr(loop, "_ready"):  # noqa: B009 - asyncio has no public name for it
            moment, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, moment)
            woken.set_result(None)
        if self._sleepers:
            loop.call_soon(self._move)
