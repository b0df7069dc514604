"""What the client's methods have in common: posting to a resource of the directory, and reading what comes back."""

import random as random_
from collections.abc import Callable, Mapping
from datetime import datetime

from certd.ca.authorization import read_authorization
from certd.ca.directory import read_directory
from certd.ca.document import Document
from certd.ca.endpoints import Endpoints
from certd.ca.exchange import Exchange
from certd.ca.kinds import Allowance, Kind
from certd.ca.lifecycle import AUTHORIZATION, Seen, check_transition
from certd.ca.order import Trace, read_order, same_order
from certd.ca.origin import resolve
from certd.ca.transport import Reply, Transport
from certd.ca.wire import Signer
from certd.model.acme import AccountUrl, Authorization, AuthorizationStatus, Directory, Order, OrderUrl
from certd.model.clock import Clock
from certd.model.errors import CaError, CaProtocolError, CaRefused
from certd.model.keys import SigningKey

#: Picks one URL of the directory.
Which = Callable[[Directory], str]


class Conversation:
    """Transport, exchange, directory and memory of one client."""

    def __init__(
        self,
        directory_url: str,
        transport: Transport,
        *,
        key: SigningKey,
        clock: Clock,
        random: random_.Random,
        cached: tuple[Directory, datetime] | None,
        allowances: Mapping[Kind, Allowance],
    ) -> None:
        self.directory_url = directory_url
        self.transport = transport
        self.exchange = Exchange(transport, Signer(key), clock, random, allowances, self._new_nonce_url)
        self.endpoints = Endpoints(directory_url, clock, self._fetch_directory, cached)
        self.account_url: AccountUrl | None = None
        self._orders: Seen[Trace] = Seen()
        self._authorizations: Seen[AuthorizationStatus] = Seen()

    @property
    def what(self) -> str:
        """The CA in messages."""
        return self.exchange.what

    def belongs_to(self, account_url: AccountUrl) -> None:
        """Sign for this account from now on."""
        self.account_url = account_url
        self.exchange.belongs_to(account_url)

    def own_url(self) -> AccountUrl:
        """Raises CaError before the account is known."""
        if not self.account_url:
            raise CaError(f"{self.what}: no account of this CA is known yet", hint="register or find it first")
        return self.account_url

    async def resource(self, kind: Kind, which: Which) -> str:
        """A URL of the directory. Raises CaError when the CA does not offer it."""
        url = which(await self.endpoints.directory())
        if not url:
            raise CaError(f"{self.what}: this CA does not offer {kind.value}")
        return url

    async def post_to(
        self, kind: Kind, which: Which, payload: Callable[[str], bytes], *, by_key: Signer | None = None
    ) -> Reply:
        """Sign and post to a resource of the directory; once more where a newer directory says it has moved."""
        url = await self.resource(kind, which)
        try:
            return await self._post(kind, url, payload(url), by_key)
        except CaRefused as refusal:
            moved = await self.endpoints.moved(refusal, which, url)
            if moved is None:
                raise
        return await self._post(kind, moved, payload(moved), by_key)

    async def _post(self, kind: Kind, url: str, payload: bytes, by_key: Signer | None) -> Reply:
        if by_key is not None:
            return await self.exchange.post_by_key(kind, url, payload, by_key)
        return await self.exchange.post(kind, url, payload)

    def document(self, reply: Reply, kind: Kind) -> Document:
        """The JSON object in a reply. Raises CaProtocolError."""
        return Document.parse(reply.body, f"{self.what}: {kind.value}", self.transport.origin)

    def location(self, reply: Reply, kind: Kind) -> str:
        """The URL of what was made, exactly as the CA wrote it: the account's is the `kid` (§6.2)."""
        header = reply.header("Location")
        if not header:
            raise CaProtocolError(f"{self.what}: {kind.value}: the reply has no Location")
        return self.transport.origin.check(resolve(header, reply.url), f"{self.what}: {kind.value}: Location")

    def order(self, reply: Reply, url: OrderUrl) -> Order:
        """The order in a reply, after checking that it is a later state of what was seen at *url* before (R19, R22)."""
        found = read_order(self.document(reply, Kind.ORDER), url, self.exchange.retry_after(reply))
        before = self._orders.last(url)
        if before is not None:
            same_order(before, found)
        self._orders.note(url, Trace.of(found) if before is None else before.later(found.status))
        return found

    def authorization(self, reply: Reply, url: str) -> Authorization:
        """The authorization in a reply; its status must be one that can follow (R22)."""
        found = read_authorization(self.document(reply, Kind.AUTHORIZATION), url, self.exchange.retry_after(reply))
        before = self._authorizations.last(url)
        if before is not None:
            check_transition(AUTHORIZATION, before, found.status, f"authorization {url} ({found.identifier})")
        self._authorizations.note(url, found.status)
        return found

    async def _fetch_directory(self) -> Directory:
        reply = await self.exchange.get(Kind.DIRECTORY, self.directory_url)
        return read_directory(reply.body, self.directory_url)

    async def _new_nonce_url(self) -> str:
        return (await self.endpoints.directory()).new_nonce
