"""What stands between a client and a good answer: replies, broken replies, and broken connections, as values."""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.unit.ca.fake_ca import Fault, Proceed


def reply(status: int, body: bytes | str = b"", **headers: str) -> Fault:
    """This reply and nothing else; header names with `_` for `-`."""
    data = body.encode() if isinstance(body, str) else body

    async def fault(_: web.BaseRequest, __: Proceed) -> web.StreamResponse:
        return web.Response(status=status, body=data, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return fault


def problem(kind: str, status: int = 400, *, nonce: str | None = None, more: Any = None, **headers: str) -> Fault:
    """A problem document; without *nonce* it has no Replay-Nonce."""
    document = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": kind} | (more or {})
    extra = headers | ({"Replay_Nonce": nonce} if nonce is not None else {})
    return reply(status, json.dumps(document), Content_Type="application/problem+json", **extra)


def bad_nonce() -> Fault:
    """badNonce with a nonce that would be good the next time."""

    async def fault(request: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        return await problem("badNonce", nonce=secrets.token_urlsafe(12))(request, proceed)

    return fault


def after(**headers: str) -> Fault:
    """The CA's own reply with other headers; an empty value takes one away."""

    async def fault(_: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        response = await proceed()
        for name, value in headers.items():
            response.headers.pop(name.replace("_", "-"), None)
            if value:
                response.headers[name.replace("_", "-")] = value
        return response

    return fault


def changed(change: Callable[[dict[str, Any]], Any]) -> Fault:
    """The CA's own reply with its JSON changed in place."""

    async def fault(_: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        response = await proceed()
        assert isinstance(response.body, bytes)
        document = json.loads(response.body)
        change(document)
        response.body = json.dumps(document).encode()
        return response

    return fault


def body(data: bytes) -> Fault:
    """The CA's own status and headers with another body."""

    async def fault(_: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        response = await proceed()
        response.body = data
        return response

    return fault


def status(code: int) -> Fault:
    """The CA's own reply with another status."""

    async def fault(_: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        response = await proceed()
        response.set_status(code)
        return response

    return fault


def raw(*parts: bytes, pause: float = 0.0, then_hang: bool = False, handled: bool = False) -> Fault:
    """These bytes on the connection, which then breaks (or hangs). *handled*: the CA did what it was asked to."""

    async def fault(request: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        if handled:
            await proceed()
        transport = request.transport
        assert transport is not None
        for part in parts:
            if transport.is_closing():
                break
            transport.write(part)
            await asyncio.sleep(pause)
        if then_hang:
            await asyncio.sleep(60)
        transport.abort()
        return web.Response()

    return fault


def lost(*, handled: bool = False) -> Fault:
    """The connection ends before any byte of a reply."""
    return raw(handled=handled)


HANG = raw(then_hang=True)
