"""The guard that every test runs under: without these, a broken guard would look like a clean suite."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests import loopback_guard
from tests.loopback_guard import OffLoopback

ELSEWHERE = [("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6), ("::ffff:192.0.2.1", socket.AF_INET6)]


@pytest.fixture(autouse=True)
def refusals_are_meant(only_loopback_is_talked_to: None) -> Iterator[None]:
    yield
    assert loopback_guard.refused, "the guard saw nothing"
    loopback_guard.refused.clear()


@pytest.mark.parametrize(("address", "family"), ELSEWHERE)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_no_socket_connects_elsewhere(address: str, family: int, kind: int) -> None:
    with socket.socket(family, kind) as opened, pytest.raises(OffLoopback):
        opened.connect((address, 9))


def test_no_datagram_is_sent_elsewhere() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened, pytest.raises(OffLoopback):
        opened.sendto(b"x", ("192.0.2.1", 9))


async def test_no_name_is_looked_up_elsewhere_not_even_in_a_loops_threads() -> None:
    with pytest.raises(OffLoopback):
        await asyncio.get_running_loop().getaddrinfo("example.org", 443)


def test_code_that_survives_every_exception_does_not_survive_a_refusal() -> None:
    assert not issubclass(OffLoopback, Exception)
    with socket.socket() as opened, pytest.raises(OffLoopback), contextlib.suppress(Exception):
        opened.connect(("192.0.2.1", 9))
