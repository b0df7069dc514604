"""One state directory and one CA: accounts in process with the real ledger and real keys."""

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from certd.account import change, ensure, rollover
from certd.account.ports import AccountWish, Tools
from certd.keys.software import FileKeyStore
from certd.ledger.ledger import Ledger, open_ledger
from certd.model.keys import KeyType
from certd.model.records import AccountRecord
from tests.fakes.ca import ISSUER, FakeCa
from tests.fakes.clock import LeapingClock
from tests.fakes.publishers import World

T = TypeVar("T")
WISH = AccountWish(ISSUER, contact=("mailto:ops@example.org",))


@dataclass
class Place:
    root: Path

    def __post_init__(self) -> None:
        self.clock = LeapingClock()
        self.ca = FakeCa(self.clock, World())
        self.random = random.Random(1)
        self._ids = itertools.count(1)

    def new_id(self) -> str:
        return f"id-{next(self._ids)}"

    async def on_ledger(self, act: Callable[[Ledger], Awaitable[T]]) -> T:
        async with open_ledger(self.root / "ledger.sqlite", clock=self.clock, node="node") as ledger:
            return await act(ledger)

    async def with_tools(self, act: Callable[[Tools], Awaitable[T]]) -> T:
        """One run of the program."""
        keys = FileKeyStore(self.new_id)
        return await self.on_ledger(
            lambda ledger: act(Tools(ledger, keys, self.ca.converse, self.clock, self.random, self.new_id))
        )

    async def ensure(self, wish: AccountWish = WISH) -> AccountRecord:
        return await self.with_tools(lambda tools: ensure.ensure_account(tools, wish))

    async def register_again(self, wish: AccountWish = WISH) -> AccountRecord:
        row = await self.row()
        return await self.with_tools(lambda tools: ensure.register_again(tools, wish, row))

    async def roll_over(self, key_type: KeyType = KeyType.EC256) -> AccountRecord:
        row = await self.row()
        return await self.with_tools(lambda tools: rollover.roll_over(tools, row, key_type))

    async def change_contact(self, *contact: str) -> AccountRecord:
        row = await self.row()
        return await self.with_tools(lambda tools: change.change_contact(tools, row, contact))

    async def deactivate(self) -> AccountRecord:
        row = await self.row()
        return await self.with_tools(lambda tools: change.deactivate(tools, row))

    async def rows(self) -> list[AccountRecord]:
        return await self.on_ledger(lambda ledger: ledger.accounts())

    async def row(self) -> AccountRecord:
        return (await self.rows())[-1]

    async def key(self) -> bytes:
        """The public half of the account's key as the ledger has it."""
        row = await self.row()
        return (await self.on_ledger(lambda ledger: ledger.key(row.key_id))).public_der

    async def events(self) -> list[str]:
        return [fields["event"] for _, fields in await self.on_ledger(lambda ledger: ledger.events())]

    async def assert_one_account(self) -> None:
        """Invariant 1: one account at the CA in its whole history, and the ledger has its key."""
        (known,) = self.ca.accounts.values()
        row = await self.row()
        assert (row.url, row.next_key_id) == (known.url, None)
        assert await self.key() == known.key


def wish(**changes: object) -> AccountWish:
    return replace(WISH, **changes)  # type: ignore[arg-type]
