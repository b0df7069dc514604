"""Chains of every shape a CA might send: good ones pass, odd ones are named and never mended (CA34, DP12)."""

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from certd.keys.certificates import chain_from_pem, chain_pem, fingerprint, parse_leaf
from certd.keys.chain import check_chain, preferred_chain
from certd.model.acme import Chain, Chains
from certd.model.errors import ChainRejected
from certd.model.identifiers import parse_identifiers
from certd.model.keys import KeyType
from tests.unit.keys.pki import DAY, NAMES, NOW, Issuer, make_issuer, make_leaf, spki

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key()
ROOT = make_issuer("Root X1")
UPPER = make_issuer("Upper Y2", by=ROOT)
ISSUING = make_issuer("Issuing R3", by=UPPER)
LEAF = make_leaf(ISSUING, PUBLIC)

OLD_ROOT = make_issuer("Old Root")
EXPIRED_UPPER = make_issuer("Upper Y2", by=OLD_ROOT, key=UPPER.key, days=(-3650, -1))
FUTURE_UPPER = make_issuer("Upper Y2", by=ROOT, key=UPPER.key, days=(1, 3650))
NO_CA = make_issuer("Issuing R3", by=UPPER, key=ISSUING.key, authority=False)
STRANGER = make_issuer("Stranger")
NAMESAKE = make_issuer("Issuing R3", by=UPPER)


def codes(*certificates: bytes) -> list[str]:
    findings = check_chain(Chain(certificates), public_der=spki(PUBLIC), identifiers=NAMES, now=NOW)
    assert all(str(finding) for finding in findings)
    return [finding.code for finding in findings]


def leaf(**changes: object) -> bytes:
    return make_leaf(ISSUING, PUBLIC, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("certificates", "wanted"),
    [
        # good ones
        ((LEAF, ISSUING.der, UPPER.der), []),
        ((LEAF, ISSUING.der, UPPER.der, ROOT.der), []),
        ((LEAF, ISSUING.der), []),
        ((LEAF,), []),
        ((leaf(names=(*NAMES[::-1],)), ISSUING.der), []),
        ((leaf(begins=timedelta(minutes=4)), ISSUING.der), []),
        # the leaf
        ((make_leaf(ISSUING, ec.generate_private_key(ec.SECP256R1()).public_key()), ISSUING.der), ["key-mismatch"]),
        ((leaf(names=NAMES[:-1]), ISSUING.der), ["names-missing"]),
        ((leaf(names=NAMES[1:]), ISSUING.der), ["names-missing"]),
        ((leaf(names=()), ISSUING.der), ["names-missing"]),
        ((leaf(names=(*NAMES, *parse_identifiers(["www.example.org"]))), ISSUING.der), ["names-extra"]),
        ((leaf(names=(*NAMES, *parse_identifiers(["192.0.2.8"]))), ISSUING.der), ["names-extra"]),
        ((leaf(more=(x509.RFC822Name("a@example.org"),)), ISSUING.der), ["names-extra"]),
        ((leaf(names=parse_identifiers(["other.example"])), ISSUING.der), ["names-missing", "names-extra"]),
        ((leaf(authority=True), ISSUING.der), ["leaf-is-ca"]),
        ((leaf(begins=-90 * DAY, ends=timedelta(0)), ISSUING.der), ["expired"]),
        ((leaf(begins=timedelta(hours=1)), ISSUING.der), ["not-yet-valid"]),
        # the chain
        ((ISSUING.der, UPPER.der), ["key-mismatch", "names-missing", "leaf-is-ca"]),
        ((LEAF, UPPER.der, ISSUING.der), ["order-wrong"]),
        ((LEAF, UPPER.der), ["unrelated"]),
        ((LEAF, STRANGER.der), ["unrelated"]),
        ((LEAF, NAMESAKE.der), ["unrelated"]),
        ((LEAF, ISSUING.der, STRANGER.der), ["unrelated"]),
        ((LEAF, ISSUING.der, ISSUING.der), ["duplicate", "unrelated"]),
        ((LEAF, LEAF), ["duplicate", "unrelated", "issuer-not-ca"]),
        ((LEAF, ISSUING.der, EXPIRED_UPPER.der), ["issuer-expired"]),
        ((LEAF, ISSUING.der, FUTURE_UPPER.der), ["issuer-not-yet-valid"]),
        ((LEAF, NO_CA.der), ["issuer-not-ca"]),
        # no chain at all
        ((), ["chain-empty"]),
        ((LEAF, *[ISSUING.der] * 10), ["chain-too-long"]),
        ((b"",), ["not-a-certificate"]),
        ((LEAF, b"\x30\x03\x02\x01\x01"), ["not-a-certificate"]),
        ((b"-----BEGIN CERTIFICATE-----",), ["not-a-certificate"]),
    ],
)
def test_a_chain_is_judged_by_everything_that_speaks_against_it(
    certificates: tuple[bytes, ...], wanted: list[str]
) -> None:
    """The table of CA34: no bad chain is installed, no good one refused."""
    assert codes(*certificates) == wanted


def test_an_address_is_not_the_same_as_a_name_that_reads_like_it() -> None:
    """A DNS SAN `192.0.2.7` proves nothing about the address."""
    names = tuple(i for i in NAMES if i.value != "192.0.2.7")
    assert codes(leaf(names=names, more=(x509.DNSName("192.0.2.7"),)), ISSUING.der) == ["names-missing", "names-extra"]


def test_messages_name_the_difference() -> None:
    """An operator reads them in the middle of the night."""
    odd = leaf(names=(*NAMES[1:], *parse_identifiers(["evil.example"])))
    findings = check_chain(Chain((odd, ISSUING.der)), public_der=spki(PUBLIC), identifiers=NAMES, now=NOW)
    assert [f.message for f in findings] == [
        "the certificate lacks example.org",
        "the certificate also names 'evil.example', which nobody ordered",
    ]


def test_the_facts_of_a_leaf_are_read() -> None:
    facts = parse_leaf(leaf(serial=0x00FA11))
    assert facts == replace(
        facts,
        serial="fa11",
        not_before=NOW - DAY,
        not_after=NOW + 89 * DAY,
        identifiers=NAMES,
        strange_names=(),
        issuer="CN=Issuing R3",
        public_der=spki(PUBLIC),
        aki=x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUING.key.public_key()).key_identifier,
        key_type=KeyType.EC256,
        is_ca=False,
    )
    assert len(facts.fingerprint) == 64


def test_a_serial_that_no_ca_should_use_is_read_without_noise() -> None:
    """Warnings are errors in this suite: the parser's own must not reach an operator's terminal."""
    odd = leaf(serial=0x77777777_77777777).replace(b"\x77" * 8, b"\xf7" + b"\x77" * 7)
    assert parse_leaf(odd).serial.startswith("-")


def test_a_leaf_without_authority_key_identifier_or_names_is_read_too() -> None:
    facts = parse_leaf(ROOT.der)
    assert (facts.aki, facts.identifiers, facts.is_ca) == (None, (), True)


CHAIN = Chain((LEAF, ISSUING.der, UPPER.der))


def test_pem_of_a_chain_is_certificates_only_and_comes_back_equal() -> None:
    text = chain_pem(CHAIN)
    assert text.count("-----BEGIN CERTIFICATE-----\n") == 3
    assert all(len(line) <= 64 for line in text.splitlines())
    assert chain_from_pem(text) == CHAIN
    assert x509.load_pem_x509_certificates(text.encode()) == [
        x509.load_der_x509_certificate(c) for c in CHAIN.certificates
    ]


@pytest.mark.parametrize(
    "text", ["", "x", chain_pem(CHAIN) + "x", chain_pem(CHAIN)[:-9], chain_pem(CHAIN).replace("M", "M=", 1)]
)
def test_a_damaged_stored_chain_is_an_error(text: str) -> None:
    with pytest.raises(ChainRejected):
        chain_from_pem(text)


def cross(issuer: Issuer) -> Chain:
    upper = make_issuer("Upper Y2", by=issuer, key=UPPER.key)
    return Chain((LEAF, ISSUING.der, upper.der))


DEFAULT, ALTERNATE = cross(make_issuer("Widely Trusted")), cross(ROOT)
SHORT = Chain((LEAF, ISSUING.der))
WITH_ROOT = Chain((LEAF, ISSUING.der, UPPER.der, ROOT.der))
OFFERED = Chains(DEFAULT, (ALTERNATE, SHORT))


@pytest.mark.parametrize(
    ("chains", "wanted", "chosen", "found"),
    [
        (OFFERED, "", DEFAULT, True),
        (OFFERED, "Widely Trusted", DEFAULT, True),
        (OFFERED, "Root X1", ALTERNATE, True),
        (OFFERED, "root x1", ALTERNATE, True),
        (OFFERED, "Upper Y2", SHORT, True),  # the topmost issuer of the short one, though the others pass by it
        (OFFERED, "Issuing R3", DEFAULT, True),
        (OFFERED, "Root X", DEFAULT, False),
        (OFFERED, "ISRG Root X9", DEFAULT, False),
        (Chains(DEFAULT, (WITH_ROOT,)), fingerprint(ROOT.der), WITH_ROOT, True),
        (
            Chains(DEFAULT, (WITH_ROOT,)),
            ":".join(fingerprint(ROOT.der)[i : i + 2] for i in range(0, 64, 2)).upper(),
            WITH_ROOT,
            True,
        ),
        (OFFERED, fingerprint(ROOT.der), DEFAULT, False),
        (Chains(Chain((b"junk",)), (ALTERNATE,)), "Root X1", ALTERNATE, True),
        (Chains(DEFAULT, (Chain((b"junk",)), ALTERNATE)), "Root X1", ALTERNATE, True),
    ],
)
def test_the_preferred_chain_is_found_by_its_topmost_issuer_first(
    chains: Chains, wanted: str, chosen: Chain, found: bool
) -> None:
    """R34: no match is the default chain, said so, and no error."""
    assert preferred_chain(chains, wanted) == (chosen, found)


@settings(deadline=None, max_examples=3000)
@given(which=st.integers(0, 1), place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_certificate_is_found_and_never_crashes(which: int, place: float, bits: int, cut: bool) -> None:
    """FZ4: one byte changed, or the rest cut off, anywhere in leaf or intermediate."""
    parts = [LEAF, ISSUING.der]
    at = int(place * len(parts[which]))
    whole = parts[which]
    parts[which] = whole[:at] if cut else bytes((*whole[:at], whole[at] ^ bits, *whole[at + 1 :]))
    findings = check_chain(Chain(tuple(parts)), public_der=spki(PUBLIC), identifiers=NAMES, now=NOW)
    # Not seen: a bit in the intermediate's own signature, without the certificate above it; and the count of unused
    # bits in front of a signature, which verifiers read as zero: what was signed is unchanged, then.
    if not findings and which == 0:
        damaged, sound = (x509.load_der_x509_certificate(der) for der in (parts[0], LEAF))
        assert damaged.tbs_certificate_bytes == sound.tbs_certificate_bytes
    with contextlib.suppress(ChainRejected):
        parse_leaf(parts[which])


@settings(deadline=None, max_examples=500)
@given(parts=st.lists(st.binary(max_size=300), max_size=4))
def test_arbitrary_bytes_are_no_chain(parts: list[bytes]) -> None:
    assert codes(*parts)
    assert preferred_chain(Chains(Chain((LEAF,)), (Chain(tuple(parts)),)), "nobody")[1] is False
