"""The tls-alpn-01 responder met by real TLS clients (RFC 8737, RFC 8738): the exact certificate, or an alert."""

import asyncio
import contextlib
import random
import ssl
import warnings

import pytest

from certd.listen.alpn import Alert, NotAcme, Prove, Unknown, decide
from certd.listen.client_hello import ClientHello
from tests.unit.listen.fakes import Rows, alpn_proof, converse, tls_listener
from tests.unit.listen.validator import Handshake, client_context, hello_bytes, shake, validate

NAMES = ["example.org", "xn--mnchen-3ya.example", "192.0.2.7", "2001:db8::1", "a." * 60 + "example"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_strict_validator_is_satisfied(name: str) -> None:
    """Names, IDNs and addresses (by their reverse names), checked byte by byte as Boulder does."""
    proof = alpn_proof(name)
    rows = Rows(proof)
    async with tls_listener(rows) as address:
        await validate(address, proof)
    assert rows.seen == [proof]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_tls_versions_negotiate_acme_tls_1(version: ssl.TLSVersion) -> None:
    """RFC 8737 §4: TLS 1.2 or higher."""
    async with tls_listener(Rows(alpn_proof())) as address:
        seen = await shake(address, "example.org", "acme-tls/1", highest=version)
    assert seen.selected_alpn_protocol() == "acme-tls/1"
    assert seen.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]


async def test_tls_1_1_is_refused() -> None:
    """RFC 8737 §4, and nothing is said about the certificate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = client_context("acme-tls/1")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    rows = Rows(alpn_proof())
    client = Handshake(context, "example.org")
    async with tls_listener(rows) as address:
        reply = await converse(address, client.step())
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        client.step(reply)
    assert rows.seen == []


@pytest.mark.parametrize("alpn", [(), ("h2",), ("h2", "http/1.1"), ("acme-tls/1", "h2"), ("http/1.1", "acme-tls/1")])
async def test_visitors_get_no_application_protocol_and_no_certificate(alpn: tuple[str, ...]) -> None:
    """RFC 8737 §5: never a fallback certificate. A validator offers acme-tls/1 and nothing else."""
    rows = Rows(alpn_proof())
    async with tls_listener(rows) as address:
        reply = await converse(address, hello_bytes("example.org", *alpn))
    assert reply == Alert.NO_APPLICATION_PROTOCOL.record == bytes.fromhex("15030300020278")
    assert rows.looked_up == []


@pytest.mark.parametrize("server_name", ["other.example", "www.example.org", None, "7.2.0.192.in-addr.arpa"])
async def test_unknown_names_get_unrecognized_name(server_name: str | None) -> None:
    """The alert of RFC 6066 §3, and again no certificate."""
    rows = Rows(alpn_proof())
    async with tls_listener(rows) as address:
        reply = await converse(address, hello_bytes(server_name, "acme-tls/1"))
    assert reply == Alert.UNRECOGNIZED_NAME.record == bytes.fromhex("15030300020270")
    assert rows.seen == []


async def test_python_clients_read_the_alerts_as_meant() -> None:
    """The records are right on the wire, not only in our own eyes."""
    async with tls_listener(Rows(alpn_proof())) as address:
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
            await shake(address, "example.org", "h2")
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            await shake(address, "other.example", "acme-tls/1")


async def test_five_validators_from_five_addresses_see_one_certificate() -> None:
    """CA36; the certificate is made once and kept while the proof is asked for."""
    proof = alpn_proof()
    rows = Rows(proof)
    async with tls_listener(rows) as address:
        await asyncio.gather(*(validate(address, proof, source=f"127.0.0.{last}") for last in range(21, 26)))
        first = await shake(address, "example.org", "acme-tls/1")
        second = await shake(address, "example.org", "acme-tls/1")
        assert first.getpeercert(binary_form=True) == second.getpeercert(binary_form=True)
    assert rows.seen == [proof] * 7


async def test_a_hundred_names_are_told_apart() -> None:
    """One order can have 100 identifiers, all validated at once."""
    proofs = [alpn_proof(f"n{number}.example", token=f"token-{number:032}") for number in range(100)]
    rows = Rows(*proofs)
    async with tls_listener(rows) as address:
        for start in range(0, 100, 20):
            await asyncio.gather(*(validate(address, proof) for proof in proofs[start : start + 20]))
    assert len(rows.seen) == 100


async def test_a_hello_in_single_bytes_is_understood() -> None:
    """TCP may cut anywhere, and so may the record layer."""
    proof = alpn_proof()
    rows = Rows(proof)
    client = Handshake(client_context("acme-tls/1"), "example.org")
    async with tls_listener(rows) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        for byte in client.step():
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        while not client.tls.selected_alpn_protocol() or not rows.seen:
            writer.write(client.step(await reader.read(65536)))
        assert client.tls.selected_alpn_protocol() == "acme-tls/1"
        writer.close()


async def test_a_validator_that_turns_away_has_not_been_shown() -> None:
    """`asked` means that the handshake was finished by both sides."""
    rows = Rows(alpn_proof())
    async with tls_listener(rows) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(hello_bytes("example.org", "acme-tls/1"))
        assert (await reader.read(65536))[0] == 22
        writer.close()
        await writer.wait_closed()
    assert rows.seen == []


async def test_a_withdrawn_proof_is_gone_although_its_certificate_is_kept() -> None:
    """The row decides, the cache only saves work."""
    rows = Rows(alpn_proof())
    async with tls_listener(rows) as address:
        await shake(address, "example.org", "acme-tls/1")
        rows.proofs.clear()
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            await shake(address, "example.org", "acme-tls/1")


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\x01\x00\x02", b"\x16\x03\x01\x00\x00", b"SSH-2.0-x\r\n"]
)
async def test_what_is_not_tls_gets_no_byte(sent: bytes) -> None:
    """Not even an alert: it would not be understood."""
    async with tls_listener(Rows(alpn_proof())) as address:
        assert await converse(address, sent) == b""


async def test_random_and_broken_hellos_get_alerts_or_nothing() -> None:
    """FZ6 over the wire: a hello with any byte changed never brings out a certificate for a name not asked for."""
    dice = random.Random(8737)
    good = hello_bytes("example.org", "acme-tls/1")
    rows = Rows(alpn_proof())
    async with tls_listener(rows) as address:
        for _ in range(300):
            broken = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            cut = bytes(broken[: dice.randrange(1, len(broken) + 1)])
            reply = await _converse_and_end(address.host, address.port, cut)
            assert reply[:1] in {b"", b"\x15", b"\x16"}
    assert rows.seen == []


async def _converse_and_end(host: str, port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


def test_the_decision_tells_visitors_from_validators() -> None:
    """One pure function: what is served beside challenges can later be passed on from its NotAcme."""
    proof = alpn_proof()
    rows = Rows(proof)
    validation = (b"acme-tls/1",)
    assert decide(ClientHello("example.org", validation), rows) == Prove(proof)
    assert decide(ClientHello("", validation), rows) == Unknown("")
    assert decide(ClientHello("other.example", validation), rows) == Unknown("other.example")
    for alpn in [(), (b"h2",), (b"acme-tls/1", b"h2"), (b"ACME-TLS/1",), (b"acme-tls/1", b"acme-tls/1")]:
        hello = ClientHello("example.org", alpn)
        assert decide(hello, rows) == NotAcme(hello)
