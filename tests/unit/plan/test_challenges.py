"""Which challenge answers for an identifier: what can be answered, what fits, what the CA offers, in that order."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, permutations

import pytest

from certd.model.acme import Authorization, AuthorizationStatus, Challenge, ChallengeStatus, ChallengeType
from certd.model.errors import ConfigError
from certd.model.identifiers import parse_identifier
from certd.plan.challenges import choose, fitting

HTTP, DNS, ALPN = ChallengeType.HTTP_01, ChallengeType.DNS_01, ChallengeType.TLS_ALPN_01
EVERY_WISH = [*chain.from_iterable(permutations((HTTP, DNS, ALPN), n) for n in range(4))]
FITS = {
    "example.org": {HTTP, DNS, ALPN},
    "*.example.org": {DNS},
    "xn--mnchen-3ya.example": {HTTP, DNS, ALPN},
    "192.0.2.1": {HTTP, ALPN},
    "2001:db8::1": {HTTP, ALPN},
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("allowed", EVERY_WISH, ids=lambda types: "+".join(t.value for t in types) or "none")
def test_what_fits_stays_in_the_wished_order_and_nothing_else_is_tried(
    name: str, allowed: Sequence[ChallengeType]
) -> None:
    """RFC 8738 §7: "dns-01" MUST NOT be used for addresses; all CAs want it for wildcards."""
    fit = tuple(t for t in allowed if t in FITS[name])
    if fit:
        assert fitting(parse_identifier(name), allowed) == fit
        return
    with pytest.raises(ConfigError) as caught:
        fitting(parse_identifier(name), allowed)
    assert str(caught.value).startswith(f"{name}: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "allowed", "message", "hint"),
    [
        ("*.example.org", [HTTP], "a wildcard can only be validated by DNS", "--dns PROVIDER"),
        ("192.0.2.1", [DNS], "an IP address cannot be validated by DNS", "--challenge http-01"),
        ("example.org", [], "no challenge type is allowed", "--challenge TYPE"),
    ],
)
def test_what_cannot_be_validated_is_refused_before_the_ca_is_asked(
    name: str, allowed: list[ChallengeType], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        fitting(parse_identifier(name), allowed)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def authorization(name: str, *types: ChallengeType, others: Sequence[str] = ()) -> Authorization:
    challenges = tuple(
        Challenge(f"https://ca.test/{n}", type_, ChallengeStatus.PENDING, f"token-{n}") for n, type_ in enumerate(types)
    )
    offered = (*others, *(t.value for t in types))
    return Authorization(
        "https://ca.test/authz/1", parse_identifier(name), AuthorizationStatus.PENDING, challenges, offered
    )


@pytest.mark.parametrize("offered", list(permutations((HTTP, DNS, ALPN))), ids=lambda o: "+".join(t.value for t in o))
@pytest.mark.parametrize("allowed", [wish for wish in EVERY_WISH if wish], ids=lambda w: "+".join(t.value for t in w))
def test_our_order_of_preference_decides_whatever_the_cas(
    offered: Sequence[ChallengeType], allowed: Sequence[ChallengeType]
) -> None:
    """CAs shuffle their arrays; Pebble does on purpose."""
    assert choose(authorization("example.org", *offered), allowed).type is allowed[0]


def test_the_next_best_is_taken_where_the_ca_does_not_offer_the_best() -> None:
    assert choose(authorization("example.org", DNS), [HTTP, ALPN, DNS]).type is DNS
    assert choose(authorization("192.0.2.1", HTTP, ALPN), [DNS, ALPN]).type is ALPN


def test_a_challenge_that_has_failed_already_is_not_answered_again() -> None:
    """Some CAs leave the authorization pending, for another type to be tried."""
    found = authorization("example.org", HTTP, ALPN)
    dead = replace(found.challenges[0], status=ChallengeStatus.INVALID)
    assert choose(replace(found, challenges=(dead, found.challenges[1])), [HTTP, ALPN]).type is ALPN
    with pytest.raises(ConfigError, match="only http-01 can be answered here"):
        choose(replace(found, challenges=(dead, found.challenges[1])), [HTTP])


def test_of_two_challenges_of_one_type_the_first_is_taken() -> None:
    """R40: duplicate types are odd, not a reason to fail."""
    assert choose(authorization("example.org", HTTP, HTTP, DNS), [HTTP]).url == "https://ca.test/0"


def test_a_ca_that_offers_nothing_usable_is_told_with_what_it_offers() -> None:
    with pytest.raises(ConfigError) as caught:
        choose(authorization("example.org", DNS, others=["x-foo-99", "dns-01"]), [HTTP, ALPN])
    assert str(caught.value) == (
        "example.org: the CA offers dns-01, x-foo-99, but only http-01, tls-alpn-01 can be answered here"
    )
    with pytest.raises(ConfigError, match="the CA offers no challenge, but only http-01"):
        choose(authorization("example.org"), [HTTP])
