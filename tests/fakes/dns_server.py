"""Name servers for tests: zones as data, servers with moods, over loopback sockets or without any network.

`Zone` is what the world should see, `Authority` one server that shows it (late, broken, silent …), `Recursor` a
resolver over several zones. Each is a `Responder`: query in, datagrams out. `serve` puts one on UDP and TCP on
loopback; `ask_in_memory` is a `certd.dns.ask.Ask` without sockets, for tests in virtual time.
"""

import asyncio
import functools
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Protocol

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from certd.dns.ask import Ask, Question
from certd.dns.errors import Unanswered
from certd.dns.settings import Server
from certd.model.clock import Clock

TTL = 60
MOST_CNAMES = 16


class Mood(Enum):
    HONEST = auto()
    SILENT = auto()
    SERVFAIL = auto()
    REFUSED = auto()
    LAME = auto()  # refers upwards, without authority
    CUT_OFF = auto()  # truncated over UDP, whole over TCP
    WRONG_ID = auto()
    WRONG_QUESTION = auto()
    GARBAGE = auto()
    COMPRESSION_LOOP = auto()
    NO_EDNS = auto()  # FORMERR to a query with EDNS


class Responder(Protocol):
    asked: list[tuple[str, str]]

    def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
        """The messages to send back, none for silence."""
        ...


@dataclass
class Zone:
    """`records`: (name, type) → texts; names relative to the origin, `@` for itself. NS below the origin delegates."""

    origin: str
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    published: list[tuple[datetime, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = dns.name.from_text(self.origin)

    def publish(self, name: str, value: str, at: datetime) -> None:
        """Add a TXT value, as a provider does: servers show it when their lag has passed."""
        self.published.append((at, name, value))

    def rrsets(self, now: datetime) -> dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset]:
        texts: dict[tuple[dns.name.Name, str], list[str]] = {
            (self.name, "SOA"): [f"ns1.{self.origin}. hostmaster.{self.origin}. 1 3600 600 86400 60"]
        }
        for (relative, kind), values in self.records.items():
            texts[_name(relative, self.name), kind] = list(values)
        for at, owner, value in self.published:
            if at <= now:
                texts.setdefault((_name(owner), "TXT"), []).append(_quoted(value))
        return {
            (name, dns.rdatatype.from_text(kind)): _rrset(name, kind, tuple(values))
            for (name, kind), values in texts.items()
        }

    def answer(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, now: datetime) -> "_Found":
        rrsets = self.rrsets(now)
        for cut in sorted((owner for owner, type_ in rrsets if type_ == dns.rdatatype.NS), key=len):
            if cut != self.name and name.is_subdomain(cut):
                return _Found(dns.rcode.NOERROR, authority=rrsets[cut, dns.rdatatype.NS], authoritative=False)
        soa = rrsets[self.name, dns.rdatatype.SOA]
        owners = {owner for owner, _ in rrsets}
        source = name
        if not any(owner.is_subdomain(name) for owner in owners):
            wildcard = dns.name.Name((b"*", *name.parent().labels))
            if wildcard not in owners:
                return _Found(dns.rcode.NXDOMAIN, authority=soa)
            source = wildcard
        rrset = rrsets.get((source, kind)) or rrsets.get((source, dns.rdatatype.CNAME))
        if rrset is None:
            return _Found(dns.rcode.NOERROR, authority=soa)
        return _Found(dns.rcode.NOERROR, answer=dns.rrset.from_rdata_list(name, TTL, list(rrset)))


@functools.cache
def _name(text: str, origin: dns.name.Name = dns.name.root) -> dns.name.Name:
    return dns.name.from_text(text, origin)


@functools.cache
def _rrset(name: dns.name.Name, kind: str, values: tuple[str, ...]) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(name, TTL, "IN", kind, values)


def _quoted(value: str) -> str:
    """As in a zone file, whatever it is."""
    return '"' + "".join(rf"\{octet:03}" for octet in value.encode()) + '"'


@dataclass
class _Found:
    rcode: dns.rcode.Rcode
    answer: dns.rrset.RRset | None = None
    authority: dns.rrset.RRset | None = None
    authoritative: bool = True


class Authority:
    """One authoritative server of some zones: shows each change *lag* after it was made."""

    def __init__(
        self, zones: Iterable[Zone], clock: Clock, *, lag: timedelta = timedelta(0), mood: Mood = Mood.HONEST
    ) -> None:
        self.zones = tuple(zones)
        self.lag = lag
        self.mood = mood
        self.asked: list[tuple[str, str]] = []
        self.over_tcp = 0
        self._clock = clock

    def shows(self, name: str, value: str) -> bool:
        """Whether an honest answer would have *value* now."""
        now = self._clock.now() - self.lag
        published = (each for zone in self.zones for each in zone.published)
        return any(at <= now and (name, value) == (owner, text) for at, owner, text in published)

    def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
        question = query.question[0]
        self.asked.append((question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)))
        self.over_tcp += tcp
        reply = dns.message.make_response(query)
        match self.mood:
            case Mood.SILENT:
                return []
            case Mood.GARBAGE:
                return [query.to_wire()[:2] + b"\x84\x00" + b"\xff" * 40]
            case Mood.COMPRESSION_LOOP:
                return [struct.pack("!6H", query.id, 0x8400, 1, 0, 0, 0) + b"\xc0\x0c" + b"\x00\x10\x00\x01"]
            case Mood.SERVFAIL:
                reply.set_rcode(dns.rcode.SERVFAIL)
            case Mood.REFUSED:
                reply.set_rcode(dns.rcode.REFUSED)
            case Mood.LAME:
                reply.authority.append(dns.rrset.from_text(dns.name.root, TTL, "IN", "NS", "a.root-servers.test."))
            case Mood.NO_EDNS if query.edns >= 0:
                reply.set_rcode(dns.rcode.FORMERR)
            case Mood.CUT_OFF if not tcp:
                reply.flags |= dns.flags.TC
            case Mood.WRONG_ID:
                self._fill(reply, question.name, question.rdtype)
                reply.id ^= 1
            case Mood.WRONG_QUESTION:
                reply.question = [dns.rrset.RRset(dns.name.from_text("other.test"), question.rdclass, question.rdtype)]
            case Mood.HONEST | Mood.CUT_OFF | Mood.NO_EDNS:
                self._fill(reply, question.name, question.rdtype)
        return [reply.to_wire(max_size=65535)]

    def _fill(self, reply: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
        inside = [zone for zone in self.zones if name.is_subdomain(zone.name)]
        if not inside:
            reply.set_rcode(dns.rcode.REFUSED)
            return
        zone = max(inside, key=lambda each: len(each.name))
        found = zone.answer(name, kind, self._clock.now() - self.lag)
        reply.set_rcode(found.rcode)
        reply.flags |= dns.flags.AA if found.authoritative else 0
        reply.answer += [found.answer] if found.answer is not None else []
        reply.authority += [found.authority] if found.authority is not None else []


class Anycast:
    """One address, several servers behind it that answer in turn."""

    def __init__(self, *nodes: Authority) -> None:
        self.nodes = nodes
        self.asked: list[tuple[str, str]] = []

    def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
        node = self.nodes[len(self.asked) % len(self.nodes)]
        answer = node.respond(query, tcp=tcp)
        self.asked.append(node.asked[-1])
        return answer


class Recursor:
    """A resolver over *zones*, a list that may grow: follows CNAMEs, picks the deepest zone; always up to date."""

    def __init__(self, zones: Sequence[Zone], clock: Clock) -> None:
        self.zones = zones
        self.asked: list[tuple[str, str]] = []
        self._clock = clock

    def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
        question = query.question[0]
        self.asked.append((question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)))
        reply = dns.message.make_response(query, recursion_available=True)
        name = question.name
        for _ in range(MOST_CNAMES):
            inside = [zone for zone in self.zones if name.is_subdomain(zone.name)]
            if not inside:
                reply.set_rcode(dns.rcode.NXDOMAIN)
                break
            found = max(inside, key=lambda each: len(each.name)).answer(name, question.rdtype, self._clock.now())
            reply.set_rcode(found.rcode)
            if found.answer is None:
                reply.authority += [found.authority] if found.authority is not None else []
                break
            reply.answer.append(found.answer)
            if found.answer.rdtype == question.rdtype:
                break
            name = next(iter(found.answer)).target
        return [reply.to_wire(max_size=65535)]


def ask_in_memory(servers: Mapping[str, Responder], clock: Clock, *, limit: timedelta = timedelta(seconds=2)) -> Ask:
    """Questions to *servers* by address, without network; an address that is not there does not answer in time."""

    async def ask(server: Server, question: Question) -> dns.message.Message:
        query = dns.message.make_query(
            question.name, question.type, flags=dns.flags.RD if question.recursive else 0, use_edns=0
        )
        responder = servers.get(server.address)
        for wire in responder.respond(query, tcp=True) if responder is not None else []:
            reply = dns.message.from_wire(wire)
            if query.is_response(reply):
                return reply
        await clock.sleep_until(clock.now() + limit)
        raise Unanswered(f"no answer within {limit.total_seconds():g} s")

    return ask


@asynccontextmanager
async def serve(responder: Responder) -> AsyncIterator[Server]:
    """Answer on UDP and TCP, one port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(lambda reader, writer: _converse(responder, reader, writer), "127.0.0.1", 0)
    port = tcp.sockets[0].getsockname()[1]
    try:
        udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(responder), local_addr=("127.0.0.1", port))
    except OSError:  # that number is free for TCP only: another try
        tcp.close()
        async with serve(responder) as server:
            yield server
        return
    try:
        yield Server("127.0.0.1", port)
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for wire in self._responder.respond(dns.message.from_wire(data), tcp=False):
            self._transport.sendto(wire, addr)


async def _converse(responder: Responder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(length))
        for wire in responder.respond(query, tcp=True):
            writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()
        await reader.read(1)  # until the other side has closed
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
