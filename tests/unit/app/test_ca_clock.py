"""Two clocks that differ: from five minutes on it is an alarm, and the CA's is believed."""

from datetime import timedelta

import pytest

from certd.app.ca_clock import MOST_SKEW, skew_note, trusted_skew

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("skew", "trusted"),
    [
        (None, timedelta(0)),
        (timedelta(0), timedelta(0)),
        (MOST_SKEW, timedelta(0)),
        (-MOST_SKEW, timedelta(0)),
        (MOST_SKEW + SECOND, MOST_SKEW + SECOND),
        (-MOST_SKEW - SECOND, -MOST_SKEW - SECOND),
    ],
)
def test_small_differences_are_the_network(skew: timedelta | None, trusted: timedelta) -> None:
    assert trusted_skew(skew) == trusted


@pytest.mark.parametrize(
    ("skew", "said"),
    [
        (timedelta(minutes=6), "this machine's clock is 6 minutes behind that of ca.test"),
        (-timedelta(hours=3), "this machine's clock is 3 hours ahead of that of ca.test"),
        (-timedelta(days=400), "this machine's clock is 400 days ahead of that of ca.test"),
    ],
)
def test_the_note_says_which_clock_is_off_and_by_how_much(skew: timedelta, said: str) -> None:
    assert skew_note("ca.test", skew).startswith(f"{said}: set it right")
