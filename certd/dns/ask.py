"""One question to one name server, over UDP and, where the answer was cut off, over TCP (RFC 1035, RFC 7766).

Every byte that comes back is hostile (invariant 7): the socket is connected, so that only the server asked can
answer; what does not fit id and question is ignored, not believed; an answer has at most 64 KiB and a time limit.
Must never decide what an answer means: that is `authorities` and `propagation`.
"""

import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certd.dns.errors import Unanswered
from certd.dns.settings import Server
from certd.model.clock import Clock, deadline

# The size that never fragments (DNS flag day 2020): a fragment's second half carries no id and is easily forged.
EDNS_PAYLOAD = 1232

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
        except TimeoutError as late:
            raise Unanswered(str(late)) from None
        except OSError as failure:
            raise Unanswered((failure.strerror or str(failure)).lower()) from failure
        except (dns.exception.DNSException, EOFError, ValueError, struct.error) as garbage:
            raise Unanswered(f"malformed answer ({type(garbage).__name__})") from garbage


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
    backend = dns.asyncbackend.get_backend("asyncio")
    family = dns.inet.af_for_address(server.address)
    # Connected: a closed port is told at once, and the kernel drops what others send.
    at = (server.address, server.port)
    sock: Any = await backend.make_socket(family, socket.SOCK_DGRAM, 0, None, at)  # type: ignore[no-untyped-call]
    async with sock:
        reply, _ = await dns.asyncquery.udp_with_fallback(
            query,
            server.address,
            port=server.port,
            udp_sock=sock,
            backend=backend,
            ignore_unexpected=True,
            ignore_errors=True,
        )
    return reply
