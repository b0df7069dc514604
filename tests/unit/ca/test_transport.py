"""HTTP with a CA that is slow, broken, or not the one it should be."""

import gzip
import os
import socket
import ssl
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from certd.ca.kinds import ALLOWANCES, Kind, Seen
from certd.ca.origin import Origin
from certd.ca.transport import USER_AGENT
from certd.ca.unreachable import ConnectionLost, unreachable
from certd.model.acme import NewOrder, OrderUrl
from certd.model.errors import CaError, CaProtocolError, CaUnreachable, ConfigError
from certd.model.identifiers import parse_identifiers
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa, fake_ca
from tests.unit.ca.faults import HANG, body, lost, raw, reply
from tests.unit.ca.tls import api_tls

ONE = NewOrder(parse_identifiers(["example.org"]))
QUICK = {kind: replace(allowance, seconds=0.3) for kind, allowance in ALLOWANCES.items()}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"


async def test_every_request_says_who_asks_and_in_which_language(fake: FakeCa, connect: Connect) -> None:
    """R3: name, version and HTTP library; the fake refuses to see a request without."""
    ca = await connect(language="de, en;q=0.5")
    await ca.new_order(ONE)
    assert USER_AGENT.startswith("certd/")
    assert "aiohttp/" in USER_AGENT
    assert {request.headers["User-Agent"] for request in fake.received} == {USER_AGENT}
    assert {request.headers["Accept-Language"] for request in fake.received} == {"de, en;q=0.5"}


async def test_posts_are_jose_json(fake: FakeCa, connect: Connect) -> None:
    """R5: another content type is answered with 415 by Boulder."""
    ca = await connect()
    await ca.new_order(ONE)
    posts = [request for request in fake.received if request.method == "POST"]
    assert {request.headers["Content-Type"] for request in posts} == {"application/jose+json"}


async def test_only_directory_nonce_and_renewal_info_are_not_posts(fake: FakeCa, connect: Connect) -> None:
    """R9: all else is POST-as-GET."""
    ca = await connect()
    order = await ca.new_order(ONE)
    await ca.fetch_authorization(order.authorizations[0])
    await ca.fetch_account()
    await ca.fetch_order(order.url)
    assert {request.kind for request in fake.received if request.method != "POST"} == {"directory", "newNonce"}
    assert {request.payload for request in fake.received if request.kind in {"order", "authorization", "account"}} == {
        ""
    }


async def test_each_request_is_counted_and_shown_without_its_payload(fake: FakeCa, connect: Connect) -> None:
    """Metrics and logs: kind, method, URL, status, seconds; a lost one has status 0."""
    seen: list[Seen] = []
    ca = await connect(observe=seen.append)
    fake.next("newOrder", lost())
    with pytest.raises(CaUnreachable):
        await ca.new_order(ONE)
    assert [(s.method, s.kind, s.status) for s in seen] == [
        ("GET", Kind.DIRECTORY, 200),
        ("HEAD", Kind.NEW_NONCE, 200),
        ("POST", Kind.NEW_ACCOUNT, 201),
        ("POST", Kind.NEW_ORDER, 0),
    ]
    assert all(s.seconds > 0 and s.url.startswith(fake.base) for s in seen)
    assert ca.requests == {Kind.DIRECTORY: 1, Kind.NEW_NONCE: 1, Kind.NEW_ACCOUNT: 1, Kind.NEW_ORDER: 1}


# Nobody there, or somebody else (CA1 to CA5)


def _closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_closed_port_is_named_with_the_origin(connect: Connect, fake: FakeCa) -> None:
    """CA1: connection refused."""
    port = _closed_port()
    fake.base = f"https://127.0.0.1:{port}"
    with pytest.raises(
        CaUnreachable, match=f"127.0.0.1:{port}: directory: cannot connect: connection refused"
    ) as caught:
        await connect()
    assert "port" in caught.value.hint


def test_a_name_that_does_not_resolve_is_said_and_not_tried_again() -> None:
    """CA5: DNS failure, as aiohttp raises it."""
    key = ConnectionKey("ca.invalid", 443, True, True, None, None, None)
    why = aiohttp.ClientConnectorDNSError(key, socket.gaierror(-2, "Name or service not known"))
    error = unreachable(Origin("ca.invalid", 443), Kind.DIRECTORY, why)
    assert str(error) == "ca.invalid: directory: its name does not resolve: Name or service not known"
    assert not isinstance(error, ConnectionLost)


BAD_API: dict[str, tuple[dict[str, Any], bool, str]] = {
    "other name": ({"name": "other.test"}, True, "not accepted"),
    "expired": ({"days": (-30, -1)}, True, "expired"),
    "self-signed": ({}, False, "self-signed"),
    "TLS 1.1": ({"newest": ssl.TLSVersion.TLSv1_1}, True, "handshake failed|reset by peer"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ssl, for the server that speaks TLS 1.1
@pytest.mark.parametrize(("certificate", "trusted", "word"), BAD_API.values(), ids=BAD_API)
async def test_an_api_with_the_wrong_tls_is_not_spoken_to(
    tmp_path: Path, connect: Connect, fake: FakeCa, certificate: dict[str, Any], trusted: bool, word: str
) -> None:
    """CA4, SE8: certificates are verified, and nothing under TLS 1.2 is spoken."""
    api = api_tls(tmp_path, **certificate)
    async with fake_ca(api) as other:
        fake.base = other.base
        options: dict[str, Any] = {"ca_bundle": api.root} if trusted else {}
        with pytest.raises(CaUnreachable, match=word) as caught:
            await connect(**options)
        assert caught.value.hint
        assert other.received == []


async def test_a_port_without_tls_is_said(connect: Connect, fake: FakeCa) -> None:
    """R2: the commonest mistake with a private CA is its plain http port."""
    import asyncio

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        fake.base = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(CaUnreachable, match="no TLS on this port"):
            await connect()


@pytest.mark.parametrize(
    "content", [None, "", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_an_unusable_bundle_is_a_mistake_of_the_configuration(
    tmp_path: Path, connect: Connect, content: str | None
) -> None:
    bundle = tmp_path / "roots.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(ConfigError, match=r"roots\.pem"):
        await connect(ca_bundle=bundle)


async def test_the_environment_neither_redirects_nor_records_the_conversation(
    fake: FakeCa, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE8: no proxy, no SSLKEYLOGFILE."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{_closed_port()}")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    await connect()
    assert not (tmp_path / "keys").exists()
    assert os.environ["SSLKEYLOGFILE"]
    assert fake.count("newAccount") == 1


# Replies that break off, trickle, or do not end (CA2, CA3, CA7 to CA9)

BROKEN = {
    "no byte": lost(),
    "reset in the headers": raw(HEAD),
    "reset in the body": raw(HEAD + b"\r\n{"),
    "not HTTP": raw(b"\x00\x01\x02garbage\r\n\r\n"),
    "a header of 9 KiB": raw(HEAD + b"X-Long: " + b"a" * 9000 + b"\r\n\r\n"),
}
SLOW = {
    "hang before headers": HANG,
    "hang in the body": raw(HEAD + b"\r\n{", then_hang=True),
    "headers trickle": raw(*[HEAD[i : i + 1] for i in range(40)], pause=0.1),
    "body trickles": raw(HEAD + b"\r\n", *[b" "] * 40, pause=0.1),
    "1xx storm": raw(*[b"HTTP/1.1 102 Processing\r\n\r\n"] * 40, pause=0.1),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_broken_reply_is_no_reply(fake: FakeCa, connect: Connect, fault: Any) -> None:
    """CA2, CA3: the CA may have seen it, so newOrder is not sent again."""
    ca = await connect()
    fake.next("newOrder", fault)
    with pytest.raises(CaUnreachable, match="newOrder"):
        await ca.new_order(ONE)
    assert fake.count("newOrder") == 1
    await ca.new_order(ONE)


@pytest.mark.parametrize("fault", SLOW.values(), ids=SLOW)
async def test_a_reply_that_takes_for_ever_ends_at_the_deadline(fake: FakeCa, connect: Connect, fault: Any) -> None:
    """CA7 to CA9: the whole step has a deadline, whatever trickles."""
    ca = await connect(allowances=QUICK)
    fake.next("newOrder", fault)
    with pytest.raises(CaUnreachable, match=r"newOrder: no complete reply within 0\.3 s"):
        await ca.new_order(ONE)
    await ca.new_order(ONE)


def test_finalize_and_certificate_have_two_minutes_and_all_else_one() -> None:
    """CA7 to CA9: the figures."""
    slow = {kind for kind, allowance in ALLOWANCES.items() if allowance.seconds == 120}
    assert slow == {Kind.FINALIZE, Kind.CERTIFICATE}
    assert {allowance.seconds for kind, allowance in ALLOWANCES.items() if kind not in slow} == {60}
    assert set(ALLOWANCES) == set(Kind)


REPEATED = {"directory": 3, "order": 3, "challenge": 2, "newAccount": 2}


async def test_what_has_the_same_effect_twice_is_repeated_after_a_lost_connection(
    fake: FakeCa, connect: Connect
) -> None:
    """CA2: reads twice, newAccount and challenge once; each try is a new signature."""
    for kind in ("directory", "newNonce"):
        fake.next(kind, lost(), lost())
    fake.next("newAccount", lost(handled=True))
    ca = await connect()
    order = await ca.new_order(ONE)
    authorization = await ca.fetch_authorization(order.authorizations[0])
    fake.next("challenge", lost(handled=True))
    fake.next("order", lost(), lost())
    await ca.answer(authorization.challenges[0])
    await ca.fetch_order(order.url)
    assert {kind: fake.count(kind) for kind in REPEATED} == REPEATED
    assert len(fake.state.accounts) == 1


async def test_a_connection_lost_for_ever_is_not_tried_for_ever(fake: FakeCa, connect: Connect) -> None:
    ca = await connect()
    fake.always("order", lost())
    with pytest.raises(CaUnreachable, match="closed the connection"):
        await ca.fetch_order(OrderUrl(f"{fake.base}/order/1"))
    assert fake.count("order") == 3


# Redirects (CA14 to CA17)


async def test_a_signed_request_is_never_redirected(fake: FakeCa, connect: Connect) -> None:
    """CA17: the signature is for one URL; 301, 302, 303, 307, 308."""
    ca = await connect()
    for code in (301, 302, 303, 307, 308):
        fake.next("newOrder", reply(code, Location=f"{fake.base}/new-order"))
        with pytest.raises(CaProtocolError, match="redirects a signed request"):
            await ca.new_order(ONE)
    assert fake.count("newOrder") == 5


async def test_a_directory_may_be_three_hops_away_on_its_own_origin(fake: FakeCa, connect: Connect) -> None:
    """CA17: GET follows, to the same origin only."""
    fake.next("directory", *[reply(302, Location="/dir")] * 2, reply(308, Location=f"{fake.base}/dir"))
    ca = await connect()
    assert ca.requests[Kind.DIRECTORY] == 4


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:1/dir", "https://127.0.0.1:1/dir", "https://169.254.169.254/", "file:///etc/passwd", ""],
)
async def test_a_redirect_elsewhere_is_not_followed(fake: FakeCa, connect: Connect, target: str) -> None:
    """CA26: no packet leaves for another origin."""
    fake.always("directory", reply(302, **({"Location": target} if target else {})))
    with pytest.raises(CaProtocolError):
        await connect()
    assert fake.count("directory") <= 4


async def test_a_loop_of_redirects_ends(fake: FakeCa, connect: Connect) -> None:
    fake.always("directory", reply(302, Location="/dir"))
    with pytest.raises(CaProtocolError, match="redirected more than 3 times"):
        await connect()


# Sizes and encodings (CA18 to CA21)

MIB = 1024 * 1024
TOO_LONG = {
    "a body of 1 MiB and one octet": b" " * (MIB + 1),
    "8 MiB": b" " * (8 * MIB),
}


@pytest.mark.parametrize("data", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_body_over_the_limit_is_refused(fake: FakeCa, connect: Connect, data: bytes) -> None:
    """CA18: 1 MiB, and 256 KiB for the directory."""
    ca = await connect()
    fake.next("newOrder", body(data))
    with pytest.raises(CaProtocolError, match="longer than 1048576 bytes"):
        await ca.new_order(ONE)


async def test_a_directory_has_a_quarter_of_that(fake: FakeCa, connect: Connect) -> None:
    fake.always("directory", body(b" " * (MIB // 4 + 1)))
    with pytest.raises(CaProtocolError, match="longer than 262144 bytes"):
        await connect()


async def test_a_gzip_bomb_stays_small(fake: FakeCa, connect: Connect) -> None:
    """CA21: 1:1000; what is counted is what comes out, and no more of it is made than is allowed."""
    ca = await connect()
    bomb = gzip.compress(b" " * (64 * MIB), 1)
    fake.next("newOrder", reply(201, bomb, Content_Encoding="gzip"))
    with pytest.raises(CaProtocolError, match="longer than"):
        await ca.new_order(ONE)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compression_that_was_not_asked_for_is_read_nevertheless(
    fake: FakeCa, connect: Connect, encoding: str
) -> None:
    """A front end may compress whatever Accept-Encoding says."""
    ca = await connect()
    url = OrderUrl(fake.state.url("order", 1))
    order = await ca.new_order(ONE)
    packed = (gzip.compress if encoding == "gzip" else zlib.compress)(_order_text(fake))
    fake.next("order", reply(200, packed, Content_Encoding=encoding))
    assert (await ca.fetch_order(url)).identifiers == order.identifiers
    assert fake.last("order").headers["Accept-Encoding"] == "identity"


BAD_ENCODINGS = {
    "not gzip": ("gzip", b"{}"),
    "cut off": ("gzip", gzip.compress(b"{}" * 100)[:-10]),
    "unknown": ("br", b"{}"),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
}


@pytest.mark.parametrize(("encoding", "data"), BAD_ENCODINGS.values(), ids=BAD_ENCODINGS)
async def test_a_broken_encoding_is_refused(fake: FakeCa, connect: Connect, encoding: str, data: bytes) -> None:
    """CA21."""
    ca = await connect()
    fake.next("newOrder", reply(201, data, Content_Encoding=encoding))
    with pytest.raises(CaError):
        await ca.new_order(ONE)
    await ca.new_order(ONE)


@pytest.mark.parametrize("code", [202, 204, 206, 226, 304])
async def test_a_status_without_an_object_is_refused(fake: FakeCa, connect: Connect, code: int) -> None:
    """CA17: 204 where 200 is due."""
    ca = await connect()
    fake.next("newOrder", reply(code))
    with pytest.raises(CaProtocolError, match=f"HTTP {code}"):
        await ca.new_order(ONE)


def _order_text(fake: FakeCa) -> bytes:
    import json

    return json.dumps(fake.state.orders["1"]).encode()
