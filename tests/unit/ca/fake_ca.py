"""A scriptable ACME CA over TLS in this process: strict about what it receives, and as bad as a test wants in replies.

`FakeCa.received` is the wire as it was; `violations` is what no client may send, and is empty after a good test.
A fault (see `faults.py`) stands before one request of a kind, or before all of them, and may let the CA go on.
"""

import json
import secrets
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from tests.unit.ca import jose
from tests.unit.ca.state import Refused, State
from tests.unit.ca.tls import ApiTls

Proceed = Callable[[], Awaitable[web.Response]]
Fault = Callable[[web.BaseRequest, Proceed], Awaitable[web.StreamResponse]]

KINDS = {
    "dir": "directory",
    "nonce": "newNonce",
    "new-account": "newAccount",
    "account": "account",
    "key-change": "keyChange",
    "orders": "orders",
    "new-order": "newOrder",
    "order": "order",
    "new-authz": "newAuthz",
    "authz": "authorization",
    "challenge": "challenge",
    "finalize": "finalize",
    "cert": "certificate",
    "revoke": "revokeCert",
    "ari": "renewalInfo",
}
BY_KEY = {"newAccount", "revokeCert"}
ONLY_FETCHED = {"order", "certificate", "orders"}


@dataclass(frozen=True)
class Received:
    """One request as it came. `protected` and `payload` are of its JWS, None where there is none."""

    kind: str
    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes
    protected: dict[str, Any] | None = None
    payload: Any = None


@dataclass
class FakeCa:
    base: str = ""
    tls: ApiTls | None = None
    state: State = field(default_factory=lambda: State(""))
    received: list[Received] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    used_nonces: set[str] = field(default_factory=set)
    bad_nonce_share: Callable[[], bool] = lambda: False
    _faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    _always: dict[str, Fault] = field(default_factory=dict)

    @property
    def directory_url(self) -> str:
        return f"{self.base}/dir"

    def next(self, kind: str, *faults: Fault) -> None:
        """Before each of the next requests of *kind* stands one of *faults*."""
        self._faults[kind].extend(faults)

    def always(self, kind: str, fault: Fault) -> None:
        """*fault* stands before every request of *kind*."""
        self._always[kind] = fault

    def count(self, kind: str) -> int:
        return sum(1 for request in self.received if request.kind == kind)

    def last(self, kind: str) -> Received:
        return next(request for request in reversed(self.received) if request.kind == kind)

    def nonce(self) -> str:
        nonce = secrets.token_urlsafe(12)
        self.nonces.add(nonce)
        return nonce

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        kind = KINDS.get(request.path.split("/")[1], "unknown")
        self._note(request, kind, body)
        fault = self._faults[kind].popleft() if self._faults[kind] else self._always.get(kind)

        async def proceed() -> web.Response:
            return self.answer(request, kind, body)

        return await fault(request, proceed) if fault else await proceed()

    def answer(self, request: web.BaseRequest, kind: str, body: bytes) -> web.Response:
        """The CA's own answer, with a nonce."""
        try:
            return self._reply(*self._dispatch(request, kind, body))
        except Refused as why:
            return self.problem(why.kind, why.status, why.detail)
        except jose.BadJws as why:
            self.violations.append(f"{kind}: {why}")
            return self.problem("malformed", 400, str(why))

    def problem(self, kind: str, status: int, detail: str = "", **more: Any) -> web.Response:
        document = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail or kind, "status": status} | more
        return self._reply(status, document, {"Content-Type": "application/problem+json"})

    def _reply(self, status: int, document: object, headers: dict[str, str]) -> web.Response:
        plain = isinstance(document, bytes)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        everywhere = {"Replay-Nonce": self.nonce(), "Cache-Control": "no-store"}
        if not plain:
            everywhere["Content-Type"] = "application/json"
        return web.Response(status=status, body=body, headers=everywhere | headers)

    def _note(self, request: web.BaseRequest, kind: str, body: bytes) -> None:
        protected = payload = None
        if request.method == "POST":
            jws = jose.parse(body)
            protected = jws.protected
            payload = json.loads(jws.payload) if jws.payload else ""
            nonce = protected.get("nonce")
            if nonce in self.used_nonces:
                self.violations.append(f"{kind}: nonce {nonce!r} used twice (R12)")
            self.used_nonces.add(str(nonce))
        url = f"{self.base}{request.raw_path}"
        headers = CIMultiDict(request.headers)
        self.received.append(Received(kind, request.method, url, headers, body, protected, payload))
        for name in ("User-Agent", "Accept-Language"):
            if not request.headers.get(name):
                self.violations.append(f"{kind}: no {name} (R3)")

    def _dispatch(self, request: web.BaseRequest, kind: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        if request.method in {"GET", "HEAD"}:
            if kind not in {"directory", "newNonce", "renewalInfo"}:
                raise jose.BadJws(f"{request.method} of {kind} (R9)")
            return self.state.get(kind, request.raw_path)
        if request.headers.get("Content-Type") != "application/jose+json":
            raise jose.BadJws(f"content type {request.headers.get('Content-Type')} (R5)")
        jws = jose.parse(body)
        self._check_header(jws, kind, f"{self.base}{request.raw_path}")
        self._check_nonce(jws)
        return self.state.post(kind, request.raw_path, jws)

    def _check_header(self, jws: jose.Jws, kind: str, url: str) -> None:
        allowed = {"alg", "nonce", "url", "jwk", "kid"}
        if set(jws.protected) - allowed or ("jwk" in jws.protected) == ("kid" in jws.protected):
            raise jose.BadJws(f"header {sorted(jws.protected)} (R7)")
        if "jwk" in jws.protected and kind not in BY_KEY:
            raise jose.BadJws("jwk where kid is due (R7)")
        if jws.protected["url"] != url:
            raise jose.BadJws(f"url {jws.protected['url']!r} was sent to {url!r} (R10)")
        if kind in ONLY_FETCHED and jws.payload:
            raise jose.BadJws(f"payload {jws.payload!r} in a POST-as-GET (R9)")

    def _check_nonce(self, jws: jose.Jws) -> None:
        nonce = jws.protected["nonce"]
        if nonce not in self.nonces or self.bad_nonce_share():
            self.nonces.discard(nonce)
            raise Refused("badNonce", 400, "JWS has an invalid anti-replay nonce")
        self.nonces.remove(nonce)


@asynccontextmanager
async def fake_ca(tls: ApiTls) -> AsyncIterator[FakeCa]:
    """Serve on a free port of 127.0.0.1."""
    ca = FakeCa(tls=tls)
    server = web.Server(ca.serve, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context)
    await site.start()
    ca.base = f"https://127.0.0.1:{runner.addresses[0][1]}"
    ca.state = State(ca.base)
    try:
        yield ca
    finally:
        await runner.cleanup()
