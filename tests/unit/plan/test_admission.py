"""The one function that admits an order (invariant 4): limits of the CA, its own moments, our waits, the clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.identifiers import parse_identifiers, set_key
from certd.model.records import FailureRecord, Scope, ScopeKind, ScopeRecord
from certd.plan.admission import RELEASED, Allow, OrderRequest, Wait, admit, failures_left
from tests.fakes.clock import START
from tests.unit.plan.samples import DAY, HOUR, IDENTIFIER, ISSUER, failed

MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)


def ask(
    *scopes: ScopeRecord, failures: list[FailureRecord] | None = None, by_person: bool = False, now: datetime = START
) -> Allow | Wait:
    return admit(OrderRequest(scopes, [failures or []], by_person), now)


def until(verdict: Allow | Wait) -> datetime | None:
    return verdict.until if isinstance(verdict, Wait) else None


def row(
    blocked: timedelta | None = None, firm: timedelta | None = None, *, scope: Scope = IDENTIFIER, failures: int = 2
) -> ScopeRecord:
    return ScopeRecord(
        scope=scope,
        failures=failures,
        blocked_until=START + blocked if blocked is not None else None,
        firm_until=START + firm if firm is not None else None,
        problem="dns",
        detail="NXDOMAIN",
        updated_at=START,
    )


def test_what_never_failed_is_allowed() -> None:
    assert ask() == Allow()


def test_the_sixth_try_within_an_hour_is_not_sent() -> None:
    """Let's Encrypt: five failed validations per name, account and hour; a sixth order only burns another limit."""
    failures = failed(0, 5, 10, 20, 40)
    now = START + 41 * MINUTE
    verdict = ask(failures=failures, by_person=True, now=now)
    assert verdict == Wait(
        START + 60 * MINUTE,
        "example.org: 5 failed validations within an hour, and CAs allow no more; the last one: NXDOMAIN at 40",
    )
    assert until(ask(failures=failures, now=START + 60 * MINUTE - TICK)) == START + 60 * MINUTE
    assert ask(failures=failures, now=START + 60 * MINUTE) == Allow()
    assert ask(failures=failures[1:], now=now) == Allow()


@pytest.mark.parametrize(
    ("minutes", "now", "left"),
    [((), 0, 5), ((0,), 1, 4), ((0, 1, 2, 3, 4), 5, 0), ((0, 1, 2, 3, 4), 60, 1), ((0, 1, 2, 3, 4, 5, 6), 7, 0)],
)
def test_what_is_left_this_hour_is_known(minutes: tuple[int, ...], now: int, left: int) -> None:
    assert failures_left(failed(*minutes), START + now * MINUTE) == left


def test_after_more_than_five_the_hour_counts_from_the_fifth_last() -> None:
    """Several orders may fail side by side, and rows need not come in order."""
    failures = failed(50, 0, 30, 20, 40, 10, 35)
    assert until(ask(failures=failures, now=START + 55 * MINUTE)) == START + 80 * MINUTE


@given(st.lists(st.floats(-120, 0), max_size=12))
def test_whatever_failed_a_wait_ends_exactly_when_the_limit_allows_one_more(minutes: list[float]) -> None:
    failures = failed(*minutes)
    moment = until(ask(failures=failures))
    if moment is None:
        assert failures_left(failures, START) > 0
    else:
        assert START < moment <= START + HOUR
        assert failures_left(failures, moment - TICK) == 0
        assert ask(failures=failures, now=moment) == Allow()


def test_the_limit_is_per_name() -> None:
    """Twenty names with four failures each may be ordered; one with five stops them all."""
    crowd = [failed(1, 2, 3, 4) for _ in range(20)]
    now = START + 5 * MINUTE
    assert admit(OrderRequest((), crowd, by_person=False), now) == Allow()
    assert until(admit(OrderRequest((), [*crowd, failed(0, 1, 2, 3, 4)], by_person=False), now)) == START + HOUR


@pytest.mark.parametrize(
    ("blocked", "firm", "loop", "person"),
    [
        (None, None, None, None),
        (-MINUTE, None, None, None),
        (timedelta(0), None, None, None),
        (TICK, None, TICK, None),
        (HOUR, None, HOUR, None),
        (3 * HOUR, 3 * HOUR, 3 * HOUR, 3 * HOUR),
        (3 * HOUR, HOUR, 3 * HOUR, HOUR),
        (MINUTE, timedelta(0), MINUTE, None),
        (MINUTE, -MINUTE, MINUTE, None),
    ],
    ids=str,
)
def test_a_person_clears_our_wait_and_never_the_cas_moment(
    blocked: timedelta | None, firm: timedelta | None, loop: timedelta | None, person: timedelta | None
) -> None:
    scope = row(blocked, firm)
    assert until(ask(scope)) == (START + loop if loop else None)
    assert until(ask(scope, by_person=True)) == (START + person if person else None)


def test_a_person_clears_nothing_that_counts_against_a_limit() -> None:
    assert until(ask(row(DAY), failures=failed(-1, -2, -3, -4, -5), by_person=True)) == START + 55 * MINUTE


def test_the_latest_of_all_waits_decides() -> None:
    verdict = ask(row(HOUR), row(3 * HOUR, failures=7), row(2 * HOUR, 2 * HOUR))
    assert verdict == Wait(START + 3 * HOUR, "example.org: dns: NXDOMAIN (7 failures in a row)")
    person = ask(row(HOUR), row(3 * HOUR), row(2 * HOUR, 2 * HOUR), by_person=True)
    assert person == Wait(START + 2 * HOUR, "example.org: dns: NXDOMAIN (the CA named this moment)")


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["example.org"], "example.org"),
        (["b.example", "a.example", "2001:db8::1"], "a.example, b.example, 2001:db8::1"),
        ([f"{n}.example" for n in "abcdef"], "a.example, b.example, c.example and 3 more"),
    ],
)
def test_an_identifier_set_is_shown_by_its_names(names: list[str], title: str) -> None:
    scope = Scope(ScopeKind.SET, ISSUER, set_key(parse_identifiers(names)))
    verdict = ask(row(HOUR, scope=scope))
    assert isinstance(verdict, Wait)
    assert verdict.reason.startswith(f"{title}: dns: NXDOMAIN")


def test_a_clock_that_was_ahead_leaves_no_wait_of_years() -> None:
    """CK2: the clock was ten years ahead, everything failed (TLS!), it was set right: what was written then is void."""
    later = 3650 * DAY
    scope = replace(row(later + HOUR, later + HOUR), updated_at=START + later)
    assert ask(scope, failures=failed(*[later / MINUTE] * 5)) == Allow()


@pytest.mark.parametrize("now", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("by_person", [True, False])
def test_nothing_is_ordered_by_a_clock_from_before_this_code_was_written(now: datetime, by_person: bool) -> None:
    """CK1: a board without a battery boots in 1970, and would renew everything then (nixpkgs #221363)."""
    verdict = admit(OrderRequest([], [], by_person), now)
    assert isinstance(verdict, Wait)
    assert verdict.until == RELEASED
    assert f"clock says {now:%Y-%m-%d}" in verdict.reason
    assert admit(OrderRequest([], [], by_person), RELEASED) == Allow()


def test_a_clock_that_is_set_back_a_little_forgets_nothing() -> None:
    """Half an hour is what a wrong time zone or a first NTP answer makes; the CA has counted those failures."""
    ahead = 30 * MINUTE
    scope = replace(row(ahead + HOUR), updated_at=START + ahead)
    assert until(ask(scope)) == START + ahead + HOUR
    assert until(ask(failures=failed(26, 27, 28, 29, 30))) == START + 86 * MINUTE


def test_a_clock_that_jumps_forward_ends_waits() -> None:
    assert ask(row(DAY, DAY), failures=failed(0, 0, 0, 0, 0), now=START + 400 * DAY) == Allow()


@pytest.mark.parametrize(
    ("begins", "waits"),
    [
        (None, False),
        (-90 * DAY, False),
        (timedelta(0), False),
        (HOUR, False),
        (HOUR + TICK, True),
        (20_000 * DAY, True),
    ],
    ids=str,
)
def test_nothing_is_ordered_by_a_clock_that_is_behind_our_own_certificate(
    begins: timedelta | None, waits: bool
) -> None:
    """I33, CK1: a machine without a battery boots in 1970 and renews everything."""
    moment = START + begins if begins is not None else None
    for by_person in (True, False):
        verdict = admit(OrderRequest((), (), by_person, own_not_before=moment), START)
        assert until(verdict) == (moment if waits else None)
        if isinstance(verdict, Wait):
            assert "this machine's clock says 2026-11-24 09:00Z" in verdict.reason
