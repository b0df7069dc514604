"""Who hangs up when: validators the moment they have what they came for, certd not in the middle of proving."""

import asyncio
import socket
from contextlib import AsyncExitStack

from certd.listen.addresses import BoundAddress
from certd.listen.listeners import open_listeners
from certd.model.clock import SystemClock
from tests.unit.listen.fakes import LOOPBACK, TOKEN, Rows, alpn_proof, converse, http_listener, http_proof, request
from tests.unit.listen.validator import Handshake, client_context

PATH = f"/.well-known/acme-challenge/{TOKEN}"


def ask_and_go(address: BoundAddress) -> None:
    """Everything before the listener's loop gets to run: our answer then meets a socket that is closed."""
    with socket.create_connection((address.host, address.port)) as client:
        client.sendall(request(PATH))


async def test_a_validator_that_has_hung_up_before_it_is_answered_has_asked_all_the_same() -> None:
    """R37 waits for this: a reset in return for our last bytes cost two seconds for each name under load."""
    rows = Rows(proof := http_proof())
    async with http_listener(rows) as address:
        ask_and_go(address)
        await converse(address, request(PATH))  # came later, so it is answered later
    assert rows.seen == [proof, proof]


async def test_a_handshake_that_has_begun_is_finished_when_certd_is_told_to_stop() -> None:
    """SIGTERM while the CA looks: cut off, the validation would fail, and with it an order that was all but done."""
    rows = Rows(proof := alpn_proof())
    client = Handshake(client_context("acme-tls/1"), "example.org")
    async with AsyncExitStack() as stack:
        listeners = await stack.enter_async_context(open_listeners(rows, SystemClock(), tls=[LOOPBACK]))
        reader, writer = await asyncio.open_connection(listeners.tls[0].host, listeners.tls[0].port)
        writer.write(client.step())
        last = b""
        while not last:
            last = client.step(await reader.read(65536))
        stopping = asyncio.create_task(stack.aclose())
        await asyncio.sleep(0)  # it has come as far as to wait for the visitors
        writer.write(last)
        await reader.read()
        writer.close()
        await stopping
    assert rows.seen == [proof]
