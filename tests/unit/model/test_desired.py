"""What is wanted, as text: the same wish is the same text, and comes back as the same wish."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from certd.model.acme import IssuerId
from certd.model.desired import Desired
from certd.model.identifiers import CertName, Identifier, IdentifierType, parse_identifiers
from certd.model.keys import KeyType, KeyWish

NAME = CertName("shop")
WISH = Desired(NAME, parse_identifiers(["example.org", "2001:db8::1", "*.example.org"]), IssuerId("https://ca.test/d"))
HOSTS = st.from_regex(r"(\*\.)?[a-z0-9-]{1,20}(\.[a-z]{2,10}){1,3}", fullmatch=True)
IDENTIFIERS = st.lists(
    st.builds(Identifier, st.just(IdentifierType.DNS), HOSTS)
    | st.builds(Identifier, st.just(IdentifierType.IP), st.ip_addresses().map(str)),
    min_size=1,
    max_size=100,
    unique=True,
)


@given(
    identifiers=IDENTIFIERS,
    key=st.builds(KeyWish, st.sampled_from(KeyType), keep=st.booleans()),
    profile=st.text(max_size=20),
    chain=st.text(max_size=20),
    csr=st.none() | st.binary(min_size=1, max_size=300),
)
def test_a_wish_comes_back_from_its_text(
    identifiers: list[Identifier], key: KeyWish, profile: str, chain: str, csr: bytes | None
) -> None:
    wish = Desired(NAME, tuple(identifiers), IssuerId("https://ca.test/d"), key, profile, chain, csr)
    found = Desired.from_json(NAME, wish.to_json())
    assert found == replace(wish, identifiers=found.identifiers)
    assert set(found.identifiers) == set(identifiers), "a set: its order is nobody's wish"
    assert found.to_json() == wish.to_json()


def test_equal_wishes_are_equal_texts() -> None:
    """A ledger row is compared as text: what differs only in order must not look changed."""
    turned = replace(WISH, identifiers=WISH.identifiers[::-1])
    assert turned.to_json() == WISH.to_json()
    assert turned.set_key == WISH.set_key == "dns:*.example.org,dns:example.org,ip:2001:db8::1"
    assert json.loads(WISH.to_json())["identifiers"] == WISH.set_key


def test_every_part_of_a_wish_is_in_its_text() -> None:
    """But its name: that is the row's key."""
    others = [
        replace(WISH, identifiers=WISH.identifiers[:2]),
        replace(WISH, issuer=IssuerId("https://other.test/d")),
        replace(WISH, key=KeyWish(KeyType.RSA2048)),
        replace(WISH, key=KeyWish(keep=True)),
        replace(WISH, profile="shortlived"),
        replace(WISH, preferred_chain="ISRG Root X2"),
        replace(WISH, csr=b"csr"),
    ]
    assert len({wish.to_json() for wish in (WISH, *others)}) == len(others) + 1
    assert replace(WISH, name=CertName("other")).to_json() == WISH.to_json()
