"""A store to open, and an open one. The contract suite sees no more of an engine than this."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from certd.ledger.ledger import Ledger, open_ledger
from tests.fakes.clock import ManualClock


@dataclass(frozen=True)
class SqliteStore:
    """A ledger in a state directory of its own."""

    path: Path
    clock: ManualClock

    def open(self, node: str = "node-1") -> AbstractAsyncContextManager[Ledger]:
        return open_ledger(self.path, clock=self.clock, node=node)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite"])
def store(tmp_path: Path, clock: ManualClock) -> SqliteStore:
    return SqliteStore(tmp_path / "ledger.sqlite", clock)


@pytest.fixture
async def ledger(store: SqliteStore) -> AsyncIterator[Ledger]:
    async with store.open() as opened:
        yield opened
