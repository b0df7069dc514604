"""Ways to answer challenges without sockets: what they show lies in a `World` that outlives the process under test."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from certd.ledger.live_proofs import LiveProofs
from certd.model.acme import ChallengeType
from certd.model.errors import ConfigError
from certd.model.identifiers import Identifier
from certd.model.proofs import Proof, tls_alpn_name, token_of

Record = tuple[ChallengeType, str, str]
FOREIGN: frozenset[Record] = frozenset(
    {
        (ChallengeType.DNS_01, "_acme-challenge.example.org", "somebody-else's"),
        (ChallengeType.HTTP_01, "somebody-else's-token", "somebody-else's"),
    }
)


@dataclass
class World:
    """Records at providers and files in webroots; and `live`, which ends with the process that listens."""

    trace: list[str] = field(default_factory=list)
    records: set[Record] = field(default_factory=lambda: set(FOREIGN))
    live: LiveProofs | None = None
    blind: bool = False  # names lead elsewhere: a validator sees nothing of ours
    hides: set[str] = field(default_factory=set)  # … of these names

    @property
    def ours(self) -> set[Record]:
        return self.records - FOREIGN

    def shows(self, type_: ChallengeType, identifier: Identifier, token: str, key_authorization: str) -> bool:
        """What the CA's validator sees (§8.3, §8.4, RFC 8737 §3)."""
        if self.blind or identifier.value in self.hides:
            return False
        match type_:
            case ChallengeType.HTTP_01:
                proof = self.live.http_01(token) if self.live else None
                wanted: Record = (type_, token, key_authorization)
            case ChallengeType.TLS_ALPN_01:
                proof = self.live.tls_alpn_01(tls_alpn_name(identifier)) if self.live else None
                wanted = (type_, tls_alpn_name(identifier), key_authorization)
            case ChallengeType.DNS_01:
                proof, wanted = None, (type_, f"_acme-challenge.{identifier.base}", digest(key_authorization))
        if proof is not None and self.live is not None:
            self.live.asked(proof)
        return wanted in self.records or (proof is not None and proof.value == key_authorization)


@dataclass
class FakePublisher:
    """A webroot (http-01) or a DNS provider (dns-01). `publishes`: how many succeed before `broken` is raised."""

    world: World
    type: ChallengeType
    method: str
    options: str = "{}"
    is_the_journal: bool = False
    lingers: timedelta = timedelta(0)
    broken: Exception | None = None
    publishes: int = 0
    invisible: Exception | None = None
    stuck: Exception | None = None

    async def prove(self, identifier: Identifier, key_authorization: str) -> Proof:
        if self.type is ChallengeType.DNS_01:
            return Proof(
                self.type, identifier, f"_acme-challenge.{identifier.base}", digest(key_authorization), identifier.base
            )
        return Proof(self.type, identifier, token_of(key_authorization), key_authorization)

    async def publish(self, proofs: Sequence[Proof]) -> None:
        for count, proof in enumerate(proofs):
            if self.broken is not None and count >= self.publishes:
                raise self.broken
            self.world.trace.append(f"publish {proof.name}")
            self.world.records.add((proof.type, proof.name, proof.value))

    async def wait_until_visible(self, proofs: Sequence[Proof]) -> None:
        if self.invisible is not None:
            raise self.invisible

    async def wait_until_asked(self, proofs: Sequence[Proof]) -> None:
        """It cannot be seen here."""

    async def withdraw(self, proofs: Sequence[Proof]) -> None:
        if self.stuck is not None:
            raise self.stuck
        for proof in proofs:
            self.world.trace.append(f"withdraw {proof.name}")
            self.world.records.discard((proof.type, proof.name, proof.value))


@dataclass
class Shelf:
    """Publishers by the words that a journal has for them."""

    publishers: dict[tuple[str, str], FakePublisher] = field(default_factory=dict)

    def put(self, publisher: FakePublisher) -> FakePublisher:
        self.publishers[publisher.method, publisher.options] = publisher
        return publisher

    def reopen(self, method: str, options: str) -> FakePublisher:
        try:
            return self.publishers[method, options]
        except KeyError:
            raise ConfigError(f"{method}: no such provider any more") from None


@dataclass
class Progress:
    """What a person would have been shown."""

    notes: list[str] = field(default_factory=list)
    was_valid: dict[Identifier, ChallengeType | None] = field(default_factory=dict)
    have_failed: list[Identifier] = field(default_factory=list)

    def validating(self, identifier: Identifier, type_: ChallengeType) -> None: ...

    def valid(self, identifiers: Mapping[Identifier, ChallengeType | None]) -> None:
        self.was_valid.update(identifiers)

    def failed(self, identifier: Identifier) -> None:
        self.have_failed.append(identifier)

    def note(self, text: str) -> None:
        self.notes.append(text)


def digest(key_authorization: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(key_authorization.encode("ascii")).digest()).rstrip(b"=").decode()
