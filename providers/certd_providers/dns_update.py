"""One DNS UPDATE to one address, and what its answer means (RFC 2136 §3.8, RFC 8945 §5.3).

An answer has its bounds checked before it is parsed, because 64 KiB of the longest names take dnspython many seconds;
that it was done is believed only with a signature, where the update had one.
"""

import asyncio
import socket
import struct
from datetime import timedelta

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import dns.update

from certd.api import Clock, ProviderError, deadline

LARGEST_UDP = 1232  # what never fragments

_MORE_THAN_ASKED = 1024  # octets; servers may send the update back, and add a signature
_MORE_RECORDS = 8
_MOST_DATAGRAMS = 16  # that are no answer, before the server is given up
_HEADER = struct.Struct("!6H")

_HINTS = {
    dns.rcode.REFUSED: (False, "the key may not change these names: see update-policy or allow-update of the zone"),
    dns.rcode.NOTAUTH: (False, "this server is not the primary of the zone, or does not know the key"),
    dns.rcode.NOTZONE: (False, "a name lies outside of the zone: is there a zone cut that DNS does not show?"),
    dns.rcode.NOTIMP: (False, "this server takes no DNS UPDATE"),
    dns.rcode.FORMERR: (False, "this server does not understand the update"),
    dns.rcode.SERVFAIL: (
        True,
        "the server's log says why: often it cannot write the zone's journal file, or the name has too many values",
    ),
}


class NoAnswer(Exception):
    """Nothing came that could be an answer; the text says what did."""


async def send(
    update: dns.update.UpdateMessage, address: str, port: int, attempt: str, clock: Clock, limit: timedelta
) -> None:
    """By TCP, where nothing is lost or forged in silence; by UDP if TCP leads nowhere and the update fits.

    Raises NoAnswer, or ProviderError, whose text begins with *attempt*, for what the server has answered.
    """
    wire = update.to_wire()
    try:
        try:
            async with deadline(clock, limit / 2):
                answer = await _by_tcp(wire, address, port)
        except (OSError, EOFError):
            if len(wire) > LARGEST_UDP:
                raise
            async with deadline(clock, limit / 2):
                answer = await _by_udp(wire, address, port)
    except OSError as failure:
        raise NoAnswer((failure.strerror or str(failure)).lower()) from failure
    except EOFError as failure:
        raise NoAnswer("closed the connection without an answer") from failure
    _judge(update, answer, len(wire), attempt)


async def _by_tcp(wire: bytes, address: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(struct.pack("!H", len(wire)) + wire)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()


async def _by_udp(wire: bytes, address: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        # Connected: a closed port is told at once, and the kernel drops what others send.
        sock.connect((address, port))
        await loop.sock_sendall(sock, wire)
        for _ in range(_MOST_DATAGRAMS):
            answer = await loop.sock_recv(sock, len(wire) + _MORE_THAN_ASKED)
            if answer[:2] == wire[:2]:  # the id
                return answer
    raise NoAnswer(f"{_MOST_DATAGRAMS} datagrams, and none answers the update")


def _judge(update: dns.update.UpdateMessage, answer: bytes, asked: int, attempt: str) -> None:
    signed = update.keyring is not None
    try:
        id_, flags, *counts = _HEADER.unpack_from(answer)
        records = len(update.update)
        if id_ != update.id or not flags & dns.flags.QR:
            raise NoAnswer("an answer to another question")
        if len(answer) > asked + _MORE_THAN_ASKED or sum(counts[1:]) > records + _MORE_RECORDS or counts[0] > 1:
            raise NoAnswer("more than an honest answer has")
        if signed and not counts[3]:  # RFC 8945 §5.1: a signature is the last of the additional records
            _unsigned(dns.rcode.Rcode.make(flags & 0xF), attempt)
        reply = dns.message.from_wire(answer, keyring=update.keyring, request_mac=update.mac)
    except dns.tsig.PeerError as refusal:
        raise _tsig_refusal(refusal, attempt) from refusal
    except (dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey) as forged:
        raise NoAnswer("the answer's signature is wrong") from forged
    except (dns.exception.DNSException, ValueError, IndexError, struct.error) as garbage:
        raise NoAnswer(f"malformed answer ({type(garbage).__name__})") from garbage
    if not update.is_response(reply):
        raise NoAnswer("an answer to another question")
    if signed and not reply.had_tsig:
        _unsigned(reply.rcode(), attempt)
    if reply.rcode() != dns.rcode.NOERROR:
        raise _refused(reply.rcode(), attempt)


def _unsigned(code: dns.rcode.Rcode, attempt: str) -> None:
    """A forger gains nothing by saying no, and servers that know neither key nor UPDATE do not sign."""
    if code != dns.rcode.NOERROR:
        raise _refused(code, attempt)
    raise ProviderError(f"{attempt}: the answer is not signed, so it may be anybody's", retry=True)


def _refused(code: dns.rcode.Rcode, attempt: str) -> ProviderError:
    retry, hint = _HINTS.get(code, (True, ""))
    return ProviderError(f"{attempt}: {dns.rcode.to_text(code)}", retry=retry, hint=hint)


def _tsig_refusal(refusal: dns.tsig.PeerError, attempt: str) -> ProviderError:
    match refusal:
        case dns.tsig.PeerBadTime():
            text, retry, hint = "BADTIME", True, "the clocks of this host and the server are minutes apart"
        case dns.tsig.PeerBadSignature():
            text, retry, hint = "BADSIG", False, "key_secret or key_algorithm is not what the server has for key_name"
        case dns.tsig.PeerBadKey():
            text, retry, hint = "BADKEY", False, "the server does not know key_name with this key_algorithm"
        case _:
            text, retry, hint = type(refusal).__name__, False, "see the server's log"
    return ProviderError(f"{attempt}: the server refused the signature ({text})", retry=retry, hint=hint)
