"""What the tests of certd.listen share: proof rows in a dict, listeners on loopback, and a plain visitor."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from certd.listen.addresses import Bind, BoundAddress
from certd.listen.listeners import open_listeners
from certd.model.acme import ChallengeType
from certd.model.clock import Clock, SystemClock
from certd.model.identifiers import parse_identifier
from certd.model.proofs import Proof, tls_alpn_name

START = datetime(2026, 11, 24, 2, 14, 7, tzinfo=UTC)
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
LOOPBACK = Bind("127.0.0.1", 0)


class Rows:
    """A ProofLookup over a dict; `seen` has what `asked` was told, in order."""

    def __init__(self, *proofs: Proof) -> None:
        self.proofs = {(proof.type, proof.name): proof for proof in proofs}
        self.seen: list[Proof] = []
        self.looked_up: list[str] = []

    def http_01(self, token: str) -> Proof | None:
        self.looked_up.append(token)
        return self.proofs.get((ChallengeType.HTTP_01, token))

    def tls_alpn_01(self, server_name: str) -> Proof | None:
        self.looked_up.append(server_name)
        return self.proofs.get((ChallengeType.TLS_ALPN_01, server_name))

    def asked(self, proof: Proof) -> None:
        self.seen.append(proof)


def http_proof(token: str = TOKEN, name: str = "example.org") -> Proof:
    return Proof(ChallengeType.HTTP_01, parse_identifier(name), token, f"{token}.{THUMBPRINT}")


def alpn_proof(name: str = "example.org", token: str = TOKEN) -> Proof:
    identifier = parse_identifier(name)
    return Proof(ChallengeType.TLS_ALPN_01, identifier, tls_alpn_name(identifier), f"{token}.{THUMBPRINT}")


@asynccontextmanager
async def http_listener(rows: Rows, clock: Clock | None = None) -> AsyncIterator[BoundAddress]:
    async with open_listeners(rows, clock or SystemClock(), http=[LOOPBACK]) as listeners:
        yield listeners.http[0]


@asynccontextmanager
async def tls_listener(rows: Rows, clock: Clock | None = None) -> AsyncIterator[BoundAddress]:
    async with open_listeners(rows, clock or SystemClock(), tls=[LOOPBACK]) as listeners:
        yield listeners.tls[0]


async def converse(address: BoundAddress, data: bytes, *, source: str = "127.0.0.1") -> bytes:
    """Connect from *source*, send *data*, and return everything that comes until the other side is done."""
    reader, writer = await asyncio.open_connection(address.host, address.port, local_addr=(source, 0))
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until it holds; the test's own time limit ends it."""
    while not holds():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0)


def least_cpu_seconds(act: Callable[[], object], times: int = 20) -> float:
    """What *act* costs this thread at best: neither other programs nor a pause of the machine count."""

    def once() -> float:
        began = time.thread_time()
        act()
        return time.thread_time() - began

    return min(once() for _ in range(times))


def request(path: str, *, method: str = "GET", host: str = "example.org") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def is_free(address: BoundAddress) -> bool:
    """Whether nothing listens at *address* any more."""
    with socket.socket() as probe:
        return probe.connect_ex((address.host, address.port)) != 0
