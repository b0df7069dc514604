"""Who is asking: a POST taken apart and authenticated (RFC 8555 §6.2 to §6.5) before any handler sees it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from certd.devca.accounts import require_valid
from certd.devca.authority import Authority, Post
from certd.devca.jwk import Jwk, read_jwk
from certd.devca.jws import Jws, check_algorithm, read_jws, verify
from certd.devca.problems import refused
from certd.devca.records import Account

JOSE = "application/jose+json"
#: Routes where the key itself may sign, in place of an account's URL (§6.2).
BY_KEY = frozenset({"new-account", "revoke-cert"})
BY_ACCOUNT_TOO = frozenset({"revoke-cert"})
#: The Host header names loopback: whoever comes by another name has been led here.
LOCAL_HOST = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A POST as it came. `target` is the request's path and query, letter by letter."""

    route: str
    host: str
    target: str
    id: str
    part: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


def authenticate(ca: Authority, incoming: Incoming) -> Post:
    """Raises Refused for whatever RFC 8555 §6 does not allow."""
    _check_headers(incoming.headers)
    jws = read_jws(incoming.body)
    check_algorithm(jws)
    base = f"https://{incoming.host}"
    jwk, account = _signer(ca, jws, incoming.route, base)
    verify(jws, jwk)
    _check_nonce(ca, jws)
    url = base + incoming.target
    # §6.4: "If the two do not match, then the server MUST reject the request as unauthorized."
    if "url" not in jws.header:
        raise refused("malformed", "the protected header has no url")
    if jws.header["url"] != url:
        raise refused("unauthorized", f"url: signed for {jws.header['url']!r}, sent to {url!r}")
    if account is not None:
        require_valid(account)
    return Post(url, base, incoming.id, incoming.part, incoming.query, jws.payload, jwk, account)


def check_request(host: str, headers: Mapping[str, str]) -> None:
    """What holds for every request, GET and HEAD too."""
    if not LOCAL_HOST.fullmatch(host):
        raise refused("malformed", "Host: devca answers to localhost and loopback addresses only", status=421)
    if not headers.get("User-Agent"):
        raise refused("malformed", "User-Agent: every request has one (RFC 8555 §6.1)")


def _check_headers(headers: Mapping[str, str]) -> None:
    if headers.get("Content-Type") != JOSE:
        raise refused("malformed", f"Content-Type: {JOSE} (RFC 8555 §6.2)", status=415)
    if "Replay-Nonce" in headers:
        raise refused("malformed", "Replay-Nonce is the server's; a client's nonce is in the JWS (RFC 8555 §6.5.1)")


def _signer(ca: Authority, jws: Jws, route: str, base: str) -> tuple[Jwk, Account | None]:
    """§6.2: "The "jwk" and "kid" fields are mutually exclusive. Servers MUST reject requests that contain both."."""
    if "jwk" in jws.header and "kid" in jws.header:
        raise refused("malformed", "jwk and kid exclude each other (RFC 8555 §6.2)")
    if "jwk" in jws.header:
        if route not in BY_KEY:
            raise refused("malformed", "kid is wanted here, not jwk (RFC 8555 §6.2)")
        return read_jwk(jws.header["jwk"]), None
    if "kid" not in jws.header:
        raise refused("malformed", "the protected header has neither jwk nor kid")
    if route in BY_KEY - BY_ACCOUNT_TOO:
        raise refused("malformed", "jwk is wanted here, not kid (RFC 8555 §6.2)")
    account = _account(ca, jws.header["kid"], base)
    return read_jwk(json.loads(account.jwk)), account


def _account(ca: Authority, kid: object, base: str) -> Account:
    """§6.2: the kid "MUST match the value provided in the Location header" of newAccount."""
    prefix = ca.url(base, "account", "")
    if not isinstance(kid, str) or not kid.startswith(prefix):
        raise refused("malformed", f"kid: not an account's URL here, they begin with {prefix}")
    account = ca.store.accounts.get(kid.removeprefix(prefix))
    if account is None:
        raise refused("accountDoesNotExist", f"kid: there is no account {kid}")
    return account


def _check_nonce(ca: Authority, jws: Jws) -> None:
    nonce = jws.header.get("nonce")
    if not isinstance(nonce, str):
        raise refused("badNonce", "the protected header has no nonce")
    if not ca.nonces.redeem(nonce):
        raise refused("badNonce", "the nonce was never given out here, is used up or too old")
