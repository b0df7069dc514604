"""Whose failure is it, and how long does that one wait? One table each (design 5).

A failure belongs to a scope, so that one dead name does not hold up an issuer, and one issuer's outage is one wait for
all. The problem's *type* decides, at the stage where it came; never its text.
"""

import random
from datetime import datetime, timedelta
from enum import Enum

from certd.model.records import Scope, ScopeKind, ScopeRecord

MINUTE = timedelta(minutes=1)


class Stage(Enum):
    """Where in an issuance the CA said no."""

    ACCOUNT = "account"
    ORDER = "order"
    VALIDATION = "validation"
    FINALIZE = "finalize"


#: Problem kinds that say the same wherever they come.
_ANYWHERE: dict[str, ScopeKind] = {
    "serverInternal": ScopeKind.ISSUER,
    "unreachable": ScopeKind.ISSUER,
    "protocol": ScopeKind.ISSUER,
    "userActionRequired": ScopeKind.ACCOUNT,
    "accountDoesNotExist": ScopeKind.ACCOUNT,
    "externalAccountRequired": ScopeKind.ACCOUNT,
    "badSignatureAlgorithm": ScopeKind.ACCOUNT,
    "rejectedIdentifier": ScopeKind.IDENTIFIER,
    "unsupportedIdentifier": ScopeKind.IDENTIFIER,
    "caa": ScopeKind.IDENTIFIER,
    "provider": ScopeKind.ZONE,
}

#: Problem kinds that say something else at one stage: a newOrder that is unauthorized is an account that is (R30).
_AT: dict[tuple[str, Stage], ScopeKind] = {
    ("unauthorized", Stage.ORDER): ScopeKind.ACCOUNT,
}

#: Everything else, by stage.
_BY_STAGE: dict[Stage, ScopeKind] = {
    Stage.ACCOUNT: ScopeKind.ISSUER,
    Stage.ORDER: ScopeKind.SET,
    Stage.VALIDATION: ScopeKind.IDENTIFIER,
    Stage.FINALIZE: ScopeKind.SET,
}

_BY_NAME = (MINUTE, MINUTE * 10, MINUTE * 100, timedelta(days=1))
_BY_SERVICE = tuple(MINUTE * n for n in (1, 2, 4, 8, 16, 32, 60))

#: How long the n-th failure in a row waits; the last entry repeats.
SCHEDULES: dict[ScopeKind, tuple[timedelta, ...]] = {
    ScopeKind.ISSUER: _BY_SERVICE,
    ScopeKind.ACCOUNT: _BY_SERVICE,
    ScopeKind.DOMAIN: _BY_NAME,
    ScopeKind.SET: _BY_NAME,
    ScopeKind.IDENTIFIER: _BY_NAME,
    ScopeKind.ZONE: _BY_SERVICE,
}

#: With less than this left of the certificate a name does not wait for a day: at most an eighth of what is left, and
#: five tries an hour are what CAs allow.
HURRY, SOONEST_IN_HURRY = timedelta(days=10), MINUTE * 15


def scope_kind(kind: str, stage: Stage) -> ScopeKind:
    """The scope of a problem of type *kind* (without its URN prefix) at *stage*."""
    return _ANYWHERE.get(kind) or _AT.get((kind, stage)) or _BY_STAGE[stage]


def after_failure(
    scope: Scope,
    before: ScopeRecord | None,
    *,
    problem: str,
    detail: str,
    now: datetime,
    retry_after: datetime | None,
    rng: random.Random,
    left: timedelta | None = None,
) -> ScopeRecord:
    """The scope's row after one more failure: the CA's own moment if it named one, else the schedule ± 20 %.

    *left*: what is left of the certificate that is being replaced.
    """
    failures = (before.failures if before else 0) + 1
    # "Retry-After: 0" must not make a loop: the CA's moment is no sooner than our own after a first failure.
    step = scheduled(scope.kind, 1 if retry_after else failures, left)
    firm_until = _later(retry_after, before.firm_until if before else None)
    return ScopeRecord(
        scope=scope,
        failures=failures,
        blocked_until=_later(now + step * rng.uniform(0.8, 1.2), firm_until),
        firm_until=firm_until,
        problem=problem,
        detail=detail,
        updated_at=now,
    )


def scheduled(kind: ScopeKind, failures: int, left: timedelta | None = None) -> timedelta:
    """How long a scope waits after so many failures in a row."""
    schedule = SCHEDULES[kind]
    step = schedule[min(failures, len(schedule)) - 1]
    if left is not None and left < HURRY and schedule is _BY_NAME:
        return min(step, max(left / 8, SOONEST_IN_HURRY))
    return step


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later moment: another request's failure does not shorten what the CA has said to the first."""
    return max((moment for moment in (one, other) if moment is not None), default=None)
