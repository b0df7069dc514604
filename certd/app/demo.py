"""`certd demo`: two certificates from the embedded CA, one of them served over TLS and seen by a handshake.

Everything here is the program's own way of doing it; only the server and the client of the handshake belong to the
demo. Nothing leaves this machine: the CA, the listeners and the server are on loopback.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from certd.app.issue import run_issue
from certd.app.issuers import DEV
from certd.app.place import Place
from certd.app.request import ChallengeOptions, IssueRequest
from certd.app.result import IssueResult
from certd.app.up_to_date import up_to_date
from certd.issue.ports import Progress
from certd.keys.certificates import fingerprint
from certd.model.clock import monotonic
from certd.model.errors import CertdError
from certd.model.identifiers import CertName

HTTP_NAME, TLS_NAME = "demo.test", "alpn.demo.test"
HANDSHAKE_LIMIT = 10.0  # seconds

#: Told what happened, in a word, and the rest of the sentence.
Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Served:
    """What a TLS client saw."""

    address: str
    version: str
    fingerprint: str


class DemoFailed(CertdError):
    """The demo did not show what it should."""


async def run_demo(state_dir: Path, say: Say, progress: Progress) -> None:
    """Issue over http-01 and tls-alpn-01, serve the first, look at it by a handshake against the CA's root."""
    place = Place(state_dir)
    first = await _issue(state_dir, HTTP_NAME, "http-01", say, progress)
    await _issue(state_dir, TLS_NAME, "tls-alpn-01", say, progress)
    async with serving(place.live(CertName(first.name)), HTTP_NAME) as port:
        began = monotonic()
        seen = await handshake(port, HTTP_NAME, place.dev_ca / "root.pem")
        took = monotonic() - began
    if first.generation is None or seen.fingerprint != first.generation.fingerprint:
        raise DemoFailed(f"{HTTP_NAME}: {seen.address} serves another certificate than the one that was issued")
    how = f"a {seen.version} handshake against the CA's root, {took:.3f} s"
    say("served", f"{HTTP_NAME} at {seen.address}, seen by {how}")
    if up_to_date(_request(state_dir, HTTP_NAME, "http-01")) is None:
        raise DemoFailed(f"{HTTP_NAME}: something is due although it was issued a moment ago")
    say("up to date", f"{HTTP_NAME} once more: nothing is due, and no CA was asked")


@asynccontextmanager
async def serving(live: Path, name: str) -> AsyncIterator[int]:
    """A TLS server on a free port of loopback with the certificate in *live*; says a line to whoever connects."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(live / "fullchain.pem", live / "privkey.pem")

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"hello from {name}\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def handshake(port: int, name: str, root: Path) -> Served:
    """Connect as a client that trusts *root* alone and expects *name*. Raises DemoFailed."""
    trust = ssl.create_default_context(cafile=str(root))
    try:
        async with asyncio.timeout(HANDSHAKE_LIMIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
            await reader.readline()
    except (OSError, TimeoutError) as error:
        raise DemoFailed(f"{name}: the handshake with 127.0.0.1:{port} failed: {error}") from error
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    leaf = tls.getpeercert(binary_form=True) or b""
    version = tls.version() or "TLS"
    writer.close()
    return Served(f"127.0.0.1:{port}", version, fingerprint(leaf))


def _request(state_dir: Path, name: str, challenge: str) -> IssueRequest:
    return IssueRequest(names=(name,), server=DEV, challenge=ChallengeOptions(types=(challenge,)), state_dir=state_dir)


async def _issue(state_dir: Path, name: str, challenge: str, say: Say, progress: Progress) -> IssueResult:
    began = monotonic()
    result = await run_issue(_request(state_dir, name, challenge), progress)
    say(result.status, f"{name} by {challenge}, from {result.issuer}, {monotonic() - began:.2f} s")
    return result
