"""dns-01 by real questions: RFC 8555 §8.4."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect, a_moment
from tests.unit.devca.raw_client import URN, Json, RawClient, b64
from tests.unit.devca.responders import DnsResponder, dns_responder


@pytest.fixture
async def dns() -> AsyncIterator[DnsResponder]:
    async with dns_responder() as responder:
        yield responder


@pytest.fixture
async def ca(dns: DnsResponder) -> AsyncIterator[DevCa]:
    options = Options.friendly(resolver=dns.address, validation_limit=timedelta(milliseconds=200))
    async with DevCa.start(options) as started:
        yield started


async def challenged(client: RawClient, name: str) -> tuple[str, Json, str]:
    """Authorization URL, challenge, and the value that proves it."""
    if client.kid is None:
        await client.register()
    url = (await client.new_order(name)).json["authorizations"][0]
    challenge = await client.challenge(url, "dns-01")
    return url, challenge, b64(hashlib.sha256(client.key_authorization(challenge["token"]).encode()).digest())


async def answered(client: RawClient, url: str, challenge: Json) -> str | None:
    await client.post(challenge["url"], {})
    found = await client.settled(url, while_=["pending"], pause=a_moment)
    error = next(each for each in found["challenges"] if each["type"] == "dns-01").get("error")
    return f"{error['type'].removeprefix(URN)}: {error['detail']}" if error is not None else None


async def test_one_right_value_among_others_proves_a_name_and_its_wildcard(
    ca: DevCa, connect: Connect, dns: DnsResponder
) -> None:
    client = connect(ca)
    for name in ("a.test", "*.a.test"):
        url, challenge, value = await challenged(client, name)
        dns.txt.setdefault("_acme-challenge.a.test", ["somebody-elses"]).append(value)
        assert await answered(client, url, challenge) is None


async def test_aliases_are_followed_by_the_resolver(ca: DevCa, connect: Connect, dns: DnsResponder) -> None:
    client = connect(ca)
    url, challenge, value = await challenged(client, "a.test")
    dns.cnames["_acme-challenge.a.test"] = "a.proofs.internal"
    dns.txt["a.proofs.internal"] = [value]
    assert await answered(client, url, challenge) is None


async def test_an_answer_that_is_cut_off_is_asked_for_by_tcp(ca: DevCa, connect: Connect, dns: DnsResponder) -> None:
    client, dns.truncate = connect(ca), True
    url, challenge, value = await challenged(client, "a.test")
    dns.txt["_acme-challenge.a.test"] = [value]
    assert await answered(client, url, challenge) is None
    assert [transport for transport, _, _ in dns.seen] == ["udp", "tcp"]


async def test_every_source_asks(dns: DnsResponder, connect: Connect) -> None:
    sources = ("127.0.0.1", "127.0.0.2")
    options = replace(Options.friendly(resolver=dns.address), sources=sources, late_source="127.0.0.9")
    async with DevCa.start(options) as ca:
        client = connect(ca)
        url, challenge, value = await challenged(client, "a.test")
        dns.txt["_acme-challenge.a.test"] = [value]
        assert await answered(client, url, challenge) is None
        while len(dns.seen) < 3:
            await a_moment()
        assert [peer for _, peer, _ in dns.seen] == [*sources, "127.0.0.9"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("wrong value", "unauthorized: Incorrect TXT record 'wrong' found at _acme-challenge.a.test"),
        ("no value", "unauthorized: No TXT record found at _acme-challenge.a.test"),
        ("no name", "dns: DNS problem: NXDOMAIN looking up TXT for _acme-challenge.a.test"),
        ("failing", "dns: DNS problem: SERVFAIL looking up TXT for _acme-challenge.a.test"),
        ("silent", "dns: DNS problem: looking up TXT for _acme-challenge.a.test: query timed out"),
        ("loop", "dns: DNS problem: looking up TXT"),
    ],
)
async def test_what_goes_wrong_is_said(ca: DevCa, connect: Connect, dns: DnsResponder, state: str, words: str) -> None:
    match state:
        case "wrong value":
            dns.txt["_acme-challenge.a.test"] = ["wrong"]
        case "no value":
            dns.txt["_acme-challenge.a.test"] = []
        case "failing":
            dns.fail.add("_acme-challenge.a.test")
        case "silent":
            dns.silent = True
        case "loop":
            dns.loop = True
        case _:
            pass
    client = connect(ca)
    url, challenge, _ = await challenged(client, "a.test")
    found = await answered(client, url, challenge)
    assert found is not None
    assert found.startswith(words)


async def test_without_a_resolver_dns_01_fails_and_says_so(connect: Connect) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        url, challenge, _ = await challenged(client, "a.test")
        found = await answered(client, url, challenge)
        assert found is not None
        assert found.startswith("dns: ")
        assert "without a resolver" in found
