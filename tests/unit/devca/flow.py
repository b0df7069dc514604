"""The steps to a certificate, for tests whose subject comes before, after or in between."""

from typing import Any

from tests.unit.devca.conftest import a_moment
from tests.unit.devca.raw_client import Answer, Json, Key, RawClient, csr_for, new_key
from tests.unit.devca.responders import HttpResponder


async def authorize(client: RawClient, order: Json, web80: HttpResponder) -> None:
    """Bring every authorization of *order* to an end by http-01."""
    for url in order["authorizations"]:
        if (await client.post(url)).json["status"] == "valid":
            continue
        challenge = await client.challenge(url, "http-01")
        web80.proofs[challenge["token"]] = client.key_authorization(challenge["token"])
        answer = await client.post(challenge["url"], {})
        assert answer.status == 200, answer.body
        await client.settled(url, while_=["pending"], pause=a_moment)


async def ready_order(client: RawClient, web80: HttpResponder, *names: str, **fields: Any) -> tuple[str, Json]:
    """URL and document of an order that waits for its CSR."""
    if client.kid is None:
        await client.register()
    made = await client.new_order(*names, **fields)
    assert made.status == 201, made.body
    await authorize(client, made.json, web80)
    return made.location, (await client.post(made.location)).json


async def issue(
    client: RawClient, web80: HttpResponder, *names: str, key: Key | None = None, **fields: Any
) -> tuple[Json, Answer]:
    """The valid order and the answer with its chain."""
    url, order = await ready_order(client, web80, *names, **fields)
    assert order["status"] == "ready", order
    answer = await client.finalize(order, csr_for(key or new_key(), *names))
    assert answer.status == 200, answer.body
    order = await client.settled(url, while_=["processing"], pause=a_moment)
    assert order["status"] == "valid", order
    return order, await client.post(order["certificate"])
