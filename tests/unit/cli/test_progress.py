"""What a person sees while names are validated: one line each, names first, many of them in one."""

import pytest

from certd.cli.progress import MOST_LINES, TerminalProgress
from certd.model.acme import ChallengeType
from certd.model.identifiers import Identifier, parse_identifier

SHOP, WWW, HOME = map(parse_identifier, ("shop.test", "www.shop.test", "::1"))
HTTP = ChallengeType.HTTP_01


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    printed = capsys.readouterr()
    assert printed.out == "", "facts go to stdout, and progress is none"
    return printed.err.splitlines()


def test_each_name_has_its_line_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    for identifier in (WWW, SHOP):
        progress.validating(identifier, HTTP)
    progress.valid({WWW: HTTP, SHOP: HTTP})
    assert lines(capsys) == [
        "shop.test       http-01       ✓ valid    0.0 s",
        "www.shop.test   http-01       ✓ valid    0.0 s",
    ]


def test_a_name_that_the_ca_knows_already_took_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    """An authorization from an earlier order is used again: nothing was validated now."""
    TerminalProgress().valid({HOME: None})
    assert lines(capsys) == ["::1   known         ✓ valid"]


def test_what_failed_stands_under_the_names_it_was_tried_with(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.validating(WWW, HTTP)
    progress.validating(SHOP, ChallengeType.TLS_ALPN_01)
    progress.failed(SHOP)
    assert lines(capsys) == ["shop.test       tls-alpn-01   ✗ failed   0.0 s"]


def test_what_failed_before_it_was_tried_has_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalProgress().failed(SHOP)
    assert lines(capsys) == ["shop.test                 ✗ failed"]


@pytest.mark.parametrize(("count", "expected"), [(MOST_LINES, MOST_LINES), (MOST_LINES + 1, 1)])
def test_a_hundred_names_are_one_line(count: int, expected: int, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[Identifier, ChallengeType | None] = {parse_identifier(f"h{n}.test"): HTTP for n in range(count)}
    progress = TerminalProgress()
    for identifier in names:
        progress.validating(identifier, HTTP)
    progress.valid(names)
    printed = lines(capsys)
    assert len(printed) == expected
    if expected == 1:
        assert printed == [f"{count} names   ✓ valid   0.0 s"]


def test_a_quiet_one_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress(quiet=True)
    progress.valid({SHOP: None})
    progress.failed(SHOP)
    progress.note("shop.test: waiting")
    assert lines(capsys) == []
