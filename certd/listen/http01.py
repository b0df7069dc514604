"""The http-01 responder (RFC 8555 §8.3): answers one path for tokens in force, and nothing else, ever.

A tiny HTTP/1.1 server of our own, because what stands open to the world on port 80 should be small enough to read.
One request a connection: `Connection: close` is always right and leaves nothing to smuggle a second request in.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from certd.listen.request_head import LONGEST_HEAD, BadHead, Incomplete, RequestHead, read_head
from certd.listen.visitors import Peer, Visitor, Visitors
from certd.model.clock import Clock
from certd.model.proofs import Proof, ProofLookup

log = logging.getLogger("certd.listen")

PREFIX = "/.well-known/acme-challenge/"
#: RFC 8555 §8.1 asks for at least 128 bits of base64url; no CA comes near 128 characters.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out, and the proof in it if a validator has now seen one."""

    data: bytes
    proof: Proof | None = None


def answer(request: RequestHead | BadHead, lookup: ProofLookup, now: datetime) -> Answer:
    """The reply to *request*. Its path must be canonical: nothing is decoded or normalised before the look-up."""
    if isinstance(request, BadHead):
        return Answer(_reply(HTTPStatus(request.status), now))
    if request.method not in {"GET", "HEAD"}:
        return Answer(_reply(HTTPStatus.METHOD_NOT_ALLOWED, now, b"Allow: GET, HEAD\r\n"))
    proof = _find(request.path, lookup)
    if proof is None:
        return Answer(_reply(HTTPStatus.NOT_FOUND, now))
    body = proof.value.encode("ascii")
    # A proof lasts minutes: whatever caches stand between must not keep it.
    head = b"Content-Type: application/octet-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    if request.method == "HEAD":
        return Answer(_reply(HTTPStatus.OK, now, head, length=len(body)))
    return Answer(_reply(HTTPStatus.OK, now, head, length=len(body)) + body, proof)


def _find(path: str, lookup: ProofLookup) -> Proof | None:
    token = path.removeprefix(PREFIX)
    if token == path or not TOKEN.fullmatch(token):
        return None
    return lookup.http_01(token)


def _reply(status: HTTPStatus, now: datetime, more: bytes = b"", *, length: int = 0) -> bytes:
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: {_http_date(now)}\r\nConnection: close\r\n"
    return line.encode("ascii") + more + b"Content-Length: %d\r\n\r\n" % length


def _http_date(now: datetime) -> str:
    """IMF-fixdate (RFC 9110 §5.6.7), in English whatever the locale."""
    day, month = _DAYS[now.weekday()], _MONTHS[now.month - 1]
    return f"{day}, {now.day:02} {month} {now.year:04} {now.hour:02}:{now.minute:02}:{now.second:02} GMT"


class HttpVisitor(Visitor):
    """One connection to port 80."""

    def __init__(self, visitors: Visitors, lookup: ProofLookup, clock: Clock, ours: Callable[[Peer], bool]) -> None:
        super().__init__(visitors)
        self._lookup = lookup
        self._clock = clock
        self._ours = ours
        self._head = bytearray()

    def received(self, data: bytes) -> None:
        self._head += data[: LONGEST_HEAD + 1]
        request = read_head(bytes(self._head))
        if isinstance(request, Incomplete):
            return
        self._head.clear()
        reply = answer(request, self._lookup, self._clock.now())
        self.farewell(reply.data)
        if reply.proof is not None and not self._ours(self.peer):
            log.debug("http-01 answered", extra={"identifier": str(reply.proof.identifier), "peer": self.peer[0]})
            self._lookup.asked(reply.proof)


def http_visitors(
    visitors: Visitors, lookup: ProofLookup, clock: Clock, ours: Callable[[Peer], bool]
) -> Callable[[], asyncio.BaseProtocol]:
    """What makes a protocol for each connection. *ours* knows the self-check's own connections: those are no asking."""
    return lambda: HttpVisitor(visitors, lookup, clock, ours)
