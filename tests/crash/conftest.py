"""One warmed-up certd for all tests of a worker, and for each test a world: a CA, ports, DNS, a state directory."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.crash.runs import Forks, forks


@pytest.fixture(scope="session")
def warm() -> Iterator[Forks]:
    with forks() as started:
        yield started


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test starts is entered here and ended after it, last started first."""
    async with AsyncExitStack() as entered:
        yield entered
