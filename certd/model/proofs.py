"""Proofs: what is published so that the CA can see control of an identifier (RFC 8555 §8, RFC 8737, RFC 8738).

A proof is data: it is journalled before it is published, and another process can withdraw it from these fields alone.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NewType, Protocol

from certd.model.acme import ChallengeType
from certd.model.identifiers import Identifier, IdentifierType

ProofId = NewType("ProofId", str)


@dataclass(frozen=True, slots=True)
class Proof:
    """`name` and `value` by type.

    | type | name | value |
    |---|---|---|
    | http-01 | the token | the key authorization |
    | tls-alpn-01 | the SNI name (for an address its reverse name, RFC 8738 §6) | the key authorization |
    | dns-01 | the absolute record name, no trailing dot, CNAMEs followed | base64url(SHA-256(key authorization)) |
    """

    type: ChallengeType
    identifier: Identifier
    name: str
    value: str
    zone: str = ""  # dns-01: the zone the name lies in


def tls_alpn_name(identifier: Identifier) -> str:
    """The server name a tls-alpn-01 validator sends for *identifier*, without trailing dot: `Proof.name`.

    RFC 8738 §6: for an address, "the IP address as a reverse mapping name" (`1.2.0.192.in-addr.arpa`, nibbles under
    `ip6.arpa`), because SNI has no form for addresses.
    """
    if identifier.type is IdentifierType.IP:
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value


def token_of(key_authorization: str) -> str:
    """The challenge's token: what stands before the thumbprint (RFC 8555 §8.1)."""
    return key_authorization.partition(".")[0]


class ProofState(Enum):
    JOURNALLED = "journalled"  # perhaps published
    WITHDRAWING = "withdrawing"  # fenced: it may be gone already; only journalling it anew publishes it again
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """A proof in the journal. `method` and `options` (references only, no secrets) find the publisher again."""

    id: ProofId
    order_id: str
    authorization_url: str
    proof: Proof
    method: str
    options: str  # canonical JSON
    state: ProofState
    created_at: datetime
    withdraw_at: datetime | None = None  # fenced, and left in the world until then (invariant 5)


class ProofLookup(Protocol):
    """What listeners ask; the answers are the proof rows themselves (invariant 5). Must not block."""

    def http_01(self, token: str) -> Proof | None: ...

    def tls_alpn_01(self, server_name: str) -> Proof | None: ...

    def asked(self, proof: Proof) -> None:
        """Somebody asked for *proof* and got it: the validation request has been seen (RFC 8555 §7.5.1)."""
        ...
