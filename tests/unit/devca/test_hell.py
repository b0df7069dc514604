"""The faults, limits and counts that other tests rely on do what they say."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from certd.devca import Options
from tests.hellca import faults
from tests.hellca.hell import HellCa
from tests.hellca.limits import TokenBucket, per_account, per_identifier_set, unless_replacing
from tests.unit.devca.conftest import Connect, a_moment
from tests.unit.devca.flow import issue
from tests.unit.devca.raw_client import RawClient
from tests.unit.devca.responders import HttpResponder

START = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
async def hell(web80: HttpResponder) -> AsyncIterator[HellCa]:
    async with HellCa.start(Options.friendly(http_port=web80.port)) as started:
        yield started


@pytest.fixture
async def client(hell: HellCa, connect: Connect) -> RawClient:
    return connect(hell.ca)


async def test_requests_are_counted_by_route_and_their_payloads_kept(
    hell: HellCa, client: RawClient, web80: HttpResponder
) -> None:
    await issue(client, web80, "a.test")
    counts = hell.counts()
    assert {name: counts[name] for name in ("directory", "new-nonce", "new-account", "new-order", "finalize")} == {
        "directory": 1,
        "new-nonce": 1,
        "new-account": 1,
        "new-order": 1,
        "finalize": 1,
    }
    assert hell.payloads("new-order") == [{"identifiers": [{"type": "dns", "value": "a.test"}]}]
    assert len(hell.accounts) == len(hell.orders) == len(hell.certificates) == 1
    assert hell.requests[-1].answered == 200
    hell.forget()
    assert hell.count() == 0


async def test_a_problem_comes_as_often_as_asked_and_where_asked(hell: HellCa, client: RawClient) -> None:
    await client.register()
    limited = faults.problem("rateLimited", status=429, retry_after="60")
    hell.fault("new-order", limited, times=2, after=1)
    assert (await client.new_order("a.test")).status == 201
    for _ in range(2):
        refused = await client.new_order("b.test")
        assert (refused.status, refused.problem) == (429, "rateLimited")
        assert refused.headers["Retry-After"] == "60"
        assert refused.headers["Replay-Nonce"]
    assert (await client.new_order("b.test")).status == 201
    assert len(hell.orders) == 2


@pytest.mark.parametrize("fault", [faults.reset(), faults.lose_reply(), faults.cut_body(), faults.hang(0.05)])
async def test_connections_break(hell: HellCa, client: RawClient, fault: faults.Fault) -> None:
    await client.register()
    hell.fault("new-order", fault)
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await client.new_order("a.test")
    assert len(hell.orders) == (0 if fault.__qualname__.split(".")[0] in ("reset", "hang") else 1)
    assert (await client.new_order("b.test")).status == 201


async def test_documents_headers_and_bodies_are_changed(hell: HellCa, client: RawClient) -> None:
    await client.register()
    hell.fault("new-order", faults.edit(lambda order: order | {"status": "strange"}))
    hell.fault("new-order", faults.with_headers(Replay_Nonce="a b", Location=None))
    hell.fault("new-order", faults.reply(502, b"<html>", content_type="text/html"))
    hell.fault("new-order", faults.edit_body(lambda body: body[:-5]))
    assert (await client.new_order("a.test")).json["status"] == "strange"
    changed = await client.new_order("b.test")
    assert changed.headers["Replay-Nonce"] == "a b"
    assert "Location" not in changed.headers
    client.nonces.clear()
    assert (await client.new_order("c.test")).body == b"<html>"
    with pytest.raises(ValueError, match="Unterminated"):
        _ = (await client.new_order("d.test")).json


async def test_octets_and_bombs_are_sent_as_they_are(hell: HellCa, client: RawClient) -> None:
    hell.fault("directory", faults.gzip_bomb(1 << 20))
    assert len((await client.get(hell.directory_url)).body) == 1 << 20
    hell.fault("directory", faults.raw(b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nhi"))
    assert (await client.get(hell.directory_url)).status == 418


@pytest.mark.parametrize("fault", [faults.drip(b"{" + b" " * 1000, pause=0.01), faults.drip_headers(pause=0.01)])
async def test_slow_answers_end_with_the_ca(hell: HellCa, client: RawClient, fault: faults.Fault) -> None:
    await client.register()
    hell.fault("directory", fault)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.load_directory()
    hell.fault("directory", faults.huge(1 << 20))
    assert len((await client.get(hell.directory_url)).body) == 1 << 20


async def test_buckets_refill_and_say_when(web80: HttpResponder, connect: Connect) -> None:
    now = START
    async with HellCa.start(Options.friendly(http_port=web80.port), now=lambda: now) as hell:
        client, other = connect(hell.ca), connect(hell.ca)
        hell.limit("new-order", TokenBucket(2, timedelta(seconds=36), unless_replacing(per_account)))
        await client.register()
        await other.register()
        statuses = [(await client.new_order(f"n{each}.test")).status for each in range(3)]
        assert statuses == [201, 201, 429]
        assert (await client.new_order("n3.test")).headers["Retry-After"] == "36"
        assert (await other.new_order("n3.test")).status == 201
        now += timedelta(seconds=36)
        assert (await client.new_order("n3.test")).status == 201
        hell.clear()
        assert (await client.new_order("n4.test")).status == 201
        hell.limit("new-order", TokenBucket(1, timedelta(days=1), per_identifier_set))
        assert (await client.new_order("n5.test", "n6.test")).status == 201
        assert (await client.new_order("n6.test", "n5.test")).status == 429
        assert (await client.new_order("n6.test")).status == 201


async def test_a_name_that_failed_too_often_is_refused_for_an_hour(web80: HttpResponder, connect: Connect) -> None:
    now = START
    async with HellCa.start(Options.friendly(http_port=web80.port), now=lambda: now) as hell:
        hell.limit_failures(most=2)
        client = connect(hell.ca)
        await client.register()

        async def fail() -> Any:
            made = await client.new_order("dead.test")
            if made.status == 201:
                challenge = await client.challenge(made.json["authorizations"][0], "http-01")
                await client.post(challenge["url"], {})
                await client.settled(made.location, while_=["pending"], pause=a_moment)
            return made

        assert [(await fail()).status for _ in range(3)] == [201, 201, 429]
        now += timedelta(minutes=61)
        assert (await fail()).status == 201
