"""When a certificate is issued again: lifetimes from an hour to 398 days, a window drawn in once, clocks that jump."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.acme import CertId, IssuerId
from certd.model.identifiers import set_key
from certd.model.keys import KeyType, KeyWish
from certd.model.records import Renewal
from certd.plan.due import Snapshot, draw_renewal, first_finding, floor, is_fetch_due, synthesised_window
from tests.fakes.clock import START
from tests.unit.plan.samples import DAY, HOUR, desired, due, generation, window

MINUTE = timedelta(minutes=1)


class CountingRandom(random.Random):
    """Says how often it was asked."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.draws = 0

    def random(self) -> float:
        self.draws += 1
        return super().random()


def code(snapshot: Snapshot, now: datetime = START) -> str | None:
    found = first_finding(snapshot, now)
    return found.code if found else None


#: lifetime, the middle of our own window, half its width, the floor; all counted from notBefore
LIFETIMES = [
    (HOUR, 30 * MINUTE, timedelta(seconds=36), 50 * MINUTE),
    (6 * DAY, 3 * DAY, 0.06 * DAY, 5 * DAY),
    (timedelta(hours=160), timedelta(hours=80), timedelta(hours=1.6), timedelta(hours=160) * 5 / 6),
    (10 * DAY, 10 * DAY * 2 / 3, 0.1 * DAY, 9.5 * DAY),
    (45 * DAY, 30 * DAY, 0.45 * DAY, 42.75 * DAY),
    (64 * DAY, 64 * DAY * 2 / 3, 0.64 * DAY, 60.8 * DAY),
    (90 * DAY, 60 * DAY, 0.9 * DAY, 85.5 * DAY),
    (398 * DAY, 398 * DAY * 2 / 3, 3.98 * DAY, 378.1 * DAY),
]


@pytest.mark.parametrize(("lifetime", "middle", "half", "last"), LIFETIMES, ids=str)
def test_without_a_word_of_the_ca_it_is_due_about_two_thirds_in_or_half_under_ten_days(
    lifetime: timedelta, middle: timedelta, half: timedelta, last: timedelta
) -> None:
    """I30: a rule counted in days renews a six-day certificate on every run."""
    made = generation(lifetime)
    start, end = synthesised_window(made)
    assert abs(start - (START + middle - half)) <= timedelta(microseconds=2)
    assert abs(end - (START + middle + half)) <= timedelta(microseconds=2)
    assert abs(floor(made) - (START + last)) <= timedelta(microseconds=2)
    drawn = [draw_renewal(made, None, None, random.Random(seed), None).due_at for seed in range(300)]
    assert all(start <= moment <= end for moment in drawn)
    assert min(drawn) < start + half / 10, "the whole window is used"
    assert max(drawn) > end - half / 10


@pytest.mark.parametrize("lifetime", [row[0] for row in LIFETIMES], ids=str)
def test_a_certificate_is_left_alone_until_its_moment_and_not_a_microsecond_longer(lifetime: timedelta) -> None:
    made = generation(lifetime)
    renewal = draw_renewal(made, None, None, random.Random(1), None)
    seen = Snapshot(desired(), made, renewal)
    tick = timedelta(microseconds=1)
    for moment, expected in [
        (START, None),
        (renewal.due_at - tick, None),
        (renewal.due_at, "due"),
        (floor(made) - tick, "due"),
        (floor(made), "floor"),
        (made.not_after - tick, "floor"),
        (made.not_after, "expired"),
        (made.not_after + 3650 * DAY, "expired"),
        (START - 3650 * DAY, None),
    ]:
        assert code(seen, moment) == expected, moment


def test_the_floor_does_not_wait_for_a_window_that_lies_years_away() -> None:
    """YR2: windows jump; certd never lets a certificate run out for one."""
    made = generation(90 * DAY)
    renewal = draw_renewal(made, window(START + 3650 * DAY), None, random.Random(1), None)
    seen = Snapshot(desired(), made, renewal)
    assert code(seen, START + 85 * DAY) is None
    assert code(seen, START + 86 * DAY) == "floor"


def test_without_a_stored_moment_the_floor_still_holds() -> None:
    seen = Snapshot(desired(), generation(90 * DAY), None)
    assert code(seen, START + 85 * DAY) is None
    assert code(seen, START + 86 * DAY) == "floor"


def test_a_window_of_the_ca_that_is_over_is_due_at_once() -> None:
    """RFC 9773 §4.2: a recall lies in the past, and so does whatever is drawn in it."""
    made = generation(90 * DAY)
    before = draw_renewal(made, window(START + 60 * DAY), None, random.Random(1), None)
    now = START + 5 * DAY
    recalled = draw_renewal(made, window(now - HOUR, HOUR / 2, "https://ca.test/why"), before, random.Random(1), None)
    assert (recalled.by_ca, recalled.explanation_url) == (True, "https://ca.test/why")
    found = first_finding(Snapshot(desired(), made, recalled), now)
    assert found is not None
    assert found.message == f"due since {recalled.due_at:%Y-%m-%d %H:%M}Z by the CA's suggested window"


def test_a_first_window_that_was_over_before_issuance_is_not_this_certificates() -> None:
    """I23: a stale window and a backdated notBefore bought five certificates in ten seconds."""
    made = generation(90 * DAY, begins=START - HOUR, created_at=START)
    stale = window(START - 2 * HOUR, HOUR)
    renewal = draw_renewal(made, stale, None, random.Random(1), None)
    assert not renewal.by_ca
    assert code(Snapshot(desired(), made, renewal)) is None
    again = draw_renewal(made, stale, renewal, random.Random(1), None)
    assert code(Snapshot(desired(), made, again)) == "due", "a CA that says it twice means it"


@pytest.mark.parametrize("length", [timedelta(0), -HOUR])
def test_a_window_that_ends_before_it_begins_is_no_answer(length: timedelta) -> None:
    """RFC 9773 §4.2; lego panicked."""
    made = generation(90 * DAY)
    before = draw_renewal(made, window(START + 40 * DAY), None, random.Random(1), None)
    assert draw_renewal(made, window(START + 9 * DAY, length), before, random.Random(2), None) == before
    own = draw_renewal(made, window(START + 9 * DAY, length), None, random.Random(2), None)
    assert (own.window_start, own.window_end) == synthesised_window(made)


def test_without_an_answer_the_last_window_stays() -> None:
    made = generation(90 * DAY)
    before = draw_renewal(made, window(START + 40 * DAY, url="https://ca.test/why"), None, random.Random(1), None)
    after = draw_renewal(made, None, before, random.Random(2), START + 6 * HOUR)
    assert after == replace(before, next_fetch_at=START + 6 * HOUR)


def test_a_thousand_checks_draw_once_for_each_window() -> None:
    """CA29: choosing at every check drifts to the end of the window, or past it."""
    made, rng = generation(90 * DAY), CountingRandom(3)
    windows = [window(START + days * DAY) for days in (58, 60, 62)]
    renewal: Renewal | None = None
    moments = set()
    for check in range(1000):
        renewal = draw_renewal(made, windows[check // 400], renewal, rng, None)
        moments.add(renewal.due_at)
        assert renewal.window_start <= renewal.due_at <= renewal.window_end
    assert len(moments) == len(windows)


def test_a_ca_whose_servers_take_turns_at_two_windows_moves_nothing() -> None:
    """Drawing at each change would be drawing at every check again."""
    made, rng = generation(90 * DAY), CountingRandom(3)
    one, other = window(START + 60 * DAY, 2 * HOUR), window(START + 60 * DAY + HOUR, 3 * HOUR)
    renewal: Renewal | None = None
    moments: dict[datetime, set[datetime]] = {}
    for check in range(1000):
        renewal = draw_renewal(made, (one, other)[check % 2], renewal, rng, None)
        moments.setdefault(renewal.window_start, set()).add(renewal.due_at)
    for seen in moments.values():
        assert max(seen) - min(seen) < timedelta(milliseconds=1)
    assert rng.draws == 1


@given(
    st.integers(0, 2**32), st.integers(1, 200 * 86400), st.lists(st.integers(1, 200 * 86400), min_size=1, max_size=4)
)
def test_the_moment_lies_in_its_window_however_windows_change(seed: int, first: int, widths: list[int]) -> None:
    made = generation(398 * DAY)
    renewal = None
    for index, width in enumerate(widths):
        info = window(START + index * HOUR + timedelta(seconds=first), timedelta(seconds=width))
        renewal = draw_renewal(made, info, renewal, random.Random(seed), None)
        assert info.start <= renewal.due_at <= info.end


def test_a_new_generation_draws_anew() -> None:
    """State belongs to a certificate id, and is dropped with it (RFC 9773 §4.2)."""
    made = generation(90 * DAY, number=7, cert_id=CertId("aki.7"))
    renewal = draw_renewal(made, None, None, random.Random(1), None)
    assert (renewal.name, renewal.number, renewal.cert_id) == (made.name, 7, "aki.7")


WISH = desired()
CSR = desired(csr=b"csr")
BY_CSR = generation(csr_given=True, key_id=None)
CHANGES = {
    "nothing stored": (Snapshot(WISH, None, None), "missing", "no certificate yet"),
    "one name more": (
        Snapshot(desired("example.org", "www.example.org", "a.example.org"), generation(), None),
        "names-changed",
        "names changed: +a.example.org",
    ),
    "one name for another": (
        Snapshot(desired("example.org", "192.0.2.1"), generation(), None),
        "names-changed",
        "names changed: +192.0.2.1 -www.example.org",
    ),
    "the order of names": (Snapshot(desired("www.example.org", "example.org"), generation(), None), None, ""),
    "issuer": (
        Snapshot(desired(issuer=IssuerId("https://other.test/d")), generation(), None),
        "issuer-changed",
        "issuer changed: https://ca.test/directory → https://other.test/d",
    ),
    "key type": (
        Snapshot(desired(key=KeyWish(KeyType.RSA2048)), generation(), None),
        "key-changed",
        "key type changed: EC P-256 → RSA 2048",
    ),
    "to a CSR": (Snapshot(CSR, generation(), None), "key-changed", "key changed: to that of a CSR"),
    "to another CSR": (
        Snapshot(CSR, BY_CSR, None, other_csr_key=True),
        "key-changed",
        "key changed: to that of another CSR",
    ),
    "the same CSR": (Snapshot(CSR, BY_CSR, None), None, ""),
    "the key type of a CSR is its maker's affair": (
        Snapshot(replace(CSR, key=KeyWish(KeyType.RSA2048)), BY_CSR, None),
        None,
        "",
    ),
    "from a CSR": (
        Snapshot(WISH, BY_CSR, None),
        "key-changed",
        "key changed: from that of a CSR to one of certd's own",
    ),
    "profile": (
        Snapshot(desired(profile="shortlived"), generation(), None),
        "profile-changed",
        "profile changed: the CA's default → shortlived",
    ),
    "profile left out": (
        Snapshot(WISH, generation(profile="shortlived"), None),
        "profile-changed",
        "profile changed: shortlived → the CA's default",
    ),
    "revoked": (Snapshot(WISH, generation(revoked_at=START), None), "revoked", "revoked on 2026-11-24"),
    "all as it was": (Snapshot(WISH, generation(), due(START + DAY)), None, ""),
}


@pytest.mark.parametrize(("snapshot", "expected", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_what_changed_is_noticed_and_said(snapshot: Snapshot, expected: str | None, message: str) -> None:
    found = first_finding(snapshot, START)
    assert (found.code if found else None, found.message if found else "") == (expected, message)


def test_the_first_reason_is_the_one_that_is_said() -> None:
    """Everything at once: the order of the checks is what people read."""
    made = generation(HOUR, revoked_at=START, set_key=set_key(desired("old.example.org").identifiers), profile="x")
    seen = Snapshot(desired(issuer=IssuerId("https://o.test"), key=KeyWish(KeyType.EC384)), made, due(START))
    now = START + DAY
    order = []
    for mend in (
        {"set_key": set_key(desired().identifiers)},
        {"issuer": IssuerId("https://o.test")},
        {"key_type": KeyType.EC384},
        {"profile": ""},
        {"revoked_at": None},
        {"not_after": now + MINUTE},
        {"not_after": now + 90 * DAY},
    ):
        order.append(code(seen, now))
        assert seen.generation is not None
        seen = replace(seen, generation=replace(seen.generation, **mend))
    assert order == [
        "names-changed",
        "issuer-changed",
        "key-changed",
        "profile-changed",
        "revoked",
        "expired",
        "floor",
    ]
    assert code(seen, now) == "due"


@pytest.mark.parametrize(
    ("next_fetch", "expected"),
    [
        (None, False),
        (timedelta(0), True),
        (-DAY, True),
        (MINUTE, False),
        (DAY, False),
        (DAY + 2 * HOUR, True),
        (3650 * DAY, True),
    ],
    ids=str,
)
def test_the_ca_is_asked_at_its_moment_and_after_a_clock_that_was_ahead(
    next_fetch: timedelta | None, expected: bool
) -> None:
    """CK2: a clock that was ten years ahead for a minute must not silence ARI for ten years."""
    renewal = replace(due(START + 30 * DAY), next_fetch_at=START + next_fetch if next_fetch is not None else None)
    assert is_fetch_due(renewal, START) is expected


def test_what_was_never_asked_is_asked() -> None:
    assert is_fetch_due(None, START)
