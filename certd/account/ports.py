"""What the account workflow needs from the world."""

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from certd.model.acme import Account, AccountUrl, Directory, IssuerId
from certd.model.clock import Clock
from certd.model.events import Event
from certd.model.keys import KeyId, KeyRecord, KeyStore, KeyType, SigningKey
from certd.model.records import AccountRecord, Claim
from certd.model.secret import Secret
from certd.model.steps import Step


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """External account binding (RFC 8555 §7.3.4): the CA's key id and its MAC key, base64url."""

    kid: str
    mac_key: Secret[str]
    algorithm: str = "HS256"


@dataclass(frozen=True, slots=True)
class AccountWish:
    """Which account to work with, and how to make it if there is none.

    `contact`: `mailto:` URLs. `pinned`: only this account will do; it is never replaced by a new one.
    """

    issuer: IssuerId
    contact: tuple[str, ...] = ()
    terms_agreed: bool = False
    external: ExternalAccount | None = None
    pinned: AccountUrl | None = None
    key_type: KeyType = KeyType.EC256


class Conversation(Protocol):
    """The CA as seen with one account key."""

    async def directory(self) -> Directory: ...
    async def register(
        self, *, contact: Sequence[str], terms_agreed: bool, external: ExternalAccount | None
    ) -> Account: ...
    async def find_account(self) -> Account: ...
    async def update_account(self, contact: Sequence[str]) -> Account: ...
    async def deactivate_account(self) -> Account: ...
    async def rollover(self, new_key: SigningKey) -> None: ...


class Converse(Protocol):
    """Opens a conversation; `account_url` None before the account is known."""

    def __call__(
        self, key: SigningKey, account_url: AccountUrl | None
    ) -> AbstractAsyncContextManager[Conversation]: ...


class Ledger(Protocol):
    async def commit(
        self, claim: Claim | None, which: Step, *records: AccountRecord | KeyRecord, events: Sequence[Event] = ()
    ) -> None: ...
    async def accounts(self, issuer: IssuerId | None = None) -> list[AccountRecord]: ...
    async def key(self, key_id: KeyId) -> KeyRecord: ...


class NewId(Protocol):
    def __call__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Tools:
    ledger: Ledger
    keys: KeyStore
    converse: Converse
    clock: Clock
    random: random.Random
    new_id: NewId
