"""`--server dev`: the embedded CA in this process, which validates at the ports that this process listens on."""

import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from certd.app.issuers import Issuer
from certd.app.methods import dns_settings
from certd.app.place import Place
from certd.app.request import ChallengeOptions
from certd.listen.addresses import BoundAddress
from certd.listen.listeners import Listeners
from certd.model.errors import StorageError

ITS_SUFFIXES = ("*.localhost", "*.test", "*.internal", "*.home.arpa")


@asynccontextmanager
async def reachable(
    issuer: Issuer, place: Place, challenge: ChallengeOptions | None = None, listeners: Listeners | None = None
) -> AsyncIterator[Issuer]:
    """*issuer*, ready to be talked to; the embedded CA runs for as long as the block does, beside its state.

    Raises StorageError when another process runs it there.
    """
    if not issuer.is_dev:
        yield issuer
        return
    from certd.devca import DevCa, Options  # noqa: PLC0415 - aiohttp's server half, for this CA only
    from certd.devca.store import StateUnusable  # noqa: PLC0415

    options = Options.friendly(state_dir=place.dev_ca, **_ways_to(challenge or ChallengeOptions(), listeners))
    try:
        async with DevCa.start(options) as ca:
            yield replace(issuer, directory=ca.directory_url, trust=ca.root_path)
    except StateUnusable as error:
        raise StorageError(str(error), hint="another certd devca may be using it; --state-dir gives another") from error


def _ways_to(challenge: ChallengeOptions, listeners: Listeners | None) -> dict[str, Any]:
    """Where the CA shall look: our listeners, and the resolver that our own DNS checks would ask."""
    ways: dict[str, Any] = {}
    bound: list[BoundAddress] = []
    if listeners is not None and listeners.http:
        ways["http_port"] = listeners.http[0].port
        bound.extend(listeners.http)
    if listeners is not None and listeners.tls:
        ways["tls_port"] = listeners.tls[0].port
        bound.extend(listeners.tls)
    if hosts := _loopbacks(bound):
        ways["addresses"] = dict.fromkeys(ITS_SUFFIXES, hosts)
    settings = dns_settings(challenge)
    if asked := [*settings.resolvers, *(server for _, server in settings.servers)]:
        ways["resolver"] = (asked[0].address, asked[0].port)
    return ways


def _loopbacks(bound: Sequence[BoundAddress]) -> tuple[str, ...]:
    """The first address that a listener of ours is bound to by name; empty for those on every address."""
    return tuple(dict.fromkeys(each.host for each in bound if ipaddress.ip_address(each.host).is_loopback))[:1]
