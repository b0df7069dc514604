"""Clocks for tests: one that stands until it is moved, one that leaps to whatever is waited for."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class ManualClock:
    """Stands still; `advance` moves it and wakes who has waited long enough."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._now >= moment)

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
