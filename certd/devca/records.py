"""The objects of RFC 8555 §7.1 as devca keeps them: frozen values, changed by `replace`, stored by `store`.

URLs are made when something is shown; here are ids only, so that a restart on another port changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any


class AccountStatus(Enum):
    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"


class OrderStatus(Enum):
    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(Enum):
    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeStatus(Enum):
    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


HTTP_01, DNS_01, TLS_ALPN_01 = "http-01", "dns-01", "tls-alpn-01"


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """`type` is dns or ip; a wildcard keeps its `*.` here."""

    type: str
    value: str

    @property
    def wildcard(self) -> bool:
        return self.value.startswith("*.")

    @property
    def base(self) -> str:
        return self.value.removeprefix("*.")

    def document(self) -> dict[str, str]:
        return {"type": self.type, "value": self.value}


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    status: AccountStatus
    contact: tuple[str, ...]
    jwk: str  # canonical JSON of the public key
    thumbprint: str
    terms_agreed: bool
    binding: dict[str, Any] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Challenge:
    id: str
    type: str
    token: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    validated: datetime | None = None
    error: dict[str, Any] | None = None  # a problem document


@dataclass(frozen=True, slots=True)
class Authorization:
    id: str
    account: str
    identifier: Identifier
    status: AuthorizationStatus
    expires: datetime
    challenges: tuple[Challenge, ...]

    def at(self, now: datetime) -> AuthorizationStatus:
        """Its status at *now*: what was pending or valid expires (RFC 8555 §7.1.6)."""
        live = self.status in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
        return AuthorizationStatus.EXPIRED if live and now >= self.expires else self.status


@dataclass(frozen=True, slots=True)
class Order:
    """`status` as last stored; `orders.settle` says what it is now."""

    id: str
    account: str
    status: OrderStatus
    expires: datetime
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]
    profile: str
    profile_asked: bool
    replaces: str | None = None  # certificate id of RFC 9773 §4.1
    created_at: datetime | None = None
    public_key: bytes | None = None  # SubjectPublicKeyInfo of the request it was finalized with, DER
    issue_at: datetime | None = None  # the end of `processing`
    certificate: str | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """`leaf` is DER; its chains are made from the issuer's when it is downloaded."""

    id: str
    account: str
    order: str
    identifiers: tuple[Identifier, ...]
    leaf: bytes
    cert_id: str
    not_before: datetime
    not_after: datetime
    replaced_by: str | None = None  # the order that did
    revoked_at: datetime | None = None
    revocation_reason: int | None = None
