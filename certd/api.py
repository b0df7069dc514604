"""All that a plugin may import: the contract of challenge providers, version 1.

A provider is one file: an options dataclass, a class with `publish` and `withdraw`, and a `ProviderSpec` that an
entry point in the group `certd.providers` names. certd computes the proofs, follows CNAMEs, finds zones, waits for
propagation and decides when to withdraw; a provider only adds and removes single values, and leaves all others alone.
"""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from certd.model.clock import Clock, SystemClock, deadline
from certd.model.errors import ConfigError, ProviderError
from certd.model.secret import Resolve, Secret
from certd.program import Outcome, objection, run_program

API_VERSION = 1

O = TypeVar("O")  # noqa: E741 - an options dataclass


@dataclass(frozen=True, slots=True, order=True)
class Dns01Proof:
    """A TXT record (RFC 8555 §8.4).

    `name` and `zone` are absolute names in A-labels without trailing dot, CNAMEs followed; `zone` is the zone
    that `name` lies in. `value` is base64url(SHA-256(key authorization)), 43 characters, unquoted.
    """

    name: str
    value: str
    zone: str


class DnsProvider(Protocol):
    """Adds and removes TXT values, a set at a time. Both calls are safe to repeat and to cancel."""

    async def publish(self, proofs: frozenset[Dns01Proof]) -> None:
        """Add every value; adding twice is fine; other values of the same name stay.

        Raises ProviderError: `retry=False` for bad credentials or an unknown zone, `retry=True` for the rest.
        """
        ...

    async def withdraw(self, proofs: frozenset[Dns01Proof]) -> None:
        """Remove exactly these values; absent is fine. Raises as `publish`."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What certd hands to a provider when it is opened."""

    clock: Clock
    random: random.Random
    secret: Resolve


@dataclass(frozen=True, slots=True)
class ProviderSpec(Generic[O]):
    """The object that an entry point names.

    `options` is a frozen dataclass: its fields (str, int, bool, Path, Secret[str], tuple[str, ...], or one of these or
    None) are the provider's options, `metadata["doc"]` is their documentation, and `metadata["example"]`, if any, what
    an example command shows for them. A Secret[str] takes a reference (`file:`, `env:`, `credential:`).

    `__post_init__` may raise ConfigError for values that cannot be meant; it also runs before secrets are resolved,
    while each of them is empty. Several processes may use the same options, now or later, so nothing in them may
    depend on the current directory: a Path is made absolute.

    What `open` returns may be entered in one task and left in another, so there is no TaskGroup and no timeout around
    its `yield`; `publish` and `withdraw` may use them, and several ProviderErrors of theirs become one.
    """

    name: str
    summary: str
    options: type[O]
    open: Callable[[O, Tools], AbstractAsyncContextManager[DnsProvider]]
    api_version: int = API_VERSION


__all__ = [
    "API_VERSION",
    "Clock",
    "ConfigError",
    "Dns01Proof",
    "DnsProvider",
    "Outcome",
    "ProviderError",
    "ProviderSpec",
    "Resolve",
    "Secret",
    "SystemClock",
    "Tools",
    "deadline",
    "objection",
    "run_program",
]
