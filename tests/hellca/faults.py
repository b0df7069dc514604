"""Faults for `HellCa.fault`: each takes a request in place of the CA, or its answer on the way back.

Where the CA's own handler does not run, nothing happened at the CA; `lose_reply`, `edit`, `with_headers`, `late` and
`cut_body` let it run first, so that what was asked for was done.
"""

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

#: (request, the CA's handler, an event that is set when the CA ends) → the answer.
Fault = Callable[[web.Request, Handler, asyncio.Event], Awaitable[web.StreamResponse]]
URN = "urn:ietf:params:acme:error:"
NO_LINGER = struct.pack("ii", 1, 0)


def problem(
    kind: str,
    *,
    status: int = 400,
    detail: str = "a scripted fault",
    retry_after: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Fault:
    """A problem document. *kind* without namespace; *retry_after* letter by letter; *members*: `subproblems`, …"""
    document = {"type": URN + kind, "detail": detail, "status": status} | members
    sent = dict(headers or {}) | ({"Retry-After": retry_after} if retry_after is not None else {})
    return reply(status, json.dumps(document).encode(), content_type="application/problem+json", headers=sent)


def reply(
    status: int,
    body: bytes = b"",
    *,
    content_type: str | None = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Any answer at all: HTML, broken JSON, no type. `Replay-Nonce` comes with it unless *headers* has its own."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del request, handler, ended
        found = web.Response(status=status, body=body, headers=CIMultiDict(headers or {}))
        if content_type is not None:
            found.headers["Content-Type"] = content_type
        else:
            found.headers.popall("Content-Type", None)
        return found

    return fault


def redirect(to: str, status: int = 302) -> Fault:
    return reply(status, headers={"Location": to})


def raw(octets: bytes) -> Fault:
    """*octets* on the connection, which is then closed: `HTTP/1.1 100 Continue` a thousand times, broken headers."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del handler, ended
        assert request.transport is not None
        request.transport.write(octets)
        request.transport.close()
        raise ConnectionResetError("a scripted end")

    return fault


def gzip_bomb(size: int, *, content_type: str = "application/json") -> Fault:
    """*size* blanks, compressed to a thousandth."""
    return reply(200, gzip.compress(b" " * size), content_type=content_type, headers={"Content-Encoding": "gzip"})


def huge(size: int, piece: bytes = b" " * 65536, *, content_type: str = "application/json") -> Fault:
    """*size* octets of body, without a Content-Length; ends early when nobody reads on."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del handler, ended
        found = web.StreamResponse(headers={"Content-Type": content_type})
        await found.prepare(request)
        for _ in range(0, size, len(piece)):
            await found.write(piece)
        await found.write_eof()
        return found

    return fault


def drip(body: bytes, *, pause: float, status: int = 200, content_type: str = "application/json") -> Fault:
    """Octet by octet, *pause* seconds between them."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del handler
        found = web.StreamResponse(status=status, headers={"Content-Type": content_type})
        await found.prepare(request)
        for at in range(len(body)):
            await found.write(body[at : at + 1])
            if await _over(ended, pause):
                break
        return found

    return fault


def drip_headers(*, pause: float) -> Fault:
    """A status line and then headers without end, *pause* seconds between octets."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del handler
        transport = request.transport
        assert transport is not None
        transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not transport.is_closing() and not await _over(ended, pause):
            transport.write(b"x")
        _reset(request)

    return fault


def hang(seconds: float = 3600.0) -> Fault:
    """No answer; after *seconds* the connection is closed. The CA does nothing."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del handler
        await _over(ended, seconds)
        _reset(request)

    return fault


def reset() -> Fault:
    """The connection is reset before anything is answered, and the CA does nothing."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del handler, ended
        _reset(request)

    return fault


def lose_reply() -> Fault:
    """The CA does what it was asked, and the connection is reset in place of its answer."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        await handler(request)
        _reset(request)

    return fault


def cut_body(after: int = 10) -> Fault:
    """The CA's answer, reset after *after* octets of its body."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        found = await handler(request)
        body = _body(found)
        short = web.StreamResponse(status=found.status, headers=_without(found.headers, "Content-Length"))
        short.content_length = len(body)
        await short.prepare(request)
        await short.write(body[:after])
        _reset(request)

    return fault


def late(seconds: float) -> Fault:
    """The CA's own answer, *seconds* later."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        found = await handler(request)
        await _over(ended, seconds)
        return found

    return fault


def with_headers(**headers: str | None) -> Fault:
    """The CA's own answer with these headers (underscores for hyphens) in place of its own; None takes one away."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        found = await handler(request)
        for name, value in headers.items():
            found.headers.popall(name.replace("_", "-"), None)
            if value is not None:
                found.headers[name.replace("_", "-")] = value
        return found

    return fault


def edit(change: Callable[[dict[str, Any]], Any]) -> Fault:
    """The CA's own answer with its JSON document changed: *change* returns the new one, of any JSON type."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        found = await handler(request)
        changed = json.dumps(change(json.loads(_body(found)))).encode()
        return web.Response(status=found.status, body=changed, headers=_without(found.headers, "Content-Length"))

    return fault


def edit_body(change: Callable[[bytes], bytes]) -> Fault:
    """The CA's own answer with its body changed: chains, broken JSON."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        found = await handler(request)
        return web.Response(
            status=found.status, body=change(_body(found)), headers=_without(found.headers, "Content-Length")
        )

    return fault


def _body(found: web.StreamResponse) -> bytes:
    assert isinstance(found, web.Response)
    return bytes(found.body) if isinstance(found.body, bytes | bytearray) else b""


def _without(headers: Mapping[str, str], *names: str) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in names:
        kept.popall(name, None)
    return kept


async def _over(ended: asyncio.Event, seconds: float) -> bool:
    """Wait *seconds*, or until the CA ends: whether it does."""
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _reset(request: web.Request) -> NoReturn:
    """RST, not FIN: what a crashed server or a firewall sends."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        transport.abort()
    raise ConnectionResetError("a scripted reset")
