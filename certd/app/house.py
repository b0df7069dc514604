"""The only place where concrete classes meet: one open state directory, and conversations with its CAs."""

import os
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from certd.account.ports import Converse
from certd.account.ports import Tools as AccountTools
from certd.app.issuers import Issuer
from certd.app.place import Place
from certd.ca.client import AcmeClient, open_ca
from certd.ca.directory import directory_from_json, directory_to_json
from certd.files.node_id import node_id
from certd.files.state_dir import StateLock, open_state_dir
from certd.keys.software import FileKeyStore
from certd.ledger.ledger import Ledger, open_ledger
from certd.model.acme import AccountUrl
from certd.model.clock import Clock, SystemClock
from certd.model.errors import TryLater
from certd.model.keys import SigningKey
from certd.model.records import DirectoryRecord
from certd.model.secret import Resolve
from certd.model.steps import Step
from certd.secrets.references import resolver


def new_id() -> str:
    """An id for a row: 96 random bits, hex."""
    return secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class House:
    """An open state directory; nobody else writes to it while it is open."""

    place: Place
    ledger: Ledger
    keys: FileKeyStore
    clock: Clock
    random: random.Random
    secret: Resolve

    def account_tools(self, issuer: Issuer, converse: Converse | None = None) -> AccountTools:
        """*converse*: `Conversations` that go on after the account is settled; else each step opens its own."""

        def open_anew(key: SigningKey, account_url: AccountUrl | None) -> AbstractAsyncContextManager[AcmeClient]:
            return self.converse(issuer, key, account_url)

        return AccountTools(self.ledger, self.keys, converse or open_anew, self.clock, self.random, new_id)

    @asynccontextmanager
    async def converse(self, issuer: Issuer, key: SigningKey, url: AccountUrl | None) -> AsyncIterator[AcmeClient]:
        """Talk to *issuer* with *key*; its directory comes from the ledger while that is fresh, and is kept there."""
        known = await self.ledger.directory(issuer.id)
        cached = (directory_from_json(known.document), known.fetched_at) if known else None
        async with open_ca(
            issuer.directory,
            key=key,
            account_url=url,
            clock=self.clock,
            random=self.random,
            ca_bundle=issuer.trust,
            directory=cached,
        ) as ca:
            try:
                yield ca
            finally:
                fetched = ca.fetched_directory
                if fetched is not None:
                    row = DirectoryRecord(issuer.id, directory_to_json(fetched), self.clock.now())
                    await self.ledger.commit(None, Step.DIRECTORY_CACHED, row)


class Conversations:
    """Those of one run with one CA, one a key, closed with *stack*.

    The nonce and the connection that a registration leaves serve the order that follows it.
    """

    def __init__(self, house: House, issuer: Issuer, stack: AsyncExitStack) -> None:
        self._house, self._issuer, self._stack = house, issuer, stack
        self._open: dict[bytes, AcmeClient] = {}

    @asynccontextmanager
    async def converse(self, key: SigningKey, account_url: AccountUrl | None) -> AsyncIterator[AcmeClient]:
        """The one that *key* has for this account already, else a new one."""
        ca = self._open.get(key.public_der)
        if ca is None or ca.account_url != account_url:
            ca = await self._stack.enter_async_context(self._house.converse(self._issuer, key, account_url))
            self._open[key.public_der] = ca
        yield ca


@asynccontextmanager
async def open_house(
    state_dir: Path, *, wait: float, clock: Clock | None = None, told: Callable[[str], None] = lambda _: None
) -> AsyncIterator[House]:
    """Open or create the state directory, alone. *told* hears of whom it has to wait for.

    Raises StorageError (not writable, not ours), TryLater when another certd holds it for longer than *wait* seconds.
    """
    clock = clock or SystemClock()
    place = Place(state_dir)
    open_state_dir(place.root)
    async with (
        _locked(StateLock(place.root), clock, wait, told),
        open_ledger(place.ledger, clock=clock, node=node_id(place.root, new_id)) as ledger,
    ):
        yield House(
            place=place,
            ledger=ledger,
            keys=FileKeyStore(new_id),
            clock=clock,
            random=random.SystemRandom(),
            secret=resolver(os.environ),
        )


@asynccontextmanager
async def _locked(lock: StateLock, clock: Clock, wait: float, told: Callable[[str], None]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(lock.held(clock, 0))
        except TryLater as held:
            if wait <= 0:
                raise
            told(f"{held}; waiting for it, {wait:g} s at most")
            await stack.enter_async_context(lock.held(clock, wait))
        yield
