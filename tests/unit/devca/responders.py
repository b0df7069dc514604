"""What answers validations in these tests: small http-01, dns-01 and tls-alpn-01 responders on ports of their own."""

import asyncio
import hashlib
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
PREFIX = "/.well-known/acme-challenge/"


@dataclass
class HttpResponder:
    """`proofs`: token → answer; `pages`: path → what to answer with; `seen`: (peer address, Host, path)."""

    port: int = 0
    proofs: dict[str, str] = field(default_factory=dict)
    pages: dict[str, Callable[[], web.StreamResponse]] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    once: bool = False  # a proof is gone after the first look

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append((request.remote or "", request.host, request.path))
        if request.path in self.pages:
            return self.pages[request.path]()
        token = request.path.removeprefix(PREFIX)
        if token not in self.proofs:
            raise web.HTTPNotFound
        found = self.proofs.pop(token) if self.once else self.proofs[token]
        return web.Response(body=found.encode(), content_type="application/octet-stream")


@asynccontextmanager
async def http_responder(
    host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[HttpResponder]:
    responder = HttpResponder()
    runner = web.ServerRunner(web.Server(responder.handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        responder.port = runner.addresses[0][1]
        yield responder
    finally:
        await runner.cleanup()


@dataclass
class DnsResponder:
    """`txt`: name without last dot → values; `cnames`: name → target; `fail`: names with SERVFAIL."""

    port: int = 0
    txt: dict[str, list[str]] = field(default_factory=dict)
    cnames: dict[str, str] = field(default_factory=dict)
    fail: set[str] = field(default_factory=set)
    truncate: bool = False  # UDP answers are cut off
    silent: bool = False
    loop: bool = False  # an alias that leads to itself
    denies: bool = True  # NXDOMAIN for names it does not know; else an empty answer
    seen: list[tuple[str, str, str]] = field(default_factory=list)  # transport, peer, name

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def reply(self, wire: bytes, transport: str, peer: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        self.seen.append((transport, peer, name))
        if self.silent:
            return None
        reply = dns.message.make_response(query)
        if transport == "udp" and self.truncate:
            reply.flags |= dns.flags.TC
            return reply.to_wire()
        if self.loop:
            for here, there in ((name, "x.internal"), ("x.internal", name)):
                reply.answer.append(dns.rrset.from_text(f"{here}.", 1, "IN", "CNAME", f"{there}."))
            return reply.to_wire()
        while name in self.cnames:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 1, "IN", "CNAME", f"{self.cnames[name]}."))
            name = self.cnames[name]
        if name in self.fail:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif name in self.txt:
            values = [
                " ".join(f'"{value[at : at + 20]}"' for at in range(0, len(value), 20)) for value in self.txt[name]
            ]
            if values:
                reply.answer.append(dns.rrset.from_text(f"{name}.", 1, "IN", "TXT", *values))
        elif self.denies:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, responder: DnsResponder) -> None:
        self._responder = responder

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (reply := self._responder.reply(data, "udp", addr[0])) is not None:
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def dns_responder() -> AsyncIterator[DnsResponder]:
    responder = DnsResponder()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = responder.reply(await reader.readexactly(length), "tcp", writer.get_extra_info("peername")[0])
        if reply is not None:
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
        writer.close()

    while True:
        tcp = await asyncio.start_server(converse, "127.0.0.1", 0)
        responder.port = tcp.sockets[0].getsockname()[1]
        try:
            udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Udp(responder), local_addr=responder.address
            )
            break
        except OSError:  # free for TCP only
            tcp.close()
    try:
        yield responder
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()


@dataclass(frozen=True)
class AlpnCertificate:
    """What a tls-alpn-01 certificate is made of; the defaults are right."""

    names: tuple[str, ...]
    key_authorization: str
    oid: x509.ObjectIdentifier = ACME_IDENTIFIER
    critical: bool = True
    digest: Callable[[bytes], bytes] = lambda data: b"\x04\x20" + hashlib.sha256(data).digest()
    self_signed: bool = True
    with_san: bool = True
    with_proof: bool = True

    def make(self) -> tuple[bytes, bytes]:
        """Certificate and key, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = key if self.self_signed else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "challenge")])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )
        if self.with_san:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_name, self.names))), critical=False)
        if self.with_proof:
            value = x509.UnrecognizedExtension(self.oid, self.digest(self.key_authorization.encode()))
            builder = builder.add_extension(value, critical=self.critical)
        certificate = builder.sign(signer, hashes.SHA256())
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def _name(value: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(value))
    except ValueError:
        return x509.DNSName(value)


def server_context(certificate: AlpnCertificate, *protocols: str) -> ssl.SSLContext:
    made, key = certificate.make()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with tempfile.NamedTemporaryFile(suffix=".pem") as both:
        both.write(key + made)
        both.flush()
        context.load_cert_chain(both.name)
    return context


@dataclass
class AlpnResponder:
    """Shows `certificate` to everybody; `seen`: (peer address, SNI)."""

    port: int = 0
    protocols: tuple[str, ...] = ("acme-tls/1",)
    context: ssl.SSLContext | None = None
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def show(self, certificate: AlpnCertificate) -> None:
        self.context = server_context(certificate, *self.protocols)


@asynccontextmanager
async def alpn_responder(host: str = "127.0.0.1") -> AsyncIterator[AlpnResponder]:
    responder = AlpnResponder()
    names: list[str | None] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        responder.seen.append((writer.get_extra_info("peername")[0], names[-1] if names else None))
        try:
            await reader.read(1)
        except OSError:
            pass
        finally:
            writer.close()

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: object) -> None:
        names.append(name)
        if responder.context is not None:
            connection.context = responder.context

    # The first context only carries the callback: the certificate is chosen when somebody knocks.
    first = server_context(AlpnCertificate(("unset.test",), "unset"), "acme-tls/1")
    first.set_servername_callback(choose)
    server = await asyncio.start_server(converse, host, 0, ssl=first)
    responder.port = server.sockets[0].getsockname()[1]
    try:
        yield responder
    finally:
        server.close()
        await server.wait_closed()
