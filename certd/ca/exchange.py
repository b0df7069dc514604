"""One request to the CA and its answer: signed, repeated where that is safe, a problem document raised as CaRefused.

RFC 8555 §6.5: a refused nonce costs another signature with the nonce of that very reply; when ten are refused the CA is
as good as down (`NoncesRefused`). A lost connection is repeated only for what has the same effect twice (`kinds`).
Everything of one step ends by its deadline and within ten requests; 429, 5xx and Retry-After are never waited for here:
they are the planner's.
"""

import random as random_
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from certd.ca.kinds import MOST_REQUESTS, Allowance, Kind
from certd.ca.nonces import Nonces, valid_nonce
from certd.ca.problems import read_problem
from certd.ca.retry_after import parse_http_date, parse_retry_after
from certd.ca.text import clean
from certd.ca.transport import Reply, Transport
from certd.ca.unreachable import ConnectionLost, NoncesRefused
from certd.ca.wire import POST_AS_GET, Signer
from certd.model.clock import Clock, time_limit
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable
from certd.model.problems import Problem, Reaction

T = TypeVar("T")

_PAUSE_SECONDS = (0.05, 0.25)

NewNonceUrl = Callable[[], Awaitable[str]]


class Exchange:
    """The signed conversation with one key. `kid` is empty until the account's URL is known."""

    def __init__(
        self,
        transport: Transport,
        signer: Signer,
        clock: Clock,
        random: random_.Random,
        allowances: Mapping[Kind, Allowance],
        new_nonce_url: NewNonceUrl,
    ) -> None:
        self.signer = signer
        self.clock_skew: timedelta | None = None
        self._transport = transport
        self._clock = clock
        self._random = random
        self._allowances = allowances
        self._new_nonce_url = new_nonce_url
        self._nonces = Nonces(self._fetch_nonce)
        self._date: str | None = None
        self._by_account = ""

    @property
    def what(self) -> str:
        """The CA in messages."""
        return str(self._transport.origin)

    def belongs_to(self, account_url: str) -> None:
        """Sign with this account's URL as `kid` from now on: exactly the Location of newAccount (§6.2)."""
        self._by_account = self.signer.by_account(account_url)

    async def get(self, kind: Kind, url: str) -> Reply:
        """An unauthenticated GET: directory and renewalInfo only (§6.3). Raises CaError."""
        reply = await self._within(kind, self._repeated(kind, lambda: self._transport.get(url, kind)))
        self._note_date(reply)
        return self._accepted(kind, reply)

    async def fetch(self, kind: Kind, url: str) -> Reply:
        """POST-as-GET (§6.3). Raises CaError."""
        return await self.post(kind, url, POST_AS_GET)

    async def post(self, kind: Kind, url: str, payload: bytes) -> Reply:
        """Sign with the account and send. Raises CaError, KeyStoreError."""
        if not self._by_account:
            raise CaProtocolError(f"{self.what}: {kind.value}: there is no account at this CA to sign for")
        return await self._post(kind, url, payload, self.signer, self._by_account)

    async def post_by_key(self, kind: Kind, url: str, payload: bytes, signer: Signer | None = None) -> Reply:
        """Sign with the key itself in the header: newAccount, revocation by certificate key (§6.2)."""
        signer = signer or self.signer
        return await self._post(kind, url, payload, signer, signer.by_key)

    async def meet(self) -> None:
        """Ask newNonce unless a nonce is at hand; it is kept for the next request. Raises CaError."""
        self._nonces.put(await self._within(Kind.NEW_NONCE, self._nonces.take()))

    def retry_after(self, reply: Reply) -> datetime | None:
        """The CA's own moment for asking again, on our clock."""
        value = reply.header("Retry-After")
        if value is None:
            return None
        return parse_retry_after(value, self._clock.now(), parse_http_date(reply.header("Date")))

    async def _post(self, kind: Kind, url: str, payload: bytes, signer: Signer, static: str) -> Reply:
        return self._accepted(kind, await self._within(kind, self._tries(kind, url, payload, signer, static)))

    async def _tries(self, kind: Kind, url: str, payload: bytes, signer: Signer, static: str) -> Reply:
        """Send until the nonce is not what is wrong. Raises NoncesRefused when ten requests were not enough."""
        nonce: str | None = await self._nonces.take()

        async def send() -> Reply:
            nonlocal nonce
            fresh, nonce = nonce or await self._nonces.take(), None
            return await self._transport.post(url, await signer.sign(static, payload, url=url, nonce=fresh), kind)

        left = MOST_REQUESTS
        while True:
            reply = await self._repeated(kind, send)
            self._note_date(reply)
            brought = valid_nonce(reply.header("Replay-Nonce"))
            left -= 1 if brought else 2  # without one newNonce has to be asked first
            refused = self._is_bad_nonce(reply)
            if refused and left > 0:
                nonce = brought
                continue
            if brought:
                self._nonces.put(brought)
            if refused:
                raise NoncesRefused(f"{self.what}: {kind.value}", self._problem(reply))
            return reply

    async def _repeated(self, kind: Kind, send: Callable[[], Awaitable[Reply]]) -> Reply:
        repeats = self._allowances[kind].repeats
        while True:
            try:
                return await send()
            except ConnectionLost:
                if repeats == 0:
                    raise
                repeats -= 1
            # A CA that restarts drops all connections at once: its clients shall not come back in the same moment.
            pause = timedelta(seconds=self._random.uniform(*_PAUSE_SECONDS))
            await self._clock.sleep_until(self._clock.now() + pause)

    def _is_bad_nonce(self, reply: Reply) -> bool:
        return reply.status >= 400 and self._problem(reply).reaction is Reaction.NEW_NONCE

    def _accepted(self, kind: Kind, reply: Reply) -> Reply:
        if reply.status in {200, 201}:
            return reply
        if reply.status < 400:
            raise CaProtocolError(f"{self.what}: {kind.value}: HTTP {reply.status} where an object is due")
        problem = self._problem(reply)
        raise CaRefused(f"{self.what}: {kind.value}", problem, hint=_hint(kind, problem, reply))

    def _problem(self, reply: Reply) -> Problem:
        return read_problem(reply, self._clock.now())

    async def _fetch_nonce(self) -> str:
        kind, url = Kind.NEW_NONCE, await self._new_nonce_url()
        reply = await self._repeated(kind, lambda: self._transport.head(url, kind))
        if reply.status in {405, 501}:  # §7.2 has GET as well
            reply = await self._repeated(kind, lambda: self._transport.get(url, kind))
        self._note_date(reply)
        if reply.status >= 400:
            self._accepted(kind, reply)
        nonce = valid_nonce(reply.header("Replay-Nonce"))
        if nonce is None:
            raise CaProtocolError(f"{self.what}: newNonce: the reply has no valid Replay-Nonce (RFC 8555 §7.2)")
        return nonce

    def _note_date(self, reply: Reply) -> None:
        date = reply.header("Date")
        if date is not None and date != self._date and (moment := parse_http_date(date)) is not None:
            self._date, self.clock_skew = date, moment - self._clock.now()

    async def _within(self, kind: Kind, asking: Awaitable[T]) -> T:
        # Loop time, because the other side's time is real even where ours is injected: a clock that leaps over a wait
        # would end every request at once.
        seconds = self._allowances[kind].seconds
        try:
            async with time_limit(seconds, kind.value):
                return await asking
        except TimeoutError:
            raise CaUnreachable(f"{self.what}: {kind.value}: no complete reply within {seconds:g} s") from None


def _hint(kind: Kind, problem: Problem, reply: Reply) -> str:
    if kind is Kind.DIRECTORY and problem.status in {404, 405, 410}:
        return "is this the CA's directory URL? It often ends in /directory or /dir"
    if problem.status == 409 and (owner := reply.header("Location")):  # §7.3.5
        return f"the key belongs to the account {clean(owner, 512)} already"
    if problem.kind == "userActionRequired" and problem.instance:
        return f"the CA wants you to open {problem.instance}"
    if problem.is_pause:
        return "only the account's holder can unpause it, on the CA's page named above"
    return f"the CA says more at {problem.help_url}" if problem.help_url else ""
