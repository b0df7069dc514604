"""The tls-alpn-01 responder (RFC 8737): shakes hands with validators, refuses everybody else by alert.

Never a fallback certificate: RFC 8737 §5 rests on it that a server which does not know the challenge does not answer.
The ClientHello is read here first and then handed to OpenSSL through memory, so nothing is peeked at twice.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from certd.listen.alpn_certificate import ACME_TLS_1, AlpnContexts
from certd.listen.client_hello import LONGEST_HELLO, ClientHello, Incomplete, NotTls, read_client_hello
from certd.listen.visitors import Visitor, Visitors
from certd.model.proofs import Proof, ProofLookup

log = logging.getLogger("certd.listen")

_LONGEST_HANDSHAKE = 65536  # of the visitor's side: a second hello at most, and Finished


class Alert(Enum):
    """TLS alert descriptions (RFC 8446 §6)."""

    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120

    @property
    def record(self) -> bytes:
        """As a fatal alert in a record of its own."""
        return bytes((21, 3, 3, 0, 2, 2, self.value))


@dataclass(frozen=True, slots=True)
class Prove:
    """A validator asks for a proof in force: shake hands."""

    proof: Proof


@dataclass(frozen=True, slots=True)
class NotAcme:
    """A visitor of whatever else is served under this name. Nothing else is, yet, so it is refused."""

    hello: ClientHello


@dataclass(frozen=True, slots=True)
class Unknown:
    """A validator asks for a name that no proof in force is about."""

    server_name: str


def decide(hello: ClientHello, lookup: ProofLookup) -> Prove | NotAcme | Unknown:
    """What to do with the connection that *hello* opens. Pure, but for the look-up."""
    # RFC 8737 §3: a validator's hello has "the single protocol name "acme-tls/1""; whoever offers more is a visitor.
    if hello.alpn != (ACME_TLS_1.encode("ascii"),):
        return NotAcme(hello)
    proof = lookup.tls_alpn_01(hello.server_name) if hello.server_name else None
    return Unknown(hello.server_name) if proof is None else Prove(proof)


class TlsVisitor(Visitor):
    """One connection to port 443: first the hello, then perhaps a handshake, never application data."""

    def __init__(self, visitors: Visitors, lookup: ProofLookup, contexts: AlpnContexts) -> None:
        super().__init__(visitors)
        self._lookup = lookup
        self._contexts = contexts
        self._hello = bytearray()
        self._handshake: _Handshake | None = None

    def received(self, data: bytes) -> None:
        if self._handshake is not None:
            self._shake(self._handshake, data)
            return
        self._hello += data
        match read_client_hello(bytes(self._hello[:LONGEST_HELLO])):
            case Incomplete():
                return
            case NotTls(reason):
                log.debug("not tls", extra={"reason": reason, "peer": self.peer[0]})
                self.farewell()
            case ClientHello() as hello:
                self._meet(hello)

    def leave(self) -> None:
        """Not in the middle of a handshake: cut off, it would be a failed validation."""
        if self._handshake is None or self.answered:
            super().leave()

    def _meet(self, hello: ClientHello) -> None:
        match decide(hello, self._lookup):
            case NotAcme():
                self.farewell(Alert.NO_APPLICATION_PROTOCOL.record)
            case Unknown(server_name):
                log.debug("tls-alpn-01: unknown name", extra={"server_name": server_name, "peer": self.peer[0]})
                self.farewell(Alert.UNRECOGNIZED_NAME.record)
            case Prove(proof):
                self._handshake = _Handshake(proof, self._contexts.context_for(proof))
                self._shake(self._handshake, bytes(self._hello))
                self._hello.clear()

    def _shake(self, handshake: "_Handshake", data: bytes) -> None:
        outcome = handshake.advance(data)
        if outcome is Outcome.GOING_ON:
            self.send(handshake.outgoing())
            return
        self.farewell(handshake.outgoing())
        if outcome is Outcome.SHOWN:
            log.debug(
                "tls-alpn-01 answered", extra={"identifier": str(handshake.proof.identifier), "peer": self.peer[0]}
            )
            self._lookup.asked(handshake.proof)


class Outcome(Enum):
    """How far a handshake is."""

    GOING_ON = "going on"
    SHOWN = "shown"  # finished by both sides: the validator has seen the certificate
    FAILED = "failed"


class _Handshake:
    """One handshake through memory: bytes in, bytes out."""

    def __init__(self, proof: Proof, context: ssl.SSLContext) -> None:
        self.proof = proof
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._left = _LONGEST_HANDSHAKE

    def advance(self, data: bytes) -> Outcome:
        """Take *data* from the visitor; what there is to send back then stands in `outgoing`."""
        self._left -= len(data)
        if self._left < 0:
            return Outcome.FAILED
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return Outcome.GOING_ON
        except ssl.SSLError as why:
            log.debug(
                "tls-alpn-01: handshake failed", extra={"identifier": str(self.proof.identifier), "why": why.reason}
            )
            return Outcome.FAILED
        with suppress(ssl.SSLError):  # it writes close_notify, and does not wait for the other one
            self._tls.unwrap()
        return Outcome.SHOWN if self._tls.selected_alpn_protocol() == ACME_TLS_1 else Outcome.FAILED

    def outgoing(self) -> bytes:
        return self._outgoing.read()


def tls_visitors(visitors: Visitors, lookup: ProofLookup, contexts: AlpnContexts) -> Callable[[], asyncio.BaseProtocol]:
    """What makes a protocol for each connection."""
    return lambda: TlsVisitor(visitors, lookup, contexts)
