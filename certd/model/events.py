"""What is told: one frozen dataclass an event, stored in the commit that made it true (invariant 11)."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AccountRegistered:
    issuer: str
    account_url: str


@dataclass(frozen=True, slots=True)
class AccountChanged:
    issuer: str
    account_url: str
    change: str  # "contact", "key", "deactivated"


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    name: str
    issuer: str
    order_url: str
    reason: str


@dataclass(frozen=True, slots=True)
class OrderAbandoned:
    name: str
    issuer: str
    order_url: str
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateIssued:
    name: str
    generation: int
    issuer: str
    serial: str
    not_after: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class IssuanceFailed:
    name: str
    issuer: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChainQuarantined:
    name: str
    issuer: str
    order_url: str
    finding: str


@dataclass(frozen=True, slots=True)
class CertificateRevoked:
    name: str
    generation: int
    issuer: str
    reason: str


Event = (
    AccountRegistered
    | AccountChanged
    | OrderPlaced
    | OrderAbandoned
    | CertificateIssued
    | IssuanceFailed
    | ChainQuarantined
    | CertificateRevoked
)


def as_fields(event: Event) -> dict[str, Any]:
    """JSON-ready fields with the event's kind first."""
    fields = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(event).items()}
    return {"event": type(event).__name__, **fields}
