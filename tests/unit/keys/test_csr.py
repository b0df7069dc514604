"""Requests: those certd makes are exact; those it is given are read as the CA will read them, or refused."""

import asyncio
import ipaddress
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from certd.keys.csr import ParsedCsr, build_csr, parse_csr, public_der
from certd.keys.software import FileKeyStore
from certd.model.errors import ConfigError, KeyStoreError
from certd.model.identifiers import Identifier, IdentifierType, parse_identifiers
from certd.model.keys import Algorithm, KeyType
from tests.unit.keys.pki import NAMES, common_name, spki

KEY = ec.generate_private_key(ec.SECP256R1())
SHA256 = hashes.SHA256()
STORE = FileKeyStore(lambda: "key")


async def made(type_: KeyType, names: tuple[Identifier, ...]) -> bytes:
    return await build_csr(await STORE.open(await STORE.generate(type_)), names)


@pytest.mark.parametrize("type_", KeyType)
async def test_a_request_of_each_key_type_is_valid_and_names_exactly_what_was_ordered(type_: KeyType) -> None:
    """R31: nothing more and nothing less, in no other place than the SAN."""
    der = await made(type_, NAMES)
    request = x509.load_der_x509_csr(der)
    assert request.is_signature_valid
    assert list(request.subject) == []
    assert [extension.oid for extension in request.extensions] == [x509.SubjectAlternativeName.oid]
    assert list(request.extensions[0].value) == [
        x509.DNSName("example.org"),
        x509.DNSName("*.example.org"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    ]
    assert parse_csr(der, "own.csr").key_type is type_


@pytest.mark.parametrize("type_", KeyType)
def test_openssl_takes_the_request(type_: KeyType, tmp_path: Path) -> None:
    """A second reader of the DER that is put together by hand."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "request.der"
    file.write_bytes(asyncio.run(made(type_, NAMES)))
    argv = [openssl, "req", "-in", str(file), "-inform", "DER", "-verify", "-noout", "-text"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "verify OK" in done.stdout + done.stderr
    assert "DNS:example.org, DNS:*.example.org, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:1" in done.stdout


async def test_the_request_is_byte_for_byte_what_cryptography_builds() -> None:
    """Ed25519 signs the same data to the same bytes, so that the whole request can be compared."""
    private = ed25519.Ed25519PrivateKey.generate()

    class Held:
        type = KeyType.ED25519
        public_der = spki(private.public_key())

        async def sign(self, algorithm: Algorithm, data: bytes) -> bytes:
            assert algorithm is Algorithm.EDDSA
            return private.sign(data)

    for count in (1, 4, 100):  # lengths of one, two and three octets
        names = parse_identifiers(f"host-{n}.example.org" for n in range(count))
        wanted = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(n.value) for n in names]), critical=False)
            .sign(private, None)
        )
        assert await build_csr(Held(), names) == wanted.public_bytes(Encoding.DER)


async def test_a_name_given_twice_stands_in_the_request_once() -> None:
    der = await made(KeyType.EC256, (*NAMES, *NAMES))
    assert parse_csr(der, "own.csr").identifiers == NAMES


async def test_a_signer_that_fails_fails_the_request() -> None:
    """The key may be a token that was pulled."""

    class Broken:
        type = KeyType.EC256
        public_der = spki(KEY.public_key())

        async def sign(self, algorithm: Algorithm, data: bytes) -> bytes:
            raise KeyStoreError("token: gone")

    with pytest.raises(KeyStoreError, match="token: gone"):
        await build_csr(Broken(), NAMES)


dns_names = st.builds(
    lambda star, labels: Identifier(IdentifierType.DNS, star + ".".join(labels)),
    st.sampled_from(["", "*."]),
    st.lists(st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True), min_size=1, max_size=6).filter(
        lambda labels: not any(label.startswith("xn--") for label in labels)
    ),
)
addresses = st.ip_addresses().map(str).filter(lambda text: "::ffff:" not in text)
identifiers = st.one_of(dns_names, addresses.map(lambda text: Identifier(IdentifierType.IP, text)))


@settings(deadline=None, max_examples=300)
@given(names=st.lists(identifiers, min_size=1, max_size=60, unique=True))
def test_any_identifier_set_survives_the_way_through_a_request(names: list[Identifier]) -> None:
    """R31 as a property: build, read, compare."""
    der = asyncio.run(made(KeyType.EC256, tuple(names)))
    assert parse_csr(der, "own.csr").identifiers == tuple(names)


# Requests made elsewhere.


def request(
    *names: x509.GeneralName,
    cn: str = "",
    key: CertificateIssuerPrivateKeyTypes = KEY,
    extensions: tuple[x509.ExtensionType, ...] = (),
    digest: hashes.SHA256 | None = SHA256,
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name(cn) if cn else x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


def pem(der: bytes, label: str = "CERTIFICATE REQUEST") -> bytes:
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).replace(b"CERTIFICATE REQUEST", label.encode())


DNS = x509.DNSName


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (request(DNS("example.org")), ["example.org"]),
        (pem(request(DNS("example.org"))), ["example.org"]),
        (b"explanation\r\n" + pem(request(DNS("a.example"))).replace(b"\n", b"\r\n"), ["a.example"]),
        (pem(request(DNS("a.example")), "NEW CERTIFICATE REQUEST"), ["a.example"]),
        (request(DNS("WWW.Example.org"), DNS("*.example.org")), ["www.example.org", "*.example.org"]),
        (request(DNS("example.org"), ip("192.0.2.1"), ip("2001:db8::1")), ["example.org", "192.0.2.1", "2001:db8::1"]),
        (request(DNS("a.example"), DNS("b.example"), cn="a.example"), ["a.example", "b.example"]),
        (request(cn="only-cn.example"), ["only-cn.example"]),
        (request(DNS("a.example"), cn="more.example"), ["a.example", "more.example"]),
        (request(ip("192.0.2.1"), cn="192.0.2.1"), ["192.0.2.1"]),
        (request(DNS("xn--mnchen-3ya.example")), ["xn--mnchen-3ya.example"]),
        (
            request(DNS("a.example"), extensions=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),)),
            ["a.example"],
        ),
        (request(DNS("a.example"), extensions=(x509.BasicConstraints(False, None),)), ["a.example"]),
    ],
)
def test_a_request_from_elsewhere_asks_for_its_san_and_its_common_name(data: bytes, values: list[str]) -> None:
    """RFC 8555 §7.4: the CA takes identifiers from both places, so the order must."""
    parsed = parse_csr(data, "my.csr")
    assert [i.value for i in parsed.identifiers] == values
    assert parsed.key_type is KeyType.EC256
    assert parsed.public_der == public_der(parsed.der) == spki(KEY.public_key())
    assert x509.load_der_x509_csr(parsed.der).is_signature_valid


def tampered(der: bytes) -> bytes:
    assert der.count(b"a.example") == 1
    return der.replace(b"a.example", b"b.example")


def rsa_request(size: int, exponent: int = 65537) -> bytes:
    return request(DNS("a.example"), key=rsa.generate_private_key(exponent, size))


STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "not a certificate request"),
        (lambda: b"\x30\x80" + b"\x00" * 60, "not a certificate request"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "PEM of something else"),
        (lambda: pem(request(DNS("a.example")))[:-60], "not a certificate request that can be read"),
        (lambda: b"x" * 300_000, "too long"),
        (lambda: tampered(request(DNS("a.example"))), "signature does not fit"),
        (lambda: request(DNS("a.example"), extensions=(STAPLE,)), "must-staple.*OCSP"),
        (lambda: request(DNS("a.example"), extensions=(x509.BasicConstraints(True, None),)), "CA certificate"),
        (request, "names no host"),
        (lambda: request(x509.RFC822Name("a@example.org")), "mail address"),
        (lambda: request(DNS("a.example"), x509.UniformResourceIdentifier("https://a.example")), "a URI"),
        (lambda: request(x509.DirectoryName(common_name("x"))), "DirectoryName"),
        (lambda: request(x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))), "damaged|IPAddress"),
        (lambda: request(DNS("192.0.2.1")), "IP:192.0.2.1"),
        (lambda: request(DNS("a.example.")), "'a.example.', where it should have 'a.example'"),
        (lambda: request(DNS("a b.example")), "not a host name"),
        (lambda: request(DNS("a\x00.example")), r"'a\\x00.example' is not a host name"),
        (lambda: request(DNS("a.*.example")), "whole first label"),
        (lambda: request(DNS("")), "not a host name"),
        (lambda: request(ip("::ffff:192.0.2.1")), "mapped"),
        (lambda: request(DNS("a.example"), cn="My Server"), "common name 'My Server' is not a host name"),
        (lambda: request(DNS("a.example"), cn="192.0.2.1"), "common name only"),
        (lambda: request(DNS("a.example"), cn="münchen.example"), "common name 'münchen.example'"),
        (lambda: rsa_request(1024), "1024 bits"),
        (lambda: rsa_request(2560), "2560 bits"),
        (lambda: rsa_request(2048, 3), "exponent 3"),
        (lambda: request(DNS("a.example"), key=ec.generate_private_key(ec.SECP192R1())), "secp192r1"),
        (lambda: request(DNS("a.example"), key=ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (lambda: request(DNS("a.example"), key=ed448.Ed448PrivateKey.generate(), digest=None), "kind"),
    ],
)
def test_a_request_that_no_ca_would_finalize_is_refused_with_its_reason(make: Callable[[], bytes], words: str) -> None:
    """Before an order is spent on it."""
    with pytest.raises(ConfigError, match=words) as caught:
        parse_csr(make(), "my.csr")
    assert str(caught.value).startswith("my.csr: ")


def test_a_request_signed_with_sha1_is_refused(tmp_path: Path) -> None:
    """cryptography no longer signs so, openssl still does."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made_by = [openssl, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-sha1", "-subj", "/CN=a.example", "-keyout"]
    done = subprocess.run([*made_by, str(tmp_path / "key")], capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(ConfigError, match="SHA1"):
        parse_csr(done.stdout, "my.csr")


GOOD = request(DNS("a.example"), ip("192.0.2.1"), cn="b.example")


@settings(deadline=None, max_examples=1500)
@given(
    place=st.integers(0, len(GOOD) - 1), bits=st.integers(1, 255), cut=st.integers(0, len(GOOD)), as_pem=st.booleans()
)
def test_a_damaged_request_is_refused_and_never_crashes(place: int, bits: int, cut: int, as_pem: bool) -> None:
    """FZ4: one flipped byte anywhere, or a file cut anywhere."""
    whole = pem(GOOD) if as_pem else GOOD
    for data in (bytes((*whole[:place], whole[place] ^ bits, *whole[place + 1 :])), whole[:cut]):
        try:
            parsed = parse_csr(data, "my.csr")
        except ConfigError:
            continue
        assert isinstance(parsed, ParsedCsr)
        assert parsed.der == GOOD, "a request that was changed must not keep its signature"


@settings(deadline=None, max_examples=500)
@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_are_no_request(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_csr(data, "my.csr")
