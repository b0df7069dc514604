"""Listening as one resource: all the addresses or none, both families, and nothing left behind, however it ends."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from certd.listen.addresses import Address, Bind, BoundAddress, Passed
from certd.listen.http01 import PREFIX
from certd.listen.listeners import open_listeners
from certd.model.clock import SystemClock
from certd.model.errors import ListenError
from tests.servers.requirement import ipv6, require
from tests.unit.listen.fakes import TOKEN, Rows, alpn_proof, converse, http_proof, is_free, request
from tests.unit.listen.validator import validate

PATH = PREFIX + TOKEN
CLOCK = SystemClock()
#: A loopback address of this process alone: what was free a moment ago stays so.
HOME = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}.1"
HERE = Bind(HOME, 0)


@pytest.fixture
def rows() -> Rows:
    return Rows(http_proof(), alpn_proof())


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """Each test here ends with the descriptors that it began with."""
    before = descriptors()
    yield
    assert descriptors() == before


def descriptors() -> set[str]:
    found = set()
    for name in Path("/proc/self/fd").iterdir():
        try:
            target = str(name.readlink())
        except OSError:
            continue  # that of the listing itself
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture
def taken() -> Iterator[BoundAddress]:
    """A port that this process holds already."""
    with socket.socket() as holder:
        holder.bind((HOME, 0))
        holder.listen()
        yield BoundAddress(*holder.getsockname())


async def answers(rows: Rows, address: BoundAddress) -> bool:
    reply = await converse(address, request(PATH))
    return reply.endswith(http_proof().value.encode())


async def test_both_challenges_are_answered_at_every_address(rows: Rows) -> None:
    """Two families and two ports, as in production."""
    addresses: list[Address] = [Bind("127.0.0.1", 0), Bind("127.0.0.2", 0)]
    async with open_listeners(rows, CLOCK, http=addresses, tls=addresses) as listeners:
        assert [address.host for address in listeners.http] == ["127.0.0.1", "127.0.0.2"]
        for address in listeners.http:
            assert await answers(rows, address)
        for address in listeners.tls:
            await validate(address, alpn_proof())
    assert rows.seen == [http_proof()] * 2 + [alpn_proof()] * 2


@pytest.mark.parametrize("host", ["", "localhost"])
async def test_both_families_are_answered(rows: Rows, host: str) -> None:
    """Let's Encrypt asks over IPv6 first where there is an AAAA record; the peer is told in its own family."""
    require(ipv6())
    async with open_listeners(rows, CLOCK, http=[Bind(host, 0)], tls=[Bind(host, 0)]) as listeners:
        for family in ("127.0.0.1", "::1"):
            source = family
            port = listeners.http[0].port
            reply = await converse(BoundAddress(family, port), request(PATH), source=source)
            assert reply.endswith(http_proof().value.encode())
            await validate(BoundAddress(family, listeners.tls[0].port), alpn_proof(), source=source)


@pytest.mark.parametrize("use", ["http", "tls"])
async def test_all_addresses_are_open_or_none(rows: Rows, taken: BoundAddress, use: str) -> None:
    """Half a listener would answer half of the validations."""
    free = probe()
    bad: list[Address] = [Bind(free.host, free.port), Bind(taken.host, taken.port)]
    good: list[Address] = [HERE]
    http, tls = (bad, good) if use == "http" else (good, bad)
    with pytest.raises(ListenError, match=f"{taken}: cannot listen for .*the port is taken: .*listens on {taken}"):
        async with open_listeners(rows, CLOCK, http=http, tls=tls):
            pytest.fail("it opened")
    assert is_free(free)


async def test_a_port_is_explained_with_this_very_process(rows: Rows, taken: BoundAddress) -> None:
    """The whole way through the kernel's tables; a real nginx holds it in the flow tests."""
    with pytest.raises(ListenError, match=rf"\(pid {os.getpid()}\) listens on {taken}") as caught:
        async with open_listeners(rows, CLOCK, http=[Bind(taken.host, taken.port)]):
            pytest.fail("it opened")
    assert "--webroot DIR" in caught.value.hint


async def test_a_port_that_this_certd_listens_on_is_not_shared(rows: Rows) -> None:
    """SO_REUSEADDR must not let the same user bind it twice."""
    async with open_listeners(rows, CLOCK, http=[HERE]) as listeners:
        again = Bind(listeners.http[0].host, listeners.http[0].port)
        with pytest.raises(ListenError, match="the port is taken"):
            async with open_listeners(rows, CLOCK, tls=[again]):
                pytest.fail("it opened")
        assert await answers(rows, listeners.http[0])


class _Stop(Exception):
    """The block ended so."""


@pytest.mark.parametrize("how", ["well", "with an error", "cancelled"])
async def test_nothing_listens_or_runs_afterwards(rows: Rows, how: str) -> None:
    """However the block ends, with visitors inside it."""
    tasks = asyncio.all_tasks()
    opened: asyncio.Future[tuple[BoundAddress, ...]] = asyncio.get_running_loop().create_future()

    async def listen() -> None:
        async with open_listeners(rows, CLOCK, http=[HERE], tls=[HERE]) as listeners:
            idle = [await asyncio.open_connection(each.host, each.port) for each in (*listeners.http, *listeners.tls)]
            opened.set_result((*listeners.http, *listeners.tls))
            try:
                if how == "cancelled":
                    await asyncio.Event().wait()
                if how == "with an error":
                    raise _Stop
            finally:
                for _, writer in idle:
                    writer.close()

    listening = asyncio.create_task(listen())
    addresses = await opened
    if how == "cancelled":
        await asyncio.sleep(0)
        listening.cancel()
    outcome = (await asyncio.gather(listening, return_exceptions=True))[0]
    assert type(outcome) is {"well": type(None), "with an error": _Stop, "cancelled": asyncio.CancelledError}[how]
    assert all(is_free(address) for address in addresses)
    assert asyncio.all_tasks() == tasks


async def test_the_same_port_opens_again_at_once(rows: Rows) -> None:
    """TIME_WAIT of the last run's visitors must not hold it: a failed `certd issue` is run again."""
    async with open_listeners(rows, CLOCK, http=[HERE]) as listeners:
        address = listeners.http[0]
        assert await answers(rows, address)
    async with open_listeners(rows, CLOCK, http=[Bind(address.host, address.port)]) as listeners:
        assert listeners.http == (address,)
        assert await answers(rows, address)


async def test_a_passed_socket_answers_and_stays_open(rows: Rows) -> None:
    """fd:N: whoever passed it may start us again; between two runs its queue holds the visitors."""
    with socket.socket() as passed:
        passed.bind((HOME, 0))
        passed.listen()
        address = BoundAddress(*passed.getsockname())
        for _ in range(2):
            async with open_listeners(rows, CLOCK, http=[Passed(passed.fileno())]) as listeners:
                assert listeners.http == (address,)
                assert await answers(rows, address)
        assert not is_free(address)


async def test_a_descriptor_that_is_no_listener_is_said(rows: Rows) -> None:
    """As a sentence, and before anything else was opened for good."""
    free = probe()
    with pytest.raises(ListenError, match=r"^fd:999999: no such descriptor"):
        async with open_listeners(rows, CLOCK, http=[Bind(free.host, free.port)], tls=[Passed(999_999)]):
            pytest.fail("it opened")
    assert is_free(free)


async def test_an_address_of_another_host_is_said(rows: Rows) -> None:
    """A floating address that is elsewhere now."""
    with pytest.raises(ListenError, match=r"this host does not have the address 192\.0\.2\.99") as caught:
        async with open_listeners(rows, CLOCK, http=[Bind("192.0.2.99", 8080)]):
            pytest.fail("it opened")
    assert "--http-address :8080" in caught.value.hint


async def test_no_addresses_are_no_listeners(rows: Rows) -> None:
    """A run that proves by DNS opens nothing."""
    async with open_listeners(rows, CLOCK) as listeners:
        assert (listeners.http, listeners.tls) == ((), ())
        await listeners.check(http_proof())


def probe() -> BoundAddress:
    """A port that was free a moment ago."""
    with socket.socket() as held:
        held.bind((HOME, 0))
        return BoundAddress(*held.getsockname())
