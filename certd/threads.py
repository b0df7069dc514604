"""Work on files in a thread, and to its end."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(work: Callable[P, R], *arguments: P.args, **more: P.kwargs) -> R:
    """Run *work* in a thread and wait for it, also while the caller is being cancelled; then it is cancelled.

    A thread cannot be stopped: whoever gave the state directory's lock back at once would let another certd in while
    this one still writes, and a proof that was given up could come out after its withdrawal.
    """
    ended, cancelled = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **more)), None
    while not ended.done():
        try:
            await asyncio.wait({ended})
        except asyncio.CancelledError as late:
            cancelled = late
    if cancelled is not None:
        if (failure := ended.exception()) is not None:
            cancelled.add_note(f"what was under way also failed: {failure}")
        raise cancelled
    return ended.result()
