"""Deadlines on an injected clock: they end what is waited for, keep others' errors, and leave nothing running."""

import asyncio
from datetime import UTC, timedelta

import pytest

from certd.model.clock import SystemClock, deadline
from tests.fakes.clock import LeapingClock, ManualClock

SECOND = timedelta(seconds=1)


async def until(happened: asyncio.Event, clock: ManualClock, step: timedelta) -> None:
    while not happened.is_set():
        await asyncio.sleep(0)
        await clock.advance(step)


async def test_a_block_that_takes_too_long_is_ended_by_the_clock() -> None:
    """No real second passes: a year of tests runs in seconds (invariant 9)."""
    clock = ManualClock()

    async def wait() -> None:
        async with deadline(clock, 30 * SECOND):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    ended = asyncio.Event()
    task.add_done_callback(lambda _: ended.set())
    await until(ended, clock, SECOND)
    with pytest.raises(TimeoutError, match=r"^no answer within 30 s$"):
        await task
    assert timedelta(seconds=30) <= clock.now() - ManualClock().now() < timedelta(seconds=40)


async def test_a_block_in_time_leaves_no_task_behind() -> None:
    clock = ManualClock()
    before = asyncio.all_tasks()
    async with deadline(clock, SECOND):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    await clock.advance(2 * SECOND)


async def test_the_limit_counts_from_the_beginning_of_the_block() -> None:
    """Not from the moment when the loop first comes round to watching it."""
    clock = ManualClock()

    async def wait() -> None:
        async with deadline(clock, SECOND):
            await clock.advance(SECOND)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match=r"^no answer within 1 s$"):
        await asyncio.wait_for(wait(), 5)


async def test_a_timeout_of_the_blocks_own_keeps_its_text() -> None:
    """A refused connection after 2 s is not `no answer within 30 s`."""
    with pytest.raises(TimeoutError, match=r"^connect to 192\.0\.2\.1$"):
        async with deadline(ManualClock(), 30 * SECOND):
            raise TimeoutError("connect to 192.0.2.1")


@pytest.mark.parametrize(("outer", "inner", "text"), [(5, 1, "1 s"), (1, 5, "1 s")])
async def test_of_two_deadlines_the_one_that_passed_is_named(outer: int, inner: int, text: str) -> None:
    clock = ManualClock()

    async def wait() -> None:
        async with deadline(clock, outer * SECOND), deadline(clock, inner * SECOND):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    ended = asyncio.Event()
    task.add_done_callback(lambda _: ended.set())
    await until(ended, clock, SECOND / 2)
    with pytest.raises(TimeoutError, match=f"^no answer within {text}$"):
        await task


async def test_other_errors_and_cancellation_pass_through() -> None:
    with pytest.raises(ValueError, match="boom"):
        async with deadline(ManualClock(), SECOND):
            raise ValueError("boom")
    entered = asyncio.Event()

    async def wait() -> None:
        async with deadline(ManualClock(), SECOND):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_systems_clock_is_utc_and_a_past_moment_is_not_waited_for() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    async with asyncio.timeout(5):
        await clock.sleep_until(clock.now() - timedelta(days=400))
        moment = clock.now() + timedelta(milliseconds=20)
        await clock.sleep_until(moment)
    assert clock.now() >= moment


async def test_a_deadline_passes_as_such_in_a_task_in_which_a_group_has_failed() -> None:
    """Debian 12's Python 3.11.2 counts that task as cancelled for ever, and `asyncio.timeout` then ends in that."""

    async def fails() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
    with pytest.raises(TimeoutError, match="no answer within 60 s"):
        async with deadline(LeapingClock(), timedelta(seconds=60)):
            await asyncio.Event().wait()


async def test_a_deadline_passes_as_such_in_a_task_that_was_cancelled_before() -> None:
    """Cleaning up has limits, too."""

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            async with deadline(LeapingClock(), timedelta(seconds=60)):
                await asyncio.Event().wait()

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(TimeoutError, match="no answer within 60 s"):
        await task


async def test_a_cancellation_is_one_although_a_deadline_passes_at_the_same_time() -> None:
    clock = ManualClock()

    async def works() -> None:
        async with deadline(clock, timedelta(seconds=60)):
            await asyncio.Event().wait()

    task = asyncio.create_task(works())
    for _ in range(3):  # until it waits
        await asyncio.sleep(0)
    assert clock.sleepers == 1
    await clock.advance(timedelta(seconds=60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
