"""From the options of a command to ways of answering challenges; and from the journal's words back to them."""

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certd.app.house import House
from certd.app.publishers import DNS, LISTENER, WEBROOT, ListenerPublisher, PublisherTable, WebrootPublisher
from certd.app.request import ChallengeOptions
from certd.dns.settings import DnsSettings, parse_dns_settings
from certd.issue.ports import Progress, Publisher
from certd.listen.addresses import parse_address
from certd.listen.listeners import Listeners, open_listeners
from certd.listen.sockets import take_activated
from certd.model.acme import ChallengeType
from certd.model.errors import ConfigError, ListenError
from certd.model.mistakes import Checks

if TYPE_CHECKING:
    from certd.app.dns_provider import ChosenProvider


@dataclass(frozen=True, slots=True)
class Methods:
    """What this run can answer with. `listeners`: None where nothing of ours listens."""

    table: PublisherTable
    listeners: Listeners | None


def choose_provider(options: ChallengeOptions, settings: DnsSettings) -> "ChosenProvider | None":
    """The provider that `--dns` names, None without one. Raises ConfigError with every mistake in its options."""
    if not options.dns:
        if options.dns_options:
            raise ConfigError("--dns-option without --dns PROVIDER", hint="certd providers list")
        return None
    from certd.app import dns_provider  # noqa: PLC0415 - dnspython and plugins: 35 ms, for dns-01 only

    return dns_provider.choose(options.dns, options.dns_options, settings)


def check_methods(options: ChallengeOptions) -> None:
    """Find every mistake about DNS that needs no network. Raises ConfigError."""
    checks = Checks()
    settings = checks.of(dns_settings, options)
    checks.of(choose_provider, options, settings or DnsSettings())
    checks.verdict()


def dns_settings(options: ChallengeOptions) -> DnsSettings:
    """Raises ConfigError."""
    return parse_dns_settings(
        resolvers=options.dns_resolvers,
        servers=options.dns_servers,
        propagation_timeout=options.propagation_timeout,
    )


async def open_methods(
    options: ChallengeOptions,
    allowed: Sequence[ChallengeType],
    house: House,
    stack: AsyncExitStack,
    progress: Progress,
) -> Methods:
    """Bind the ports, open the provider; all that is opened is closed with *stack*.

    Raises ConfigError, ListenError (a webroot that is not there; who holds the port, and ways around it).
    """
    settings = dns_settings(options)
    provider = choose_provider(options, settings)
    if ChallengeType.HTTP_01 in allowed and options.webroot is not None:
        check_webroot(options.webroot)
    listeners = await _listeners(options, allowed, house, stack)
    current: dict[ChallengeType, Publisher] = {}
    for type_ in allowed:
        if type_ is ChallengeType.DNS_01:
            if provider is not None:
                current[type_] = publisher = provider.publisher(house, stack, progress)
                await publisher.open()
        elif type_ is ChallengeType.HTTP_01 and options.webroot is not None:
            current[type_] = WebrootPublisher(options.webroot.absolute())
        else:
            current[type_] = ListenerPublisher(type_, house.ledger.live_proofs, house.clock, listeners)
    table = PublisherTable(current, reopener(settings, house, stack, progress))
    return Methods(table, listeners)


def check_webroot(directory: Path) -> None:
    """Before an order is placed: whether there is anything to publish in. Raises ListenError."""
    if not directory.is_dir():
        raise ListenError(
            f"{directory}: cannot publish http-01 answers: there is no such directory",
            hint="--webroot wants the directory that the server for port 80 publishes",
        )


def reopen_only(house: House, stack: AsyncExitStack, progress: Progress) -> PublisherTable:
    """Nothing can be published by it, and everything in the journal can be withdrawn."""
    return PublisherTable({}, reopener(DnsSettings(), house, stack, progress))


def reopener(
    settings: DnsSettings, house: House, stack: AsyncExitStack, progress: Progress
) -> Callable[[str, str], Publisher]:
    """Finds the way that a journal row was published by, from the row's own words. Raises ConfigError."""

    def reopen(method: str, options: str) -> Publisher:
        if method == LISTENER:
            return ListenerPublisher.reopened(options, house.ledger.live_proofs, house.clock)
        if method == WEBROOT:
            return WebrootPublisher.reopened(options)
        if method.startswith(DNS):
            from certd.app import dns_provider  # noqa: PLC0415 - as above

            provider = dns_provider.remembered(method.removeprefix(DNS), options, settings)
            return provider.publisher(house, stack, progress)
        raise ConfigError(f"{method}: a proof was published by this method, which this certd does not know")

    return reopen


async def _listeners(
    options: ChallengeOptions, allowed: Sequence[ChallengeType], house: House, stack: AsyncExitStack
) -> Listeners | None:
    http = ChallengeType.HTTP_01 in allowed and options.webroot is None
    tls = ChallengeType.TLS_ALPN_01 in allowed
    if not http and not tls:
        return None
    # Whoever holds the ports for us, so that we need no right to bind them, means these and no others.
    activated = take_activated(os.environ, os.getpid())
    opening = open_listeners(
        house.ledger.live_proofs,
        house.clock,
        http=(activated.http or [parse_address(options.http_address)]) if http else None,
        tls=(activated.tls or [parse_address(options.tls_address)]) if tls else None,
    )
    return await stack.enter_async_context(opening)
