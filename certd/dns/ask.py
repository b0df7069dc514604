"""One question to one name server, over UDP and, where the answer was cut off, over TCP (RFC 1035, RFC 7766).

Every byte that comes back is hostile (invariant 7): the socket is connected, so that only the server asked can
answer; what does not fit id and question is ignored, not believed; there is a limit to datagrams, sizes and time.
Must never decide what an answer means: that is `authorities` and `propagation`.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certd.dns.errors import Unanswered
from certd.dns.reading import Malformed, read_answer
from certd.dns.settings import Server
from certd.model.clock import Clock, deadline

# The size that never fragments (DNS flag day 2020): a fragment's second half carries no id and is easily forged.
EDNS_PAYLOAD = 1232

_LARGEST_DATAGRAM = 4096  # of servers that do not keep to what they were told
_MOST_DATAGRAMS = 16  # that are no answer, before the server is given up
_WITHOUT_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS})


@dataclass(frozen=True, slots=True)
class Question:
    """`recursive`: put to a resolver; otherwise to an authoritative server, which shall say what it knows itself."""

    name: dns.name.Name
    type: dns.rdatatype.RdataType
    recursive: bool = False


#: Puts a question to a server; raises Unanswered. Fakes of it need no network.
Ask = Callable[[Server, Question], Awaitable[dns.message.Message]]


class Wire:
    """Asks over the network. One attempt a call; the caller knows whether another makes sense."""

    def __init__(self, clock: Clock, limit: timedelta) -> None:
        self._clock = clock
        self._limit = limit

    async def __call__(self, server: Server, question: Question) -> dns.message.Message:
        """Return the server's answer, whatever its rcode; raises Unanswered."""
        try:
            async with deadline(self._clock, self._limit):
                reply = await _exchange(server, _query(question, edns=True))
                if reply.rcode() in _WITHOUT_EDNS:
                    # RFC 6891 §7: a server that does not know EDNS says FORMERR or NOTIMP; ask plainly
                    reply = await _exchange(server, _query(question, edns=False))
                return reply
        except OSError as failure:
            raise Unanswered((failure.strerror or str(failure)).lower()) from failure
        except Malformed as garbage:
            raise Unanswered(str(garbage)) from garbage


async def first_usable(
    servers: Iterable[Server], question: Question, ask: Ask, objection: Callable[[dns.message.Message], str | None]
) -> dns.message.Message:
    """Ask one server after the other, twice round, until an answer has no *objection*.

    Raises Unanswered, which says what each server did.
    """
    objections: dict[Server, str] = {}
    for server in (*servers, *servers):
        try:
            reply = await ask(server, question)
        except Unanswered as silence:
            objections[server] = str(silence)
            continue
        if (why := objection(reply)) is None:
            return reply
        objections[server] = why
    raise Unanswered("; ".join(f"{server}: {why}" for server, why in objections.items()) or "there is nobody to ask")


def rcode_text(reply: dns.message.Message) -> str:
    """The answer's rcode as text, such as `SERVFAIL`."""
    return dns.rcode.to_text(reply.rcode())


def _query(question: Question, *, edns: bool) -> dns.message.QueryMessage:
    # dnspython draws the id from the system's random source: an injected, repeatable one would help a forger.
    return dns.message.make_query(
        question.name,
        question.type,
        use_edns=0 if edns else None,
        payload=EDNS_PAYLOAD if edns else None,
        flags=dns.flags.RD if question.recursive else 0,
    )


async def _exchange(server: Server, query: dns.message.QueryMessage) -> dns.message.Message:
    reply = await _by_udp(server, query)
    return await _by_tcp(server, query) if reply.flags & dns.flags.TC else reply


async def _by_udp(server: Server, query: dns.message.QueryMessage) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in server.address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        # Connected: a closed port is told at once, and the kernel drops what others send.
        sock.connect((server.address, server.port))
        await loop.sock_sendall(sock, query.to_wire())
        for _ in range(_MOST_DATAGRAMS):
            try:
                reply = read_answer(await loop.sock_recv(sock, _LARGEST_DATAGRAM), query)
            except Malformed:
                continue  # whoever forges it shall not keep the real answer from being seen
            if reply is not None:
                return reply
    raise Unanswered(f"{_MOST_DATAGRAMS} datagrams, and none answers the question")


async def _by_tcp(server: Server, query: dns.message.QueryMessage) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(server.address, server.port)
    try:
        wire = query.to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = read_answer(await reader.readexactly(length), query)
    except asyncio.IncompleteReadError:
        raise Unanswered("closed the TCP connection without an answer") from None
    finally:
        writer.close()
    if reply is None or reply.flags & dns.flags.TC:
        raise Unanswered("no whole answer to the question over TCP")
    return reply
