"""Bytes → the head of one HTTP/1.x request (RFC 9112). Pure, bounded, strict.

What the RFC merely tolerates (bare LF, folded lines, white space before a colon) is refused: no validator and no proxy
sends it, and leniency here is what request smuggling lives on.
"""

import re
from dataclasses import dataclass

LONGEST_HEAD = 8192

_END = b"\r\n\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_FIELD = re.compile(rb"(%s):[^\x00-\x08\x0a-\x1f\x7f]*" % _TOKEN)
_ABSOLUTE = re.compile(r"\A(?i:https?)://[^/?#]*")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """`path` is the request target as sent, undecoded; of an absolute URL, what follows its authority."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """More bytes may make it a request."""


@dataclass(frozen=True, slots=True)
class BadHead:
    """No bytes can make it a request we take; `status` says so to the sender."""

    status: int


def read_head(data: bytes) -> RequestHead | Incomplete | BadHead:
    """Read the head that *data* begins with; what follows it is left alone. Never raises."""
    # RFC 9112 §2.2: "a server … SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
    start = 2 if data.startswith(b"\r\n") else 0
    end = data.find(_END, start, LONGEST_HEAD)
    if end >= 0:
        return _read(data[start:end].split(b"\r\n"))
    if len(data) >= LONGEST_HEAD:
        return BadHead(431)
    if b"\n\n" in data:
        return BadHead(400)  # bare line feeds: it would wait for an end that never comes
    return Incomplete()


def _read(lines: list[bytes]) -> RequestHead | BadHead:
    request = _REQUEST_LINE.fullmatch(lines[0])
    if request is None:
        return BadHead(400)
    method, target, major, minor = request.groups()
    if major != b"1":
        return BadHead(505)
    hosts = 0
    for line in lines[1:]:
        field = _FIELD.fullmatch(line)
        if field is None:
            return BadHead(400)
        hosts += field[1].lower() == b"host"
    # RFC 9112 §3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field and to any request message
    # that contains more than one". Which host does not matter: the token alone says which proof is meant.
    if hosts > 1 or (hosts == 0 and minor != b"0"):
        return BadHead(400)
    return RequestHead(method.decode("ascii"), _ABSOLUTE.sub("", target.decode("ascii"), count=1))
