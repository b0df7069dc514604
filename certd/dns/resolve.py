"""A stub resolver: questions to recursive name servers, given explicitly or taken from the system's configuration.

It only serves to find zones and the addresses of their name servers. A proof's own name is never asked here: a
resolver would remember that it does not exist (RFC 2308 §5), perhaps the one that the CA asks a moment later.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certd.dns.ask import Ask, Question, first_usable, rcode_text
from certd.dns.errors import DnsError, Unanswered
from certd.dns.settings import Server

RESOLV_CONF = Path("/etc/resolv.conf")

_MOST_RESOLVERS = 3  # as resolv.conf(5): MAXNS
_MOST_ADDRESSES = 8  # of one host
_LARGEST_RESOLV_CONF = 64 * 1024


class Resolver:
    """Asks the recursive *servers* in their order."""

    def __init__(self, servers: Sequence[Server], ask: Ask) -> None:
        self._servers = tuple(servers)
        self._ask = ask

    async def lookup(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        """Return an answer with rcode NOERROR or NXDOMAIN; raises DnsError(retry=True)."""
        try:
            return await first_usable(self._servers, Question(name, kind, recursive=True), self._ask, _objection)
        except Unanswered as failure:
            raise DnsError(
                f"{shown(name)}: looking up {dns.rdatatype.to_text(kind)} failed: {failure}",
                retry=True,
                hint="name a resolver that answers: --dns-resolver ADDR[:PORT]",
            ) from None

    async def addresses(self, host: dns.name.Name) -> tuple[str, ...]:
        """IPv4 before IPv6, because an IPv6 route that leads nowhere costs a time limit and is common."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._addresses(host, kind)) for kind in (dns.rdatatype.A, dns.rdatatype.AAAA)]
        return tuple(address for task in tasks for address in task.result())

    async def _addresses(self, host: dns.name.Name, kind: dns.rdatatype.RdataType) -> tuple[str, ...]:
        try:
            reply = await self.lookup(host, kind)
        except DnsError:
            return ()  # the other family may do; that there is none at all is the caller's error
        found = [rdata.address for rrset in reply.answer if rrset.rdtype == kind for rdata in rrset]
        return tuple(found[:_MOST_ADDRESSES])


def system_resolvers(path: Path = RESOLV_CONF) -> tuple[Server, ...]:
    """The name servers of resolv.conf(5); without any, the local host."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST_RESOLV_CONF)
    except OSError:
        text = ""
    fields = (line.split() for line in text.splitlines())
    found = [Server(words[1]) for words in fields if len(words) > 1 and words[0] == "nameserver" and _address(words[1])]
    return tuple(found[:_MOST_RESOLVERS]) or (Server("127.0.0.1"),)


def shown(name: dns.name.Name) -> str:
    """A name as people write it: without trailing dot, lower case; the root is `.`."""
    return name.to_text(omit_final_dot=True).lower()


def _address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _objection(reply: dns.message.Message) -> str | None:
    return None if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) else rcode_text(reply)
