"""What the CA says itself of somebody's account and orders: asked with their key by a client that is not certd."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.serialization import load_der_private_key

from tests.flow.everywhere.customer import Customer
from tests.unit.devca.raw_client import Json, RawClient


async def account_of(customer: Customer) -> Json:
    async with _asking_as(customer) as client:
        return (await client.post(str(client.kid))).json


async def orders_of(customer: Customer) -> list[Json]:
    """Each order that the ledger knows of, with its authorizations in place of their URLs.

    OpenBao's invalid orders name none; the journal knows those that there were proofs for.
    """
    rows = customer.rows("SELECT id, url FROM orders WHERE url IS NOT NULL ORDER BY created_at")
    journal = customer.rows("SELECT order_id, authorization_url FROM proofs")
    async with _asking_as(customer) as client:
        orders = []
        for id_, url in rows:
            order = (await client.post(url)).json
            urls = order["authorizations"] or [authorization for whose, authorization in journal if whose == id_]
            order["authorizations"] = [(await client.post(each)).json for each in urls]
            orders.append(order)
        return orders


def said_of(order: Json) -> list[str]:
    """The details of all that went wrong with its challenges."""
    challenges = [each for authorization in order["authorizations"] for each in authorization["challenges"]]
    return [each["error"]["detail"] for each in challenges if "error" in each]


@asynccontextmanager
async def _asking_as(customer: Customer) -> AsyncIterator[RawClient]:
    sql = "SELECT accounts.url, keys.blob FROM accounts JOIN keys ON keys.id = accounts.key_id"
    ((account, blob),) = customer.rows(sql)
    trust = ssl.create_default_context(cafile=str(customer.authority.ca_bundle))
    key: Any = load_der_private_key(blob, None)
    async with aiohttp.ClientSession() as http:
        client = RawClient(http, customer.authority.directory_url, trust, key, kid=account)
        await client.load_directory()
        yield client
