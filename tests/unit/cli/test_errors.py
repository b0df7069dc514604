"""How errors look: identifier first, each mistake with its hint, what the CA said, when to come again."""

import json
from datetime import timedelta

import click
import pytest

from certd.cli.errors import show_error, show_usage
from certd.cli.main import group
from certd.model.clock import SystemClock
from certd.model.errors import CaRefused, CertdError, ChallengeFailed, ConfigError, ListenError, Mistakes, TryLater
from certd.model.identifiers import parse_identifier
from certd.model.problems import URN, Problem

SHOP = parse_identifier("shop.test")


def shown(error: CertdError, capsys: pytest.CaptureFixture[str]) -> str:
    show_error(error, 1, wants_json=False)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def as_json(error: CertdError, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    show_error(error, 1, wants_json=True)
    printed = capsys.readouterr()
    assert printed.err == ""
    found: dict[str, object] = json.loads(printed.out)
    return found


def test_an_error_its_details_and_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    error = ListenError("shop.test: no\n  because of this", hint="one way\nor another:\n    location /")
    assert shown(error, capsys) == (
        "error: shop.test: no\n  because of this\n  hint: one way\n        or another:\n            location /\n"
    )


def test_lines_that_are_not_indented_are_errors_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(CertdError("a.test: no\n  why\nb.test: no"), capsys) == (
        "error: a.test: no\n  why\nerror: b.test: no\n"
    )


def test_each_mistake_has_its_hint_and_a_hint_for_several_stands_once(capsys: pytest.CaptureFixture[str]) -> None:
    mistakes = Mistakes(
        [
            ConfigError("a", hint="the same"),
            ConfigError("b", hint="the same"),
            Mistakes([ConfigError("c", hint="another"), ConfigError("d")]),
        ]
    )
    assert shown(mistakes, capsys) == ("error: a\nerror: b\n  hint: the same\nerror: c\n  hint: another\nerror: d\n")


def test_when_to_come_again_is_a_moment_and_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    until = SystemClock().now() + timedelta(hours=3, seconds=30)
    printed = shown(TryLater("shop.test: later", until=until), capsys)
    assert printed.splitlines()[-1] == f"  again at {until:%Y-%m-%d %H:%M:%S}Z (in 3 hours)"


@pytest.mark.parametrize("until", [None, SystemClock().now() - timedelta(hours=1)])
def test_a_moment_that_nobody_knows_or_that_has_passed_is_no_length(
    until: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "(in" not in shown(TryLater("shop.test: later", until=until), capsys)


def test_a_refusal_that_passes_has_the_cas_moment_or_says_that_it_named_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = SystemClock().now() + timedelta(hours=3)
    named = CaRefused("ca: newAccount", Problem(f"{URN}rateLimited", "many", 429, retry_after=until))
    assert f"again at {until:%Y-%m-%d %H:%M:%S}Z" in shown(named, capsys)
    assert as_json(named, capsys)["retry_at"] == until.isoformat()
    silent = CaRefused("ca: newAccount", Problem(f"{URN}rateLimited", "many", 429))
    assert "again later; the CA did not say when" in shown(silent, capsys)


def test_programs_get_what_the_ca_said_of_each_name(capsys: pytest.CaptureFixture[str]) -> None:
    failed = Problem(f"{URN}connection", "203.0.113.9: refused", 400)
    assert as_json(ChallengeFailed("x", failed=[(SHOP, failed)]), capsys)["problems"] == [
        {"identifier": "shop.test", "type": f"{URN}connection", "detail": "203.0.113.9: refused", "status": 400}
    ]


def test_of_a_compound_refusal_the_names_are_told_and_not_the_frame(capsys: pytest.CaptureFixture[str]) -> None:
    inner = Problem(f"{URN}caa", "forbidden", identifier=SHOP)
    problem = Problem(f"{URN}compound", "some", 403, subproblems=(inner, Problem(f"{URN}dns", "of no name")))
    found = as_json(CaRefused("ca: newOrder", problem), capsys)["problems"]
    assert found == [{"identifier": "shop.test", "type": f"{URN}caa", "detail": "forbidden", "status": None}]
    plain = as_json(CaRefused("ca: newOrder", Problem(f"{URN}malformed", "what?", 400)), capsys)["problems"]
    assert plain == [{"identifier": None, "type": f"{URN}malformed", "detail": "what?", "status": 400}]


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["issue", "--domian", "x"], "there is no option --domian; did you mean --domain?", "certd issue --help"),
        (["issue", "--zzzz"], "there is no option --zzzz", "certd issue --help"),
        (["isue"], "there is no command 'isue'; did you mean issue?", "certd --help"),
        (["account", "shwo"], "there is no command 'shwo'; did you mean show?", "certd account --help"),
        (["xyz"], "there is no command 'xyz'", "certd --help"),
        (
            ["issue", "shop.test"],
            "shop.test: names are given with -d; did you mean -d shop.test?",
            "certd issue --help",
        ),
        (["issue", "-d"], "option '--domain' requires an argument", "certd --help"),
        (["issue", "--wait", "nan"], "invalid value for '--wait': nan is not between 0 and 86400 seconds", ""),
        (["issue", "--wait", "1e300"], "invalid value for '--wait': 1e+300 is not between 0 and 86400 seconds", ""),
        (["revoke"], "missing argument 'NAME|FILE'", "certd revoke --help"),
    ],
)
def test_a_command_line_that_was_mistyped(
    arguments: list[str], said: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(click.ClickException) as caught:
        group.main(arguments, prog_name="certd", standalone_mode=False)
    show_usage(caught.value, 2, wants_json=False)
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: {said}"
    assert second.startswith(f"  hint: {hint}")


@pytest.mark.parametrize("arguments", [[], ["account"], ["providers"]])
def test_a_word_that_says_nothing_is_answered_with_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(click.exceptions.NoArgsIsHelpError) as caught:
        group.main(arguments, prog_name="certd", standalone_mode=False)
    show_usage(caught.value, 2, wants_json=False)
    assert capsys.readouterr().err.startswith(f"Usage: {' '.join(['certd', *arguments])} [OPTIONS] COMMAND")
