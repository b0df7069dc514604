"""What came to the CA: each request with its route, and its JWS taken apart without being believed."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Seen:
    """`route` as devca names it: directory, new-nonce, new-account, account, orders, key-change, new-order, order,
    finalize, authorization, challenge, certificate, alternate, revoke-cert, renewal-info, terms.

    `header` and `payload` are those of the JWS; the payload is None for POST-as-GET, GET, HEAD and what is no JSON.
    """

    at: datetime
    method: str
    route: str
    path: str
    headers: dict[str, str]
    header: dict[str, Any]
    payload: dict[str, Any] | None
    answered: int | None = None  # status; None: no answer (yet)

    @property
    def account(self) -> str | None:
        """The kid."""
        return self.header.get("kid")


async def seen(request: web.Request, at: datetime) -> Seen:
    envelope = _json(await request.read()) if request.method == "POST" else {}
    return Seen(
        at=at,
        method=request.method,
        route=request.match_info.route.name or request.path,
        path=request.raw_path,
        headers=dict(request.headers),
        header=_json(_decoded(envelope.get("protected"))) or {},
        payload=_json(_decoded(envelope.get("payload"))) or None if envelope.get("payload") else None,
    )


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _decoded(text: Any) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (TypeError, binascii.Error, ValueError):
        return b""
