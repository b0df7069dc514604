"""A validation that failed: what was tried, whom the CA asked, what to look at. The CA's words stay as they are."""

from pathlib import Path

import pytest

from certd.app.advice import Remembered, asked_elsewhere, with_advice
from certd.model.acme import ChallengeType
from certd.model.errors import ChallengeFailed
from certd.model.identifiers import Identifier, parse_identifier
from certd.model.problems import URN, Problem
from tests.fakes.publishers import Progress

SHOP, WWW = parse_identifier("shop.test"), parse_identifier("www.shop.test")
OWN = ("10.0.0.4", "198.51.100.7")
HTTP, TLS, DNS = ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01, ChallengeType.DNS_01


def problem(detail: str = "203.0.113.9: no", kind: str = "unauthorized") -> Problem:
    return Problem(f"{URN}{kind}", detail, 403)


def failure(*failed: tuple[Identifier, Problem], hint: str = "") -> ChallengeFailed:
    lines = [line for identifier, p in failed for line in (f"{identifier}: {p}", "  4 of 5 left")]
    return ChallengeFailed("\n".join(lines), failed=failed, hint=hint)


def test_the_way_that_was_tried_and_the_address_that_was_asked_are_told() -> None:
    told = with_advice(failure((SHOP, problem())), {SHOP: HTTP}, OWN)
    assert str(told).split("\n") == [
        "shop.test: http-01 failed: 203.0.113.9: no (urn:ietf:params:acme:error:unauthorized)",
        f"  {asked_elsewhere(problem(), OWN)}",
        "  4 of 5 left",
    ]
    assert told.failed == ((SHOP, problem()),)


def test_each_name_has_its_own_lines() -> None:
    told = with_advice(failure((SHOP, problem()), (WWW, problem("10.0.0.4: no"))), {SHOP: HTTP, WWW: TLS}, OWN)
    starts = [line.split(" failed")[0].split(", which")[0] for line in str(told).split("\n")]
    assert starts == [
        *("shop.test: http-01", "  the CA asked 203.0.113.9", "  4 of 5 left"),
        *("www.shop.test: tls-alpn-01", "  4 of 5 left"),
    ]


def test_a_name_that_was_not_tried_in_this_run_has_no_way() -> None:
    assert str(with_advice(failure((SHOP, problem("no"))), {}, OWN)).startswith("shop.test: no (urn:")


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("203.0.113.9: Fetching http://shop.test/: refused", True),
        ("2001:db8::9: Fetching http://shop.test/: refused", True),
        ("[2001:db8::9]: refused", True),
        ("10.0.0.4: refused", False),
        ("127.0.0.1: refused", False),
        ("DNS problem: NXDOMAIN looking up A for shop.test", False),
        ("1234: not an address", False),
        ("", False),
    ],
)
def test_only_an_address_of_somebody_else_is_worth_a_line(detail: str, told: bool) -> None:
    assert bool(asked_elsewhere(problem(detail), OWN)) is told


def test_whom_the_ca_asked_is_told_beside_whom_it_should_have() -> None:
    assert asked_elsewhere(problem(), OWN) == (
        "the CA asked 203.0.113.9, which is none of this host's addresses (10.0.0.4, 198.51.100.7): "
        "is there a NAT or proxy in front?"
    )


def test_where_no_own_address_is_known_nothing_is_claimed() -> None:
    assert asked_elsewhere(problem(), ()) == ""


def test_of_many_own_addresses_the_first_are_shown() -> None:
    assert "(10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, …)" in asked_elsewhere(
        problem(), [f"10.0.0.{number}" for number in range(1, 9)]
    )


@pytest.mark.parametrize(
    ("kind", "type_", "word"),
    [
        ("unauthorized", HTTP, "--webroot"),
        ("unauthorized", TLS, "--tls-address"),
        ("incorrectResponse", DNS, "name servers"),
        ("connection", HTTP, "port 80"),
        ("connection", TLS, "port 443"),
        ("tls", TLS, "port 443"),
        ("dns", HTTP, "A or AAAA record"),
        ("dns", DNS, "delegated"),
        ("caa", HTTP, "CAA record"),
        ("serverInternal", HTTP, ""),
    ],
)
def test_the_kind_of_failure_has_its_hint(kind: str, type_: ChallengeType, word: str) -> None:
    hint = with_advice(failure((SHOP, problem(kind=kind))), {SHOP: type_}, OWN).hint
    assert word in hint
    assert bool(hint) is bool(word)


def test_a_webroot_that_nobody_serves_is_named() -> None:
    told = with_advice(failure((SHOP, problem())), {SHOP: HTTP}, OWN, Path("/srv/www"))
    assert told.hint.startswith("the server for port 80 does not show what certd wrote below /srv/www")
    other = with_advice(failure((SHOP, problem(kind="connection"))), {SHOP: HTTP}, OWN, Path("/srv/www"))
    assert "port 80 of each name" in other.hint


def test_a_hint_for_all_names_stands_once_before_what_was_hinted_already() -> None:
    told = with_advice(failure((SHOP, problem()), (WWW, problem()), hint="go on"), {SHOP: HTTP, WWW: HTTP}, OWN)
    assert [line.split(":")[0] for line in told.hint.split("\n")] == [
        "another server answered in certd's place",
        "go on",
    ]


def test_what_is_remembered_is_passed_on() -> None:
    told = Progress()
    remembered = Remembered(told)
    remembered.validating(SHOP, HTTP)
    remembered.valid({SHOP: HTTP})
    remembered.failed(WWW)
    remembered.note("x")
    assert remembered.types == {SHOP: HTTP}
    assert told.have_failed == [WWW]
    assert told.notes == ["x"]
