"""Retry-After and Date: both forms, every nonsense, whatever the time zone and whatever the clocks say."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from certd.ca.retry_after import LONGEST_WAIT, parse_http_date, parse_retry_after
from certd.model.acme import NewOrder
from certd.model.errors import CaRefused
from certd.model.identifiers import parse_identifiers
from tests.fakes.clock import START
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, problem, reply

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

FORMS: dict[str, datetime | None] = {
    "0": NOW,
    "60": NOW + MINUTE,
    " 60 ": NOW + MINUTE,
    "00060": NOW + MINUTE,
    "86400": NOW + timedelta(days=1),
    "99999999999999999999": NOW + LONGEST_WAIT,
    "9" * 400: None,
    "-1": None,
    "1e99": None,
    "1.5": None,
    "NaN": None,
    "inf": None,
    "": None,
    "soon": None,
    "٦٠": None,
    "60, 60": None,
    "Tue, 24 Nov 2026 09:01:00 GMT": NOW + MINUTE,
    "Tuesday, 24-Nov-26 09:01:00 GMT": NOW + MINUTE,
    "Tue Nov 24 09:01:00 2026": NOW + MINUTE,
    "Tue, 24 Nov 2026 09:01:00 -0000": NOW + MINUTE,
    "Tue, 24 Nov 2026 10:01:00 +0100": NOW + MINUTE,
    "Sun, 06 Nov 1994 08:49:37 GMT": NOW,
    "Fri, 31 Dec 9999 23:59:59 GMT": NOW + LONGEST_WAIT,
    "Tue, 24 Nov 99999 09:01:00 GMT": None,
    "Tue, 99 Nov 2026 09:01:00 GMT": None,
    "Tue, 24 Foo 2026 09:01:00 GMT": None,
    "2026-11-24T09:01:00Z": None,
}


@pytest.mark.parametrize(("value", "moment"), FORMS.items(), ids=lambda v: repr(v)[:32])
def test_both_forms_are_absolute_moments_and_nonsense_is_none(value: str, moment: datetime | None) -> None:
    """R14: seconds or HTTP-date, 0, -1, 1e99, NaN, dates in the past."""
    assert parse_retry_after(value, NOW) == moment


def test_none_is_none() -> None:
    """R14: no header, no moment."""
    assert parse_retry_after(None, NOW) is None


@pytest.fixture(params=["UTC", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "value", ["Tue, 24 Nov 2026 09:01:00 GMT", "Tuesday, 24-Nov-26 09:01:00 GMT", "Tue Nov 24 09:01:00 2026"]
)
def test_a_date_means_the_same_in_every_time_zone(zone: str, value: str) -> None:
    """R14: acme 5.9 makes 28,860 s of a minute in Los Angeles."""
    assert parse_retry_after(value, NOW) == NOW + MINUTE


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=400), timedelta(days=-400)])
def test_a_date_is_on_the_clock_of_the_ca(skew: timedelta) -> None:
    """CA40: a minute is a minute, however far the clocks are apart."""
    ca_time = NOW + skew
    value = (ca_time + MINUTE).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert parse_retry_after(value, NOW, ca_time) == NOW + MINUTE


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, "Mon,", "Mon", ", , ,", "a b c d e f", "Tue, 24 Nov 2026", "\x00", "Tue, -1 Nov 2026 0:0:0"],
)
def test_unreadable_dates_are_none(value: str) -> None:
    """CA40: nonsense in Date is as if it were absent."""
    assert parse_http_date(value) is None


async def test_a_limit_is_a_moment_in_the_problem_and_nothing_is_slept(fake: FakeCa, connect: Connect) -> None:
    """R14: the wait belongs to the plan; `Link rel=help` goes along."""
    ca = await connect()
    link = '<https://letsencrypt.org/docs/rate-limits>;rel="help"'
    fake.next("newOrder", problem("rateLimited", 429, Retry_After="120", Link=link))
    with pytest.raises(CaRefused) as caught:
        await ca.new_order(NewOrder(parse_identifiers(["example.org"])))
    refused = caught.value.problem
    assert refused.retry_after == START + timedelta(seconds=120)
    assert refused.help_url == "https://letsencrypt.org/docs/rate-limits"
    assert "rate-limits" in caught.value.hint
    assert fake.count("newOrder") == 1


@pytest.mark.parametrize(("code", "value"), [(429, "0"), (503, "3600"), (503, "Tue, 24 Nov 2026 09:01:00 GMT")])
async def test_each_form_reaches_the_problem(fake: FakeCa, connect: Connect, code: int, value: str) -> None:
    """CA14: 429 and 503; the date counts from the reply's own Date."""
    ca = await connect()
    fake.next("newOrder", reply(code, Retry_After=value, Date="Tue, 24 Nov 2026 09:00:00 GMT"))
    with pytest.raises(CaRefused) as caught:
        await ca.new_order(NewOrder(parse_identifiers(["example.org"])))
    assert caught.value.problem.status == code
    assert caught.value.problem.retry_after is not None
    assert timedelta(0) <= caught.value.problem.retry_after - START <= timedelta(hours=1)


async def test_an_order_brings_its_own_moment(fake: FakeCa, connect: Connect) -> None:
    """R33: Retry-After of a day on an order under way."""
    ca = await connect()
    fake.next("newOrder", after(Retry_After="86400"))
    order = await ca.new_order(NewOrder(parse_identifiers(["example.org"])))
    assert order.retry_after == START + timedelta(days=1)


@pytest.mark.parametrize("hours", [1, -1, 400 * 24, -400 * 24])
async def test_the_difference_of_the_clocks_is_known(fake: FakeCa, connect: Connect, hours: int) -> None:
    """CA40: for the alarm, and for decisions about windows."""
    moment = START + timedelta(hours=hours)
    fake.always("directory", after(Date=moment.strftime("%a, %d %b %Y %H:%M:%S GMT")))
    ca = await connect(registered=False)
    assert ca.clock_skew is None
    await ca.directory()
    assert ca.clock_skew == timedelta(hours=hours)


async def test_a_broken_date_leaves_the_clocks_alone(fake: FakeCa, connect: Connect) -> None:
    """CA40."""
    fake.always("directory", after(Date="the day before yesterday"))
    ca = await connect(registered=False)
    await ca.directory()
    assert ca.clock_skew is None
