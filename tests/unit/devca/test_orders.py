"""Orders and authorizations: RFC 8555 §7.1.6, §7.4, §7.5, and what Boulder does beyond."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect, a_moment
from tests.unit.devca.flow import authorize, issue, ready_order
from tests.unit.devca.raw_client import Json, Key, RawClient, csr_for, new_key
from tests.unit.devca.responders import HttpResponder

START = datetime(2027, 1, 1, 12, tzinfo=UTC)


@dataclass
class Hands:
    """A clock that moves when it is told to."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def now() -> Hands:
    return Hands()


@pytest.fixture
async def ca(web80: HttpResponder, now: Hands) -> AsyncIterator[DevCa]:
    profiles = {"default": timedelta(days=90), "shortlived": timedelta(hours=160), "blink": timedelta(seconds=40)}
    async with DevCa.start(Options.friendly(http_port=web80.port, profiles=profiles), now=now) as started:
        yield started


@pytest.fixture
async def client(ca: DevCa, connect: Connect) -> RawClient:
    client = connect(ca)
    await client.register()
    return client


async def test_the_same_open_order_is_given_again_whatever_its_key_will_be(
    client: RawClient, web80: HttpResponder
) -> None:
    first = await client.new_order("a.test", "b.test")
    second = await client.new_order("b.test", "a.test")
    assert (first.status, second.status) == (201, 201)
    assert first.location == second.location
    assert (await client.new_order("a.test")).location != first.location
    assert (await client.new_order("a.test", "b.test", profile="shortlived")).location != first.location
    await authorize(client, first.json, web80)
    ready = await client.new_order("a.test", "b.test")
    assert (ready.location, ready.json["status"]) == (first.location, "ready")
    await client.finalize(ready.json, csr_for(new_key(), "a.test", "b.test"))
    assert (await client.new_order("a.test", "b.test")).location != first.location


async def test_orders_of_other_accounts_are_not_given(ca: DevCa, client: RawClient, connect: Connect) -> None:
    other = connect(ca)
    await other.register()
    assert (await client.new_order("a.test")).location != (await other.new_order("a.test")).location


async def test_valid_authorizations_are_reused_while_they_live(
    web80: HttpResponder, connect: Connect, now: Hands
) -> None:
    options = Options.friendly(http_port=web80.port, authorization_reuse=1.0, authorization_lifetime=timedelta(hours=7))
    async with DevCa.start(options, now=now) as ca:
        client = connect(ca)
        order, _ = await issue(client, web80, "a.test")
        again = await client.new_order("a.test", "b.test")
        assert set(order["authorizations"]) < set(again.json["authorizations"])
        assert (await client.new_order("a.test")).json["status"] == "ready"
        now.at += timedelta(hours=7)
        assert (await client.new_order("a.test")).json["status"] == "pending"


async def test_a_wildcards_authorization_has_the_base_name_and_dns_01_only(client: RawClient) -> None:
    made = await client.new_order("*.a.test", "a.test", "127.0.0.1")
    found = [(await client.post(each)).json for each in made.json["authorizations"]]
    types = {
        (each["identifier"]["value"], each.get("wildcard", False)): {one["type"] for one in each["challenges"]}
        for each in found
    }
    assert types == {
        ("a.test", True): {"dns-01"},
        ("a.test", False): {"http-01", "dns-01", "tls-alpn-01"},
        ("127.0.0.1", False): {"http-01", "tls-alpn-01"},
    }


async def test_a_bad_request_leaves_the_order_ready_for_an_amended_one(client: RawClient, web80: HttpResponder) -> None:
    url, order = await ready_order(client, web80, "a.test")
    assert (await client.finalize(order, csr_for(new_key(), "b.test"))).problem == "badCSR"
    assert (await client.post(url)).json["status"] == "ready"
    assert (await client.finalize(order, csr_for(new_key(), "a.test"))).json["status"] == "valid"
    assert (await client.finalize(order, csr_for(new_key(), "a.test"))).problem == "orderNotReady"


@pytest.mark.parametrize(
    ("key", "good"),
    [
        (ec.generate_private_key(ec.SECP384R1()), True),
        (rsa.generate_private_key(65537, 2048), True),
        (ed25519.Ed25519PrivateKey.generate(), True),
        (rsa.generate_private_key(65537, 2056), False),
        (rsa.generate_private_key(3, 2048), False),
        (ec.generate_private_key(ec.SECP256K1()), False),
    ],
    ids=["P-384", "RSA", "Ed25519", "odd size", "exponent 3", "secp256k1"],
)
async def test_keys_worth_certifying(client: RawClient, web80: HttpResponder, key: Key, good: bool) -> None:
    _, order = await ready_order(client, web80, "a.test")
    assert (await client.finalize(order, csr_for(key, "a.test"))).problem == (None if good else "badCSR")


@pytest.mark.parametrize(
    ("names", "more", "good"),
    [
        (("a.test",), {"common_name": "a.test"}, True),
        ((), {"common_name": "a.test"}, True),
        (("A.test",), {}, True),
        (("a.test",), {"common_name": "b.test"}, False),
        ((), {}, False),
        (("a.test",), {"extensions": [x509.BasicConstraints(ca=True, path_length=None)]}, False),
        (("a.test",), {"extensions": [x509.TLSFeature([x509.TLSFeatureType.status_request])]}, False),
        (("a.test",), {"extensions": [x509.BasicConstraints(ca=False, path_length=None)]}, True),
    ],
)
async def test_what_a_request_may_ask_for(
    client: RawClient, web80: HttpResponder, names: tuple[str, ...], more: dict[str, object], good: bool
) -> None:
    _, order = await ready_order(client, web80, "a.test")
    answer = await client.finalize(order, csr_for(new_key(), *names, **more))  # type: ignore[arg-type]
    assert answer.problem == (None if good else "badCSR")


async def test_a_failed_authorization_ends_the_order_and_its_error_is_there(client: RawClient) -> None:
    made = await client.new_order("a.test")
    url = made.json["authorizations"][0]
    challenge = await client.challenge(url, "http-01")
    await client.post(challenge["url"], {})
    found = await client.settled(url, while_=["pending"], pause=a_moment)
    assert found["status"] == "invalid"
    assert [each["type"] for each in found["challenges"]] == ["http-01"]
    order = (await client.post(made.location)).json
    assert order["status"] == "invalid"
    assert order["error"]["type"].endswith(":unauthorized")
    assert (await client.post(challenge["url"], {})).problem == "malformed"
    assert (await client.finalize(order, csr_for(new_key(), "a.test"))).problem == "orderNotReady"


async def test_several_failures_are_subproblems_with_their_identifiers(client: RawClient) -> None:
    made = await client.new_order("a.test", "b.test", "c.test")
    for url in made.json["authorizations"][:2]:
        await client.post(url, {"status": "deactivated"})
    error = (await client.post(made.location)).json["error"]
    assert error["type"].endswith(":compound")
    assert {each["identifier"]["value"] for each in error["subproblems"]} < {"a.test", "b.test", "c.test"}


async def test_deactivating_an_authorization_abandons_the_order(client: RawClient) -> None:
    made = await client.new_order("a.test")
    url = made.json["authorizations"][0]
    assert (await client.post(url, {"status": "valid"})).problem == "malformed"
    assert (await client.post(url, {"status": "deactivated"})).json["status"] == "deactivated"
    assert (await client.post(url, {"status": "deactivated"})).problem == "malformed"
    assert (await client.post(made.location)).json["status"] == "invalid"
    again = await client.new_order("a.test")
    assert (again.location != made.location, again.json["status"]) == (True, "pending")


async def test_pending_and_ready_orders_expire(client: RawClient, web80: HttpResponder, now: Hands) -> None:
    url, order = await ready_order(client, web80, "a.test")
    pending = await client.new_order("b.test")
    now.at += timedelta(hours=9)
    for each in (url, pending.location):
        assert (await client.post(each)).json["status"] == "invalid"
    assert (await client.post(pending.json["authorizations"][0])).json["status"] == "expired"
    assert (await client.finalize(order, csr_for(new_key(), "a.test"))).problem == "orderNotReady"


@pytest.mark.parametrize(
    ("profile", "start", "end"),
    [
        (None, START - timedelta(hours=1), START - timedelta(hours=1) + timedelta(days=90, seconds=-1)),
        ("shortlived", START - timedelta(hours=1), START - timedelta(hours=1) + timedelta(hours=160, seconds=-1)),
        ("blink", START, START + timedelta(seconds=39)),
    ],
)
async def test_a_profile_says_how_long_a_certificate_lives(
    client: RawClient, web80: HttpResponder, profile: str | None, start: datetime, end: datetime
) -> None:
    fields: Json = {"profile": profile} if profile is not None else {}
    order, chain = await issue(client, web80, "a.test", **fields)
    leaf = x509.load_pem_x509_certificates(chain.body)[0]
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (start, end)
    assert order.get("profile") == profile
    assert set(client.directory["meta"]["profiles"]) == {"default", "shortlived", "blink"}


async def test_not_before_is_not_for_the_client_to_say(client: RawClient) -> None:
    assert (await client.new_order("a.test", notBefore="2027-01-01T00:00:00Z")).problem == "malformed"


@pytest.mark.parametrize("chaff", [False, True])
async def test_processing_lasts_until_its_retry_after(
    web80: HttpResponder, connect: Connect, now: Hands, chaff: bool
) -> None:
    options = Options.friendly(
        http_port=web80.port, processing=timedelta(seconds=30), processing_share=1.0, chaff=chaff
    )
    async with DevCa.start(options, now=now) as ca:
        client = connect(ca)
        url, order = await ready_order(client, web80, "a.test")
        forms = set()
        answer = await client.finalize(order, csr_for(new_key(), "a.test"))
        for _ in range(20):
            assert answer.json["status"] == "processing"
            assert "certificate" not in answer.json
            wait = answer.headers["Retry-After"]
            until = START + timedelta(seconds=int(wait)) if wait.isdigit() else parsedate_to_datetime(wait)
            assert until == START + timedelta(seconds=30)
            forms.add(wait.isdigit())
            answer = await client.post(url)
        assert forms == ({True, False} if chaff else {True})
        now.at += timedelta(seconds=30)
        done = await client.post(url)
        assert done.json["status"] == "valid"
        assert "Retry-After" not in done.headers
        assert len(ca.certificates) == 1


async def test_nobody_looks_where_everything_is_valid(connect: Connect) -> None:
    async with DevCa.start(Options(always_valid=True)) as ca:
        client = connect(ca)
        await client.register()
        made = await client.new_order("*.a.test")
        challenge = await client.challenge(made.json["authorizations"][0], "dns-01")
        await client.post(challenge["url"], {})
        assert (await client.settled(made.location, while_=["pending"], pause=a_moment))["status"] == "ready"
        assert ca.validations == []


async def test_a_challenge_answered_twice_is_answered_once(client: RawClient, web80: HttpResponder) -> None:
    made = await client.new_order("a.test")
    url = made.json["authorizations"][0]
    challenge = await client.challenge(url, "http-01")
    web80.proofs[challenge["token"]] = client.key_authorization(challenge["token"])
    statuses = [(await client.post(challenge["url"], {})).status for _ in range(2)]
    await client.settled(url, while_=["pending"], pause=a_moment)
    assert statuses == [200, 200]
    assert len(web80.seen) == 1
    valid = await client.post(challenge["url"], {})
    assert valid.json["status"] == "valid"
    assert valid.json["validated"] == "2027-01-01T12:00:00Z"
    assert valid.links("up") == [url]
