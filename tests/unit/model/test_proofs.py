"""What is published for a challenge, as data that another process can withdraw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.acme import ChallengeType
from certd.model.identifiers import Identifier, IdentifierType, parse_identifier
from certd.model.proofs import Proof, ProofState, tls_alpn_name, token_of


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("example.org", "example.org"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        (
            "2001:db8::1",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        ),
    ],
)
def test_a_tls_alpn_validator_asks_by_name_and_for_an_address_by_its_reverse_name(identifier: str, name: str) -> None:
    """RFC 8738 §6: SNI has no form for addresses."""
    assert tls_alpn_name(parse_identifier(identifier)) == name


@given(st.ip_addresses())
def test_a_reverse_name_is_lower_case_without_a_final_dot(address: object) -> None:
    name = tls_alpn_name(Identifier(IdentifierType.IP, str(address)))
    assert name == name.lower().rstrip(".")
    assert name.endswith((".in-addr.arpa", ".ip6.arpa"))


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True))
def test_the_token_is_what_stands_before_the_thumbprint(token: str, thumbprint: str) -> None:
    """RFC 8555 §8.1: base64url has no dot."""
    assert token_of(f"{token}.{thumbprint}") == token


def test_proofs_are_compared_by_value_and_can_be_in_a_set() -> None:
    """Providers add and remove sets of them."""
    one = parse_identifier("example.org")
    proof = Proof(ChallengeType.DNS_01, one, "_acme-challenge.example.org", "value", "example.org")
    same = Proof(ChallengeType.DNS_01, one, "_acme-challenge.example.org", "value", "example.org")
    wildcards = Proof(ChallengeType.DNS_01, one, "_acme-challenge.example.org", "other", "example.org")
    assert {proof, same, wildcards} == {proof, wildcards}


def test_a_proof_is_perhaps_published_until_it_is_withdrawn() -> None:
    assert [state.value for state in ProofState] == ["journalled", "withdrawing", "withdrawn"]
