"""Ways to answer challenges, made of listeners, webroots and DNS providers: the workflow's `Publisher` port."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from certd.issue.ports import Publisher
from certd.ledger.live_proofs import LiveProofs
from certd.listen.listeners import Listeners
from certd.listen.webroot import Webroot
from certd.model.acme import ChallengeType
from certd.model.clock import Clock
from certd.model.errors import ListenError
from certd.model.identifiers import Identifier
from certd.model.proofs import Proof, tls_alpn_name, token_of

LISTENER = "listener"
WEBROOT = "webroot"
DNS = "dns:"  # and the provider's name

#: CAs look from several places, and some look once more after the authorization is valid (invariant 5).
LATE_LOOKS = timedelta(minutes=1)

#: A listener that has answered our own question once is believed for this long.
BELIEVED_FOR = timedelta(minutes=10)


@dataclass(slots=True)
class ListenerPublisher:
    """Our own listener on port 80 or 443: the journal's rows are the answers, so there is nothing to publish."""

    type: ChallengeType
    live: LiveProofs
    clock: Clock
    listeners: Listeners | None = None  # None: only to withdraw what an earlier process answered
    method: str = LISTENER
    is_the_journal: bool = True
    lingers: timedelta = timedelta(0)  # in the journal; the listener itself goes on answering while it lives
    _checked_at: datetime | None = field(default=None, init=False)

    @classmethod
    def reopened(cls, options: str, live: LiveProofs, clock: Clock) -> "ListenerPublisher":
        """The one with these options, as the journal has them."""
        return cls(ChallengeType(json.loads(options)["challenge"]), live, clock)

    @property
    def options(self) -> str:
        # Two ports, two publishers: proofs are brought out in groups of one publisher's.
        return json.dumps({"challenge": self.type.value})

    async def prove(self, identifier: Identifier, key_authorization: str) -> Proof:
        name = token_of(key_authorization) if self.type is ChallengeType.HTTP_01 else tls_alpn_name(identifier)
        return Proof(self.type, identifier, name, key_authorization)

    async def publish(self, proofs: Sequence[Proof]) -> None:
        self.live.expect(proofs)

    async def wait_until_visible(self, proofs: Sequence[Proof]) -> None:
        now = self.clock.now()
        if self._checked_at is not None and now - self._checked_at < BELIEVED_FOR:
            return
        if self.type is ChallengeType.HTTP_01 and self.listeners is not None:
            await self.listeners.check(proofs[0])
        self._checked_at = now

    async def wait_until_asked(self, proofs: Sequence[Proof]) -> None:
        await self.live.wait_until_asked(proofs)
        self.live.done_with(proofs)

    async def withdraw(self, proofs: Sequence[Proof]) -> None:
        """The row's state is the withdrawal; the listener goes on answering while it lives (invariant 5)."""


@dataclass(slots=True)
class WebrootPublisher:
    """http-01 answers as files below a directory that another server publishes."""

    directory: Path
    method: str = WEBROOT
    is_the_journal: bool = False
    lingers: timedelta = LATE_LOOKS

    @classmethod
    def reopened(cls, options: str) -> "WebrootPublisher":
        """The one with these options, as the journal has them."""
        return cls(Path(json.loads(options)["directory"]))

    @property
    def options(self) -> str:
        return json.dumps({"directory": str(self.directory)})

    async def prove(self, identifier: Identifier, key_authorization: str) -> Proof:
        return Proof(ChallengeType.HTTP_01, identifier, token_of(key_authorization), key_authorization)

    async def publish(self, proofs: Sequence[Proof]) -> None:
        await Webroot(self.directory).publish(proofs)

    async def wait_until_visible(self, proofs: Sequence[Proof]) -> None:
        """The files must still be whole; whether the other server shows them only the CA can say."""
        if missing := await Webroot(self.directory).missing(proofs):
            raise ListenError(f"{missing[0].identifier}: its file under {self.directory} is gone or changed already")

    async def wait_until_asked(self, proofs: Sequence[Proof]) -> None:
        """It cannot be seen here."""

    async def withdraw(self, proofs: Sequence[Proof]) -> None:
        await Webroot(self.directory).withdraw(proofs)


@dataclass(frozen=True, slots=True)
class PublisherTable:
    """The workflow's `Publishers`: those of this run by type, and any earlier one by its words in the journal."""

    current: Mapping[ChallengeType, Publisher]
    reopen: Callable[[str, str], Publisher]

    @property
    def allowed(self) -> Sequence[ChallengeType]:
        return tuple(self.current)

    def by_type(self, type_: ChallengeType) -> Publisher:
        return self.current[type_]

    def by_method(self, method: str, options: str) -> Publisher:
        for publisher in self.current.values():
            if (publisher.method, publisher.options) == (method, options):
                return publisher
        return self.reopen(method, options)
