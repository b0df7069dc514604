"""Where the CA's resources are: its directory, kept for a day, asked for again when a URL of it is gone."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from certd.ca.directory import is_fresh
from certd.model.acme import Directory
from certd.model.clock import Clock
from certd.model.errors import CaRefused

# A URL that the directory names and the CA does not know: the directory is an old one.
_GONE = frozenset({404, 405, 410})

# A CA whose own directory leads to nothing shall not be asked for it with every request.
_NOT_AGAIN_WITHIN = timedelta(minutes=5)


class Endpoints:
    """The directory of one conversation. *cached*: a snapshot and when it was fetched."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        fetch: Callable[[], Awaitable[Directory]],
        cached: tuple[Directory, datetime] | None,
    ) -> None:
        self.fetched: Directory | None = None  # in this conversation, so that the caller can keep it
        self._clock = clock
        self._fetch = fetch
        self._fetching = asyncio.Lock()
        self._known = cached if cached is not None and cached[0].url == url else None

    async def directory(self) -> Directory:
        """At most a day old. Raises CaError."""
        known = self._known
        if known is not None and is_fresh(known[1], self._clock.now()):
            return known[0]
        return await self._renew(known)

    async def moved(self, refusal: CaRefused, which: Callable[[Directory], str], tried: str) -> str | None:
        """Where a resource is now, if *refusal* says that it is not at *tried* any more; else None."""
        if refusal.problem.status not in _GONE:
            return None
        known = self._known
        if known is not None and self._clock.now() - known[1] < _NOT_AGAIN_WITHIN:
            return None
        now = which(await self._renew(known))
        return now if now != tried else None

    async def newest(self) -> Directory:
        """Not older than a few minutes: what a person is told that the CA does not offer must be so now."""
        known = self._known
        if known is not None and timedelta(0) <= self._clock.now() - known[1] < _NOT_AGAIN_WITHIN:
            return known[0]
        return await self._renew(known)

    async def _renew(self, known: tuple[Directory, datetime] | None) -> Directory:
        async with self._fetching:
            if self._known is not None and self._known is not known:
                return self._known[0]  # another task has just done it
            directory = await self._fetch()
            self.fetched = directory
            self._known = directory, self._clock.now()
            return directory
