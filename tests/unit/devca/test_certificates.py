"""Certificates: chains, what a leaf holds, revocation (RFC 8555 §7.4.2, §7.6)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect
from tests.unit.devca.flow import issue, ready_order
from tests.unit.devca.raw_client import Answer, Json, Key, RawClient, b64, csr_for, new_key
from tests.unit.devca.responders import HttpResponder


class Serve:
    """A TLS server with a chain and a key; ends with its fixture."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.servers: list[asyncio.Server] = []

    async def __call__(self, chain: bytes, key: Key) -> int:
        both = self._folder / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        both.write_bytes(private + chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        self.servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port


@pytest.fixture
async def tls_server(tmp_path: Path) -> AsyncIterator[Serve]:
    serve = Serve(tmp_path)
    yield serve
    for server in serve.servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def client(calm: DevCa, connect: Connect) -> RawClient:
    return connect(calm)


async def revoke(client: RawClient, chain: Answer, key: Key | None = None, **fields: object) -> Answer:
    """By account, or by the certificate's *key*."""
    leaf = x509.load_pem_x509_certificates(chain.body)[0].public_bytes(serialization.Encoding.DER)
    own = client.key
    client.key = key or own
    payload = {"certificate": b64(leaf)} | fields
    try:
        return await client.post(client.directory["revokeCert"], payload, by_key=key is not None)
    finally:
        client.key = own


async def test_the_same_leaf_comes_under_each_root(web80: HttpResponder, connect: Connect) -> None:
    async with DevCa.start(Options.friendly(http_port=web80.port, alternate_roots=2, chain_length=2)) as ca:
        client = connect(ca)
        _, chain = await issue(client, web80, "a.test")
        alternates = [await client.post(each) for each in chain.links("alternate")]
        roots = [x509.load_pem_x509_certificate(each.encode()) for each in (ca.root_pem, *ca.alternate_roots)]
        assert len(alternates) == 2
        for answer, root in zip([chain, *alternates], roots, strict=True):
            certificates = x509.load_pem_x509_certificates(answer.body)
            assert len(certificates) == 3
            assert certificates[0] == x509.load_pem_x509_certificates(chain.body)[0]
            for below, above in zip(certificates, [*certificates[1:], root], strict=True):
                below.verify_directly_issued_by(above)
            assert len(answer.links("alternate")) == 2
        assert (await client.post(chain.links("alternate")[0][:-1] + "7")).status == 404


async def test_a_leaf_is_a_server_certificate_with_an_empty_subject(client: RawClient, web80: HttpResponder) -> None:
    _, chain = await issue(client, web80, "a.test", key=rsa.generate_private_key(65537, 2048))
    leaf = x509.load_pem_x509_certificates(chain.body)[0]
    assert leaf.subject == x509.Name([])
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


async def test_the_root_says_not_trusted_and_is_constrained(calm: DevCa) -> None:
    root = x509.load_pem_x509_certificate(calm.root_pem.encode())
    assert "not trusted" in root.subject.rfc4514_string()
    constraints = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert x509.DNSName("test") in (constraints.value.permitted_subtrees or ())


async def test_a_tls_client_that_trusts_the_root_accepts_a_server_with_the_certificate(
    calm: DevCa, client: RawClient, web80: HttpResponder, tls_server: Serve
) -> None:
    for name in ("a.test", "demo.localhost", "127.0.0.1"):
        key = new_key()
        _, chain = await issue(client, web80, name, key=key)
        port = await tls_server(chain.body, key)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=calm.trust(), server_hostname=name)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("reason", [None, 0, 1, 4, 5])
async def test_revocation_by_the_account_and_then_nothing_more(
    calm: DevCa, client: RawClient, web80: HttpResponder, reason: int | None
) -> None:
    _, chain = await issue(client, web80, "a.test")
    fields: Json = {"reason": reason} if reason is not None else {}
    assert (await revoke(client, chain, **fields)).status == 200
    assert calm.certificate_of(chain.body.decode()).revocation_reason == (reason or 0)
    assert (await revoke(client, chain)).problem == "alreadyRevoked"


@pytest.mark.parametrize("reason", [-1, 2, 3, 6, 7, 99, "1", True, 1.5])
async def test_reasons_that_are_not_the_subscribers(client: RawClient, web80: HttpResponder, reason: object) -> None:
    _, chain = await issue(client, web80, "a.test")
    assert (await revoke(client, chain, reason=reason)).problem == "badRevocationReason"


async def test_revocation_by_the_certificates_key_which_is_then_not_certified_again(
    client: RawClient, web80: HttpResponder
) -> None:
    key = new_key()
    _, chain = await issue(client, web80, "a.test", key=key)
    assert (await revoke(client, chain, new_key())).problem == "unauthorized"
    assert (await revoke(client, chain, key, reason=1)).status == 200
    _, order = await ready_order(client, web80, "a.test")
    assert (await client.finalize(order, csr_for(key, "a.test"))).problem == "badCSR"


async def test_another_account_revokes_once_it_is_authorized_for_all_names(
    calm: DevCa, client: RawClient, connect: Connect, web80: HttpResponder
) -> None:
    _, chain = await issue(client, web80, "a.test", "b.test")
    other = connect(calm)
    await issue(other, web80, "a.test")
    assert (await revoke(other, chain)).problem == "unauthorized"
    await issue(other, web80, "b.test")
    assert (await revoke(other, chain)).status == 200


async def test_what_is_not_there_to_revoke(client: RawClient) -> None:
    await client.register()
    for given in ({}, {"certificate": 1}, {"certificate": "AA=="}, {"certificate": b64(b"\x30\x00")}):
        assert (await client.post(client.directory["revokeCert"], given)).problem == "malformed"
