"""rfc2136: its options, and servers that answer an update in ways that BIND does not."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.tsig
import pytest

from certd.api import Clock, ConfigError, Dns01Proof, ProviderError, Secret, SystemClock
from certd.plugins.options import check
from certd.secrets.references import canonical_reference
from certd_providers.rfc2136 import ALGORITHMS, SPEC, Rfc2136, Rfc2136Options
from tests.fakes.clock import ManualClock

SECRET = base64.b64encode(b"c4n4ry-c4n4ry-c4n4ry-c4n4ry-c4n4").decode()
KEY = dns.tsig.Key("certd-key", SECRET, "hmac-sha256")
PROOF = Dns01Proof("_acme-challenge.example.test", "v" * 43, "example.test")


class TestOptions:
    @pytest.mark.parametrize(
        ("server", "host", "port"),
        [
            ("192.0.2.53", "192.0.2.53", 53),
            ("192.0.2.53:5353", "192.0.2.53", 5353),
            ("ns1.example.org", "ns1.example.org", 53),
            ("ns1.example.org:5353", "ns1.example.org", 5353),
            ("2001:db8::1", "2001:db8::1", 53),
            ("[2001:db8::1]", "2001:db8::1", 53),
            ("[2001:db8::1]:5353", "2001:db8::1", 5353),
        ],
    )
    def test_a_server_is_a_host_or_address_with_or_without_port(self, server: str, host: str, port: int) -> None:
        provider = Rfc2136(Rfc2136Options(server), ManualClock())

        assert (provider._host, provider._port) == (host, port)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"server": ""}, "server: '' is not ADDR:PORT or HOST:PORT"),
            ({"server": ":53"}, "server: ':53' is not"),
            ({"server": "ns1:"}, "server: 'ns1:' is not"),
            ({"server": "ns1:0"}, "server: 'ns1:0' is not"),
            ({"server": "ns1:65536"}, "server: 'ns1:65536' is not"),
            ({"server": "ns1:dns"}, "server: 'ns1:dns' is not"),
            ({"server": "[2001:db8::1"}, "server: '[2001:db8::1' is not"),
            ({"server": "[2001:db8::1]53"}, "server: '[2001:db8::1]53' is not"),
            ({"server": "a:b:c"}, "server: 'a:b:c' is not"),
            ({"key_name": "k"}, "key_name, key_secret: give both or neither"),
            ({"key_secret": "env:K"}, "key_name, key_secret: give both or neither"),
            ({"key_name": "a..b", "key_secret": "env:K"}, "key_name: 'a..b' is not a key's name"),
            ({"key_name": "k" * 64, "key_secret": "env:K"}, "is not a key's name"),
            ({"key_algorithm": "md5"}, "key_algorithm: 'md5' is none of hmac-sha256, hmac-sha224"),
            ({"ttl": "-1"}, "ttl: -1 is not between 0 and 86400 seconds"),
            ({"ttl": "86401"}, "ttl: 86401 is not between"),
            ({"timeout": "0"}, "timeout: 0 is not between 1 and 600 seconds"),
            ({"timeout": "601"}, "timeout: 601 is not between"),
        ],
    )
    def test_what_cannot_be_meant_is_a_mistake_before_anything_is_sent(
        self, options: dict[str, str], says: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            check(SPEC, [*({"server": "ns1"} | options).items()], canonical_reference)

        assert says in str(caught.value)

    @pytest.mark.parametrize("algorithm", [*ALGORITHMS, "HMAC-SHA256", "hmac-sha512."])
    def test_an_algorithm_is_written_as_people_do(self, algorithm: str) -> None:
        Rfc2136(Rfc2136Options("ns1", "certd-key", Secret(SECRET), algorithm), ManualClock())

    @pytest.mark.parametrize("secret", ["", "not base64!", f'"{SECRET}";', SECRET[:-1], "ÄÖÜ", f"secret {SECRET}"])
    def test_a_secret_that_is_not_base64_is_a_mistake_and_not_repeated(self, secret: str) -> None:
        """People copy the whole line out of the key file."""
        with pytest.raises(ConfigError, match="key_secret: is not base64") as caught:
            Rfc2136(Rfc2136Options("ns1", "certd-key", Secret(secret)), ManualClock())

        assert "tsig-keygen" in caught.value.hint
        assert not secret or secret not in f"{caught.value!r} {caught.value.hint} {caught.value.__context__!r}"


Change = Callable[[dns.message.Message], None]


def set_rcode(code: dns.rcode.Rcode) -> Change:
    return lambda reply: reply.set_rcode(code)


@dataclass
class UpdateServer:
    """Answers each update with NOERROR, signed, but for what it is told. It keeps nothing."""

    change: Change = lambda _: None
    signed: bool = True
    tcp: bool = True  # False: it closes TCP connections without a word
    spoil: Callable[[bytes], bytes | None] = lambda wire: wire  # None: silence
    received: list[tuple[str, dns.message.Message]] = field(default_factory=list)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire, keyring=KEY)
        self.received.append((transport, query))
        reply = dns.message.make_response(query)
        self.change(reply)
        if not self.signed:
            reply.tsig = None
            reply.keyring = None
        return self.spoil(reply.to_wire())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=("127.0.0.1", port)
        )
        try:
            yield f"127.0.0.1:{port}"
        finally:
            datagrams.close()
            server.close()
            await server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.tcp:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                if (reply := self.answer(await reader.readexactly(length), "tcp")) is not None:
                    writer.write(struct.pack("!H", len(reply)) + reply)
                await reader.read(1)  # until the other side has closed
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: UpdateServer) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (reply := self._server.answer(data, "udp")) is not None:
            self._transport.sendto(reply, addr)


def provider_at(server: str, clock: Clock | None = None, **options: Any) -> Rfc2136:
    return Rfc2136(Rfc2136Options(server, "certd-key", Secret(SECRET), **options), clock or SystemClock())


async def refusal(server: UpdateServer, proofs: frozenset[Dns01Proof] = frozenset({PROOF})) -> ProviderError:
    async with server.running() as at:
        with pytest.raises(ProviderError) as caught:
            await provider_at(at).publish(proofs)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.hint}"
    return caught.value


async def test_an_update_is_signed_and_goes_by_tcp() -> None:
    server = UpdateServer()
    async with server.running() as at:
        await provider_at(at, ttl=7).publish(frozenset({PROOF}))

    ((transport, query),) = server.received
    assert transport == "tcp"
    assert query.had_tsig
    assert query.opcode() is dns.opcode.UPDATE
    assert [rrset.to_text() for rrset in query.sections[2]] == [f'{PROOF.name}. 7 IN TXT "{PROOF.value}"']


async def test_withdrawing_names_exactly_the_value() -> None:
    """RFC 2136 §2.5.4: class NONE and the value; class ANY would take everybody's."""
    server = UpdateServer()
    async with server.running() as at:
        await provider_at(at).withdraw(frozenset({PROOF}))

    ((_, query),) = server.received
    assert [rrset.to_text() for rrset in query.sections[2]] == [f'{PROOF.name}. 0 NONE TXT "{PROOF.value}"']


async def test_where_tcp_leads_nowhere_udp_does() -> None:
    server = UpdateServer(tcp=False)
    async with server.running() as at:
        await provider_at(at).publish(frozenset({PROOF}))

    assert [transport for transport, _ in server.received] == ["udp"]


async def test_an_update_that_is_too_large_for_udp_is_not_sent_by_it() -> None:
    proofs = frozenset(Dns01Proof(f"_acme-challenge.n{n}.example.test", "v" * 43, "example.test") for n in range(40))
    server = UpdateServer(tcp=False)
    error = await refusal(server, proofs)

    assert not server.received
    assert error.retry


@pytest.mark.parametrize(
    ("code", "retry"),
    [
        (dns.rcode.REFUSED, False),
        (dns.rcode.NOTAUTH, False),
        (dns.rcode.NOTZONE, False),
        (dns.rcode.NOTIMP, False),
        (dns.rcode.FORMERR, False),
        (dns.rcode.SERVFAIL, True),
        (dns.rcode.NXRRSET, True),
        (dns.rcode.Rcode.make(11), True),
    ],
)
async def test_what_the_server_answers_decides_whether_trying_again_can_help(
    code: dns.rcode.Rcode, retry: bool
) -> None:
    error = await refusal(UpdateServer(set_rcode(code)))

    assert error.retry is retry
    assert str(error).endswith(f"failed: {dns.rcode.to_text(code)}")


@pytest.mark.parametrize("edns", [False, True])
async def test_an_answer_without_a_signature_is_not_believed(edns: bool) -> None:
    """Anybody between us and the server could say that it was done."""
    server = UpdateServer(lambda reply: reply.use_edns(0 if edns else None), signed=False)
    error = await refusal(server)

    assert error.retry
    assert "not signed" in str(error) or "malformed" in str(error)


async def test_that_a_server_takes_no_updates_needs_no_signature() -> None:
    """It knows of neither keys nor updates, and a forger gains nothing by saying no."""
    error = await refusal(UpdateServer(set_rcode(dns.rcode.NOTIMP), signed=False))

    assert not error.retry
    assert str(error).endswith("failed: NOTIMP")
    assert error.hint == "this server takes no DNS UPDATE"


def flip_last(wire: bytes) -> bytes:
    """Within the signature, before original id, error and other length."""
    return wire[:-8] + bytes([wire[-8] ^ 1]) + wire[-7:]


def wrong_id(wire: bytes) -> bytes:
    return bytes([wire[0] ^ 1]) + wire[1:]


def many_records(wire: bytes) -> bytes:
    """CNAME records with the zone's name, which would take a parser seconds were there 5,000 of them."""
    record = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 2) + b"\xc0\x0c"
    return wire[:6] + struct.pack("!H", 60) + wire[8:] + record * 60


def silence(_: bytes) -> None:
    return None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flip_last, "the answer's signature is wrong"),
        (wrong_id, "an answer to another question"),
        (lambda wire: wire[:2] + b"\xff" * 40, "more than an honest answer has"),
        (lambda wire: wire + bytes(2000), "more than an honest answer has"),
        (many_records, "more than an honest answer has"),
        (lambda wire: wire[:12] + b"\xc0\x0c" + wire[14:], "malformed answer"),
        (lambda wire: b"", "malformed answer"),
        (lambda wire: wire[:20], "malformed answer"),
    ],
    ids=["signature", "id", "garbage", "long", "records", "loop", "empty", "cut-off"],
)
async def test_an_answer_that_was_changed_is_not_believed(spoil: Callable[[bytes], bytes], says: str) -> None:
    error = await refusal(UpdateServer(spoil=spoil))

    assert error.retry
    assert says in str(error)


async def test_a_clock_that_is_off_is_told() -> None:
    def off(reply: dns.message.Message) -> None:
        reply.set_rcode(dns.rcode.NOTAUTH)
        reply.use_tsig(KEY, tsig_error=dns.rcode.BADTIME)

    error = await refusal(UpdateServer(off))

    assert error.retry
    assert "BADTIME" in str(error)
    assert "clocks" in error.hint


async def test_a_server_that_is_silent_costs_the_time_limit_on_the_injected_clock() -> None:
    clock, server = ManualClock(), UpdateServer(spoil=silence)
    async with server.running() as at:
        publishing = asyncio.create_task(provider_at(at, clock, timeout=100).publish(frozenset({PROOF})))
        for transport in ("tcp", "udp"):
            while transport not in [each for each, _ in server.received]:  # noqa: ASYNC110 - a server sets no event
                await asyncio.sleep(0.005)
            await clock.advance(timedelta(seconds=50))
        with pytest.raises(ProviderError, match=r"127\.0\.0\.1: no answer within 50 s") as caught:
            await publishing

    assert caught.value.retry


async def test_a_silent_server_is_not_asked_about_every_zone() -> None:
    """A hundred zones would take a quarter of an hour."""
    server = UpdateServer(tcp=False, spoil=wrong_id)
    proofs = frozenset(Dns01Proof(f"_acme-challenge.z{n}.test", "v" * 43, f"z{n}.test") for n in range(3))
    clock = ManualClock()
    async with server.running() as at:
        publishing = asyncio.create_task(provider_at(at, clock).publish(proofs))
        while not server.received:  # noqa: ASYNC110 - a server sets no event
            await asyncio.sleep(0.005)
        await clock.advance(timedelta(seconds=5))
        with pytest.raises(ProviderError, match=r"^z0\.test: .* no answer within 5 s$"):
            await publishing

    assert len(server.received) == 1


async def test_a_closed_port_is_told_at_once() -> None:
    async with UpdateServer().running() as at:
        pass
    with pytest.raises(ProviderError, match=r"127\.0\.0\.1: connection refused") as caught:
        await provider_at(at).publish(frozenset({PROOF}))

    assert caught.value.retry
    assert caught.value.hint == "is the server up, and its port open?"


@pytest.mark.parametrize(
    ("host", "says", "retry"), [("nobody.localhost", "", True), ("a" * 64 + ".localhost", "is not a host name", False)]
)
async def test_a_host_that_does_not_resolve_is_told(host: str, says: str, retry: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider_at(f"{host}:1").publish(frozenset({PROOF}))

    assert says in str(caught.value)
    assert caught.value.retry is retry
