"""Nobody gives the lock back while a thread still writes."""

import asyncio
import threading

import pytest

from certd.model.errors import StorageError
from certd.threads import in_thread


async def test_what_is_done_in_a_thread_is_returned_or_raised() -> None:
    def fail() -> None:
        raise StorageError("full")

    assert await in_thread(pow, 2, 5) == 32
    with pytest.raises(StorageError, match="full"):
        await in_thread(fail)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_caller_waits_for_its_thread(*, fails: bool) -> None:
    """SIGTERM while files are written, even twice: first they are, then certd stops."""
    begun, may_end = asyncio.Event(), threading.Event()
    loop, ended = asyncio.get_running_loop(), False

    def work() -> None:
        nonlocal ended
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(10)
        ended = True
        if fails:
            raise StorageError("full")

    task = asyncio.create_task(in_thread(work))
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert ended
    assert getattr(caught.value, "__notes__", []) == (["what was under way also failed: full"] if fails else [])
