"""Bytes → what a TLS ClientHello asks for: server name and ALPN protocols (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301).

Python's `ssl` cannot refuse by ALPN, and tells its SNI callback nothing of it, so the first message is read here before
OpenSSL sees it. Pure, bounded in bytes and in records, never raises: whatever comes is a ClientHello, the beginning of
one, or not TLS.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: All records of the message with their headers. Today's, with post-quantum key shares, have about 2 KiB.
LONGEST_HELLO = 16384
#: A hello cut into one-byte records is an attack on whoever reads it again at each byte; honest ones need a few.
MOST_RECORDS = 32

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_LONGEST_RECORD = 2**14
_SERVER_NAME = 0
_ALPN = 16
_HOST_NAME = 0
_NAME = re.compile(rb"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_name`: lower case; empty if there is none, or none that could be a host name. `alpn`: in its order."""

    server_name: str
    alpn: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Incomplete:
    """More bytes may make it a ClientHello."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """No bytes can make it a ClientHello that we take."""

    reason: str


class _MalformedError(Exception):
    """A length that does not fit, or a thing that stands twice."""


def read_client_hello(data: bytes) -> ClientHello | Incomplete | NotTls:
    """Read the ClientHello that *data*, the first bytes of a connection, begins with."""
    message = bytearray()
    try:
        for fragment in _fragments(data[:LONGEST_HELLO]):
            message += fragment
            if message[0] != _CLIENT_HELLO:
                return NotTls("the first message is no ClientHello")
            if len(message) >= 4 and len(message) >= (end := 4 + int.from_bytes(message[1:4])):
                return _read_body(bytes(message[4:end]))
    except _MalformedError as why:
        return NotTls(str(why))
    return NotTls("the ClientHello is too long") if len(data) >= LONGEST_HELLO else Incomplete()


def _fragments(data: bytes) -> Iterator[bytes]:
    """The handshake bytes of each whole record, and the bytes there are of the last one (RFC 8446 §5.1).

    A fragment of an unfinished record counts as well, so that nonsense is refused at its first bytes.
    """
    at = records = 0
    while at < len(data):
        header = data[at : at + 5]
        if header[0] != _HANDSHAKE or (len(header) > 1 and header[1] != 3):
            raise _MalformedError("not a TLS handshake record")
        if len(header) < 5:
            return
        length = int.from_bytes(header[3:5])
        if not 0 < length <= _LONGEST_RECORD:
            raise _MalformedError(f"a handshake record of {length} bytes")
        records += 1
        if records > MOST_RECORDS:
            raise _MalformedError("the ClientHello comes in too many records")
        if fragment := data[at + 5 : at + 5 + length]:
            yield fragment
        at += 5 + length


class _Cursor:
    """Reads forward in *data*; asking for more than is there raises _MalformedError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise _MalformedError("a length in the ClientHello is larger than what follows")
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """A vector whose length stands before it in *size* bytes (RFC 8446 §3.4)."""
        return self.take(self.number(size))


def _read_body(body: bytes) -> ClientHello:
    cursor = _Cursor(body)
    cursor.take(2 + 32)  # legacy_version, random
    cursor.vector(1)  # legacy_session_id
    cursor.vector(2)  # cipher_suites
    cursor.vector(1)  # legacy_compression_methods
    extensions = _extensions(cursor.vector(2)) if cursor else {}
    if cursor:
        raise _MalformedError("bytes after the extensions of the ClientHello")
    return ClientHello(_server_name(extensions.get(_SERVER_NAME)), _protocols(extensions.get(_ALPN)))


def _extensions(block: bytes) -> dict[int, bytes]:
    cursor, found = _Cursor(block), dict[int, bytes]()
    while cursor:
        kind, data = cursor.number(2), cursor.vector(2)
        # RFC 8446 §4.2: "There MUST NOT be more than one extension of the same type in a given extension block."
        if kind in found:
            raise _MalformedError(f"extension {kind} stands twice")
        found[kind] = data
    return found


def _server_name(data: bytes | None) -> str:
    if data is None:
        return ""
    outer = _Cursor(data)
    cursor, name = _Cursor(outer.vector(2)), b""
    while cursor:
        kind, value = cursor.number(1), cursor.vector(2)
        # RFC 6066 §3: "The ServerNameList MUST NOT contain more than one name of the same name_type."
        if kind != _HOST_NAME or name:
            raise _MalformedError("the server name extension has more than one host name")
        name = value
    if outer:
        raise _MalformedError("bytes after the server name")
    return name.decode("ascii").lower() if len(name) <= 255 and _NAME.fullmatch(name) else ""


def _protocols(data: bytes | None) -> tuple[bytes, ...]:
    if data is None:
        return ()
    outer = _Cursor(data)
    cursor, names = _Cursor(outer.vector(2)), list[bytes]()
    while cursor:
        names.append(cursor.vector(1))
    if outer or not all(names):
        raise _MalformedError("the ALPN extension is not a list of names")
    return tuple(names)
