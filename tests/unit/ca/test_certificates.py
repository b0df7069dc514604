"""Chains as they come: certificates in PEM and nothing else (RFC 8555 §7.4.2, §11.4)."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from certd.ca.certificate import MOST_ALTERNATES, read_chain
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable
from tests.unit.ca.conftest import Connect
from tests.unit.ca.csr import KEY, make_csr
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, body, lost, problem, reply
from tests.unit.ca.state import pem
from tests.unit.ca.steps import Steps
from tests.unit.keys.pki import make_issuer, make_leaf

ROOT = make_issuer("Root")
UPPER = make_issuer("Upper", by=ROOT)
ISSUING = make_issuer("Issuing", by=UPPER)
LEAF = make_leaf(ISSUING, KEY.public_key())
OTHER_LEAF = make_leaf(ISSUING, KEY.public_key())
GOOD = pem(LEAF, ISSUING.der, UPPER.der)
PRIVATE = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
CSR = (
    b"-----BEGIN CERTIFICATE REQUEST-----\n"
    + base64.b64encode(make_csr(["a"]))
    + b"\n-----END CERTIFICATE REQUEST-----\n"
)


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        b"subject=CN = x\nissuer=CN = y\n" + GOOD + b"explanatory text\n",
        GOOD.replace(b"-----\n-----", b"-----\n\n\n-----"),
        GOOD.rstrip(),
    ],
    ids=["plain", "CRLF", "explanatory text", "blank lines", "no newline at the end"],
)
def test_a_chain_of_certificates_is_read_in_its_sequence(data: bytes) -> None:
    """R34, CA34: end entity first, two intermediates (Gen Y); RFC 7468 allows text around the blocks."""
    assert read_chain(data, "x").certificates == (LEAF, ISSUING.der, UPPER.der)


NOT_A_CHAIN: dict[str, bytes] = {
    "empty": b"",
    "text": b"your certificate is being prepared",
    "HTML": b"<html>",
    "DER": LEAF,
    "a private key": GOOD + PRIVATE,
    "a private key before": PRIVATE + GOOD,
    "a CSR": GOOD + CSR,
    "a CRL": GOOD + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    "a trusted certificate": GOOD.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
    "a block that is not closed": GOOD + b"-----BEGIN CERTIFICATE-----\nMIIB",
    "a block in a block": b"-----BEGIN CERTIFICATE-----\n" + GOOD,
    "another end": GOOD.replace(b"-----END CERTIFICATE-----", b"-----END PRIVATE KEY-----"),
    "begin without a word": GOOD + b"-----BEGIN -----\n",
    "base64 of garbage": b"-----BEGIN CERTIFICATE-----\n"
    + base64.b64encode(b"x" * 400)
    + b"\n-----END CERTIFICATE-----",
    "bad base64": b"-----BEGIN CERTIFICATE-----\nMII=AAAA\n-----END CERTIFICATE-----\n",
    "headers in the block": GOOD.replace(b"-----\nMII", b"-----\nProc-Type: 4,ENCRYPTED\n\nMII", 1),
    "an empty block": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "trailing octets in the DER": b"-----BEGIN CERTIFICATE-----\n"
    + base64.b64encode(LEAF + b"\0\0\0")
    + b"\n-----END CERTIFICATE-----\n",
    "21 certificates": GOOD * 7,
    "NUL": GOOD.replace(b"MII", b"M\0II"),
}


@pytest.mark.parametrize("data", NOT_A_CHAIN.values(), ids=NOT_A_CHAIN)
def test_anything_but_certificates_is_refused(data: bytes) -> None:
    """R35, CA34: "MUST reject" every other encapsulation; key, CSR, garbage, DER."""
    with pytest.raises(CaProtocolError, match="cert: "):
        read_chain(data, "cert")


async def test_a_chain_is_asked_for_in_pem(fake: FakeCa, connect: Connect) -> None:
    """R34: the media type of §9.1, by POST-as-GET."""
    steps = await Steps.prepare(fake, connect)
    sent = fake.last("certificate")
    assert sent.headers["Accept"] == "application/pem-certificate-chain"
    assert (sent.method, sent.payload) == ("POST", "")
    assert steps.chains.alternates == ()


async def test_ten_megabytes_of_pem_are_too_many(fake: FakeCa, connect: Connect) -> None:
    """R35."""
    steps = await Steps.prepare(fake, connect)
    fake.next("certificate", body(GOOD * (10 * 1024 * 1024 // len(GOOD))))
    with pytest.raises(CaProtocolError, match="longer than"):
        await steps.ca.download(steps.valid)


async def test_a_download_may_be_repeated(fake: FakeCa, connect: Connect) -> None:
    """R33: only ever downloaded again, and the same comes; a lost connection is repeated by itself."""
    steps = await Steps.prepare(fake, connect)
    fake.next("certificate", lost(), lost())
    assert await steps.ca.download(steps.valid) == steps.chains
    for fault, error in ((problem("serverInternal", 500), CaRefused), (body(b"<html>"), CaProtocolError)):
        fake.next("certificate", fault)
        with pytest.raises(error):
            await steps.ca.download(steps.valid)
    assert await steps.ca.download(steps.valid) == steps.chains


def alternates(fake: FakeCa, *paths: str) -> Any:
    return after(Link=", ".join(f'<{path}>;rel="alternate"' for path in paths))


async def test_alternates_are_fetched_when_they_are_asked_for(fake: FakeCa, connect: Connect) -> None:
    """R34: `Link rel=alternate`, relative or absolute; and not a request more without being asked."""
    steps = await Steps.prepare(fake, connect)
    leaf = steps.chains.default.leaf
    fake.state.chains |= {"a": [leaf, UPPER.der], "b": [leaf, ROOT.der]}
    before = fake.count("certificate")
    fake.next("certificate", alternates(fake, f"{fake.base}/cert/a", "/cert/b"))
    assert (await steps.ca.download(steps.valid)).alternates == ()
    fake.next("certificate", alternates(fake, f"{fake.base}/cert/a", "/cert/b"))
    found = await steps.ca.download(steps.valid, alternates=True)
    assert [chain.certificates[1] for chain in found.alternates] == [UPPER.der, ROOT.der]
    assert found.default == steps.chains.default
    assert fake.count("certificate") - before == 4


async def test_of_fifty_alternates_thirty_two_are_fetched(fake: FakeCa, connect: Connect) -> None:
    """R34, CA34."""
    steps = await Steps.prepare(fake, connect)
    fake.state.chains |= {str(n): [steps.chains.default.leaf] for n in range(100, 150)}
    before = fake.count("certificate")
    fake.next("certificate", alternates(fake, *[f"/cert/{n}" for n in range(100, 150)]))
    found = await steps.ca.download(steps.valid, alternates=True)
    assert len(found.alternates) == MOST_ALTERNATES
    assert fake.count("certificate") - before == 1 + MOST_ALTERNATES


async def test_an_unusable_alternate_does_not_cost_the_default_chain(fake: FakeCa, connect: Connect) -> None:
    """CA26, CA34: elsewhere, garbage, another leaf; each is left out."""
    steps = await Steps.prepare(fake, connect)
    fake.state.chains |= {"a": [OTHER_LEAF, ISSUING.der], "b": [steps.chains.default.leaf, UPPER.der]}
    fake.next(
        "certificate",
        alternates(fake, "http://127.0.0.1/x", "https://evil.test/x", "file:///x", "/cert/a", "/cert/c", "/cert/b"),
    )
    fake.next("certificate", after())
    fake.next("certificate", reply(200, PRIVATE))
    found = await steps.ca.download(steps.valid, alternates=True)
    assert [chain.certificates[1] for chain in found.alternates] == [UPPER.der]


async def test_an_alternate_that_cannot_be_had_now_is_an_error(fake: FakeCa, connect: Connect) -> None:
    """R34: silence would install the default chain where another is preferred; the next download may bring it."""
    steps = await Steps.prepare(fake, connect)
    for fault, error in (([problem("rateLimited", 429)], CaRefused), ([lost()] * 3, CaUnreachable)):
        fake.next("certificate", alternates(fake, "/cert/a"), *fault)
        with pytest.raises(error):
            await steps.ca.download(steps.valid, alternates=True)
