"""A tls-alpn-01 validator as strict as the CAs' (RFC 8737 §3, §4, RFC 8738 §6): raw bytes, no lenient X.509 types."""

import asyncio
import hashlib
import ssl
from contextlib import suppress
from ipaddress import ip_address

from cryptography import x509

from certd.listen.addresses import BoundAddress
from certd.model.identifiers import IdentifierType
from certd.model.proofs import Proof, tls_alpn_name

SAN = "2.5.29.17"
ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31"


def client_context(*alpn: str, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = highest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Handshake:
    """A TLS client in memory, so that a test can cut its bytes as it likes."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def step(self, data: bytes = b"") -> bytes:
        """Take the server's *data*, give the bytes for it. Raises ssl.SSLError for its alerts."""
        if data:
            self._incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()


def hello_bytes(server_name: str | None, *alpn: str) -> bytes:
    """The ClientHello that OpenSSL sends."""
    return Handshake(client_context(*alpn), server_name).step()


async def shake(
    address: BoundAddress,
    server_name: str | None,
    *alpn: str,
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    source: str = "127.0.0.1",
) -> ssl.SSLObject:
    """Shake hands and wait until the server hangs up; returns the finished client side."""
    reader, writer = await asyncio.open_connection(
        address.host,
        address.port,
        ssl=client_context(*alpn, highest=highest),
        server_hostname=server_name or "",
        local_addr=(source, 0),
    )
    try:
        assert await reader.read() == b"", "application data"
        found = writer.get_extra_info("ssl_object")
        assert isinstance(found, ssl.SSLObject)
        return found
    finally:
        writer.close()


async def validate(address: BoundAddress, proof: Proof, *, source: str = "127.0.0.1") -> None:
    """Raise AssertionError unless *address* proves control as RFC 8737 §3 asks."""
    seen = await shake(address, tls_alpn_name(proof.identifier), "acme-tls/1", source=source)
    assert seen.selected_alpn_protocol() == "acme-tls/1"
    der = seen.getpeercert(binary_form=True)
    assert der is not None
    check(der, proof)


def check(der: bytes, proof: Proof) -> None:
    """The certificate's side: self-signed, exactly two extensions, each byte as it must be."""
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.subject == certificate.issuer
    certificate.verify_directly_issued_by(certificate)
    extensions = raw_extensions(certificate.tbs_certificate_bytes)
    assert sorted(oid for oid, _, _ in extensions) == sorted([SAN, ACME_IDENTIFIER])
    for oid, critical, value in extensions:
        if oid == SAN:
            assert value == expected_san(proof)
        else:
            assert critical
            assert value == b"\x04\x20" + hashlib.sha256(proof.value.encode()).digest()


def expected_san(proof: Proof) -> bytes:
    if proof.identifier.type is IdentifierType.IP:
        name = b"\x87" + _sized(ip_address(proof.identifier.value).packed)
    else:
        name = b"\x82" + _sized(proof.identifier.value.encode())
    return b"\x30" + _sized(name)


def _sized(data: bytes) -> bytes:
    if len(data) < 128:
        return bytes((len(data),)) + data
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8)
    return bytes((0x80 | len(size),)) + size + data


def raw_extensions(tbs: bytes) -> list[tuple[str, bool, bytes]]:
    """(OID, critical, value) as they stand in the certificate, in order."""
    ((_, fields),) = _elements(tbs)
    (block,) = (value for tag, value in _elements(fields) if tag == 0xA3)
    ((_, listed),) = _elements(block)
    found = []
    for _, extension in _elements(listed):
        (_, oid), *rest = _elements(extension)
        found.append((_oid(oid), rest[0] == (0x01, b"\xff"), rest[-1][1]))
    return found


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            size, at = int.from_bytes(data[at : at + (size & 0x7F)]), at + (size & 0x7F)
        found.append((tag, data[at : at + size]))
        at += size
    return found


def _oid(data: bytes) -> str:
    arcs, value = [data[0] // 40, data[0] % 40], 0
    for byte in data[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    return ".".join(map(str, arcs))
