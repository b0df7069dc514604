"""Validators that hang up the moment they have what they came for."""

import socket

from certd.listen.addresses import BoundAddress
from tests.unit.listen.fakes import TOKEN, Rows, converse, http_listener, http_proof, request

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
