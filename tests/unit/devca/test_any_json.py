"""Whatever JSON a client signs, devca answers with a problem of the client's, never with one of its own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from certd.devca import DevCa
from certd.devca.jwk import read_jwk
from certd.devca.jws import read_jws
from certd.devca.problems import Refused
from tests.unit.devca.conftest import Connect
from tests.unit.devca.raw_client import RawClient, Twist, b64, csr_for, jwk_of, new_key

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e300, 10**30, "", "x", "\u00e9\x00", "\ud800", "=", "x" * 5000),
    *([], {}, [[]], [{}], {"a": 1}, [None], ["x", 1]),
)
KEY = new_key()
HEADER = ("alg", "jwk", "kid", "nonce", "url", "crit", "b64")
INNER = {"protected": b64(b'{"alg":"ES256","jwk":{},"url":""}'), "payload": "e30", "signature": "AA"}
GOOD: dict[str, dict[str, Any]] = {
    "newAccount": {
        "termsOfServiceAgreed": True,
        "contact": ["mailto:a@example.org"],
        "onlyReturnExisting": False,
        "externalAccountBinding": INNER,
    },
    "newOrder": {
        "identifiers": [{"type": "dns", "value": "a.test"}],
        "profile": "default",
        "replaces": "AA.AA",
    },
    "revokeCert": {"certificate": b64(b"0"), "reason": 1},
    "keyChange": INNER,
    "account": {"status": "valid", "contact": []},
    "authorization": {"status": "deactivated"},
    "challenge": {},
    "finalize": {"csr": b64(csr_for(KEY, "a.test"))},
    "order": {},
    "orders": {},
}


def oddities(document: Any) -> Iterator[Any]:
    """*document* with each of its parts in turn replaced by each odd thing, or taken away."""
    yield from ODD
    match document:
        case dict():
            for name, value in document.items():
                yield {key: other for key, other in document.items() if key != name}
                yield from (document | {name: odd} for odd in oddities(value))
        case list():
            for at, value in enumerate(document):
                yield from ([*document[:at], odd, *document[at + 1 :]] for odd in oddities(value))


async def _urls(client: RawClient) -> dict[str, str]:
    account = await client.register()
    made = await client.new_order("a.test")
    authorization = made.json["authorizations"][0]
    return client.directory | {
        "account": account.location,
        "orders": account.json["orders"],
        "order": made.location,
        "authorization": authorization,
        "challenge": (await client.challenge(authorization, "http-01"))["url"],
        "finalize": made.json["finalize"],
    }


@pytest.mark.parametrize("kind", GOOD)
async def test_any_payload(calm: DevCa, connect: Connect, kind: str) -> None:
    client = connect(calm)
    urls = await _urls(client)
    if kind == "newAccount":
        client.key = new_key()
    for payload in oddities(GOOD[kind]):
        body = json.dumps(payload).encode()
        answer = await client.post(urls[kind], body, by_key=kind == "newAccount")
        assert answer.status < 500, (payload, answer.body)


@pytest.mark.parametrize("by_key", [False, True])
async def test_any_protected_header(calm: DevCa, connect: Connect, by_key: bool) -> None:
    client = connect(calm)
    await client.register()
    url = client.directory["newAccount" if by_key else "newOrder"]
    for name in HEADER:
        for odd in oddities(jwk_of(KEY) if name == "jwk" else "x"):
            twist = Twist(header=lambda header, name=name, odd=odd: header | {name: odd}, retries=False)  # type: ignore[misc]
            answer = await client.post(url, {}, twist, by_key=by_key)
            assert 400 <= answer.status < 500, (name, odd, answer.body)


async def test_any_inner_jws_and_what_it_says(calm: DevCa, connect: Connect) -> None:
    client, new = connect(calm), new_key()
    await client.register()
    url = client.directory["keyChange"]
    header = {"alg": "ES256", "jwk": jwk_of(new), "url": url}
    payload = {"account": "x", "oldKey": jwk_of(client.key)}
    inner = [client.jws(header, json.dumps(odd).encode(), key=new) for odd in oddities(payload)]
    inner += [client.jws(odd, b"{}", key=new) for odd in oddities(header)]
    for each in inner:
        answer = await client.post(url, each)
        assert 400 <= answer.status < 500, (each, answer.body)


@pytest.mark.parametrize("path", ["", "/", "/%00", "/%2e%2e", "/\u00e9", "/x/y", "/" + "A" * 4000, "/.", "/a.b."])
async def test_any_certificate_id(calm: DevCa, connect: Connect, path: str) -> None:
    client = connect(calm)
    url = (await client.load_directory())["renewalInfo"]
    assert 400 <= (await client.get(url + path)).status < 500


def _only_refused(call: Callable[[], Any]) -> None:
    try:
        call()
    except Refused as refusal:
        status = refusal.problem.status
    else:
        status = 200
    assert status < 500


LEAF = some.none() | some.booleans() | some.integers() | some.text(max_size=20)
JSON = some.recursive(LEAF, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner))


@given(some.dictionaries(some.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "d"]), JSON))
def test_any_jwk(changes: dict[str, Any]) -> None:
    _only_refused(lambda: read_jwk(jwk_of(KEY) | changes))
    _only_refused(lambda: read_jwk({"kty": "RSA"} | changes))
    _only_refused(lambda: read_jwk({"kty": "OKP", "crv": "Ed25519"} | changes))


@given(some.binary(max_size=200) | some.text(max_size=200).map(str.encode))
def test_any_octets(body: bytes) -> None:
    _only_refused(lambda: read_jws(body))
