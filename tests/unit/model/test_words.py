"""Times as people read them."""

from datetime import timedelta

import pytest

from certd.model.words import in_words, moment
from tests.fakes.clock import START


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(days=90), "90 days"),
        (timedelta(days=89, hours=23), "89 days"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=1, hours=23), "47 hours"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=1, minutes=59), "119 minutes"),
        (timedelta(minutes=2), "2 minutes"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(0), "0 s"),
    ],
)
def test_a_length_has_one_unit(length: timedelta, said: str) -> None:
    assert in_words(length) == said


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (timedelta(days=30), "2026-12-24"),
        (timedelta(days=-30), "2026-10-25"),
        (timedelta(days=2), "2026-11-26 09:00:00Z"),
        (timedelta(days=-1), "2026-11-23 09:00:00Z"),
    ],
)
def test_a_moment_has_its_time_where_that_matters(away: timedelta, said: str) -> None:
    assert moment(START + away, START) == said
