"""Our own listener is asked before the CA is told to look: at its bound address, and within a limit (SE7)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from ipaddress import ip_address

import pytest

from certd.listen.addresses import Address, Bind, BoundAddress
from certd.listen.listeners import open_listeners
from certd.listen.selfcheck import LIMIT, check_http_01, plain, reachable
from certd.listen.visitors import Peer
from certd.model.clock import Clock, SystemClock
from certd.model.errors import ListenError
from tests.fakes.clock import ManualClock
from tests.servers.requirement import ipv6, require
from tests.unit.listen.fakes import Rows, http_proof

PROOF = http_proof()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\n"
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "", "::", "0.0.0.0"])
@pytest.mark.parametrize("name", ["example.org", "192.0.2.7", "2001:db8::1"])
async def test_every_kind_of_listener_is_found_and_counts_as_nobodys_asking(host: str, name: str) -> None:
    """R37: `asked` is what the workflow waits for before it polls; our own question must not end that wait."""
    if ":" in host:
        require(ipv6())
    proof = http_proof(name=name)
    rows = Rows(proof)
    address: Address = Bind(host, 0)
    async with open_listeners(rows, SystemClock(), http=[address]) as listeners:
        await listeners.check(proof)
        assert rows.looked_up == [proof.name] * len(listeners.http)
        assert rows.seen == []
        reader, writer = await asyncio.open_connection(reachable(listeners.http[0].host)[0], listeners.http[0].port)
        writer.write(f"GET /.well-known/acme-challenge/{proof.name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (await reader.read()).endswith(proof.value.encode())
        writer.close()
    assert rows.seen == [proof]


async def test_a_proof_that_is_not_in_force_is_said() -> None:
    """The row was never committed, or another process has the socket too."""
    async with open_listeners(Rows(), SystemClock(), http=[Bind("127.0.0.1", 0)]) as listeners:
        with pytest.raises(ListenError, match=r"example\.org: our own listener at 127\.0\.0\.1:\d+ does not answer"):
            await listeners.check(PROOF)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        OK,
        OK + PROOF.value.encode()[:-1],
        OK + PROOF.value.encode() + b"\n",
        OK.replace(b"200 OK", b"404 Not Found") + PROOF.value.encode(),
        OK.replace(b"200", b"2000") + PROOF.value.encode(),
        PROOF.value.encode(),
        b"\x16\x03\x01" + bytes(500),
    ],
    ids=repr,
)
async def test_anything_but_the_exact_answer_is_refused(reply: bytes) -> None:
    """What answers here may be another program that took the port over."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    async with serving(answer) as (address, _):
        with pytest.raises(ListenError, match="does not answer with the key authorization") as caught:
            await check(address, SystemClock())
        assert "another process" in caught.value.hint


async def test_what_never_stops_talking_is_not_listened_to_for_ever() -> None:
    """Invariant 7: 4 KiB are more than any answer of ours."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    async with serving(answer) as (address, _):
        with pytest.raises(ListenError, match="does not answer with the key authorization"):
            await check(address, SystemClock())


async def test_what_never_answers_is_waited_for_five_seconds() -> None:
    """Invariant 10: every wait on the outside has a deadline, and it is on the injected clock."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    clock = ManualClock()
    async with serving(answer) as (address, asked):
        checking = asyncio.create_task(check(address, clock))
        await asked.wait()
        await clock.advance(LIMIT - timedelta(milliseconds=1))
        assert not checking.done()
        await clock.advance(timedelta(milliseconds=1))
        with pytest.raises(ListenError, match="does not answer: no answer within 5 s"):
            await checking


async def test_nobody_at_the_address_is_said() -> None:
    """A listener that has been closed meanwhile."""
    async with serving(_nothing) as (address, _):
        pass
    with pytest.raises(ListenError, match=f"listener at {address} does not answer: connection refused"):
        await check(address, SystemClock())


@pytest.mark.parametrize(
    ("name", "host"), [("example.org", "example.org"), ("192.0.2.7", "192.0.2.7"), ("::1", "[::1]")]
)
async def test_the_host_is_written_as_a_validator_writes_it(name: str, host: str) -> None:
    """RFC 8738 §4: "the IP address … in the Host header", and IPv6 in brackets (certmagic #376)."""
    proof = http_proof(name=name)
    heads: list[bytes] = []

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK + proof.value.encode())

    async with serving(answer) as (address, _):
        await check_http_01(address, proof, nobody, SystemClock())
    assert f"\r\nHost: {host}\r\n".encode() in heads[0]


@pytest.mark.parametrize(
    ("seen", "written"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("", ""),
    ],
)
def test_peers_of_a_dual_stack_listener_are_known_by_their_own_family(seen: str, written: str) -> None:
    """Our IPv4 question to `[::]:80` comes from `::ffff:127.0.0.1`."""
    assert plain(seen) == written


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "::1", "192.0.2.7"])
def test_every_address_is_met_on_loopback(host: str) -> None:
    """Never through a name, a route or a resolver."""
    for reached in reachable(host):
        assert reached == host or ip_address(reached).is_loopback


def nobody(_: Peer) -> contextlib.AbstractContextManager[None]:
    return nullcontext()


async def check(address: BoundAddress, clock: Clock) -> None:
    await check_http_01(address, PROOF, nobody, clock)


async def _nothing(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Hang up."""


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[BoundAddress, asyncio.Event]]:
    """Somebody else's server; the event is set once a request has come."""
    asked = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await answer(head, writer)
        except asyncio.CancelledError:
            pass  # the server's end is this connection's
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield BoundAddress(host, port), asked
    finally:
        server.close()
