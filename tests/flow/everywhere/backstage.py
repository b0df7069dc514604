"""An event loop in a thread of its own, for servers that run while a test calls the command as a plain function.

`certd` begins and ends its own loop in the main thread, where signals come; what it talks to has to live elsewhere.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

LIMIT = 45.0  # seconds for whatever is asked of a server; a test has 60


class Backstage:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of *work*, from the other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    @contextmanager
    def open(self, resource: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter and leave *resource* over there, in one task."""
        entered: Future[T] = Future()
        leave = asyncio.Event()

        async def hold() -> None:
            try:
                async with resource as value:
                    entered.set_result(value)
                    await leave.wait()
            except BaseException as failure:
                if entered.done():
                    raise
                entered.set_exception(failure)  # a skip, too: it belongs to the test, not to this loop

        held = asyncio.run_coroutine_threadsafe(hold(), self._loop)
        try:
            yield entered.result(LIMIT)
        finally:
            self._loop.call_soon_threadsafe(leave.set)
            held.result(LIMIT)


@contextmanager
def backstage() -> Iterator[Backstage]:
    with asyncio.Runner() as runner:  # it closes the loop, once nobody runs it any more
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="backstage")
        thread.start()
        try:
            yield Backstage(loop)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(LIMIT)
