"""http-01 (RFC 8555 §8.3) with Boulder's rules: what is answered at port 80, from where, and how far it is followed.

IPv6 first, IPv4 only if no connection comes about; ten redirects, each to http or https on the validation's own ports;
127 octets of answer; the certificate of a redirect to https is not looked at.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from certd.devca.options import Options, loopback
from certd.devca.places import addresses_of, source_for
from certd.devca.problems import Refused, refused
from certd.devca.records import Identifier

PATH = "/.well-known/acme-challenge/"
MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 307, 308)  # not 303
LONGEST_BODY = 128  # octets are read, and an answer that long is refused
LONGEST_URL = 2000
AGENT = "Mozilla/5.0 (compatible; devca validation server; not a public CA)"


async def look_by_http(options: Options, identifier: Identifier, token: str, expected: str, source: str) -> None:
    """Ask for the proof from *source*. Raises Refused with `connection`, `dns` or `unauthorized`."""
    host = f"[{identifier.value}]" if ":" in identifier.value else identifier.value
    authority = host if options.http_port == 80 else f"{host}:{options.http_port}"
    url = URL(f"http://{authority}{PATH}{token}", encoded=True)
    seen: list[URL] = []
    while True:
        status, location, body, address = await _get(options, url, source)
        if status not in REDIRECTS or location is None:
            break
        seen.append(url)
        if len(seen) > MOST_REDIRECTS:
            raise refused("connection", f"{address}: Fetching {url}: Too many redirects")
        url = _next(options, url, location)
        if url in seen:
            raise refused("connection", f"{address}: Fetching {url}: Redirect loop detected")
    if status == 303:
        raise refused("connection", f"{address}: Fetching {url}: received disallowed redirect status code")
    if status != 200:
        raise refused("unauthorized", f"{address}: Invalid response from {url}: {status}")
    if len(body) >= LONGEST_BODY:
        raise refused("unauthorized", f"{address}: Invalid response from {url}: {_quoted(body)}")
    if body.rstrip() != expected.encode():
        detail = f"The key authorization file from the server did not match this challenge. Expected {expected!r}"
        raise refused("unauthorized", f"{address}: {detail} (got {_quoted(body)})")


def _next(options: Options, url: URL, location: str) -> URL:
    """Where a redirect leads, if it may lead there."""
    if len(location) > LONGEST_URL:
        raise refused("connection", f"Fetching {url}: redirect to a URL of more than {LONGEST_URL} octets")
    try:
        target = url.join(URL(location, encoded=True))
        port, host = target.explicit_port, target.host
    except ValueError:
        raise refused("connection", f"Fetching {url}: Invalid redirect target") from None
    if target.scheme not in ("http", "https"):
        schemes = 'Only "http" and "https" protocol schemes are supported'
        raise refused("connection", f"Fetching {url}: Invalid protocol scheme in redirect target. {schemes}")
    allowed = (options.http_port, options.https_port)
    if port is not None and port not in allowed:
        ports = f"Only ports {allowed[0]} and {allowed[1]} are supported, not {port}"
        raise refused("connection", f"Fetching {url}: Invalid port in redirect target. {ports}")
    if not host:
        raise refused("connection", f"Fetching {url}: Invalid empty host in redirect target")
    return target.with_fragment(None)


async def _get(options: Options, url: URL, source: str) -> tuple[int, str | None, bytes, str]:
    """Status, Location, the beginning of the body, and the address that answered."""
    host = url.host or ""
    addresses = [host] if loopback(host) else addresses_of(host, options.addresses)
    port = url.explicit_port or (options.http_port if url.scheme == "http" else options.https_port)
    *first, last = addresses
    for address in first:
        try:
            return await _get_from(options, url, address, port, source)
        except _Unreachable:
            continue
    try:
        return await _get_from(options, url, last, port, source)
    except _Unreachable as error:
        raise refused("connection", f"{last}: Fetching {url}: {error}") from None


class _Unreachable(Exception):
    """No connection came about: the only reason to try another address (boulder #2937)."""


async def _get_from(
    options: Options, url: URL, address: str, port: int, source: str
) -> tuple[int, str | None, bytes, str]:
    limit = aiohttp.ClientTimeout(total=options.validation_limit.total_seconds())
    # The address goes to the connector, the name stays in Host and SNI.
    connector = aiohttp.TCPConnector(
        resolver=_Fixed(address, port), local_addr=source_for(address, source), force_close=True, ssl=False
    )
    headers = {"User-Agent": AGENT, "Accept": "*/*"}
    with _said(url, address):
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit, auto_decompress=False) as http,
            http.get(url.with_port(port), allow_redirects=False, headers=headers | {"Host": _host(url)}) as reply,
        ):
            body = b""
            while len(body) < LONGEST_BODY and (more := await reply.content.read(LONGEST_BODY - len(body))):
                body += more
            return reply.status, reply.headers.get("Location"), body, address


@contextmanager
def _said(url: URL, address: str) -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise _Unreachable(error.strerror or "Connection refused") from None
    except (TimeoutError, aiohttp.ServerTimeoutError):
        raise refused("connection", f"{address}: Fetching {url}: Timeout after connect") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise refused("connection", f"{address}: Fetching {url}: {type(error).__name__}: {error}") from None


def _host(url: URL) -> str:
    """As the URL names it, not as it is dialled: with a port only where there is one, IPv6 in brackets."""
    host = url.host or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if url.explicit_port is None else f"{shown}:{url.explicit_port}"


def _quoted(body: bytes) -> str:
    return repr(body[:LONGEST_BODY].decode("utf-8", "replace"))


class _Fixed(AbstractResolver):
    """Every name is at one address."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del port, family
        kind = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        found = ResolveResult(
            hostname=host, host=self._address, port=self._port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
        )
        return [found]

    async def close(self) -> None:
        """Nothing is held."""
