"""HTTP to one CA over aiohttp: what goes out is exact, what comes in is bounded in size, time and place.

Nothing of the environment is trusted: no proxies, no SSLKEYLOGFILE, no .netrc, no cookies. Never retries on its own
account what the CA may have seen; `exchange` does, with a new signature.
"""

import ssl
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from multidict import CIMultiDictProxy

from certd import __version__
from certd.ca.kinds import Allowance, Kind, Observe, Seen
from certd.ca.origin import Origin, exact, resolve
from certd.ca.unreachable import unreachable
from certd.model.clock import monotonic
from certd.model.errors import CaProtocolError

USER_AGENT = f"certd/{__version__} (aiohttp/{aiohttp.__version__})"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS = 3
_MOST_CONNECTIONS = 64
# Other limits are in `Allowance`. One task's connection must not wait for sixty others' for ever.
_CONNECT_SECONDS = 20.0
_READ_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. `url`: where it came from, after redirects."""

    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def all(self, name: str) -> Sequence[str]:
        return self.headers.getall(name, [])


class Transport(AbstractAsyncContextManager["Transport"]):
    """One session with one origin. Deadlines are the caller's; bytes, hops and places are kept here."""

    def __init__(
        self,
        origin: Origin,
        tls: ssl.SSLContext,
        allowances: Mapping[Kind, Allowance],
        *,
        language: str,
        observe: Observe | None,
    ) -> None:
        self.origin = origin
        self._allowances = allowances
        self.requests: Counter[Kind] = Counter()
        self._observe = observe
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=_MOST_CONNECTIONS),
            headers={"User-Agent": USER_AGENT, "Accept-Language": language, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=_CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=False,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, url: str, kind: Kind) -> Reply:
        """GET, following at most three redirects on the same origin. Raises CaUnreachable, CaProtocolError."""
        reply = await self._send("GET", url, kind)
        for _ in range(_MOST_HOPS):
            if reply.status not in _REDIRECTS:
                return reply
            reply = await self._send("GET", resolve(reply.header("Location") or "", reply.url), kind)
        if reply.status in _REDIRECTS:
            raise CaProtocolError(f"{self.origin}: {kind.value}: redirected more than {_MOST_HOPS} times")
        return reply

    async def head(self, url: str, kind: Kind) -> Reply:
        return await self._send("HEAD", url, kind)

    async def post(self, url: str, body: bytes, kind: Kind) -> Reply:
        """POST a JWS. Never follows a redirect: the signature is for this URL only (§6.4)."""
        reply = await self._send("POST", url, kind, body)
        if reply.status in _REDIRECTS:
            raise CaProtocolError(f"{self.origin}: {kind.value}: the CA redirects a signed request ({reply.status})")
        return reply

    async def _send(self, method: str, url: str, kind: Kind, body: bytes | None = None) -> Reply:
        self.origin.check(url, kind.value)
        self.requests[kind] += 1
        began, status = monotonic(), 0
        headers = {"Accept": self._allowances[kind].accept}
        if body is not None:
            headers["Content-Type"] = "application/jose+json"
        try:
            async with self._session.request(
                method, exact(url), data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                content = await _content(response, self._allowances[kind].body, f"{self.origin}: {kind.value}")
                return Reply(url, status, response.headers, content)
        except (aiohttp.ClientError, OSError, ValueError) as why:
            raise unreachable(self.origin, kind, why) from why
        finally:
            if self._observe is not None:
                self._observe(Seen(method, kind, url, status, monotonic() - began))


async def _content(response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    """The body, at most *limit* bytes of it; more is a CaProtocolError, and the connection is closed."""
    inflate = _inflater(response.headers, what)
    parts: list[bytes] = []
    size = 0
    while chunk := await response.content.read(_READ_SIZE):
        if inflate is not None:
            # One byte more than is allowed shows that there is more; a bomb stays in its 64 KiB.
            chunk = _inflated(inflate, chunk, limit - size + 1, what)
        size += len(chunk)
        if size > limit:
            response.close()
            raise CaProtocolError(f"{what}: the reply is longer than {limit} bytes")
        parts.append(chunk)
    if inflate is not None and parts and not inflate.eof:
        raise CaProtocolError(f"{what}: the reply's gzip is cut off")
    return b"".join(parts)


def _inflater(headers: Mapping[str, str], what: str) -> "zlib._Decompress | None":
    # We asked for identity; a front end may compress nevertheless. 32 + …: zlib looks for itself which of both it is.
    match headers.get("Content-Encoding", "identity").strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(32 + zlib.MAX_WBITS)
        case _:
            raise CaProtocolError(f"{what}: the reply has a content encoding that was not asked for")


def _inflated(inflate: "zlib._Decompress", chunk: bytes, most: int, what: str) -> bytes:
    try:
        return inflate.decompress(chunk, most)
    except zlib.error:
        raise CaProtocolError(f"{what}: the reply is not the gzip that it says it is") from None
