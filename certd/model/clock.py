"""Time as an injected thing: the only place that reads the wall clock.

Everything else takes a `Clock` or a `now`. Waiting is `sleep_until(moment)`, so that a test can live through a year.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

LONGEST_NAP = timedelta(seconds=60)


class Clock(Protocol):
    """Wall time (aware, UTC) and waiting on it."""

    def now(self) -> datetime: ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return at *moment* or later; at once when it has passed."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        import asyncio  # noqa: PLC0415 - 23 ms, and deciding that nothing is due needs no loop

        # Timers stand still while a machine is suspended, and wall clocks step: look again at least once a minute.
        while (left := moment - self.now()) > timedelta(0):  # noqa: ASYNC110 - nothing but time is awaited
            await asyncio.sleep(min(left, LONGEST_NAP).total_seconds())


@asynccontextmanager
async def deadline(clock: Clock, limit: timedelta) -> AsyncIterator[None]:
    """Raise TimeoutError in the block once *limit* has passed on *clock* (`asyncio.timeout` would be loop time)."""
    import asyncio  # noqa: PLC0415 - as above

    moment = clock.now() + limit
    async with time_limit(None, f"no answer within {limit.total_seconds():g} s") as scope:
        loop = asyncio.get_running_loop()

        async def watch() -> None:
            await clock.sleep_until(moment)
            scope.reschedule(loop.time())

        watcher = asyncio.create_task(watch(), name="deadline")
        try:
            yield
        finally:
            watcher.cancel()


@asynccontextmanager
async def time_limit(seconds: float | None, text: str) -> "AsyncIterator[asyncio.Timeout]":
    """`asyncio.timeout` that says *text*, and that ends in TimeoutError also where the task was cancelled before.

    Up to Python 3.11.2, which is Debian 12's, a task that was once cancelled, or in which a TaskGroup once failed, gets
    CancelledError from every `asyncio.timeout` that runs out.
    """
    import asyncio  # noqa: PLC0415 - as above

    task, scope = asyncio.current_task(), asyncio.timeout(seconds)
    before = task.cancelling() if task is not None else 0
    try:
        async with scope:
            yield scope
    except TimeoutError:
        if not scope.expired():  # somebody else's limit ran out within the block, and its own text says which
            raise
        raise TimeoutError(text) from None
    except asyncio.CancelledError:
        if not scope.expired() or task is None or task.cancelling() > before:
            raise
        raise TimeoutError(text) from None


def monotonic() -> float:
    """Seconds for measuring how long something took; never for deciding when."""
    return time.monotonic()
