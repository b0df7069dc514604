"""Whose failure it is, and how long that one waits: the tables, and what the CA's own moment does to them."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from certd.model.problems import REACTIONS
from certd.model.records import Scope, ScopeKind, ScopeRecord
from certd.plan.scopes import SCHEDULES, Stage, after_failure, scheduled, scope_kind
from tests.fakes.clock import START
from tests.unit.plan.samples import DAY, HOUR, IDENTIFIER, ISSUER

MINUTE = timedelta(minutes=1)
ACCOUNT_WIDE, BY_NAME, CA_WIDE = ScopeKind.ACCOUNT, ScopeKind.IDENTIFIER, ScopeKind.ISSUER
SET = ScopeKind.SET

#: problem: at newAccount, at newOrder, at a validation, at finalize
SCOPES = {
    "serverInternal": (CA_WIDE, CA_WIDE, CA_WIDE, CA_WIDE),
    "unreachable": (CA_WIDE, CA_WIDE, CA_WIDE, CA_WIDE),
    "protocol": (CA_WIDE, CA_WIDE, CA_WIDE, CA_WIDE),
    "userActionRequired": (ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE),
    "accountDoesNotExist": (ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE),
    "externalAccountRequired": (ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE),
    "badSignatureAlgorithm": (ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE, ACCOUNT_WIDE),
    "rejectedIdentifier": (BY_NAME, BY_NAME, BY_NAME, BY_NAME),
    "unsupportedIdentifier": (BY_NAME, BY_NAME, BY_NAME, BY_NAME),
    "caa": (BY_NAME, BY_NAME, BY_NAME, BY_NAME),
    "provider": (ScopeKind.ZONE, ScopeKind.ZONE, ScopeKind.ZONE, ScopeKind.ZONE),
    "rateLimited": (CA_WIDE, SET, BY_NAME, SET),
    "unauthorized": (CA_WIDE, ACCOUNT_WIDE, BY_NAME, SET),
    "dns": (CA_WIDE, SET, BY_NAME, SET),
    "connection": (CA_WIDE, SET, BY_NAME, SET),
    "tls": (CA_WIDE, SET, BY_NAME, SET),
    "incorrectResponse": (CA_WIDE, SET, BY_NAME, SET),
    "badCSR": (CA_WIDE, SET, BY_NAME, SET),
    "https://ca.test/errors/of-its-own": (CA_WIDE, SET, BY_NAME, SET),
    "about:blank": (CA_WIDE, SET, BY_NAME, SET),
}


@pytest.mark.parametrize("problem", SCOPES)
def test_one_dead_name_does_not_hold_up_an_issuer(problem: str) -> None:
    assert tuple(scope_kind(problem, stage) for stage in Stage) == SCOPES[problem]


@pytest.mark.parametrize("problem", REACTIONS)
@pytest.mark.parametrize("stage", Stage)
def test_every_type_of_problem_has_a_scope_with_a_schedule(problem: str, stage: Stage) -> None:
    assert SCHEDULES[scope_kind(problem, stage)]


def fail(
    before: ScopeRecord | None = None, scope: Scope = IDENTIFIER, now: datetime = START, **more: Any
) -> ScopeRecord:
    """One more failure, by a random source that always draws the middle."""

    class Middle(random.Random):
        def random(self) -> float:
            return 0.5

    given = {"problem": "dns", "detail": "NXDOMAIN", "retry_after": None, "rng": Middle()} | more
    return after_failure(scope, before, now=now, **given)


MINUTES = {
    ScopeKind.IDENTIFIER: (1, 10, 100, 1440, 1440, 1440, 1440, 1440),
    ScopeKind.SET: (1, 10, 100, 1440, 1440, 1440, 1440, 1440),
    ScopeKind.DOMAIN: (1, 10, 100, 1440, 1440, 1440, 1440, 1440),
    ScopeKind.ISSUER: (1, 2, 4, 8, 16, 32, 60, 60),
    ScopeKind.ACCOUNT: (1, 2, 4, 8, 16, 32, 60, 60),
    ScopeKind.ZONE: (1, 2, 4, 8, 16, 32, 60, 60),
}


@pytest.mark.parametrize("kind", ScopeKind)
def test_each_failure_in_a_row_waits_longer_up_to_a_limit(kind: ScopeKind) -> None:
    """Let's Encrypt's integration guide: 1, 10, 100 minutes, then once a day."""
    row, waits = None, []
    for _ in MINUTES[kind]:
        row = fail(row, Scope(kind, ISSUER, "key"))
        assert row.blocked_until is not None
        waits.append(round((row.blocked_until - START) / MINUTE, 6))
    assert waits == list(MINUTES[kind])
    assert row is not None
    assert (row.failures, row.firm_until) == (8, None)


def test_waits_are_spread_by_a_fifth_both_ways() -> None:
    """LD: a thousand certificates that failed together do not come back together."""
    rows = [fail(rng=random.Random(seed)).blocked_until for seed in range(500)]
    waits = [(moment - START) / MINUTE for moment in rows if moment is not None]
    assert 0.8 <= min(waits) < 0.81
    assert 1.19 < max(waits) <= 1.2


def test_the_cas_own_moment_is_taken_to_the_microsecond() -> None:
    """RFC 8555 §6.6: rateLimited with Retry-After; nothing of ours shortens or lengthens it."""
    row = None
    for hours in (3, 4, 5, 6, 7):
        row = fail(row, problem="rateLimited", retry_after=START + hours * HOUR)
        assert row.blocked_until == row.firm_until == START + hours * HOUR


def test_a_moment_of_the_ca_that_is_now_makes_no_loop() -> None:
    """R14: `Retry-After: 0` again and again is a minute each time, and a person may try at once."""
    row = None
    for _ in range(5):
        row = fail(row, retry_after=START)
        assert (row.blocked_until, row.firm_until) == (START + MINUTE, START)


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(None, 3 * HOUR), (START + HOUR, 3 * HOUR), (START + 4 * HOUR, 4 * HOUR)], ids=str
)
def test_another_requests_failure_does_not_shorten_what_the_ca_has_said(
    retry_after: datetime | None, expected: timedelta
) -> None:
    """Two orders fail side by side: the first is told "in three hours", the second only "no"."""
    first = fail(scope=Scope(ScopeKind.ISSUER, ISSUER, ISSUER), retry_after=START + 3 * HOUR)
    second = fail(first, first.scope, retry_after=retry_after)
    assert second.blocked_until == second.firm_until == START + expected
    assert second.failures == 2


def test_a_moment_of_the_ca_that_has_passed_binds_nobody() -> None:
    first = fail(retry_after=START + HOUR)
    second = fail(first, now=START + 2 * HOUR)
    assert second.blocked_until == START + 2 * HOUR + 10 * MINUTE


def test_the_row_says_what_came_last() -> None:
    row = fail(fail(), problem="caa", detail="CAA record forbids", now=START + HOUR)
    assert (row.problem, row.detail, row.updated_at) == ("caa", "CAA record forbids", START + HOUR)


@pytest.mark.parametrize(
    ("kind", "failures", "left", "expected"),
    [
        (ScopeKind.IDENTIFIER, 4, None, DAY),
        (ScopeKind.IDENTIFIER, 4, 30 * DAY, DAY),
        (ScopeKind.IDENTIFIER, 4, 10 * DAY, DAY),
        (ScopeKind.IDENTIFIER, 4, 8 * DAY - MINUTE, DAY - MINUTE / 8),
        (ScopeKind.SET, 4, 4 * DAY, DAY / 2),
        (ScopeKind.IDENTIFIER, 9, 80 * HOUR, 10 * HOUR),
        (ScopeKind.IDENTIFIER, 3, 8 * HOUR, HOUR),
        (ScopeKind.IDENTIFIER, 4, HOUR, 15 * MINUTE),
        (ScopeKind.IDENTIFIER, 4, -DAY, 15 * MINUTE),
        (ScopeKind.IDENTIFIER, 1, HOUR, MINUTE),
        (ScopeKind.ISSUER, 7, HOUR, HOUR),
    ],
    ids=str,
)
def test_with_little_left_a_name_is_tried_more_often_but_never_more_than_the_ca_allows(
    kind: ScopeKind, failures: int, left: timedelta | None, expected: timedelta
) -> None:
    """A 160-hour certificate with a wait of a day between tries has three of them; an hour takes five failures."""
    assert scheduled(kind, failures, left) == expected


def test_what_is_left_reaches_the_row() -> None:
    before = replace(fail(), failures=5)
    row = fail(before, left=4 * DAY)
    assert row.blocked_until == START + DAY / 2
