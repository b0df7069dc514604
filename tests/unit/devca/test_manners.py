"""How unfriendly a devca is, and that it is so by the randomness it is given."""

import logging
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certd.devca import DevCa, Options
from certd.devca.app import DIRECTORY
from certd.devca.options import read_address, read_lifetime, read_profile
from tests.unit.devca.conftest import Connect
from tests.unit.devca.raw_client import Twist
from tests.unit.devca.responders import HttpResponder

ONCE = Twist(retries=False)


async def _slept(_: float) -> None:
    """In no time."""


async def test_the_default_refuses_one_nonce_in_twenty(connect: Connect) -> None:
    async with DevCa.start(Options(), rng=random.Random(7), sleep=_slept) as ca:
        client = connect(ca)
        await client.register()
        assert client.kid is not None
        answers = Counter([(await client.post(client.kid, twist=ONCE)).problem for _ in range(400)])
        assert set(answers) == {None, "badNonce"}
        assert 8 <= answers["badNonce"] <= 36


async def test_a_badnonce_answer_brings_the_nonce_for_the_next_try(connect: Connect) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        await client.register()
        assert client.kid is not None
        ca.forget_nonces()
        refused = await client.post(client.kid, twist=ONCE)
        assert refused.problem == "badNonce"
        assert client.nonces[-1] == refused.headers["Replay-Nonce"]
        assert (await client.post(client.kid, twist=ONCE)).status == 200


async def test_chaff_is_everywhere_and_lists_come_in_any_order(connect: Connect) -> None:
    async with DevCa.start(Options(bad_nonce=0.0), rng=random.Random(1), sleep=_slept) as ca:
        client = connect(ca)
        account = await client.register()
        made = await client.new_order(*[f"n{each}.test" for each in range(6)])
        polls = [(await client.post(made.location)).json for _ in range(5)]
        authorization = (await client.post(made.json["authorizations"][0])).json
        for document in (client.directory, account.json, made.json, authorization, authorization["challenges"][0]):
            assert any(each.startswith("x") and len(each) == 9 for each in document)
        orders = {tuple(each["value"] for each in poll["identifiers"]) for poll in polls}
        assert len(orders) > 1
        assert len({frozenset(each) for each in orders}) == 1
        assert "x-riddle-99" in {each["type"] for each in authorization["challenges"]}
        riddle = await client.challenge(made.json["authorizations"][0], "x-riddle-99")
        assert (await client.post(riddle["url"], {})).problem == "malformed"


async def test_a_friendly_one_has_none_of_it(connect: Connect) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        account = await client.register()
        made = await client.new_order("b.test", "a.test")
        assert set(account.json) == {"status", "contact", "termsOfServiceAgreed", "orders"}
        assert [each["value"] for each in made.json["identifiers"]] == ["b.test", "a.test"]
        assert "profile" not in made.json
        assert (await client.post(made.location)).json == made.json


async def test_paths_are_random_and_the_directory_is_at_dir(connect: Connect) -> None:
    found = []
    for _ in range(2):
        async with DevCa.start(Options.friendly()) as ca:
            assert ca.directory_url.endswith(DIRECTORY)
            directory = await connect(ca).load_directory()
            found.append({url.split("/", 3)[3] for name, url in directory.items() if name != "meta"})
    assert not found[0] & found[1]


async def test_nonces_by_head_and_get_and_what_every_answer_has(connect: Connect) -> None:
    now = datetime(2027, 3, 4, 5, 6, 7, tzinfo=UTC)
    async with DevCa.start(Options.friendly(), now=lambda: now) as ca:
        client = connect(ca)
        await client.load_directory()
        head = await client._send("HEAD", client.directory["newNonce"], {})
        get = await client.get(client.directory["newNonce"])
        assert (head.status, get.status, get.body) == (200, 204, b"")
        for answer in (head, get):
            assert answer.headers["Replay-Nonce"]
            assert answer.links("index") == [ca.directory_url]
            assert "no-store" in answer.headers["Cache-Control"]
            assert answer.headers["Date"] == "Thu, 04 Mar 2027 05:06:07 GMT"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", DIRECTORY, 405), ("POST", DIRECTORY, 405)]
)
async def test_what_is_not_there_is_a_problem_document(connect: Connect, method: str, path: str, status: int) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        answer = await client._send(method, ca.directory_url.removesuffix(DIRECTORY) + path, {})
        assert (answer.status, answer.problem) == (status, "malformed")


async def test_another_host_name_is_refused(connect: Connect) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        answer = await client.get(ca.directory_url, Host="evil.example")
        assert (answer.status, answer.problem) == (421, "malformed")
        localhost = replace(client, directory_url=ca.directory_url.replace("127.0.0.1", "localhost"))
        assert (await localhost.register()).location.startswith("https://localhost:")


async def test_bodies_have_a_limit(connect: Connect) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        await client.load_directory()
        answer = await client._send("POST", client.directory["newOrder"], {}, b"x" * 300_000)
        assert (answer.status, answer.problem) == (413, "malformed")


async def test_a_mistake_of_devca_is_a_problem_too(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with DevCa.start(Options.friendly()) as ca:
        client = connect(ca)
        await client.register()
        monkeypatch.setattr(ca._authority.store, "put", _broken)
        with caplog.at_level(logging.CRITICAL):
            answer = await client.new_order("a.test")
        assert (answer.status, answer.problem) == (500, "serverInternal")


async def test_pending_authorizations_come_with_retry_after_where_asked_for(
    web80: HttpResponder, connect: Connect
) -> None:
    async with DevCa.start(Options.friendly(http_port=web80.port, retry_after=3)) as ca:
        client = connect(ca)
        await client.register()
        made = await client.new_order("a.test")
        assert (await client.post(made.json["authorizations"][0])).headers["Retry-After"] == "3"


def _broken(*_: Any) -> None:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "0.0.0.0"},
        {"host": "example.org"},
        {"addresses": {"a.test": ("10.0.0.1",)}},
        {"profiles": {}},
        {"profiles": {"x": timedelta(0)}},
        {"profiles": {"x": timedelta(days=4000)}},
        {"sources": ()},
        {"sources": ("10.0.0.1",)},
        {"late_source": "x"},
    ],
)
def test_options_that_cannot_be_meant(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Options(**changes)


def test_options_are_read_from_text() -> None:
    assert read_lifetime("40s") == timedelta(seconds=40)
    assert read_profile("shortlived=160h") == ("shortlived", timedelta(hours=160))
    assert read_address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert read_address("[::1]:14000") == ("::1", 14000)
    for read, text in (
        (read_lifetime, "40"),
        (read_lifetime, "-1d"),
        (read_profile, "x"),
        (read_profile, "=1d"),
        (read_address, "localhost:1"),
        (read_address, "127.0.0.1"),
        (read_address, "127.0.0.1:99999"),
    ):
        with pytest.raises(ValueError, match=r"\S"):
            read(text)
