"""Rows of the ledger as values: what is durable, and nothing else. Changed by `dataclasses.replace` and a commit.

Everything an open order needs to be resumed is in its row (CSR, key, profile, replaces): nothing is derived again from
configuration after a crash (design 10). Times are aware UTC with microseconds.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from certd.model.acme import AccountStatus, AccountUrl, CertId, IssuerId, OrderUrl
from certd.model.identifiers import CertName
from certd.model.keys import KeyId, KeyType


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account key and, once the CA has answered, its account.

    `url` empty: newAccount may or may not have been received; the same key finds the account again (§7.3).
    `next_key_id`: a rollover is under way, and either key may be the one the CA knows (R29).
    """

    id: str
    issuer: IssuerId
    key_id: KeyId
    url: AccountUrl
    status: AccountStatus
    contact: tuple[str, ...]
    created_at: datetime
    next_key_id: KeyId | None = None


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A cached directory document (JSON text) and when it was fetched."""

    issuer: IssuerId
    document: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class DesiredRecord:
    """`document`: `Desired.to_json()`. `source`: `one-shot`, later `configuration` and others."""

    name: CertName
    source: str
    document: str
    updated_at: datetime


class OrderState(Enum):
    """Ours, not the CA's: how far the journal has come."""

    INTENT = "intent"  # newOrder may or may not have been sent
    PLACED = "placed"  # its URL is known
    ISSUED = "issued"  # the CA has made the certificate: from here on certd only ever downloads (invariant 3)
    QUARANTINED = "quarantined"  # issued, but its chain is odd: downloaded again, never bought again
    DONE = "done"
    DEAD = "dead"

    @property
    def is_open(self) -> bool:
        return self not in {OrderState.DONE, OrderState.DEAD}

    @property
    def is_paid(self) -> bool:
        return self in {OrderState.ISSUED, OrderState.QUARANTINED}


#: Which state may follow which; anything else is a bug and refused by the ledger.
ORDER_TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    OrderState.INTENT: frozenset({OrderState.PLACED, OrderState.DEAD}),
    OrderState.PLACED: frozenset({OrderState.ISSUED, OrderState.DEAD}),
    OrderState.ISSUED: frozenset({OrderState.QUARANTINED, OrderState.DONE, OrderState.DEAD}),
    OrderState.QUARANTINED: frozenset({OrderState.DONE, OrderState.DEAD}),
    OrderState.DONE: frozenset(),
    OrderState.DEAD: frozenset(),
}


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order and all that is needed to bring it to its end. `key_id` None: the CSR came from outside."""

    id: str
    name: CertName
    set_key: str
    issuer: IssuerId
    account_id: str
    key_id: KeyId | None
    csr: bytes
    profile: str
    preferred_chain: str
    replaces: CertId | None
    reason: str
    state: OrderState
    created_at: datetime
    url: OrderUrl | None = None
    certificate_url: str = ""
    expires_at: datetime | None = None
    ended_because: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """One issued key + leaf + chain, immutable but for its revocation. `chain` is PEM text, the leaf first."""

    name: CertName
    number: int
    issuer: IssuerId
    order_id: str
    key_id: KeyId | None
    set_key: str
    key_type: KeyType
    profile: str
    chain: str
    serial: str  # lower-case hex of the integer
    cert_id: CertId | None
    fingerprint: str  # SHA-256 of the leaf, hex
    not_before: datetime
    not_after: datetime
    reason: str
    created_at: datetime
    csr_given: bool = False
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """When one generation is due: the moment drawn once inside the window, and stored (RFC 9773 §4.2)."""

    name: CertName
    number: int
    issuer: IssuerId
    cert_id: CertId | None
    window_start: datetime
    window_end: datetime
    due_at: datetime
    by_ca: bool  # false: synthesised, the CA suggested nothing
    explanation_url: str
    next_fetch_at: datetime | None


class ScopeKind(Enum):
    """What a failure or limit belongs to (design 5)."""

    ISSUER = "issuer"
    ACCOUNT = "account"
    DOMAIN = "domain"
    SET = "set"
    IDENTIFIER = "identifier"
    ZONE = "zone"


@dataclass(frozen=True, slots=True)
class Scope:
    kind: ScopeKind
    issuer: IssuerId
    key: str


@dataclass(frozen=True, slots=True)
class ScopeRecord:
    """Why a scope waits. `firm_until`: a moment the CA named itself, before which nobody may try, a person neither."""

    scope: Scope
    failures: int
    blocked_until: datetime | None
    firm_until: datetime | None
    problem: str
    detail: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One failed try, for the CA's per-hour limits."""

    scope: Scope
    at: datetime
    problem: str
    detail: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen where and when; `value` is JSON text."""

    kind: str
    subject: str
    at: datetime
    value: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one certificate and on one identifier set; every write under it is fenced by `epoch`."""

    name: CertName
    set_key: str
    node: str
    epoch: int
