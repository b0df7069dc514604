"""The one function that admits an order: policy refuses, limits schedule (invariant 4).

A person's `certd issue` clears a wait of our own making, never a moment that the CA named and never what counts against
its limits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from certd.model.records import FailureRecord, ScopeRecord

#: Let's Encrypt, rate limits of 2026-08: failed authorizations per identifier and account.
FAILED_VALIDATIONS = 5
FAILED_VALIDATIONS_WITHIN = timedelta(hours=1)


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


def admit(request: OrderRequest, now: datetime) -> Allow | Wait:
    """Say whether this order may be sent now."""
    waits = [*_scope_waits(request, now), *_limit_waits(request.failed_validations, now)]
    return max(waits, key=lambda wait: wait.until, default=Allow())


def failures_left(failed: Sequence[FailureRecord], now: datetime) -> int:
    """How many more validations of one identifier may fail this hour."""
    recent = [f for f in failed if f.at > now - FAILED_VALIDATIONS_WITHIN]
    return max(0, FAILED_VALIDATIONS - len(recent))


def _scope_waits(request: OrderRequest, now: datetime) -> Iterable[Wait]:
    for row in request.scopes:
        if row.blocked_until is None or row.blocked_until <= now:
            continue
        if row.firm:
            said = "the CA named this moment"
        elif request.by_person:
            continue
        else:
            said = f"{row.failures} failures in a row"
        yield Wait(row.blocked_until, f"{row.scope.key}: {row.problem}: {row.detail} ({said})")


def _limit_waits(failed: Sequence[Sequence[FailureRecord]], now: datetime) -> Iterable[Wait]:
    for failures in failed:
        if failures_left(failures, now) > 0:
            continue
        # The hour counts from the oldest of the last five.
        until = sorted(f.at for f in failures)[-FAILED_VALIDATIONS] + FAILED_VALIDATIONS_WITHIN
        last = failures[-1]
        yield Wait(
            until,
            f"{last.scope.key}: {FAILED_VALIDATIONS} failed validations within an hour, and CAs allow no more; "
            f"the last one: {last.detail}",
        )
