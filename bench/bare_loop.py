"""The yardstick: a bare asyncio ACME client over aiohttp, josepy and acme.messages.

No store, no checks, no retry but after a refused nonce, keys forgotten at the end: what issuing costs by itself.
http-01 is answered by the smallest server that a validator takes for one. Nothing of certd is imported.

`python bench/bare_loop.py DIRECTORY BUNDLE PORT NAME…` is a whole process, from nothing to one certificate on stdout.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from acme import challenges, jws, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.json_util import decode_b64jose
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from yarl import URL

PAUSE = 0.02  # seconds between a validator's question and the first poll, and between polls
AT_ONCE = 20  # authorizations of one order


class Responder(asyncio.Protocol):
    """One http-01 question, whatever it looks like."""

    def __init__(self, client: "BareClient") -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        token = data.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        body = self._client.answers[token].encode()
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self._transport.close()
        self._client.asked[token].set()


class BareClient:
    """One account at one CA; made by `bare_client`."""

    def __init__(self, http: aiohttp.ClientSession, directory: messages.Directory) -> None:
        self._http, self._directory = http, directory
        self._key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        self._kid: str | None = None
        self._nonces: list[str] = []
        self.answers: dict[str, str] = {}
        self.asked: dict[str, asyncio.Event] = {}

    async def register(self) -> None:
        wanted = messages.NewRegistration(terms_of_service_agreed=True)
        _, headers = await self._post(self._directory["newAccount"], wanted.json_dumps().encode())
        self._kid = headers["Location"]

    async def issue(self, *names: str) -> str:
        """The chain, PEM. Seven requests for one name, if each poll finds what it waits for."""
        identifiers = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in names]
        wanted = messages.NewOrder(identifiers=identifiers)
        body, headers = await self._post(self._directory["newOrder"], wanted.json_dumps().encode())
        order, url = messages.Order.from_json(json.loads(body)), headers["Location"]
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for authorization in order.authorizations:
                group.create_task(self._authorize(authorization, gate))
        await self._poll(url, messages.STATUS_PENDING)
        request = messages.CertificateRequest(csr=_request(names))
        await self._post(order.finalize, request.json_dumps().encode())
        order = await self._poll(url, messages.STATUS_PROCESSING)
        chain, _ = await self._post(order.certificate or "", b"")
        return chain.decode()

    async def _authorize(self, url: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            body, _ = await self._post(url, b"")
            authorization = messages.Authorization.from_json(json.loads(body))
            offered: Any = authorization.challenges
            challenge = next(c for c in offered if isinstance(c.chall, challenges.HTTP01))
            token = challenge.chall.encode("token")
            self.answers[token] = challenge.chall.validation(self._key)
            self.asked[token] = asyncio.Event()
            await self._post(challenge.uri, b"{}")
        await self.asked[token].wait()

    async def _poll(self, url: str, while_: messages.Status) -> messages.Order:
        while True:
            await asyncio.sleep(PAUSE)
            body, _ = await self._post(url, b"")
            order = messages.Order.from_json(json.loads(body))
            if order.status == messages.STATUS_INVALID:
                raise RuntimeError(body)
            if order.status != while_:
                return order

    async def _post(self, url: str, payload: bytes) -> tuple[bytes, Mapping[str, str]]:
        while True:
            nonce = self._nonces.pop() if self._nonces else await self._new_nonce()
            signed = jws.JWS.sign(payload, self._key, ES256, decode_b64jose(nonce), url=url, kid=self._kid)
            headers = {"Content-Type": "application/jose+json"}
            body = signed.json_dumps().encode()
            async with self._http.post(URL(url, encoded=True), data=body, headers=headers) as reply:
                content = await reply.read()
            self._nonces.append(reply.headers["Replay-Nonce"])
            if reply.status < 400:
                return content, reply.headers
            if messages.Error.from_json(json.loads(content)).code != "badNonce":
                raise RuntimeError(content)

    async def _new_nonce(self) -> str:
        async with self._http.head(self._directory["newNonce"]) as reply:
            return reply.headers["Replay-Nonce"]


def _request(names: Sequence[str]) -> x509.CertificateSigningRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([]))
    request = request.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return request.sign(key, hashes.SHA256())


@asynccontextmanager
async def bare_client(directory_url: str, ca_bundle: str, port: int) -> AsyncIterator[BareClient]:
    """A client with an account, and its responder at *port*."""
    tls = ssl.create_default_context(cafile=ca_bundle)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=64)) as http:
        async with http.get(directory_url) as reply:
            directory = messages.Directory.from_json(await reply.json())
        client = BareClient(http, directory)
        await client.register()
        server = await asyncio.get_running_loop().create_server(lambda: Responder(client), "127.0.0.1", port)
        try:
            yield client
        finally:
            server.close()


async def _one(directory_url: str, ca_bundle: str, port: int, names: Sequence[str]) -> str:
    async with bare_client(directory_url, ca_bundle, port) as client:
        return await client.issue(*names)


if __name__ == "__main__":
    print(asyncio.run(_one(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])))
