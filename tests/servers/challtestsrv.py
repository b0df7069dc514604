"""pebble-challtestsrv: a name server whose answers are set over HTTP; if wanted an http-01 and tls-alpn-01 responder.

By default it is DNS only and every name has the address 127.0.0.1, so that a CA which asks it comes to the listener
under test. Names here are without the last dot. `set_txt` adds a value; `clear_txt` takes all values of a name.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import Any

import aiohttp
import dns.asyncquery
import dns.message

from tests.servers.process import (
    LOOPBACK,
    PORT_TAKEN,
    Program,
    Running,
    ServerDidNotStart,
    enter_on_free_ports,
    free_ports,
    running,
)


@dataclass(frozen=True, slots=True)
class ChallTestSrvOptions:
    """`dns_address`: None for 127.0.0.1 and a free port; "127.0.0.77:53" for a CA that only asks port 53 (as root)."""

    default_ipv4: str = LOOPBACK  # "" for none
    default_ipv6: str = ""
    dns_address: str | None = None
    answers_http: bool = False
    answers_tls_alpn: bool = False


@dataclass(slots=True)
class ChallTestSrv:
    """A running one. Ports are 0 where it does not listen."""

    dns_server: str  # "127.0.0.1:PORT", UDP and TCP
    http_port: int
    tls_port: int
    management_url: str
    running: Running

    async def set_txt(self, name: str, value: str) -> None:
        """Add *value* to the TXT values of *name*."""
        await self._tell("set-txt", host=f"{name}.", value=value)

    async def clear_txt(self, name: str) -> None:
        await self._tell("clear-txt", host=f"{name}.")

    async def add_a(self, name: str, *addresses: str) -> None:
        await self._tell("add-a", host=name, addresses=addresses)

    async def clear_a(self, name: str) -> None:
        await self._tell("clear-a", host=name)

    async def add_aaaa(self, name: str, *addresses: str) -> None:
        await self._tell("add-aaaa", host=name, addresses=addresses)

    async def clear_aaaa(self, name: str) -> None:
        await self._tell("clear-aaaa", host=name)

    async def set_default_ipv4(self, address: str) -> None:
        """The address of all names that have none of their own; "" for none."""
        await self._tell("set-default-ipv4", ip=address)

    async def set_default_ipv6(self, address: str) -> None:
        await self._tell("set-default-ipv6", ip=address)

    async def add_caa(self, name: str, *policies: tuple[str, str]) -> None:
        """*policies*: (tag, value)."""
        await self._tell("add-caa", host=name, policies=[{"tag": tag, "value": value} for tag, value in policies])

    async def clear_caa(self, name: str) -> None:
        await self._tell("clear-caa", host=name)

    async def set_cname(self, name: str, target: str) -> None:
        await self._tell("set-cname", host=name, target=target)

    async def clear_cname(self, name: str) -> None:
        await self._tell("clear-cname", host=name)

    async def set_servfail(self, name: str) -> None:
        await self._tell("set-servfail", host=name)

    async def clear_servfail(self, name: str) -> None:
        await self._tell("clear-servfail", host=name)

    async def add_http01(self, token: str, key_authorization: str) -> None:
        """Answer an http-01 challenge (option `answers_http`)."""
        await self._tell("add-http01", token=token, content=key_authorization)

    async def del_http01(self, token: str) -> None:
        await self._tell("del-http01", token=token)

    async def add_tls_alpn01(self, name: str, key_authorization: str) -> None:
        """Answer a tls-alpn-01 challenge (option `answers_tls_alpn`)."""
        await self._tell("add-tlsalpn01", host=name, content=key_authorization)

    async def del_tls_alpn01(self, name: str) -> None:
        await self._tell("del-tlsalpn01", host=name)

    async def dns_requests(self, name: str) -> list[dict[str, Any]]:
        """Questions about *name*, oldest first, as {"Question": {"Name", "Qtype", "Qclass"}, …}."""
        return await self._ask("dns-request-history", host=name)

    async def http_requests(self, name: str) -> list[dict[str, Any]]:
        """Requests to the http-01 responder with this Host, as {"URL", "Host", "HTTPS", "ServerName", "UserAgent"}."""
        return await self._ask("http-request-history", host=name)

    async def tls_alpn_requests(self, name: str) -> list[dict[str, Any]]:
        return await self._ask("tlsalpn01-request-history", host=name)

    async def _tell(self, verb: str, **body: object) -> None:
        async with aiohttp.ClientSession() as http, http.post(f"{self.management_url}/{verb}", json=body) as reply:
            assert reply.status == 200, f"challtestsrv {verb} {body}: {reply.status} {await reply.text()}"

    async def _ask(self, verb: str, **body: object) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as http, http.post(f"{self.management_url}/{verb}", json=body) as reply:
            assert reply.status == 200, f"challtestsrv {verb} {body}: {reply.status} {await reply.text()}"
            history: list[dict[str, Any]] = await reply.json()
            return history


@asynccontextmanager
async def challtestsrv(
    binary: Path, folder: Path, options: ChallTestSrvOptions = ChallTestSrvOptions()
) -> AsyncIterator[ChallTestSrv]:
    """Run *binary* with its log in *folder*."""
    async with AsyncExitStack() as stack:
        yield await enter_on_free_ports(stack, lambda: _on_free_ports(binary, folder, options))


@asynccontextmanager
async def _on_free_ports(binary: Path, folder: Path, options: ChallTestSrvOptions) -> AsyncIterator[ChallTestSrv]:
    (dns_port,) = free_ports(1, kinds=(SOCK_STREAM, SOCK_DGRAM))
    http_port, tls_port, management = free_ports(3)
    dns_server = options.dns_address or f"{LOOPBACK}:{dns_port}"
    debians = binary.is_relative_to("/usr/bin")  # 2.4: another option's name, no DNS over HTTPS
    argv = [
        binary,
        *("-dns01" if debians else "-dnsserver", dns_server),
        *("-management", f"{LOOPBACK}:{management}"),
        *("-http01", f"{LOOPBACK}:{http_port}" if options.answers_http else ""),
        *("-tlsalpn01", f"{LOOPBACK}:{tls_port}" if options.answers_tls_alpn else ""),
        *("-https01", ""),
        *("-defaultIPv4", options.default_ipv4),
        *("-defaultIPv6", options.default_ipv6),
        *(() if debians else ("-doh", "")),
    ]
    program = Program("pebble-challtestsrv", argv, folder / f"challtestsrv-{management}.log")
    url = f"http://{LOOPBACK}:{management}"
    async with running(program, lambda: _listens(url, dns_server)) as started:
        # It goes on without a port that it could not have, and only prints so.
        if any(words in started.log.text().lower() for words in PORT_TAKEN):
            raise ServerDidNotStart(f"pebble-challtestsrv: {started.log.tail()}")
        yield ChallTestSrv(
            dns_server,
            http_port if options.answers_http else 0,
            tls_port if options.answers_tls_alpn else 0,
            url,
            started,
        )


async def _listens(url: str, dns_server: str) -> bool:
    address, _, port = dns_server.rpartition(":")
    question = dns.message.make_query("started.invalid", "A")
    await dns.asyncquery.udp(question, address, port=int(port), timeout=1)
    await dns.asyncquery.tcp(question, address, port=int(port), timeout=1)
    async with aiohttp.ClientSession() as http, http.post(f"{url}/dns-request-history", json={"host": "x"}) as reply:
        return reply.status == 200
