"""Whether our own listener answers for a proof, before the CA is told to look (RFC 8555 §8.2).

It asks the bound address and nothing else: never a name, never a URL, no redirect. A check through the public address
would make certd a tool for whoever controls the DNS (SE7), and fails behind NAT while the CA's would succeed.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import timedelta

from certd.listen.addresses import BoundAddress
from certd.listen.http01 import PREFIX
from certd.listen.visitors import Peer
from certd.model.clock import Clock, deadline
from certd.model.errors import ListenError
from certd.model.proofs import Proof

LIMIT = timedelta(seconds=5)
_LONGEST_REPLY = 4096

#: Declares a connection as certd's own while it lasts, so that it does not count as the CA's asking.
OwnConnection = Callable[[Peer], AbstractContextManager[None]]


async def check_http_01(address: BoundAddress, proof: Proof, own: OwnConnection, clock: Clock) -> None:
    """Raise ListenError unless the listener at *address* answers with exactly *proof*."""
    try:
        async with deadline(clock, LIMIT):
            reply = await _ask(address, proof, own)
    except OSError as why:  # TimeoutError is one
        words = os.strerror(why.errno).lower() if why.errno else str(why)
        raise ListenError(f"{proof.identifier}: our own listener at {address} does not answer: {words}") from why
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or body != proof.value.encode("ascii"):
        raise ListenError(
            f"{proof.identifier}: our own listener at {address} does not answer with the key authorization",
            hint="another process may be taking connections from the same socket",
        )


async def _ask(address: BoundAddress, proof: Proof, own: OwnConnection) -> bytes:
    loop = asyncio.get_running_loop()
    with await _connect(address) as asking:
        name = asking.getsockname()
        with own((name[0], name[1])):
            await loop.sock_sendall(asking, _request(proof))
            reply = bytearray()
            while len(reply) < _LONGEST_REPLY and (more := await loop.sock_recv(asking, _LONGEST_REPLY)):
                reply += more
            return bytes(reply)


def _request(proof: Proof) -> bytes:
    host = f"[{proof.identifier}]" if ":" in proof.identifier.value else proof.identifier.value  # RFC 3986 §3.2.2
    return f"GET {PREFIX}{proof.name} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii")


async def _connect(address: BoundAddress) -> socket.socket:
    *likely, last = reachable(address.host)
    for host in likely:
        with suppress(OSError):
            return await _connect_to(host, address.port)
    return await _connect_to(last, address.port)


async def _connect_to(host: str, port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def reachable(host: str) -> tuple[str, ...]:
    """Where to meet a listener bound to *host* from this machine, best first: on loopback for "every address".

    `::` can be bound on a host, or in a container, whose loopback has no `::1`.
    """
    return {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}.get(host, (host,))  # noqa: S104 - nothing is bound


def plain(host: str) -> str:
    """*host* as its own family writes it: a dual-stack listener sees IPv4 peers as `::ffff:192.0.2.1`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
