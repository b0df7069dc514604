"""HellCa: devca behind middleware that counts, remembers, limits, and fails as it is told.

    async with HellCa.start(Options.friendly(http_port=5002)) as hell:
        hell.fault("new-order", problem("rateLimited", status=429, retry_after="60"), times=1)
        …
        assert hell.count("new-order") == 2
        assert hell.payloads("finalize")[0]["csr"]
        assert len(hell.certificates) == 1

Route names are those of `tests.hellca.seen.Seen`. Everything else is devca's: `hell.ca`.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from math import ceil
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from certd.devca import DevCa, Options
from certd.devca.authority import Now
from certd.devca.records import Account, Certificate, Order
from certd.devca.server import utc_now
from tests.hellca.faults import Fault, problem
from tests.hellca.limits import TokenBucket
from tests.hellca.seen import Seen, seen

#: Where a fault matrix goes: every endpoint of RFC 8555 and RFC 9773.
ENDPOINTS = (
    *("directory", "new-nonce", "new-account", "new-order", "authorization", "challenge", "finalize", "order"),
    *("certificate", "renewal-info", "revoke-cert", "key-change"),
)
FOREVER = 1 << 60
ANY = "*"


@dataclass
class _Scripted:
    route: str
    fault: Fault
    left: int
    skip: int
    when: Callable[[Seen], bool]


@dataclass
class HellCa:
    """A running one."""

    now: Now
    requests: list[Seen] = field(default_factory=list)  # oldest first
    _ca: DevCa | None = None
    _script: list[_Scripted] = field(default_factory=list)
    _limits: list[tuple[str, TokenBucket]] = field(default_factory=list)
    _failures: tuple[int, timedelta] | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @staticmethod
    @asynccontextmanager
    async def start(options: Options | None = None, *, now: Now = utc_now, **more: Any) -> AsyncIterator["HellCa"]:
        """Arguments as for `DevCa.start`."""
        hell = HellCa(now)
        async with DevCa.start(options, now=now, middlewares=[hell.middleware], **more) as ca:
            hell._ca = ca
            try:
                yield hell
            finally:
                hell._ended.set()

    @property
    def ca(self) -> DevCa:
        assert self._ca is not None
        return self._ca

    @property
    def directory_url(self) -> str:
        return self.ca.directory_url

    def trust(self) -> ssl.SSLContext:
        return self.ca.trust()

    # What is to go wrong

    def fault(
        self,
        route: str,
        fault: Fault,
        *,
        times: int = 1,
        after: int = 0,
        when: Callable[[Seen], bool] = lambda _: True,
    ) -> None:
        """Let *fault* happen to the next *times* requests for *route* ("*": any), after *after* good ones.

        Only requests for which *when* holds count. Of several scripted faults the first that has some left happens.
        """
        self._script.append(_Scripted(route, fault, times, after, when))

    def always(self, route: str, fault: Fault) -> None:
        self.fault(route, fault, times=FOREVER)

    def clear(self) -> None:
        """No more faults and limits."""
        self._script.clear()
        self._limits.clear()
        self._failures = None

    def limit(self, route: str, bucket: TokenBucket) -> None:
        """429 `rateLimited` with Retry-After once *bucket* is empty. All buckets of a route must have a token."""
        self._limits.append((route, bucket))

    def limit_failures(self, most: int = 5, within: timedelta = timedelta(hours=1)) -> None:
        """Refuse a newOrder with an identifier whose validation failed *most* times *within* the time before now."""
        self._failures = most, within

    # What was seen

    def count(self, route: str | None = None) -> int:
        """Requests for *route*, or all; with those that a fault took."""
        return len(self.requests) if route is None else self.counts()[route]

    def counts(self) -> Counter[str]:
        return Counter(each.route for each in self.requests)

    def forget(self) -> None:
        """Count from here."""
        self.requests.clear()

    def payloads(self, route: str) -> list[dict[str, Any]]:
        """What was sent to *route*, POST-as-GET left out."""
        return [each.payload for each in self.requests if each.route == route and each.payload is not None]

    @property
    def accounts(self) -> list[Account]:
        return list(self.ca.accounts.values())

    @property
    def orders(self) -> list[Order]:
        return list(self.ca.orders.values())

    @property
    def certificates(self) -> list[Certificate]:
        return list(self.ca.certificates.values())

    # Between

    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        known = await seen(request, self.now())
        at = len(self.requests)
        self.requests.append(known)
        answer = await self._answer(known, request, handler)
        if at < len(self.requests) and self.requests[at] is known:
            self.requests[at] = replace(known, answered=answer.status)
        return answer

    async def _answer(self, known: Seen, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self._scripted(known) or self._limited(known)
        if fault is None:
            return await handler(request)
        answer = await fault(request, handler, self._ended)
        if known.method == "POST" and not answer.prepared and "Replay-Nonce" not in answer.headers:
            answer.headers["Replay-Nonce"] = self.ca.new_nonce()
        return answer

    def _scripted(self, known: Seen) -> Fault | None:
        for each in self._script:
            if each.left == 0 or each.route not in (known.route, ANY) or not each.when(known):
                continue
            if each.skip:
                each.skip -= 1
                continue
            each.left -= 1
            return each.fault
        return None

    def _limited(self, known: Seen) -> Fault | None:
        for route, bucket in self._limits:
            if route == known.route and (until := bucket.draw(known)) is not None:
                wait = ceil((until - known.at).total_seconds())
                return problem("rateLimited", status=429, detail="too many requests", retry_after=str(max(1, wait)))
        if self._failures is None or known.route != "new-order":
            return None
        most, within = self._failures
        wanted = {each.get("value", "").removeprefix("*.") for each in (known.payload or {}).get("identifiers", [])}
        for name in sorted(wanted):
            failed = [
                each.at
                for each in self.ca.validations
                if each.problem is not None and not each.late and each.identifier.removeprefix("*.") == name
            ]
            recent = [each for each in failed if each > known.at - within]
            if len(recent) >= most:
                detail = f"too many failed authorizations ({len(recent)}) for {name!r} in the last {within}"
                again = format_datetime(recent[-most] + within + timedelta(seconds=1), usegmt=True)
                return problem("rateLimited", status=429, detail=detail, retry_after=again)
        return None
