"""Statuses and their legal transitions (RFC 8555 §7.1.6), as tables; the illegal ones raise (R22).

Between two polls an object may pass several states (Boulder and Pebble go from pending to valid at once), so the tables
say what may be seen *later*, not what comes next. A word that the RFC does not have is UNKNOWN, and never illegal.
"""

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from certd.model.acme import AuthorizationStatus, ChallengeStatus, OrderStatus
from certd.model.errors import CaContradiction

Status = TypeVar("Status", bound=Enum)
Value = TypeVar("Value")

ORDER: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.READY, OrderStatus.PROCESSING, OrderStatus.VALID, OrderStatus.INVALID}),
    OrderStatus.READY: frozenset({OrderStatus.PROCESSING, OrderStatus.VALID, OrderStatus.INVALID}),
    OrderStatus.PROCESSING: frozenset({OrderStatus.VALID, OrderStatus.INVALID}),
    OrderStatus.VALID: frozenset(),
    OrderStatus.INVALID: frozenset(),
}

_ENDED = frozenset({AuthorizationStatus.DEACTIVATED, AuthorizationStatus.EXPIRED, AuthorizationStatus.REVOKED})

AUTHORIZATION: Mapping[AuthorizationStatus, frozenset[AuthorizationStatus]] = {
    AuthorizationStatus.PENDING: _ENDED | {AuthorizationStatus.VALID, AuthorizationStatus.INVALID},
    AuthorizationStatus.VALID: _ENDED,
    AuthorizationStatus.INVALID: frozenset(),
    AuthorizationStatus.DEACTIVATED: frozenset(),
    AuthorizationStatus.EXPIRED: frozenset(),
    AuthorizationStatus.REVOKED: frozenset(),
}

CHALLENGE: Mapping[ChallengeStatus, frozenset[ChallengeStatus]] = {
    ChallengeStatus.PENDING: frozenset({ChallengeStatus.PROCESSING, ChallengeStatus.VALID, ChallengeStatus.INVALID}),
    ChallengeStatus.PROCESSING: frozenset({ChallengeStatus.VALID, ChallengeStatus.INVALID}),
    ChallengeStatus.VALID: frozenset(),
    ChallengeStatus.INVALID: frozenset(),
}

MOST_REMEMBERED = 1024


def status_of(statuses: type[Status], text: str, unknown: Status) -> Status:
    """A status word as its Enum; a word the RFC does not have is *unknown*, never an error."""
    try:
        return statuses(text)
    except ValueError:
        return unknown


def check_transition(table: Mapping[Status, frozenset[Status]], before: Status, after: Status, what: str) -> None:
    """Raises CaContradiction for a status that cannot follow."""
    if before is after or before not in table or after not in table:
        return
    if after not in table[before]:
        raise CaContradiction(f"{what}: the CA changed its status from {before.value} to {after.value}")


class Seen(Generic[Value]):
    """The last value seen of each URL of one conversation; the oldest are forgotten, and then not checked."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, Value] = OrderedDict()

    def last(self, url: str) -> Value | None:
        return self._last.get(url)

    def note(self, url: str, value: Value) -> None:
        self._last[url] = value
        self._last.move_to_end(url)
        if len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)
