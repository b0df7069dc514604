"""Why there was no reply, in words for a person: one row an exception of aiohttp.

`again`: whether another try at once can help. An unknown name or an untrusted certificate stays so.
"""

import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from certd.ca.kinds import Kind
from certd.ca.origin import Origin
from certd.ca.text import clean
from certd.model.errors import CaUnreachable
from certd.model.problems import Problem

_HINT_TRUST = (
    "a private CA's API needs its root: --ca-bundle FILE; for a public CA see that the system's CA certificates are "
    "installed, and that the clock is right"
)


# asyncio raises some without errno and text.
_WORDLESS: dict[type[OSError], str] = {
    ConnectionResetError: "connection reset by peer",
    ConnectionAbortedError: "the handshake was not finished",
}


class ConnectionLost(CaUnreachable):
    """The connection broke, so that nobody knows whether the CA saw the request; another try may reach it."""


class NoncesRefused(CaUnreachable):
    """The CA took none of a step's nonces, so it did nothing; it says nothing of what was asked for.

    An outage, not a refusal: the order, the key and the account stay as they are, and the step is made again later.
    """

    def __init__(self, attempted: str, problem: Problem) -> None:
        super().__init__(
            f"{attempted}: the CA refused each nonce, even those it had just given out: {problem}",
            hint="it may work later; if it never does, a cache or load balancer in front of the CA mixes up its nonces",
        )
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Cause:
    text: str
    hint: str = ""
    again: bool = False


def unreachable(origin: Origin, kind: Kind, why: Exception) -> CaUnreachable:
    """The error to raise for *why*."""
    cause = next((words(why) for kinds, words in _CAUSES if isinstance(why, kinds)), None) or _Cause(
        f"no reply: {clean(str(why), 200) or type(why).__name__}"
    )
    error = ConnectionLost if cause.again else CaUnreachable
    return error(f"{origin}: {kind.value}: {cause.text}", hint=cause.hint)


def _untrusted(why: Any) -> _Cause:
    error = why.certificate_error
    words = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return _Cause(f"its TLS certificate is not accepted: {clean(words, 200)}", _HINT_TRUST)


def _tls(why: Any) -> _Cause:
    reason = getattr(why.os_error, "reason", None) or str(why.os_error)
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}:
        return _Cause("there is no TLS on this port", "ACME is spoken over https only; is this the CA's https port?")
    words = reason.lower().replace("_", " ")
    return _Cause(f"the TLS handshake failed: {clean(words, 200)}", "certd speaks TLS 1.2 and newer")


def _system(error: OSError) -> str:
    # asyncio repeats the address in its text; the system's own word is enough beside the origin.
    if isinstance(error, socket.gaierror):
        return clean(error.strerror or str(error), 200)
    if error.errno:
        return os.strerror(error.errno).lower()
    return clean(str(error), 200) or _WORDLESS.get(type(error), type(error).__name__)


#: The first row that fits counts; aiohttp's classes derive from each other.
_CAUSES: tuple[tuple[type[Exception], Callable[[Any], _Cause]], ...] = (
    (aiohttp.ClientConnectorCertificateError, _untrusted),
    (aiohttp.ClientConnectorSSLError, _tls),
    (
        aiohttp.ClientConnectorDNSError,
        lambda why: _Cause(f"its name does not resolve: {_system(why.os_error)}", "see the resolver of this machine"),
    ),
    (
        aiohttp.ConnectionTimeoutError,
        lambda _: _Cause("no connection in time", "is there a firewall in between?"),
    ),
    (
        aiohttp.ClientConnectorError,
        lambda why: _Cause(f"cannot connect: {_system(why.os_error)}", "is the CA running, and is the port right?"),
    ),
    (
        aiohttp.ServerDisconnectedError,
        lambda _: _Cause("the CA closed the connection without a reply", again=True),
    ),
    (aiohttp.ClientPayloadError, lambda _: _Cause("the reply broke off", again=True)),
    (aiohttp.ClientOSError, lambda why: _Cause(f"the connection broke: {_system(why)}", again=True)),
    (
        aiohttp.ClientResponseError,
        lambda why: _Cause(f"the reply is not HTTP that can be read: {clean(why.message, 200)}"),
    ),
)
