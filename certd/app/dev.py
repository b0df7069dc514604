"""`--server dev`: the embedded CA in this process, which validates at the ports that this process listens on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from certd.app.issuers import Issuer
from certd.app.methods import dns_settings
from certd.app.place import Place
from certd.app.request import ChallengeOptions
from certd.devca import DevCa, Options
from certd.devca.options import loopback
from certd.devca.store import StateUnusable
from certd.listen.addresses import BoundAddress
from certd.listen.listeners import Listeners
from certd.model.errors import StorageError

ITS_SUFFIXES = ("*.localhost", "*.test", "*.internal", "*.home.arpa")


@asynccontextmanager
async def dev_issuer(
    issuer: Issuer, place: Place, challenge: ChallengeOptions, listeners: Listeners | None, **changes: Any
) -> AsyncIterator[Issuer]:
    """*issuer* with the directory URL and root of a CA that runs until the block ends; *changes*: options of devca."""
    options = Options.friendly(state_dir=place.dev_ca, **_ways_to(challenge, listeners), **changes)
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
    return tuple(dict.fromkeys(each.host for each in bound if loopback(each.host)))[:1]
