"""The state directory is given back when nobody writes to it any more, and not before."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from certd.app.export import StateFiles, copy_out
from certd.app.house import House, open_house
from certd.files.access import PRIVATE
from certd.files.state_dir import StateLock
from certd.model.steps import Step, set_trap
from tests.unit.ledger.samples import GROUND, generation, order

CHAIN = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
GENERATION = generation(1, key_id=None, chain=CHAIN)
LEFT_ALONE = 0.3  # seconds in which a task that is cancelled would be done, if it did not wait
WRITES: dict[Step, Callable[[House, Path], Awaitable[object]]] = {
    Step.FILES_STAGED: lambda house, _: StateFiles(house).write(GENERATION),
    Step.LIVE_SWITCHED: lambda house, _: StateFiles(house).write(GENERATION),
    Step.CHAIN_KEPT: lambda house, _: StateFiles(house).quarantine(order("o1"), "odd\n"),
    Step.OUT_COPIED: lambda house, out: copy_out(out, PRIVATE, StateFiles(house), GENERATION),
}


@pytest.mark.parametrize("step", list(WRITES))
async def test_a_run_that_is_stopped_while_it_writes_keeps_the_lock_until_that_is_done(
    tmp_path: Path, step: Step
) -> None:
    """Another certd would sweep what is being staged, or have it renamed under its hands."""
    ended = threading.Event()
    free: list[bool] = []

    async def run() -> None:
        async with open_house(tmp_path / "state", wait=0) as house:
            await house.ledger.commit(None, Step.GENERATION_STORED, *GROUND, GENERATION)
            await WRITES[step](house, tmp_path / "out")

    def trap(which: Step, at: str) -> None:
        if (which, at) == (step, "before"):
            loop.call_soon_threadsafe(task.cancel)
            ended.wait(LEFT_ALONE)
            lock = StateLock(tmp_path / "state")
            free.append(lock.try_acquire())
            lock.release()

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(run())
    task.add_done_callback(lambda _: ended.set())
    set_trap(trap)
    try:
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        set_trap(None)
    assert free == [False]
    assert StateLock(tmp_path / "state").try_acquire()
