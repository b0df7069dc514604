"""Strangers' connections are bounded in number and time, and whoever holds the queue shut makes room (SE12, LD3)."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import pytest

from certd.listen.addresses import BoundAddress
from certd.listen.http01 import PREFIX, http_visitors
from certd.listen.visitors import GRACE, MOST, PATIENCE, Visitor, Visitors, most_visitors
from tests.fakes.clock import ManualClock
from tests.unit.listen.fakes import (
    TOKEN,
    Rows,
    alpn_proof,
    converse,
    http_listener,
    http_proof,
    request,
    tls_listener,
    until,
)
from tests.unit.listen.validator import hello_bytes, validate

PATH = PREFIX + TOKEN
HALF_A_HELLO = hello_bytes("example.org", "acme-tls/1")[:100]
MOMENT = timedelta(milliseconds=1)


@dataclass
class Stranger:
    """One connection that the test holds."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def is_out(self) -> bool:
        """Whether the listener has ended the connection; waits until that is known."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True

    async def hears(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


@dataclass
class Place:
    """A listener whose cap and clock are the test's."""

    address: BoundAddress
    visitors: "CountingVisitors"
    clock: ManualClock
    stack: AsyncExitStack
    strangers: list[Stranger] = field(default_factory=list)

    async def come(self, said: bytes = b"") -> Stranger:
        """Connect, say something, and be counted in."""
        before = self.visitors.came
        reader, writer = await asyncio.open_connection(self.address.host, self.address.port)
        self.stack.callback(writer.close)
        writer.write(said)
        await until(lambda: self.visitors.came > before)
        self.strangers.append(Stranger(reader, writer))
        return self.strangers[-1]


class CountingVisitors(Visitors):
    """Says how many have come, so that a test knows when it was let in."""

    came = 0
    talking = False

    def admit(self, visitor: Visitor) -> None:
        super().admit(visitor)
        self.came += 1


class Talker(Visitor):
    """Says more than any kernel keeps for somebody who does not listen."""

    def received(self, data: bytes) -> None:
        self.farewell(bytes(20_000_000))
        cast("CountingVisitors", self._visitors).talking = True


@asynccontextmanager
async def place(most: int = MOST, kind: type[Visitor] | None = None) -> AsyncIterator[Place]:
    clock = ManualClock()
    visitors = CountingVisitors(clock, most=most)
    ours = http_visitors(visitors, Rows(http_proof()), clock, lambda _: False)
    protocol = ours if kind is None else lambda: kind(visitors)
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        sweeping = asyncio.create_task(visitors.sweep())
        host, port = server.sockets[0].getsockname()
        try:
            yield Place(BoundAddress(host, port), visitors, clock, stack)
        finally:
            server.close()
            sweeping.cancel()
            await asyncio.wait({sweeping})
            for stranger in tuple(visitors._until):
                stranger.drop()
            await visitors.end()


@pytest.mark.parametrize("said", [b"", b"G", b"GET /x HTTP/1.1\r\nHost: a\r\n", b"x" * 5000])
async def test_who_says_too_little_is_shown_out_after_five_seconds(said: bytes) -> None:
    """Slowloris: the time is for the whole request, and no byte earns more of it."""
    async with place() as here:
        stranger = await here.come(said)
        await here.clock.advance(PATIENCE - MOMENT)
        stranger.writer.write(b"X")
        await stranger.writer.drain()
        assert len(here.visitors) == 1
        await here.clock.advance(MOMENT)
        assert await stranger.is_out()
        assert len(here.visitors) == 0


async def test_each_is_shown_out_in_their_own_time() -> None:
    """The sweeper goes from one end to the next, and sleeps while nobody is there."""
    async with place() as here:
        for _ in range(3):
            await here.come()
            await here.clock.advance(timedelta(seconds=1))
        for left in (2, 1, 0):
            await here.clock.advance(PATIENCE - timedelta(seconds=3) if left == 2 else timedelta(seconds=1))
            assert await here.strangers[2 - left].is_out()
            assert len(here.visitors) == left
        late = await here.come()
        await here.clock.advance(PATIENCE)
        assert await late.is_out()


async def test_who_was_answered_has_five_seconds_to_hang_up() -> None:
    """Closing at once could destroy the answer on its way; waiting for ever would be a slot for ever."""
    async with place() as here:
        stranger = await here.come()
        await here.clock.advance(PATIENCE - MOMENT)
        stranger.writer.write(request(PATH))
        assert (await stranger.hears()).endswith(http_proof().value.encode())
        await here.clock.advance(PATIENCE - MOMENT)
        assert len(here.visitors) == 1
        await here.clock.advance(MOMENT)
        await until(lambda: len(here.visitors) == 0)


async def test_who_was_answered_and_goes_on_talking_is_cut_off() -> None:
    """64 KiB are read and forgotten; a gigabyte is not (SE12)."""
    async with place() as here:
        stranger = await here.come(request(PATH))
        await stranger.hears()
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                stranger.writer.write(b"x" * 65536)
                await stranger.writer.drain()
            pytest.fail("a gigabyte was taken")
        assert len(here.visitors) == 0


async def test_the_one_that_has_waited_longest_makes_room() -> None:
    """Refusing newcomers would let anybody stop every validation by holding the queue shut."""
    async with place(most=3) as here:
        eldest, *others = [await here.come() for _ in range(3)]
        newcomer = await here.come()
        assert await eldest.is_out()
        assert len(here.visitors) == 3
        newcomer.writer.write(request(PATH))
        assert (await newcomer.hears()).endswith(http_proof().value.encode())
        for other in others:
            other.writer.write(request("/"))
            assert b" 404 " in await other.hears()


async def test_an_answered_visitor_goes_to_the_end_of_the_queue() -> None:
    """Who was answered a moment ago is no slowloris."""
    async with place(most=2) as here:
        first, second = await here.come(), await here.come()
        first.writer.write(request(PATH))
        await first.hears()
        await here.come()
        assert await second.is_out()


async def test_a_thousand_idle_connections_stop_no_http_validation() -> None:
    """SE12: more than the cap hold on to port 80, and each validator is answered at once all the same."""
    rows = Rows(http_proof())
    with room_for_descriptors(4 * MOST):
        size = most_visitors() + 100
        async with http_listener(rows, ManualClock()) as address, crowd(address, size, b"GET /") as strangers:
            for _ in range(20):
                assert (await converse(address, request(PATH))).endswith(http_proof().value.encode())
            assert 101 <= await shown_out(strangers) <= 120
    assert len(rows.seen) == 20


async def test_a_thousand_idle_connections_stop_no_tls_validation() -> None:
    """SE12: the same at port 443, each with half of a hello."""
    rows = Rows(alpn_proof())
    with room_for_descriptors(4 * MOST):
        size = most_visitors() + 100
        async with tls_listener(rows, ManualClock()) as address, crowd(address, size, HALF_A_HELLO) as strangers:
            for _ in range(20):
                await validate(address, alpn_proof())
            assert 101 <= await shown_out(strangers) <= 120
    assert len(rows.seen) == 20


async def shown_out(strangers: list[Stranger]) -> int:
    """How many of them the listener has let go, the eldest first."""
    for number, stranger in enumerate(strangers):
        try:
            async with asyncio.timeout(0.3):
                await stranger.is_out()
        except TimeoutError:
            return number
    return len(strangers)


@asynccontextmanager
async def crowd(address: BoundAddress, size: int, said: bytes) -> AsyncIterator[list[Stranger]]:
    """So many strangers, one after the other, each of whom says something and then nothing."""
    strangers: list[Stranger] = []
    try:
        for _ in range(size):
            strangers.append(Stranger(*await asyncio.open_connection(address.host, address.port)))
            strangers[-1].writer.write(said)
        yield strangers
    finally:
        for stranger in strangers:
            stranger.writer.transport.abort()


@contextmanager
def room_for_descriptors(count: int) -> Iterator[None]:
    """As many open files as the machine allows, up to *count*."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("limit", "most"), [(256, 64), (1024, 256), (3999, 999), (4000, 1000)])
def test_the_cap_leaves_descriptors_for_the_rest_of_the_process(limit: int, most: int) -> None:
    """Whoever fills port 80 must not keep the ledger from opening its file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < limit:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        assert most_visitors() == most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_at_the_end_answers_on_their_way_go_out_and_nothing_else_is_waited_for() -> None:
    """A one-shot ends at once when all is said: idle strangers do not hold it up, and later ones are turned away."""
    async with place() as here:
        idle, answered = await here.come(b"GET /"), await here.come(request(PATH))
        reply = await answered.hears()
        await here.visitors.end()
        assert reply.endswith(http_proof().value.encode())
        assert await idle.is_out()
        late = await here.come(request(PATH))
        assert await late.hears() == b""


async def test_who_does_not_take_what_is_said_is_dropped_after_a_second() -> None:
    """GRACE: an end that waits for strangers to listen would never come (invariant 10)."""
    async with place(kind=Talker) as here:
        deaf = await here.come(b"?")
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: here.visitors.talking)
        ending = asyncio.create_task(here.visitors.end())
        await asyncio.sleep(0)
        await here.clock.advance(GRACE - MOMENT)
        assert not ending.done()
        await here.clock.advance(MOMENT)
        await ending


async def test_a_burst_of_connections_is_taken() -> None:
    """A hundred names from five places at once."""
    proof = http_proof()
    rows = Rows(proof)
    async with http_listener(rows) as address:
        replies = await asyncio.gather(*(converse(address, request(PATH)) for _ in range(500)))
    assert all(reply.endswith(proof.value.encode()) for reply in replies)
    assert len(rows.seen) == 500
