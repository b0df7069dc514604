"""Everything about a devca that can be chosen; unfriendly where a real CA may be, unless `Options.friendly()`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=398)


def _profiles() -> dict[str, timedelta]:
    return {"default": timedelta(days=90), "shortlived": timedelta(hours=160)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Shares are between 0 and 1. Ports are those that validation goes *to*, where listeners under test are bound."""

    host: str = "127.0.0.1"  # loopback only
    port: int = 0  # 0: any
    state_dir: Path | None = None  # None: nothing is kept
    # Validation
    http_port: int = 80
    https_port: int = 443  # for redirects of http-01
    tls_port: int = 443  # for tls-alpn-01
    resolver: tuple[str, int] | None = None  # address and port; without one dns-01 fails
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name or *.suffix → loopback addresses
    sources: tuple[str, ...] = ("127.0.0.1", "127.0.0.2", "127.0.0.3")  # each must see the proof
    late_source: str | None = "127.0.0.4"  # looks once more after `valid`; None: nobody does
    late_after: timedelta = timedelta(milliseconds=500)
    validation_delay: timedelta = timedelta(milliseconds=20)  # at most, before it begins
    validation_limit: timedelta = timedelta(seconds=10)  # for each source
    always_valid: bool = False  # nobody looks at proofs: for tests of what comes after
    # What is issued: name → lifetime, the first one is the default
    profiles: Mapping[str, timedelta] = field(default_factory=_profiles)
    alternate_roots: int = 1
    chain_length: int = 1  # intermediates
    # Accounts
    eab_keys: Mapping[str, bytes] = field(default_factory=dict)  # kid → MAC key; any: a binding is required
    terms_url: str | None = None  # None: terms of its own, at its own address
    orders_per_page: int = 15
    # Reuse
    reuse_orders: bool = True  # same account, identifiers and profile: the same pending order, as Boulder does
    authorization_reuse: float = 0.5
    authorization_lifetime: timedelta = timedelta(hours=7)  # once valid
    pending_lifetime: timedelta = timedelta(hours=1)  # of authorizations
    order_lifetime: timedelta = timedelta(hours=8)
    # Manners
    bad_nonce: float = 0.05
    delay: timedelta = timedelta(milliseconds=5)  # at most, before each answer
    processing: timedelta = timedelta(seconds=1)  # of an order after finalize
    processing_share: float = 0.3  # of orders; the others are valid at once
    retry_after: int | None = None  # seconds, on pending authorizations
    chaff: bool = True  # unknown fields and challenge types, shuffled arrays
    zero_serials: float = 0.5  # share of serials whose DER begins with a zero octet
    renewal_info_retry_after: int = 21600  # seconds

    def __post_init__(self) -> None:
        if not loopback(self.host):
            raise ValueError(f"{self.host}: devca listens on loopback addresses only")
        for name, addresses in self.addresses.items():
            if odd := [each for each in addresses if not loopback(each)]:
                raise ValueError(f"{name}: {odd[0]} is no loopback address, and devca validates nowhere else")
        if odd := [each for each in (*self.sources, self.late_source) if each is not None and not loopback(each)]:
            raise ValueError(f"{odd[0]}: devca validates from loopback addresses only")
        if not self.profiles or not self.sources:
            raise ValueError("devca needs a profile and a source address")
        for name, lifetime in self.profiles.items():
            if not SHORTEST <= lifetime <= LONGEST:
                raise ValueError(f"profile {name}: a lifetime is between 1 s and {LONGEST.days} d")

    @classmethod
    def friendly(cls, **changes: Any) -> "Options":
        """For benchmarks and demo: no refused nonces, no delay, no oddities, one source, nothing reused."""
        calm = cls(
            sources=("127.0.0.1",),
            late_source=None,
            validation_delay=timedelta(0),
            authorization_reuse=0.0,
            bad_nonce=0.0,
            delay=timedelta(0),
            processing_share=0.0,
            chaff=False,
            alternate_roots=0,
        )
        return replace(calm, **changes)

    @property
    def default_profile(self) -> str:
        return next(iter(self.profiles))


def loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def read_lifetime(text: str) -> timedelta:
    """`40s`, `90m`, `160h`, `90d`. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no lifetime: 40s, 90m, 160h, 90d")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def read_profile(text: str) -> tuple[str, timedelta]:
    """`shortlived=160h`. Raises ValueError."""
    name, equals, lifetime = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise ValueError(f"{text!r} is no profile: NAME=LIFETIME, for example shortlived=160h")
    return name, read_lifetime(lifetime)


def read_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:14000`, `[::1]:14000`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        raise ValueError(f"{text!r} is no ADDRESS:PORT") from None
    if not 0 <= number < 65536:
        raise ValueError(f"{text!r}: no such port")
    return host, number
