"""RFC 8555 objects as certd keeps them, read leniently: unknown fields are gone, unknown statuses stay visible.

Times are aware UTC. URLs are the server's exact strings (§6.4 compares them byte for byte).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NewType, Protocol

from certd.model.identifiers import Identifier
from certd.model.problems import Problem

IssuerId = NewType("IssuerId", str)  #: the directory URL
AccountUrl = NewType("AccountUrl", str)
OrderUrl = NewType("OrderUrl", str)
CertId = NewType("CertId", str)  #: RFC 9773 §4.1: base64url(AKI) "." base64url(serial)


@dataclass(frozen=True, slots=True)
class Directory:
    """§7.1.1. Empty string: the server does not offer it."""

    url: IssuerId
    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str = ""
    key_change: str = ""
    new_authz: str = ""
    renewal_info: str = ""
    terms_of_service: str = ""
    website: str = ""
    caa_identities: tuple[str, ...] = ()
    external_account_required: bool = False
    profiles: Mapping[str, str] | None = None  # None: the CA has no profiles


class AccountStatus(Enum):
    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Account:
    """§7.1.2."""

    url: AccountUrl
    status: AccountStatus
    contact: tuple[str, ...] = ()
    terms_agreed: bool | None = None
    orders_url: str = ""


class OrderStatus(Enum):
    """§7.1.6. UNKNOWN: a word the RFC does not have; poll on, never act on it."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """§7.1.3. `retry_after` is an absolute moment, from the reply that brought this order."""

    url: OrderUrl
    status: OrderStatus
    identifiers: frozenset[Identifier]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str = ""
    expires: datetime | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    error: Problem | None = None
    profile: str = ""
    replaces: str = ""
    retry_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What newOrder is sent (§7.4; `profile`: draft-ietf-acme-profiles; `replaces`: RFC 9773 §5)."""

    identifiers: tuple[Identifier, ...]
    profile: str = ""
    replaces: CertId | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None


class AuthorizationStatus(Enum):
    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """No validation can be running any more, so proofs may go."""
        return self not in {AuthorizationStatus.PENDING, AuthorizationStatus.UNKNOWN}


class ChallengeStatus(Enum):
    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class ChallengeType(Enum):
    """The types certd can answer; the CA may offer others, which stay out of `Authorization.challenges`."""

    HTTP_01 = "http-01"
    DNS_01 = "dns-01"
    TLS_ALPN_01 = "tls-alpn-01"


@dataclass(frozen=True, slots=True)
class Challenge:
    """§8. `token`: checked against base64url and its length before it gets here (R43)."""

    url: str
    type: ChallengeType
    status: ChallengeStatus
    token: str = ""
    error: Problem | None = None
    retry_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """§7.1.4. `identifier` has its `*.` back where the server said `wildcard: true`, as it was ordered."""

    url: str
    identifier: Identifier
    status: AuthorizationStatus
    challenges: tuple[Challenge, ...]
    offered: tuple[str, ...] = ()  # every type the CA named, for messages
    expires: datetime | None = None
    retry_after: datetime | None = None

    @property
    def problem(self) -> Problem | None:
        """Why it failed: the error of the challenge that was tried."""
        return next((c.error for c in self.challenges if c.error is not None), None)


@dataclass(frozen=True, slots=True)
class Chain:
    """A certificate chain: DER, the end entity first (§7.4.2)."""

    certificates: tuple[bytes, ...]

    @property
    def leaf(self) -> bytes:
        return self.certificates[0]


@dataclass(frozen=True, slots=True)
class Chains:
    """The default chain and the alternates that the CA linked (`rel="alternate"`)."""

    default: Chain
    alternates: tuple[Chain, ...] = ()


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """RFC 9773 §4.2. `retry_after` is clamped to one minute … one day from the reply."""

    start: datetime
    end: datetime
    retry_after: datetime
    explanation_url: str = ""


class RevocationReason(Enum):
    """RFC 5280 §5.3.1, those a subscriber may give (Boulder takes 0, 1, 4, 5)."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5


class Ca(Protocol):
    """One account at one directory, as the issuing workflow uses it. Raises CaError and its kinds."""

    async def directory(self) -> Directory: ...

    async def new_order(self, wanted: NewOrder) -> Order: ...

    async def fetch_order(self, url: OrderUrl) -> Order: ...

    async def fetch_authorization(self, url: str) -> Authorization: ...

    async def deactivate_authorization(self, url: str) -> Authorization: ...

    async def answer(self, challenge: Challenge) -> Challenge: ...

    async def finalize(self, order: Order, csr_der: bytes) -> Order: ...

    async def download(self, order: Order, *, alternates: bool = False) -> Chains:
        """The default chain and, if *alternates*, those the CA links (RFC 8555 §7.4.2); certificates only (R35)."""
        ...

    async def renewal_info(self, cert: CertId) -> RenewalInfo: ...

    def key_authorization(self, token: str) -> str:
        """`token "." base64url(thumbprint of the account key)` (§8.1)."""
        ...
