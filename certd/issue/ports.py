"""What the issuing workflow needs from the world, as narrow as it needs it; `certd.app.house` supplies it."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from certd.model.acme import AccountUrl, Ca, CertId, Chain, Chains, ChallengeType, IssuerId, OrderUrl
from certd.model.clock import Clock
from certd.model.events import Event
from certd.model.findings import Finding
from certd.model.identifiers import CertName, Identifier
from certd.model.keys import KeyId, KeyRecord, KeyStore, KeyType, SigningKey
from certd.model.proofs import Proof, ProofRecord
from certd.model.records import (
    Claim,
    DesiredRecord,
    FailureRecord,
    Generation,
    OrderRecord,
    Renewal,
    Scope,
    ScopeRecord,
)
from certd.model.steps import Step

Stored = DesiredRecord | FailureRecord | Generation | KeyRecord | OrderRecord | ProofRecord | Renewal | ScopeRecord


class Ledger(Protocol):
    """The journal's side of `certd.ledger.ledger.Ledger`."""

    def claim(self, name: CertName, set_key: str) -> Claim | None: ...
    def release(self, claim: Claim) -> None: ...
    async def commit(
        self, claim: Claim | None, which: Step, *records: Stored, events: Sequence[Event] = ()
    ) -> None: ...
    async def clear_scopes(self, scopes: Iterable[Scope]) -> None: ...
    async def key(self, key_id: KeyId) -> KeyRecord: ...
    async def open_order(self, name: CertName) -> OrderRecord | None: ...
    async def open_order_for_set(self, issuer: IssuerId, set_key: str) -> OrderRecord | None: ...
    async def order(self, order_id: str) -> OrderRecord | None: ...
    async def order_by_url(self, url: OrderUrl) -> OrderRecord | None: ...
    async def proofs(self, order_id: str) -> list[ProofRecord]: ...
    async def newest_generation(self, name: CertName) -> Generation | None: ...
    async def renewal(self, name: CertName, number: int) -> Renewal | None: ...
    async def scope(self, scope: Scope) -> ScopeRecord | None: ...
    async def failures(self, scope: Scope, since: datetime) -> list[FailureRecord]: ...
    async def standing(
        self, scopes: Sequence[Scope], since: datetime
    ) -> tuple[list[ScopeRecord], list[list[FailureRecord]]]: ...


class Publisher(Protocol):
    """One way to answer one type of challenge: a listener, a webroot, a DNS provider."""

    @property
    def method(self) -> str:
        """Finds it again after a crash, with `options`: `listener`, `webroot`, `dns:rfc2136`."""
        ...

    @property
    def options(self) -> str:
        """Canonical JSON; references to secrets, never secrets."""
        ...

    @property
    def is_the_journal(self) -> bool:
        """True: the journal's rows are the answers themselves, so publishing and withdrawing is committing."""
        ...

    @property
    def lingers(self) -> timedelta:
        """How long its answers stay in the world once they are not needed: a CA may look again, from elsewhere."""
        ...

    async def prove(self, identifier: Identifier, key_authorization: str) -> Proof:
        """The proof to journal: computed, and for DNS located (CNAMEs followed, zone found). Publishes nothing."""
        ...

    async def publish(self, proofs: Sequence[Proof]) -> None:
        """Safe to repeat."""
        ...

    async def wait_until_visible(self, proofs: Sequence[Proof]) -> None:
        """Return when the CA's check can succeed (R42); raises CertdError when it will not."""
        ...

    async def wait_until_asked(self, proofs: Sequence[Proof]) -> None:
        """Return when the CA was seen asking (R37), at once where that cannot be seen. The caller bounds it."""
        ...

    async def withdraw(self, proofs: Sequence[Proof]) -> None:
        """Safe to repeat; absent is fine."""
        ...


class Publishers(Protocol):
    """Those this run has, and those that earlier runs used."""

    @property
    def allowed(self) -> Sequence[ChallengeType]:
        """In order of preference."""
        ...

    def by_type(self, type_: ChallengeType) -> Publisher: ...

    def by_method(self, method: str, options: str) -> Publisher:
        """To withdraw what another process published. Raises ConfigError when it cannot be opened any more."""
        ...


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """What the ledger keeps of a leaf."""

    serial: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    cert_id: CertId | None
    key_type: KeyType


class Certificates(Protocol):
    """X.509 as the workflow needs it; pure functions of `certd.keys` and `certd.ca`."""

    async def csr(self, key: SigningKey, identifiers: Sequence[Identifier]) -> bytes: ...
    def choose(self, chains: Chains, preferred: str) -> tuple[Chain, bool]: ...
    def check(
        self, got: Chain, csr_der: bytes, identifiers: Sequence[Identifier], now: datetime
    ) -> Sequence[Finding]: ...
    def facts(self, leaf: bytes) -> LeafFacts: ...
    def pem(self, got: Chain) -> str: ...


class Files(Protocol):
    """The state directory's exported half."""

    async def write(self, generation: Generation) -> None:
        """Write the generation's files and switch `live/<name>` to it; safe to repeat."""
        ...

    async def quarantine(self, order: OrderRecord, chain_pem: str) -> str:
        """Keep an odd chain for a person to look at; returns where."""
        ...


class Progress(Protocol):
    """What a person watching wants to see; must not fail."""

    def validating(self, identifier: Identifier, type_: ChallengeType) -> None: ...
    def valid(self, identifiers: Mapping[Identifier, ChallengeType | None]) -> None: ...
    def failed(self, identifier: Identifier) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one run waits for the CA before it leaves the rest to the next one."""

    validation: timedelta = timedelta(minutes=5)
    issuance: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Account:
    """The account this order belongs to."""

    id: str
    url: AccountUrl


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything one issuance works with."""

    ca: Ca
    account: Account
    ledger: Ledger
    keys: KeyStore
    certificates: Certificates
    publishers: Publishers
    files: Files
    clock: Clock
    random: random.Random
    progress: Progress
    patience: Patience
    new_id: "NewId"


class NewId(Protocol):
    """A fresh, unguessable id for a row."""

    def __call__(self) -> str: ...
