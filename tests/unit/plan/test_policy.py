"""Names and addresses that no CA in public trust may certify are known before one is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.identifiers import parse_identifier, parse_identifiers
from certd.plan.policy import RESERVED, Refuse, never_public

REFUSED = {
    "localhost": "RFC 6761",
    "demo.localhost": "RFC 6761",
    "*.demo.test": "RFC 6761",
    "printer.local": "RFC 6762",
    "db.internal": "ICANN",
    "nas.home.arpa": "RFC 8375",
    "example.org": "RFC 2606",
    "WWW.Example.COM.": "RFC 2606",
    "*.example.net": "RFC 2606",
    "intranet": "no dot",
    "*.lan": "no dot",
    "127.0.0.1": "public Internet",
    "10.0.0.7": "public Internet",
    "169.254.1.1": "public Internet",
    "192.0.2.1": "public Internet",
    "224.0.0.251": "public Internet",
    "::1": "public Internet",
    "fd00::1": "public Internet",
    "2001:db8::1": "public Internet",
}
POSSIBLE = [
    "shop.de",
    "*.shop.de",
    "myexample.org",
    "example.org.uk",
    "test.de",
    "localhost.de",
    "9.9.9.9",
    "2620:fe::fe",
]


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_what_is_nobodys_is_refused_with_its_reason(name: str, why: str) -> None:
    identifier = parse_identifier(name)
    verdict = never_public([identifier])
    assert verdict is not None
    (reason,) = verdict.reasons
    assert reason.startswith(f"{identifier}: ")
    assert why in reason


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_only_looks_like_it_is_not(name: str) -> None:
    assert never_public([parse_identifier(name)]) is None


def test_of_many_names_each_that_is_to_blame_is_told() -> None:
    assert never_public(parse_identifiers(["shop.de", "localhost", "a.test"])) == Refuse(
        (
            "localhost: names under localhost are reserved and belong to nobody (RFC 6761)",
            "a.test: names under test are reserved and belong to nobody (RFC 6761)",
        )
    )


@given(st.sampled_from(sorted(RESERVED)), st.lists(st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)))
def test_everything_below_a_reserved_name_is_refused(suffix: str, labels: list[str]) -> None:
    """SE18: however deep, and as a wildcard."""
    name = ".".join([*labels[:5], suffix])
    assert never_public(parse_identifiers([name, f"*.{name}"])) is not None
