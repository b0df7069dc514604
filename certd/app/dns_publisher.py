"""dns-01 through a provider: located, journalled, published, seen at the authoritative servers, withdrawn."""

import asyncio
import base64
import hashlib
import random
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from certd.api import Dns01Proof, DnsProvider, ProviderSpec, Tools
from certd.app.publishers import DNS
from certd.dns.authorities import Authorities
from certd.dns.propagation import wait_until_visible
from certd.dns.settings import DnsSettings
from certd.issue.ports import Progress
from certd.model.acme import ChallengeType
from certd.model.clock import Clock
from certd.model.identifiers import Identifier
from certd.model.proofs import Proof
from certd.plugins.opening import open_provider
from certd.plugins.options import Chosen

PATIENCE = timedelta(seconds=10)  #: no line about servers that are merely slow

_LISTED = 3


class DnsPublisher:
    """One provider with one set of options; opened at its first use, closed with *stack*."""

    is_the_journal = False
    lingers = timedelta(0)

    def __init__(
        self,
        spec: ProviderSpec[Any],
        chosen: Chosen,
        *,
        tools: Tools,
        settings: DnsSettings,
        stack: AsyncExitStack,
        progress: Progress,
    ) -> None:
        self.method = DNS + spec.name
        self.options = chosen.to_json()
        self._spec, self._chosen, self._tools = spec, chosen, tools
        self._authorities = Authorities(settings, tools.clock, tools.random)
        self._stack, self._progress = stack, progress
        self._provider: DnsProvider | None = None
        self._opening = asyncio.Lock()

    @property
    def _clock(self) -> Clock:
        return self._tools.clock

    @property
    def _random(self) -> random.Random:
        return self._tools.random

    async def prove(self, identifier: Identifier, key_authorization: str) -> Proof:
        """The record to publish (RFC 8555 §8.4)."""
        located = await self._authorities.locate(identifier.base)
        digest = hashlib.sha256(key_authorization.encode("ascii")).digest()
        value = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        return Proof(ChallengeType.DNS_01, identifier, located.name, value, located.zone)

    async def publish(self, proofs: Sequence[Proof]) -> None:
        await (await self.open()).publish(_records(proofs))

    async def wait_until_visible(self, proofs: Sequence[Proof]) -> None:
        records = _records(proofs)
        what = f"{len(records)} TXT value{'s' if len(records) > 1 else ''}"
        self._progress.note(f"waiting until the name servers of {_zones(proofs)} show {what}")
        told = _Telling(self._progress, self._clock)
        visible = await wait_until_visible(
            records, self._authorities, self._clock, self._random, watcher=told.still_waiting
        )
        if visible.unheard:
            self._progress.note(f"not waited for: {_listed(visible.unheard)}")

    async def wait_until_asked(self, proofs: Sequence[Proof]) -> None:
        """It cannot be seen here."""

    async def withdraw(self, proofs: Sequence[Proof]) -> None:
        await (await self.open()).withdraw(_records(proofs))

    async def open(self) -> DnsProvider:
        """The provider; done before an order is placed, it tells of a missing secret or program in time.

        Raises ConfigError.
        """
        async with self._opening:
            if self._provider is None:
                opened = open_provider(self._spec, self._chosen, self._tools)
                self._provider = await self._stack.enter_async_context(opened)
            return self._provider


class _Telling:
    """Who is waited for, once it takes long: a line when that changes, and none for each question."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self._progress, self._clock = progress, clock
        self._not_before = clock.now() + PATIENCE
        self._told: tuple[str, ...] = ()

    def still_waiting(self, complaints: Sequence[str]) -> None:
        now = self._clock.now()
        if complaints and now >= self._not_before and tuple(complaints) != self._told:
            self._told, self._not_before = tuple(complaints), now + PATIENCE
            self._progress.note(f"still waiting for {_listed(complaints)}")


def _records(proofs: Iterable[Proof]) -> frozenset[Dns01Proof]:
    return frozenset(Dns01Proof(name=proof.name, value=proof.value, zone=proof.zone) for proof in proofs)


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return "; ".join(texts[:_LISTED]) + more


def _zones(proofs: Iterable[Proof]) -> str:
    return ", ".join(sorted({proof.zone for proof in proofs}))
