"""Fixtures that start real servers: each `start_…` is a function, options in, a running server out, ended after the test."""

import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers.pebble import Pebble, PebbleOptions, pebble


class StartPebble(Protocol):
    def __call__(self, options: PebbleOptions | None = ...) -> Awaitable[Pebble]: ...


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test starts is entered here and ended after it, last started first."""
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
def start_pebble(stack: AsyncExitStack, tmp_path: Path) -> StartPebble:
    """`ca = await start_pebble(PebbleOptions(nonce_reject=50))`, as often as wanted."""
    count = 0

    async def start(options: PebbleOptions | None = None) -> Pebble:
        nonlocal count
        count += 1
        folder = tmp_path / f"pebble-{count}"
        folder.mkdir()
        return await stack.enter_async_context(pebble(folder, options))

    return start


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test ends every program that it started."""
    before = _children()
    yield
    left = {pid: name for pid, name in _children().items() if pid not in before}
    assert not left, f"processes left running: {left}"


def _children() -> dict[int, str]:
    found = {}
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        for pid in (task / "children").read_text().split():
            found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
    return found
