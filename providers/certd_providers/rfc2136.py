"""DNS UPDATE (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows, many hosters.

One UPDATE a zone, which the server applies whole or not at all; single values are added and removed, so that what
others have put beside them stays. Must never believe an unsigned answer, and never send the key anywhere.
"""

import asyncio
import base64
import binascii
import itertools
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from ipaddress import ip_address

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.tsig
import dns.update

from certd.api import Clock, ConfigError, Dns01Proof, DnsProvider, ProviderError, ProviderSpec, Secret, Tools
from certd_providers.dns_update import NoAnswer, send

MOST_PER_UPDATE = 150  # of values: 150 of the longest names still fit into 64 KiB

ALGORITHMS = {
    name: algorithm
    for algorithm in (
        dns.tsig.HMAC_SHA256,
        dns.tsig.HMAC_SHA224,
        dns.tsig.HMAC_SHA384,
        dns.tsig.HMAC_SHA512,
        dns.tsig.HMAC_SHA1,
    )
    if (name := algorithm.to_text(omit_final_dot=True))
}


class _Change(Enum):
    ADD = "adding"
    REMOVE = "removing"


def _option(doc: str, example: str = "") -> dict[str, str]:
    return {"doc": doc, "example": example}


@dataclass(frozen=True, slots=True)
class Rfc2136Options:
    server: str = field(
        metadata=_option("the zone's primary: ADDR:PORT, HOST:PORT, or either without port (53)", "ns1.example.org:53")
    )
    key_name: str = field(
        default="", metadata=_option("the TSIG key's name; empty: updates are not signed", "certd-key")
    )
    key_secret: Secret[str] | None = field(
        default=None,
        metadata=_option("the TSIG key, base64 as tsig-keygen prints it", "file:/etc/certd/rfc2136.secret"),
    )
    key_algorithm: str = field(default="hmac-sha256", metadata=_option("one of " + ", ".join(ALGORITHMS)))
    ttl: int = field(default=60, metadata=_option("seconds that resolvers may keep the TXT records"))
    timeout: int = field(default=10, metadata=_option("seconds for one update, per address of the server"))

    def __post_init__(self) -> None:
        _split_server(self.server)
        if bool(self.key_name) != (self.key_secret is not None):
            raise ConfigError("key_name, key_secret: give both or neither")
        try:
            dns.name.from_text(self.key_name or ".")
        except dns.exception.DNSException as why:
            raise ConfigError(f"key_name: {self.key_name!r} is not a key's name: {why}") from why
        if self.key_algorithm.rstrip(".").lower() not in ALGORITHMS:
            raise ConfigError(f"key_algorithm: {self.key_algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if not 0 <= self.ttl <= 86400:
            raise ConfigError(f"ttl: {self.ttl} is not between 0 and 86400 seconds")
        if not 1 <= self.timeout <= 600:
            raise ConfigError(f"timeout: {self.timeout} is not between 1 and 600 seconds")


class _Silent(ProviderError):
    """No answer from any address of the server."""


class Rfc2136:
    """One primary server and one key."""

    def __init__(self, options: Rfc2136Options, clock: Clock) -> None:
        self._host, self._port = _split_server(options.server)
        self._key = _key(options)
        self._ttl = options.ttl
        self._limit = timedelta(seconds=options.timeout)
        self._clock = clock

    async def publish(self, proofs: frozenset[Dns01Proof]) -> None:
        await self._change(_Change.ADD, proofs)

    async def withdraw(self, proofs: frozenset[Dns01Proof]) -> None:
        await self._change(_Change.REMOVE, proofs)

    async def _change(self, change: _Change, proofs: frozenset[Dns01Proof]) -> None:
        """Every zone is tried, so that one that is refused does not keep the others from being changed."""
        failures: list[ProviderError] = []
        for zone, batch in _batches(proofs):
            try:
                await self._send(change, zone, batch)
            except _Silent as silence:
                failures.append(silence)
                break  # it will not say more about the next zone, and each try costs the time limit
            except ProviderError as failure:
                failures.append(failure)
        if failures:
            raise ProviderError(
                "\n".join(str(failure) for failure in failures),
                retry=any(failure.retry for failure in failures),
                hint=failures[0].hint,
            )

    async def _send(self, change: _Change, zone: str, proofs: Sequence[Dns01Proof]) -> None:
        """To the first address that answers; repeating an update changes nothing."""
        update = dns.update.UpdateMessage(dns.name.from_text(zone), keyring=self._key)
        for proof in proofs:
            _put(update, change, proof, self._ttl)
        values = f"{len(proofs)} TXT value{'s' if len(proofs) > 1 else ''}"
        attempt = f"{zone}: {change.value} {values} at {self._host} port {self._port} failed"
        silences: list[str] = []
        for address in await _addresses(self._host, self._port, attempt):
            try:
                return await send(update, address, self._port, attempt, self._clock, self._limit)
            except NoAnswer as silence:
                silences.append(f"{address}: {silence}")
        raise _Silent(f"{attempt}: {'; '.join(silences)}", retry=True, hint="is the server up, and its port open?")


def _put(update: dns.update.UpdateMessage, change: _Change, proof: Dns01Proof, ttl: int) -> None:
    name = dns.name.from_text(proof.name)
    value = dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [proof.value.encode("ascii")])
    match change:
        case _Change.ADD:
            update.add(name, ttl, value)
        case _Change.REMOVE:
            update.delete(name, value)  # RFC 2136 §2.5.4: this one value; others and absent ones do not matter


def _batches(proofs: frozenset[Dns01Proof]) -> Iterator[tuple[str, Sequence[Dns01Proof]]]:
    by_zone = sorted(proofs, key=lambda proof: (proof.zone, proof.name, proof.value))
    for zone, group in itertools.groupby(by_zone, key=lambda proof: proof.zone):
        rest = list(group)
        for start in range(0, len(rest), MOST_PER_UPDATE):
            yield zone, rest[start : start + MOST_PER_UPDATE]


async def _addresses(host: str, port: int, attempt: str) -> Sequence[str]:
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as failure:
        why = (failure.strerror or str(failure)).lower()
        raise _Silent(f"{attempt}: its name does not resolve: {why}", retry=True) from failure
    except UnicodeError as failure:  # what no host name can be does not get as far as DNS
        raise _Silent(f"{attempt}: {host!r} is not a host name", retry=False) from failure
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _key(options: Rfc2136Options) -> dns.tsig.Key | None:
    if options.key_secret is None:
        return None
    try:
        secret = base64.b64decode(options.key_secret.reveal().strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise ConfigError(
            "provider rfc2136: key_secret: is not base64",
            hint='it is only what stands in quotes after "secret" in the output of tsig-keygen',
        )
    return dns.tsig.Key(options.key_name, secret, ALGORITHMS[options.key_algorithm.rstrip(".").lower()])


def _split_server(text: str) -> tuple[str, int]:
    host, port = text, "53"
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else "" if rest or not closed else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise ConfigError(f"server: {text!r} is not ADDR:PORT or HOST:PORT")
    if ":" in host:
        try:
            ip_address(host)
        except ValueError:
            raise ConfigError(f"server: {text!r} is not ADDR:PORT or HOST:PORT") from None
    return host, int(port)


@asynccontextmanager
async def _open(options: Rfc2136Options, tools: Tools) -> AsyncIterator[DnsProvider]:
    yield Rfc2136(options, tools.clock)


SPEC = ProviderSpec(
    name="rfc2136",
    summary="DNS UPDATE with TSIG: BIND, Knot, PowerDNS and other servers of your own",
    options=Rfc2136Options,
    open=_open,
)
