"""Renewal information and `replaces`: RFC 9773, with Boulder's figures and rules."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect
from tests.unit.devca.flow import issue, ready_order
from tests.unit.devca.raw_client import Answer, RawClient, b64, csr_for, new_key
from tests.unit.devca.responders import AlpnCertificate, HttpResponder
from tests.unit.devca.test_orders import START, Hands

PROFILES = {"default": timedelta(days=90), "shortlived": timedelta(hours=160), "blink": timedelta(seconds=40)}


@pytest.fixture
def now() -> Hands:
    return Hands()


@pytest.fixture
async def ca(web80: HttpResponder, now: Hands) -> AsyncIterator[DevCa]:
    async with DevCa.start(Options.friendly(http_port=web80.port, profiles=PROFILES), now=now) as started:
        yield started


@pytest.fixture
async def client(ca: DevCa, connect: Connect) -> RawClient:
    client = connect(ca)
    await client.register()
    return client


def cert_id(chain: Answer) -> str:
    """Worked out from the certificate as RFC 9773 §4.1 says, not asked of devca."""
    leaf = x509.load_pem_x509_certificates(chain.body)[0]
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    serial = leaf.serial_number
    assert authority is not None
    return f"{b64(authority)}.{b64(serial.to_bytes(serial.bit_length() // 8 + 1))}"


async def window(client: RawClient, chain: Answer) -> tuple[datetime, datetime, Answer]:
    answer = await client.get(f"{client.directory['renewalInfo']}/{cert_id(chain)}")
    assert answer.status == 200, answer.body
    suggested = answer.json["suggestedWindow"]
    start, end = (datetime.fromisoformat(suggested[each]) for each in ("start", "end"))
    return start, end, answer


@pytest.mark.parametrize(
    ("profile", "share_left", "retry_after"), [("default", 3, "21600"), ("shortlived", 2, "21600"), ("blink", 2, "2")]
)
async def test_the_window_is_one_percent_around_two_thirds_or_a_half(
    client: RawClient, web80: HttpResponder, profile: str, share_left: int, retry_after: str
) -> None:
    _, chain = await issue(client, web80, "a.test", profile=profile)
    leaf = x509.load_pem_x509_certificates(chain.body)[0]
    lifetime = PROFILES[profile]
    start, end, answer = await window(client, chain)
    assert end - start == lifetime / 50
    assert start + (end - start) / 2 == leaf.not_valid_after_utc - lifetime / share_left
    assert answer.headers["Retry-After"] == retry_after
    assert "Replay-Nonce" not in answer.headers


async def test_a_revoked_certificates_window_is_over(
    ca: DevCa, client: RawClient, web80: HttpResponder, now: Hands
) -> None:
    _, chain = await issue(client, web80, "a.test")
    ca.revoke(chain.body.decode(), reason=4)
    start, end, _ = await window(client, chain)
    assert (start, end) == (now.at - timedelta(hours=1), now.at - timedelta(minutes=30))


async def test_a_window_can_be_set(ca: DevCa, client: RawClient, web80: HttpResponder) -> None:
    _, chain = await issue(client, web80, "a.test")
    wanted = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
    ca.set_renewal_info(chain.body.decode(), *wanted, "https://example.org/why")
    start, end, answer = await window(client, chain)
    assert (start, end) == wanted
    assert answer.json["explanationURL"] == "https://example.org/why"
    with pytest.raises(KeyError):
        ca.set_renewal_info(_foreign(), *wanted)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ("x", 400),
        ("A.B.C", 400),
        ("AA==.AA", 400),
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", 404),
        ("{aki}.AIdlQyE", 404),
    ],
)
async def test_what_is_no_certificate_id_here(client: RawClient, web80: HttpResponder, wrong: str, status: int) -> None:
    _, chain = await issue(client, web80, "a.test")
    wrong = wrong.replace("{aki}", cert_id(chain).split(".")[0])
    answer = await client.get(f"{client.directory['renewalInfo']}/{wrong}")
    assert (answer.status, answer.problem) == (status, "malformed")
    assert (await client.new_order("a.test", replaces=wrong)).problem == "malformed"


async def test_a_pending_replacement_already_replaces_until_it_is_invalid(
    client: RawClient, web80: HttpResponder
) -> None:
    _, chain = await issue(client, web80, "a.test")
    old = cert_id(chain)
    first = await client.new_order("a.test", replaces=old)
    assert (first.status, first.json["replaces"]) == (201, old)
    again = await client.new_order("a.test", replaces=old)
    assert (again.status, again.problem) == (409, "alreadyReplaced")
    # Without it Boulder's reuse gives the very same order: the way to resume.
    assert (await client.new_order("a.test")).location == first.location
    await client.post(first.json["authorizations"][0], {"status": "deactivated"})
    assert (await client.new_order("a.test", replaces=old)).status == 201


async def test_a_replaced_certificate_stays_replaced(ca: DevCa, client: RawClient, web80: HttpResponder) -> None:
    _, chain = await issue(client, web80, "a.test")
    await issue(client, web80, "a.test", "b.test", replaces=cert_id(chain))
    assert ca.certificate_of(chain.body.decode()).replaced_by is not None
    assert (await client.new_order("a.test", replaces=cert_id(chain))).problem == "alreadyReplaced"


async def test_replacing_needs_the_same_account_and_a_name_in_common(
    ca: DevCa, client: RawClient, connect: Connect, web80: HttpResponder
) -> None:
    _, chain = await issue(client, web80, "a.test")
    other = connect(ca)
    await other.register()
    assert (await other.new_order("a.test", replaces=cert_id(chain))).problem == "unauthorized"
    refused = await client.new_order("b.test", replaces=cert_id(chain))
    assert (refused.status, refused.problem) == (400, "malformed")
    assert (await client.new_order("b.test", "a.test", replaces=cert_id(chain))).status == 201


async def test_certificate_ids_keep_the_zero_octet_of_the_serial(web80: HttpResponder, connect: Connect) -> None:
    for share, zero in ((1.0, True), (0.0, False)):
        async with DevCa.start(Options.friendly(http_port=web80.port, zero_serials=share)) as ca:
            client = connect(ca)
            _, chain = await issue(client, web80, "a.test")
            assert cert_id(chain).split(".")[1].startswith("A") is zero
            await window(client, chain)
            assert x509.load_pem_x509_certificates(chain.body)[0].serial_number.bit_length() <= 128


async def test_a_processing_replacement_holds_the_place(web80: HttpResponder, connect: Connect, now: Hands) -> None:
    options = Options.friendly(http_port=web80.port, processing=timedelta(seconds=9), processing_share=1.0)
    async with DevCa.start(options, now=now) as ca:
        client = connect(ca)
        url, order = await ready_order(client, web80, "a.test")
        await client.finalize(order, csr_for(new_key(), "a.test"))
        now.at += timedelta(seconds=9)
        chain = await client.post((await client.post(url)).json["certificate"])
        _, order = await ready_order(client, web80, "a.test", replaces=cert_id(chain))
        assert (await client.new_order("a.test", replaces=cert_id(chain))).problem == "alreadyReplaced"
        assert (await client.finalize(order, csr_for(new_key(), "a.test"))).json["status"] == "processing"
        assert (await client.new_order("a.test", replaces=cert_id(chain))).problem == "alreadyReplaced"
        assert now.at == START + timedelta(seconds=9)


def _foreign() -> str:
    return AlpnCertificate(("a.test",), "x").make()[0].decode()
