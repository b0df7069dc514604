"""tls-alpn-01 by the letter: RFC 8737, RFC 8738 §6."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect, a_moment
from tests.unit.devca.raw_client import URN, RawClient
from tests.unit.devca.responders import AlpnCertificate, AlpnResponder, HttpResponder, alpn_responder


@pytest.fixture
async def alpn() -> AsyncIterator[AlpnResponder]:
    async with alpn_responder() as responder:
        yield responder


@pytest.fixture
async def client(alpn: AlpnResponder, connect: Connect) -> AsyncIterator[RawClient]:
    async with DevCa.start(Options.friendly(tls_port=alpn.port)) as ca:
        yield connect(ca)


async def validate(client: RawClient, alpn: AlpnResponder, name: str, **changes: Any) -> str | None:
    """What is wrong, or None; *changes* to a certificate that would be right."""
    await client.register()
    url = (await client.new_order(name)).json["authorizations"][0]
    challenge = await client.challenge(url, "tls-alpn-01")
    right = AlpnCertificate((name,), client.key_authorization(challenge["token"]))
    alpn.show(replace(right, **changes))
    await client.post(challenge["url"], {})
    found = await client.settled(url, while_=["pending"], pause=a_moment)
    error = next(each for each in found["challenges"] if each["type"] == "tls-alpn-01").get("error")
    return f"{error['type'].removeprefix(URN)}: {error['detail']}" if error is not None else None


@pytest.mark.parametrize(
    ("name", "sni"), [("a.test", "a.test"), ("127.0.0.1", "1.0.0.127.in-addr.arpa"), ("x" * 63 + ".y.test", None)]
)
async def test_the_right_certificate(client: RawClient, alpn: AlpnResponder, name: str, sni: str | None) -> None:
    assert await validate(client, alpn, name) is None
    assert alpn.seen == [("127.0.0.1", sni or name)]


async def test_an_ipv6_address_by_its_reverse_name(connect: Connect) -> None:
    async with alpn_responder("::1") as alpn, DevCa.start(Options.friendly(tls_port=alpn.port)) as ca:
        assert await validate(connect(ca), alpn, "::1") is None
        assert alpn.seen == [("::1", "1" + ".0" * 31 + ".ip6.arpa")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"critical": False}, "not critical"),
        ({"oid": x509.ObjectIdentifier("1.3.6.1.5.5.7.1.30.1")}, "1.3.6.1.5.5.7.1.31 is not present"),
        ({"with_proof": False}, "1.3.6.1.5.5.7.1.31 is not present"),
        ({"with_san": False}, "2.5.29.17 is not present"),
        ({"digest": lambda data: hashlib.sha256(data).digest()}, "holds"),
        ({"digest": lambda data: b"\x04\x20" + hashlib.sha256(data).digest() + b"\0"}, "holds"),
        ({"key_authorization": "of.somebody-else"}, "holds"),
        ({"names": ("b.test",)}, "byte for byte"),
        ({"names": ("A.test",)}, "byte for byte"),
        ({"names": ("a.test", "b.test")}, "byte for byte"),
        ({"names": ("a.test", "127.0.0.1")}, "byte for byte"),
        ({"names": ("127.0.0.1",)}, "byte for byte"),
        ({"self_signed": False}, "not self-signed"),
    ],
)
async def test_almost_right_certificates(
    client: RawClient, alpn: AlpnResponder, changes: dict[str, Any], words: str
) -> None:
    found = await validate(client, alpn, "a.test", **changes)
    assert found is not None
    assert found.startswith("unauthorized: Incorrect validation certificate")
    assert words in found


async def test_a_server_that_ignores_alpn_proves_nothing(client: RawClient, alpn: AlpnResponder) -> None:
    alpn.protocols = ()
    found = await validate(client, alpn, "a.test")
    assert found is not None
    assert "Cannot negotiate ALPN" in found


async def test_a_server_without_tls_is_a_tls_problem(web80: HttpResponder, connect: Connect) -> None:
    async with alpn_responder() as unused, DevCa.start(Options.friendly(tls_port=web80.port)) as ca:
        found = await validate(connect(ca), unused, "a.test")
        assert found is not None
        assert found.startswith("tls: 127.0.0.1: ")


async def test_nobody_there_is_a_connection_problem(connect: Connect) -> None:
    async with alpn_responder() as gone:
        port = gone.port
    async with alpn_responder() as unused, DevCa.start(Options.friendly(tls_port=port)) as ca:
        found = await validate(connect(ca), unused, "a.test")
        assert found is not None
        assert found.startswith("connection: 127.0.0.1: ")
