"""The ClientHello reader: real hellos, cut and mangled ones; never an exception, never slow (FZ6)."""

import ssl
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certd.listen.client_hello import (
    LONGEST_HELLO,
    MOST_RECORDS,
    ClientHello,
    Incomplete,
    NotTls,
    read_client_hello,
)
from tests.unit.listen.fakes import least_cpu_seconds
from tests.unit.listen.validator import Handshake, client_context, hello_bytes

HELLO = hello_bytes("example.org", "acme-tls/1")


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size) + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + vector(2, data)


def hello(*extensions: bytes, kind: int = 1) -> bytes:
    """A handshake message."""
    body = bytes(34) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\x00")
    if extensions:
        body += vector(2, b"".join(extensions))
    return bytes((kind,)) + vector(3, body)


def records(message: bytes, size: int = 2**14, minor: int = 1) -> bytes:
    return b"".join(
        b"\x16\x03" + bytes((minor,)) + vector(2, message[at : at + size]) for at in range(0, len(message), size)
    )


def server_name(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, b"".join(bytes((kind,)) + vector(2, name) for name in names)))


def alpn(*names: bytes) -> bytes:
    return extension(16, vector(2, b"".join(vector(1, name) for name in names)))


@pytest.mark.parametrize("name", ["example.org", "7.2.0.192.in-addr.arpa", None])
@pytest.mark.parametrize("protocols", [(), ("acme-tls/1",), ("h2", "http/1.1")])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_hellos_of_openssl_are_read(name: str | None, protocols: tuple[str, ...], version: ssl.TLSVersion) -> None:
    """Against an independent writer of the format."""
    data = Handshake(client_context(*protocols, highest=version), name).step()
    assert read_client_hello(data) == ClientHello(name or "", tuple(p.encode() for p in protocols))


def test_a_hello_without_extensions_asks_for_nothing() -> None:
    """TLS 1.2 allows it (RFC 5246 §7.4.1.2)."""
    assert read_client_hello(records(hello())) == ClientHello("", ())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100, len(HELLO)])
def test_a_hello_may_span_records(size: int) -> None:
    """RFC 8446 §5.1: "handshake messages MAY be … fragmented across several records"."""
    message = HELLO[5:]
    data = records(message, max(size, -(-len(message) // MOST_RECORDS)))
    assert read_client_hello(data) == ClientHello("example.org", (b"acme-tls/1",))


def test_too_many_records_are_an_attack() -> None:
    """Reading a hello of one-byte records again at each byte would cost the loop seconds."""
    assert read_client_hello(records(HELLO[5:], 1)) == NotTls("the ClientHello comes in too many records")


def test_every_prefix_is_incomplete_and_what_follows_is_left_alone() -> None:
    """The parser must neither give up early nor wait for ever."""
    assert all(read_client_hello(HELLO[:end]) == Incomplete() for end in range(len(HELLO)))
    assert read_client_hello(HELLO + b"\x14\x03\x03\x00\x01\x01" + bytes(20_000)) == read_client_hello(HELLO)


@pytest.mark.parametrize("name", [b"EXAMPLE.Org", b"example.org"])
def test_server_names_compare_in_lower_case(name: bytes) -> None:
    """DNS names have no case (RFC 6066 §3)."""
    assert read_client_hello(records(hello(server_name(name)))) == ClientHello("example.org", ())


@pytest.mark.parametrize(
    "name", [b"", b"example.org.", b".", b"a..b", b"a b", "ü.example".encode(), b"a\x00b", b"x" * 256, b"../x"]
)
def test_what_is_no_host_name_counts_as_none(name: bytes) -> None:
    """The look-up sees clean names only."""
    assert read_client_hello(records(hello(server_name(name)))) == ClientHello("", ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "not a TLS handshake record"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "not a TLS handshake record"),
        (b"\x16\x02\x00", "not a TLS handshake record"),
        (b"\x16\x03\x01\x00\x00", "a handshake record of 0 bytes"),
        (b"\x16\x03\x01\x40\x01", "a handshake record of 16385 bytes"),
        (records(hello(kind=2)), "the first message is no ClientHello"),
        (records(b"\x01\xff\xff\xff" + bytes(2**14), 2**14 - 5), "the ClientHello is too long"),
        (records(b"\x01\x00\x00\x05abcde"), "a length in the ClientHello is larger than what follows"),
        (records(hello(server_name(b"a"), server_name(b"a"))), "extension 0 stands twice"),
        (records(hello(server_name(b"a", b"b"))), "the server name extension has more than one host name"),
        (records(hello(server_name(b"a", kind=1))), "the server name extension has more than one host name"),
        (records(hello(extension(0, vector(2, b"\x00\x00\x01a") + b"x"))), "bytes after the server name"),
        (records(hello(alpn(b"h2", b""))), "the ALPN extension is not a list of names"),
        (records(hello(extension(16, vector(2, b"\x02h2") + b"x"))), "the ALPN extension is not a list of names"),
        (records(hello(extension(16, b""))), "a length in the ClientHello is larger than what follows"),
    ],
)
def test_malformed_hellos_are_not_tls(data: bytes, reason: str) -> None:
    """Each rule of the format, broken once."""
    assert read_client_hello(data) == NotTls(reason)


def test_bytes_after_the_extensions_are_refused() -> None:
    """The lengths must add up."""
    body = hello(alpn(b"h2"))[4:] + b"x"
    assert read_client_hello(records(b"\x01" + vector(3, body))) == NotTls(
        "bytes after the extensions of the ClientHello"
    )


@given(st.binary(max_size=2 * LONGEST_HELLO))
@example(b"")
@example(b"\x16")
@example(b"\x16\x03\x01\x40\x00" + bytes(20_000))
def test_any_bytes_have_a_reading(data: bytes) -> None:
    """Never an exception; and what is refused as a prefix is refused as a whole."""
    found = read_client_hello(data)
    assert isinstance(found, ClientHello | Incomplete | NotTls)
    if isinstance(read_client_hello(data[: len(data) // 2]), NotTls):
        assert isinstance(found, NotTls)


@given(st.lists(st.tuples(st.integers(0, len(HELLO) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_hellos_have_a_reading(changes: list[tuple[int, int]]) -> None:
    """Near misses reach deeper than noise."""
    data = bytearray(HELLO)
    for at, value in changes:
        data[at] = value
    assert isinstance(read_client_hello(bytes(data)), ClientHello | Incomplete | NotTls)


@given(
    st.lists(st.tuples(st.integers(2, 65535).filter(lambda kind: kind != 16), st.binary(max_size=60)), max_size=8),
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6),
)
def test_whatever_else_a_hello_has_its_names_are_found(others: list[tuple[int, bytes]], names: list[bytes]) -> None:
    """Unknown extensions (GREASE, ECH, what comes next) are none of our business (RFC 8446 §4.2)."""
    extensions = [extension(kind, data) for kind, data in dict(others).items()]
    data = records(hello(*extensions, server_name(b"example.org"), alpn(*names)))
    assert read_client_hello(data) == ClientHello("example.org", tuple(names))


def test_the_worst_input_is_read_in_milliseconds() -> None:
    """A visitor who sends single bytes makes us read again each time: 16,384 readings must stay affordable."""
    smallest = LONGEST_HELLO // MOST_RECORDS - 5
    worst = records(b"\x01\x00\xff\xff" + bytes(LONGEST_HELLO), smallest)[: LONGEST_HELLO - 1]
    assert read_client_hello(worst) == Incomplete()
    assert least_cpu_seconds(lambda: read_client_hello(worst)) < 0.005


def test_old_protocol_versions_in_the_record_are_ignored() -> None:
    """RFC 8446 §5.1: legacy_record_version "MUST be ignored for all purposes"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for minor in range(5):
            assert isinstance(read_client_hello(records(HELLO[5:], minor=minor)), ClientHello)
