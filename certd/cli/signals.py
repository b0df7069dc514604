"""Running an asyncio command so that SIGTERM and SIGINT stop it cleanly: what is under way stays in the journal."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from certd.cli.errors import Interrupted

T = TypeVar("T")


def run_until_signalled(work: Coroutine[Any, Any, T]) -> T:
    """The result of *work*; raises Interrupted when a signal came first. A second signal kills as usual."""
    return asyncio.run(_watched(work))


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    came: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        came.append(number)
        loop.remove_signal_handler(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not came:
            raise
        message = f"stopped by {came[0].name}; an order under way is kept, and the same command goes on with it"
        raise Interrupted(128 + came[0], message) from None
