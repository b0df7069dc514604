"""ARI (RFC 9773): the certificate's id, the window, and when to ask again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from certd.ca.cert_id import cert_id
from certd.ca.renewal_info import renewal_info_url
from certd.model.acme import CertId
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable
from tests.fakes.clock import START
from tests.unit.ca import jose
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import body, changed, lost, problem, reply

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
VECTOR = CertId("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
AKI = jose.decode("aYhba4dGQEHhs3uEe6CuLN4ByNQ")
WINDOW = {"start": "2027-01-22T10:00:00Z", "end": "2027-01-24T10:00:00Z"}


def certificate(serial: int, aki: bytes | None) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    )
    if aki is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(aki, None, None), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def test_the_vector_of_the_rfc() -> None:
    """RFC 9773 §4.1 and appendix A: AKI and serial 00:87:65:43:21, whose leading zero stays."""
    assert cert_id(certificate(0x87654321, AKI)) == VECTOR


@given(st.integers(min_value=1, max_value=2**159 - 1))
def test_the_serial_is_the_content_of_its_der_integer(serial: int) -> None:
    """§4.1: compared with what stands in the DER, found by the tag and length before it."""
    der = certificate(serial, AKI)
    found = cert_id(der)
    assert found is not None
    content = jose.decode(found.partition(".")[2])
    assert b"\x02" + bytes([len(content)]) + content in der[:64]
    assert int.from_bytes(content, signed=True) == serial


@pytest.mark.parametrize("der", [certificate(1, None), b"", b"garbage", certificate(5, AKI)[:-9]])
def test_a_certificate_without_authority_key_identifier_has_no_id(der: bytes) -> None:
    """A1.3: no AKI, no ARI, no crash."""
    assert cert_id(der) is None


@pytest.mark.parametrize("base", ["https://ca.example/ari", "https://ca.example/ari/"])
def test_the_url_has_one_slash(base: str) -> None:
    assert renewal_info_url(base, VECTOR) == f"https://ca.example/ari/{VECTOR}"


async def test_a_window_is_asked_for_without_a_signature(fake: FakeCa, connect: Connect) -> None:
    """R9, A1.3: GET, unauthenticated, `Accept: application/json`; no account needed."""
    ca = await connect(registered=False)
    info = await ca.renewal_info(VECTOR)
    sent = fake.last("renewalInfo")
    assert (sent.method, sent.url) == ("GET", f"{fake.base}/ari/{VECTOR}")
    assert sent.headers["Accept"] == "application/json"
    assert (info.start, info.end) == (datetime(2027, 1, 22, 10, tzinfo=UTC), datetime(2027, 1, 24, 10, tzinfo=UTC))
    assert info.retry_after == START + timedelta(hours=6)
    assert fake.count("newNonce") == 0


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", timedelta(minutes=1)),
        ("59", timedelta(minutes=1)),
        ("3600", timedelta(hours=1)),
        ("86400", timedelta(days=1)),
        ("86401", timedelta(days=1)),
        ("99999999", timedelta(days=1)),
        ("-1", timedelta(hours=6)),
        ("soon", timedelta(hours=6)),
        (None, timedelta(hours=6)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", timedelta(minutes=1)),
    ],
)
async def test_the_next_question_is_between_a_minute_and_a_day_away(
    fake: FakeCa, connect: Connect, value: str | None, wait: timedelta
) -> None:
    """A2.3: clamped; a missing or invalid Retry-After is a long-term error, so six hours."""
    fake.state.renewal_headers = {"Retry-After": value} if value is not None else {}
    ca = await connect(registered=False)
    assert (await ca.renewal_info(VECTOR)).retry_after == START + wait


GOOD_WINDOWS = {
    "in 1970": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:01Z"},
    "years away": {"start": "2099-01-01T00:00:00Z", "end": "2099-01-02T00:00:00Z"},
    "one second": {"start": "2027-01-01T00:00:00Z", "end": "2027-01-01T00:00:01Z"},
    "another zone": {"start": "2027-01-01T00:00:00+05:30", "end": "2027-01-01T00:00:00Z"},
}
BAD_WINDOWS: dict[str, Any] = {
    "inverted": {"start": WINDOW["end"], "end": WINDOW["start"]},
    "of no length": {"start": WINDOW["start"], "end": WINDOW["start"]},
    "without a zone": {"start": "2027-01-22T10:00:00", "end": "2027-01-24T10:00:00"},
    "without an end": {"start": WINDOW["start"]},
    "of numbers": {"start": 1, "end": 2},
    "of nulls": {"start": None, "end": None},
    "a list": [WINDOW],
    "missing": None,
}


@pytest.mark.parametrize("window", GOOD_WINDOWS.values(), ids=GOOD_WINDOWS)
async def test_a_window_may_be_anywhere(fake: FakeCa, connect: Connect, window: dict[str, str]) -> None:
    """CA29, CA30: in the past for all (then it is due now), or years away."""
    fake.state.renewal = {"suggestedWindow": window}
    ca = await connect(registered=False)
    info = await ca.renewal_info(VECTOR)
    assert info.start < info.end


@pytest.mark.parametrize("window", BAD_WINDOWS.values(), ids=BAD_WINDOWS)
async def test_a_window_that_is_none_is_as_no_reply(fake: FakeCa, connect: Connect, window: Any) -> None:
    """A1.3: `end <= start` MUST be treated as no reply (lego panicked); so is what cannot be read."""
    fake.state.renewal = {"suggestedWindow": window}
    ca = await connect(registered=False)
    with pytest.raises(CaProtocolError, match="suggestedWindow"):
        await ca.renewal_info(VECTOR)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ca.example/why?x=1", True),
        ("http://ca.example/why", False),
        ("javascript:alert(1)", False),
        ("https://ca.example/\x1b[2J", False),
        ("https://ca.example/a b", False),
        ("https://ca.example/" + "a" * 2000, False),
        (7, False),
    ],
)
async def test_an_explanation_is_https_or_dropped(fake: FakeCa, connect: Connect, url: Any, shown: bool) -> None:
    """A1.3: shown to the operator, validated, never fetched."""
    fake.next("renewalInfo", changed(lambda d: d.update(explanationURL=url)))
    ca = await connect(registered=False)
    assert (await ca.renewal_info(VECTOR)).explanation_url == (url if shown else "")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ([problem("malformed", 404)], CaRefused),
        ([problem("rateLimited", 429, Retry_After="60")], CaRefused),
        ([reply(503)], CaRefused),
        ([body(b"{broken")], CaProtocolError),
        ([lost()] * 6, CaUnreachable),
    ],
)
async def test_no_answer_is_an_error_of_its_kind(fake: FakeCa, connect: Connect, fault: Any, error: Any) -> None:
    """CA29: the caller keeps the last window."""
    ca = await connect(registered=False)
    fake.next("renewalInfo", *fault)
    with pytest.raises(error):
        await ca.renewal_info(VECTOR)


async def test_it_may_be_redirected_on_the_same_origin_only(fake: FakeCa, connect: Connect) -> None:
    """CA17."""
    ca = await connect(registered=False)
    fake.next("renewalInfo", reply(307, Location=f"/ari/{VECTOR}"))
    await ca.renewal_info(VECTOR)
    fake.next("renewalInfo", reply(307, Location="https://evil.test/ari"))
    with pytest.raises(CaProtocolError, match="own origin"):
        await ca.renewal_info(VECTOR)
