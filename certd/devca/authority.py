"""What every request handler works with: options, store, issuer, time, chance, and the URLs of this CA.

A handler is a function `(Authority, Post) → Reply`, or raises `Refused`; it never sees aiohttp.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, MutableSequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import ceil
from typing import Any

from certd.devca import base64url
from certd.devca.issue import Issuer
from certd.devca.jwk import Jwk
from certd.devca.jws import read_object
from certd.devca.nonces import Nonces
from certd.devca.options import Options
from certd.devca.problems import refused
from certd.devca.records import Account
from certd.devca.store import Store

Now = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[object]]

ROUTES = (
    "new-nonce",
    "new-account",
    "account",
    "orders",
    "key-change",
    "new-order",
    "order",
    "finalize",
    "authorization",
    "challenge",
    "certificate",
    "revoke-cert",
    "renewal-info",
    "terms",
)


@dataclass(frozen=True, slots=True)
class Reply:
    """`body`: a JSON document, or text of `content_type`."""

    body: dict[str, Any] | str | None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Post:
    """An authenticated request. `account` is None where the key in `jwk` signed instead of a `kid`."""

    url: str
    base: str  # https://HOST:PORT, as the client calls this CA
    id: str  # the last part of the path
    part: str  # what follows it: the number of an alternate chain
    query: Mapping[str, str]
    payload: bytes
    jwk: Jwk
    account: Account | None

    @property
    def is_get(self) -> bool:
        """POST-as-GET: "a zero-length octet string" (RFC 8555 §6.3)."""
        return self.payload == b""

    def owner(self) -> Account:
        if self.account is None:
            raise refused("malformed", "this request is signed by an account: kid, not jwk")
        return self.account

    def document(self) -> dict[str, Any]:
        return read_object(self.payload, "the payload")

    def require_get(self) -> None:
        if not self.is_get:
            raise refused("malformed", "a POST-as-GET has an empty payload (RFC 8555 §6.3)")


@dataclass(frozen=True, slots=True)
class SetWindow:
    """What `renewalInfo` answers in place of the computed window."""

    start: datetime
    end: datetime
    explanation_url: str | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """One look at a proof, for tests to read: who looked from where, when, and what came of it."""

    identifier: str
    type: str
    source: str
    at: datetime
    late: bool  # after `valid`
    problem: str | None  # None: the proof was there


@dataclass(slots=True)
class Authority:
    options: Options
    store: Store
    issuer: Issuer
    nonces: Nonces
    rng: random.Random
    now: Now
    sleep: Sleep
    tags: Mapping[str, str]  # route → its part of the path, chosen at random
    validate: Callable[[str], None]  # starts the validation of a challenge, by id
    windows: dict[str, SetWindow] = field(default_factory=dict)  # by certificate id
    validations: MutableSequence[Validation] = field(default_factory=list)

    def url(self, base: str, route: str, *parts: str) -> str:
        return "/".join([base + self.tags[route], *parts])

    def new_id(self) -> str:
        return base64url.encode(self.rng.randbytes(16))

    def chaff(self) -> dict[str, Any]:
        """Fields nobody knows: "Clients MUST ignore any fields they do not recognize" (RFC 8555 §7.1.1 and others)."""
        if not self.options.chaff:
            return {}
        value = self.rng.choice([None, 7, ["x"], {"https://community.letsencrypt.org/t/33417": "ignore"}])
        return {f"x{self.rng.getrandbits(32):08x}": value}

    def shuffled(self, given: Any) -> list[Any]:
        found = list(given)
        if self.options.chaff:
            self.rng.shuffle(found)
        return found

    def retry_after(self, wait: timedelta) -> tuple[str, str]:
        """The header, in seconds or as an HTTP-date (RFC 9110 §10.2.3), never too early."""
        seconds = max(1, ceil(wait.total_seconds()))
        if self.options.chaff and self.rng.random() < 0.5:
            moment = (self.now() + timedelta(seconds=seconds)).astimezone(UTC)
            if moment.microsecond:
                moment = moment.replace(microsecond=0) + timedelta(seconds=1)
            return "Retry-After", format_datetime(moment, usegmt=True)
        return "Retry-After", str(seconds)


def timestamp(moment: datetime) -> str:
    """RFC 3339, whole seconds unless there are more."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def link(url: str, relation: str) -> tuple[str, str]:
    return "Link", f'<{url}>;rel="{relation}"'
