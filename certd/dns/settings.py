"""Which name servers are asked, and for how long: the options --dns-resolver, --dns-server, --propagation-timeout.

Values and their parsing only; nothing here asks anybody, and nothing imports dnspython.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from certd.model.errors import ConfigError
from certd.model.identifiers import IdentifierType, parse_identifier

T = TypeVar("T")

DNS_PORT = 53
ROOT = "."  #: as a zone of --dns-server: every name
PROPAGATION_TIMEOUT = timedelta(minutes=10)  # secondaries that lag by minutes are common, failed validations dear

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)", re.ASCII)
_LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Server:
    """A name server by its address; `name` is its host name where one is known, for people only."""

    address: str
    port: int = DNS_PORT
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        at = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return f"{self.name} ({at})" if self.name else at


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """`resolvers` empty: those of the system. `servers`: (zone, server) pairs that replace a zone's NS records.

    Zones are lower-case A-labels without trailing dot; `.` stands for every name.
    """

    resolvers: tuple[Server, ...] = ()
    servers: tuple[tuple[str, Server], ...] = ()
    propagation_timeout: timedelta = PROPAGATION_TIMEOUT
    question_timeout: timedelta = timedelta(seconds=2)

    def given_zone(self, name: str) -> str | None:
        """The longest zone of `servers` that *name* lies in."""
        inside = [zone for zone, _ in self.servers if zone == ROOT or f".{name}".endswith(f".{zone}")]
        return max(inside, key=lambda zone: 0 if zone == ROOT else len(zone), default=None)

    def given_servers(self, zone: str) -> tuple[Server, ...]:
        """The servers that were given for exactly *zone*."""
        return tuple(server for given, server in self.servers if given == zone)


def parse_dns_settings(
    *, resolvers: Sequence[str] = (), servers: Sequence[str] = (), propagation_timeout: str = ""
) -> DnsSettings:
    """Read the command's options as people type them.

    *resolvers* are `ADDR`, `ADDR:PORT` or `[V6]:PORT`; *servers* are `ZONE=` one of these; *propagation_timeout* is
    `300`, `300s`, `5m` or `1h`. Raises one ConfigError that names every mistake.
    """
    mistakes: list[str] = []
    asked = _collect(resolvers, parse_server, "--dns-resolver", mistakes)
    given = _collect(servers, _zone_server, "--dns-server", mistakes)
    waits = _collect([propagation_timeout] if propagation_timeout else [], _wait, "--propagation-timeout", mistakes)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return DnsSettings(tuple(asked), tuple(given), waits[0] if waits else PROPAGATION_TIMEOUT)


def parse_server(text: str) -> Server:
    """Read `ADDR`, `ADDR:PORT`, `V6` or `[V6]:PORT`; a host name is refused, for nobody could look it up."""
    address, port = _split_port(text.strip())
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(f"{text!r} is not ADDR or ADDR:PORT with an IP address, such as 192.0.2.53:53") from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise ConfigError(f"{text!r}: a port is a number from 1 to 65535")
    return Server(address, int(port))


def _split_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]")
        bare = closed and not rest
        return address, str(DNS_PORT) if bare else rest[1:] if rest.startswith(":") else ""
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, port
    return text, str(DNS_PORT)  # IPv4 alone, or IPv6 without brackets and so without port


def _zone_server(text: str) -> tuple[str, Server]:
    zone, equals, server = text.partition("=")
    if not equals or not zone.strip():
        raise ConfigError(f"{text!r} is not ZONE=ADDR:PORT, such as example.org=192.0.2.53:53")
    return _zone(zone.strip()), parse_server(server)


def _zone(text: str) -> str:
    if text == ROOT:
        return ROOT
    zone = parse_identifier(text)
    if zone.type is not IdentifierType.DNS or zone.is_wildcard:
        raise ConfigError(f"{text!r} is not the name of a zone")
    return zone.value


def _collect(texts: Iterable[str], parse: Callable[[str], T], option: str, mistakes: list[str]) -> list[T]:
    found: list[T] = []
    for text in texts:
        try:
            found.append(parse(text))
        except ConfigError as mistake:
            mistakes.append(f"{option}: {mistake}")
    return found


def _wait(text: str) -> timedelta:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a time, such as 300, 300s, 5m or 1h")
    wait = timedelta(seconds=min(float(match[1]) * _SECONDS[match[2]], 2 * _LONGEST_WAIT.total_seconds()))
    if not timedelta(0) < wait <= _LONGEST_WAIT:
        raise ConfigError(f"{text!r}: a wait is more than 0 s and at most a day")
    return wait
