"""The one function that admits an order: policy refuses, limits schedule (invariant 4).

A person's `certd issue` clears a wait of our own making, never a moment that the CA named and never what counts against
its limits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from certd.model.identifiers import from_set_key
from certd.model.records import FailureRecord, Scope, ScopeKind, ScopeRecord

#: Let's Encrypt, rate limits of 2026-08: failed authorizations per identifier and account.
FAILED_VALIDATIONS = 5
FAILED_VALIDATIONS_WITHIN = timedelta(hours=1)

#: Clocks differ, and are set right by seconds. What lies further ahead was written by a clock that was wrong, or this
#: one is behind.
CLOCK_TOLERANCE = timedelta(hours=1)

#: This code did not exist before: a clock that says so is wrong. Set anew with each release.
RELEASED = datetime(2026, 11, 1, tzinfo=UTC)

_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Allow:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """Not before `until`."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """All that decides: the scopes an order touches, and the failed validations of each of its identifiers."""

    scopes: Sequence[ScopeRecord]
    failed_validations: Sequence[Sequence[FailureRecord]]
    by_person: bool
    own_not_before: datetime | None = None  # of the newest certificate that is here already


def admit(request: OrderRequest, now: datetime) -> Allow | Wait:
    """Say whether this order may be sent now."""
    waits = [
        *_clock_waits(request.own_not_before, now),
        *_scope_waits(request, now),
        *_limit_waits(request.failed_validations, now),
    ]
    return max(waits, key=lambda wait: wait.until, default=Allow())


def failures_left(failed: Sequence[FailureRecord], now: datetime) -> int:
    """How many more validations of one identifier may fail this hour."""
    return max(0, FAILED_VALIDATIONS - len(_counted(failed, now)))


def _clock_waits(own_not_before: datetime | None, now: datetime) -> Iterable[Wait]:
    """A machine that boots in 1970 or 2000 believes all kinds of things; what it has been issued it cannot doubt."""
    if now < RELEASED:
        yield Wait(
            RELEASED, f"this machine's clock says {now:%Y-%m-%d %H:%M}Z, and this certd is from {RELEASED:%Y-%m}"
        )
    if own_not_before is not None and own_not_before > now + CLOCK_TOLERANCE:
        yield Wait(
            own_not_before,
            f"this machine's clock says {now:%Y-%m-%d %H:%M}Z, and it has a certificate that begins at "
            f"{own_not_before:%Y-%m-%d %H:%M}Z",
        )


def _scope_waits(request: OrderRequest, now: datetime) -> Iterable[Wait]:
    for row in request.scopes:
        if row.updated_at > now + CLOCK_TOLERANCE:
            continue  # the clock was ahead when it failed, and so are its moments: perhaps by years
        firm, until = row.firm_until, row.firm_until if request.by_person else row.blocked_until
        if until is None or until <= now:
            continue
        said = "the CA named this moment" if until == firm else f"{row.failures} failures in a row"
        yield Wait(until, f"{_title(row.scope)}: {row.problem}: {row.detail} ({said})")


def _limit_waits(failed: Sequence[Sequence[FailureRecord]], now: datetime) -> Iterable[Wait]:
    for failures in failed:
        counted = _counted(failures, now)
        if len(counted) < FAILED_VALIDATIONS:
            continue
        last = counted[-1]
        yield Wait(
            # The hour counts from the oldest of the last five.
            counted[-FAILED_VALIDATIONS].at + FAILED_VALIDATIONS_WITHIN,
            f"{_title(last.scope)}: {FAILED_VALIDATIONS} failed validations within an hour, and CAs allow no more; "
            f"the last one: {last.detail}",
        )


def _counted(failed: Sequence[FailureRecord], now: datetime) -> list[FailureRecord]:
    """Those within the hour, the oldest first."""
    first, last = now - FAILED_VALIDATIONS_WITHIN, now + CLOCK_TOLERANCE
    return sorted((f for f in failed if first < f.at <= last), key=lambda f: f.at)


def _title(scope: Scope) -> str:
    """As people know it: an identifier set by its names."""
    if scope.kind is not ScopeKind.SET:
        return scope.key
    names = [str(identifier) for identifier in from_set_key(scope.key)]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
