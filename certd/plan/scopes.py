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
    "userActionRequired": ScopeKind.ACCOUNT,
    "accountDoesNotExist": ScopeKind.ACCOUNT,
    "externalAccountRequired": ScopeKind.ACCOUNT,
    "badSignatureAlgorithm": ScopeKind.ACCOUNT,
    "rejectedIdentifier": ScopeKind.IDENTIFIER,
    "unsupportedIdentifier": ScopeKind.IDENTIFIER,
    "caa": ScopeKind.IDENTIFIER,
    "provider": ScopeKind.ZONE,
}

#: Everything else, by stage.
_BY_STAGE: dict[Stage, ScopeKind] = {
    Stage.ACCOUNT: ScopeKind.ISSUER,
    Stage.ORDER: ScopeKind.SET,
    Stage.VALIDATION: ScopeKind.IDENTIFIER,
    Stage.FINALIZE: ScopeKind.SET,
}

#: How long the n-th failure in a row waits; the last entry repeats.
SCHEDULES: dict[ScopeKind, tuple[timedelta, ...]] = {
    ScopeKind.ISSUER: tuple(MINUTE * n for n in (1, 2, 4, 8, 16, 32, 60)),
    ScopeKind.ACCOUNT: tuple(MINUTE * n for n in (1, 2, 4, 8, 16, 32, 60)),
    ScopeKind.DOMAIN: (MINUTE, MINUTE * 10, MINUTE * 100, timedelta(days=1)),
    ScopeKind.SET: (MINUTE, MINUTE * 10, MINUTE * 100, timedelta(days=1)),
    ScopeKind.IDENTIFIER: (MINUTE, MINUTE * 10, MINUTE * 100, timedelta(days=1)),
    ScopeKind.ZONE: tuple(MINUTE * n for n in (1, 2, 4, 8, 16, 32, 60)),
}


def scope_kind(kind: str, stage: Stage) -> ScopeKind:
    """The scope of a problem of type *kind* (without its URN prefix) at *stage*."""
    return _ANYWHERE.get(kind) or _BY_STAGE[stage]


def after_failure(
    scope: Scope,
    before: ScopeRecord | None,
    *,
    problem: str,
    detail: str,
    now: datetime,
    retry_after: datetime | None,
    rng: random.Random,
) -> ScopeRecord:
    """The scope's row after one more failure: the CA's own moment if it named one, else the schedule ± 20 %."""
    failures = (before.failures if before else 0) + 1
    schedule = SCHEDULES[scope.kind]
    step = schedule[min(failures, len(schedule)) - 1]
    return ScopeRecord(
        scope=scope,
        failures=failures,
        blocked_until=retry_after or now + step * rng.uniform(0.8, 1.2),
        firm=retry_after is not None,
        problem=problem,
        detail=detail,
        updated_at=now,
    )
