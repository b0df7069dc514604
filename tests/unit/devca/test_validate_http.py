"""http-01 as Boulder validates it: RFC 8555 §8.3 and the rules around it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect, a_moment
from tests.unit.devca.raw_client import URN, Json, RawClient
from tests.unit.devca.responders import PREFIX, AlpnCertificate, HttpResponder, http_responder, server_context

THREE = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


async def validate(
    client: RawClient, name: str, publish: Callable[[str, str], object] = lambda _token, _proof: None
) -> Json:
    """The authorization's http-01 challenge once it is validated; `publish(token, key authorization)` before that."""
    if client.kid is None:
        await client.register()
    made = await client.new_order(name)
    assert made.status == 201, made.body
    url = made.json["authorizations"][0]
    challenge = await client.challenge(url, "http-01")
    publish(challenge["token"], client.key_authorization(challenge["token"]))
    await client.post(challenge["url"], {})
    found = await client.settled(url, while_=["pending"], pause=a_moment)
    return next(each for each in found["challenges"] if each["type"] == "http-01")


def error(challenge: Json) -> tuple[str, str]:
    return challenge["error"]["type"].removeprefix(URN), challenge["error"]["detail"]


@pytest.fixture
async def client(calm: DevCa, connect: Connect) -> RawClient:
    return connect(calm)


def _page(response: Callable[[], web.StreamResponse], web80: HttpResponder) -> Callable[[str, str], None]:
    def publish(token: str, proof: str) -> None:
        del proof
        web80.pages[PREFIX + token] = response

    return publish


def _redirect(to: str, status: int = 302) -> web.Response:
    return web.Response(status=status, headers={"Location": to})


async def test_every_source_looks_and_one_more_after_valid(web80: HttpResponder, connect: Connect) -> None:
    options = replace(Options.friendly(http_port=web80.port), sources=THREE, late_source="127.0.0.4")
    async with DevCa.start(options) as ca:
        challenge = await validate(connect(ca), "a.test", web80.proofs.__setitem__)
        assert challenge["status"] == "valid"
        while len(web80.seen) < 4:
            await a_moment()
        assert web80.seen[0][0] == "127.0.0.1"
        assert {peer for peer, _, _ in web80.seen} == {*THREE, "127.0.0.4"}
        assert {host for _, host, _ in web80.seen} == {f"a.test:{web80.port}"}
        while len(ca.validations) < 4:
            await a_moment()
        assert [(each.source, each.late, each.problem) for each in ca.validations][-1] == ("127.0.0.4", True, None)


async def test_a_proof_removed_after_the_first_look_is_missed_by_the_others(
    web80: HttpResponder, connect: Connect
) -> None:
    web80.once = True
    async with DevCa.start(replace(Options.friendly(http_port=web80.port), sources=THREE)) as ca:
        challenge = await validate(connect(ca), "a.test", web80.proofs.__setitem__)
        kind, detail = error(challenge)
        assert (kind, detail.startswith("During secondary validation: ")) == ("unauthorized", True)


async def test_a_proof_removed_at_valid_is_missed_by_the_late_look_alone(
    web80: HttpResponder, connect: Connect
) -> None:
    async with DevCa.start(replace(Options.friendly(http_port=web80.port), late_source="127.0.0.4")) as ca:
        challenge = await validate(connect(ca), "a.test", web80.proofs.__setitem__)
        web80.proofs.clear()
        assert challenge["status"] == "valid"
        while len(ca.validations) < 2:
            await a_moment()
        assert ca.validations[-1].late
        assert ca.validations[-1].problem is not None


async def test_white_space_after_the_proof_is_fine(client: RawClient, web80: HttpResponder) -> None:
    challenge = await validate(client, "a.test", lambda token, proof: web80.proofs.update({token: proof + "\r\n"}))
    assert challenge["status"] == "valid"


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (lambda: web.Response(status=404), "unauthorized", "404"),
        (lambda: web.Response(status=500), "unauthorized", "500"),
        (lambda: web.Response(text="something else"), "unauthorized", "(got 'something else')"),
        (lambda: web.Response(text="x" * 128), "unauthorized", "xxx"),
        (lambda: web.Response(body=b"\xff" * 5000), "unauthorized", "Invalid response"),
        (lambda: _redirect("/elsewhere", 303), "connection", "disallowed redirect"),
        (lambda: _redirect("ftp://a.test/x"), "connection", "protocol scheme"),
        (lambda: _redirect("http://a.test:1/x"), "connection", "Invalid port"),
        (lambda: _redirect("http://example.com/x"), "dns", "example.com"),
        (lambda: _redirect("http://10.0.0.1/x"), "dns", "10.0.0.1"),
        (lambda: _redirect("/" + "x" * 3000), "connection", "2000"),
        (lambda: _redirect("http://[::1/x"), "connection", "Invalid redirect"),
    ],
)
async def test_wrong_answers(
    client: RawClient, web80: HttpResponder, response: Callable[[], web.Response], kind: str, words: str
) -> None:
    found = error(await validate(client, "a.test", _page(response, web80)))
    assert found[0] == kind
    assert words in found[1]


async def test_redirects_are_followed_ten_times_and_to_other_names(client: RawClient, web80: HttpResponder) -> None:
    def publish(token: str, proof: str) -> None:
        web80.pages[PREFIX + token] = lambda: _redirect("http://b.localhost/1", 301)
        for each in range(1, 10):
            web80.pages[f"/{each}"] = lambda each=each: _redirect(f"/{each + 1}", (302, 307, 308)[each % 3])  # type: ignore[misc]
        web80.pages["/10"] = lambda: web.Response(text=proof)

    assert (await validate(client, "a.test", publish))["status"] == "valid"
    assert web80.seen[1][1] == "b.localhost"
    web80.pages["/10"] = lambda: _redirect("/11")
    assert "Too many redirects" in error(await validate(client, "c.test", publish_loop(web80)))[1]


def publish_loop(web80: HttpResponder) -> Callable[[str, str], None]:
    def publish(token: str, proof: str) -> None:
        del proof
        web80.pages[PREFIX + token] = lambda: _redirect("http://b.localhost/1")

    return publish


async def test_a_redirect_to_https_is_followed_whatever_certificate_is_there(
    web80: HttpResponder, connect: Connect
) -> None:
    context = server_context(AlpnCertificate(("other.test",), "none"))
    async with (
        http_responder(context=context) as web443,
        DevCa.start(Options.friendly(http_port=web80.port, https_port=web443.port)) as ca,
    ):

        def publish(token: str, proof: str) -> None:
            web80.pages[PREFIX + token] = lambda: _redirect(f"https://a.test{PREFIX}{token}")
            web443.proofs[token] = proof

        assert (await validate(connect(ca), "a.test", publish))["status"] == "valid"
        assert web443.seen[0][1] == "a.test"


async def test_a_redirect_loop_is_noticed(client: RawClient, web80: HttpResponder) -> None:
    web80.pages["/loop"] = lambda: _redirect("/loop")
    found = error(await validate(client, "a.test", _page(lambda: _redirect("/loop"), web80)))
    assert found == ("connection", found[1])
    assert "loop" in found[1]


async def test_nobody_there_is_a_connection_problem(connect: Connect) -> None:
    async with http_responder() as gone:
        port = gone.port
    async with DevCa.start(Options.friendly(http_port=port)) as ca:
        kind, detail = error(await validate(connect(ca), "a.test"))
        assert kind == "connection"
        assert detail.startswith("127.0.0.1: Fetching http://a.test")


async def test_silence_ends_with_a_limit(connect: Connect) -> None:
    ended = asyncio.Event()

    async def hold(request: Any) -> web.StreamResponse:
        del request
        await ended.wait()
        return web.Response()

    async with AsyncExitStack() as stack:
        runner = web.ServerRunner(web.Server(hold))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        options = Options.friendly(http_port=runner.addresses[0][1], validation_limit=timedelta(milliseconds=50))
        async with DevCa.start(options) as ca:
            kind, detail = error(await validate(connect(ca), "a.test"))
        ended.set()
        assert (kind, "Timeout" in detail) == ("connection", True)


async def test_the_ca_ends_in_the_middle_of_a_validation(connect: Connect) -> None:
    asked = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with (
        await asyncio.start_server(hold, "127.0.0.1", 0) as silent,
        DevCa.start(Options.friendly(http_port=silent.sockets[0].getsockname()[1])) as ca,
    ):
        client = connect(ca)
        await client.register()
        made = await client.new_order("a.test")
        challenge = await client.challenge(made.json["authorizations"][0], "http-01")
        await client.post(challenge["url"], {})
        await asked.wait()


@pytest.fixture
async def dual() -> AsyncIterator[tuple[HttpResponder, HttpResponder]]:
    """Listeners on ::1 and 127.0.0.1 with one port."""
    async with http_responder("::1") as six, http_responder("127.0.0.1", six.port) as four:
        yield six, four


async def test_ipv6_comes_first_and_ipv4_only_if_nothing_is_there(
    dual: tuple[HttpResponder, HttpResponder], connect: Connect
) -> None:
    six, four = dual
    places = {"dual.test": ("127.0.0.1", "::1"), "*.four.test": ("127.0.0.1",), "none.test": ()}
    async with DevCa.start(Options.friendly(http_port=six.port, addresses=places)) as ca:
        client = connect(ca)
        assert (await validate(client, "dual.test", four.proofs.__setitem__))["error"]["detail"].startswith("::1")
        assert (await validate(client, "dual.test", six.proofs.__setitem__))["status"] == "valid"
        assert (await validate(client, "x.four.test", four.proofs.__setitem__))["status"] == "valid"
        assert error(await validate(client, "none.test"))[0] == "dns"
    async with http_responder() as only, DevCa.start(Options.friendly(http_port=only.port, addresses=places)) as ca:
        challenge = await validate(connect(ca), "dual.test", only.proofs.__setitem__)
        assert challenge["status"] == "valid"
        assert [peer for peer, _, _ in only.seen] == ["127.0.0.1"]


async def test_addresses_are_validated_at_themselves(
    dual: tuple[HttpResponder, HttpResponder], connect: Connect
) -> None:
    six, four = dual
    async with DevCa.start(Options.friendly(http_port=six.port)) as ca:
        client = connect(ca)
        assert (await validate(client, "::1", six.proofs.__setitem__))["status"] == "valid"
        assert (await validate(client, "127.0.0.1", four.proofs.__setitem__))["status"] == "valid"
        assert six.seen[0][1] == f"[::1]:{six.port}"
