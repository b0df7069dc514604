"""Where a wrong client meets a CA: devca or Pebble, with the same responders, seen through the same raw client."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.unit.devca.conftest import a_moment
from tests.unit.devca.flow import issue, ready_order
from tests.unit.devca.raw_client import URN, Answer, Json, RawClient
from tests.unit.devca.responders import AlpnResponder, HttpResponder

EAB_KID, EAB_KEY = "kid-1", b"0123456789abcdef0123456789abcdef"
Txt = Callable[[str, str], Awaitable[None]]


@dataclass
class Place:
    """One CA. `set_txt(name, value)` reaches the resolver that it asks."""

    http: aiohttp.ClientSession
    directory_url: str
    trust: ssl.SSLContext
    web80: HttpResponder
    alpn: AlpnResponder
    set_txt: Txt

    async def stranger(self) -> RawClient:
        """A client without an account."""
        client = RawClient(self.http, self.directory_url, self.trust)
        await client.load_directory()
        return client

    async def client(self) -> RawClient:
        client = await self.stranger()
        await client.register()
        return client

    async def ready(self, client: RawClient, *names: str) -> Json:
        return (await ready_order(client, self.web80, *names))[1]

    async def issue(self, client: RawClient, *names: str, **fields: Any) -> tuple[Json, Answer]:
        return await issue(client, self.web80, *names, **fields)

    async def challenged(self, client: RawClient, name: str, kind: str) -> tuple[str, Json]:
        """An authorization's URL and its challenge of this type."""
        url = (await client.new_order(name)).json["authorizations"][0]
        return url, await client.challenge(url, kind)

    async def outcome(self, client: RawClient, url: str, challenge: Json) -> str | None:
        """Answer the challenge; the type of the problem in it, or None for success."""
        answer = await client.post(challenge["url"], {})
        if answer.status != 200:
            return answer.problem
        found = await client.settled(url, while_=["pending"], pause=a_moment)
        if found["status"] == "valid":
            return None
        failed = next(each for each in found["challenges"] if each["type"] == challenge["type"])
        return str(failed["error"]["type"]).removeprefix(URN)
