"""The X.509 side: roots, intermediates, leaves, and the API's own certificate. Nothing here decides who may have what.

One root to trust: it signs the API's certificate and the intermediate. Its name says "not trusted", and its name
constraints keep it harmless where somebody trusts it all the same. Roots and intermediates live for decades without
regard to the clock, because a test may run in another year than TLS does.
"""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certd.devca import base64url
from certd.devca.identifiers import SUFFIXES
from certd.devca.records import Identifier

FROM, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)
API_NAMES, API_ADDRESSES = ("localhost",), ("127.0.0.1", "::1")
BACKDATED = timedelta(hours=1)  # as Let's Encrypt does, for clocks that are behind
DAY = timedelta(days=1)
LoadedKey = ec.EllipticCurvePrivateKey
SubjectKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Signer:
    key: LoadedKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class Issuer:
    """`tops[0]` is signed by `roots[0]`, `tops[1]` is the same intermediate signed by `roots[1]`, and so on.

    `below` are the intermediates between a top and the leaf, the issuing one first.
    """

    roots: tuple[Signer, ...]
    tops: tuple[Signer, ...]
    below: tuple[Signer, ...]

    @property
    def issuing(self) -> Signer:
        return (*self.below, self.tops[0])[0]

    @property
    def key_identifier(self) -> bytes:
        return x509.SubjectKeyIdentifier.from_public_key(self.issuing.key.public_key()).digest

    def chains(self, leaf: bytes) -> list[str]:
        """PEM, the default first; a chain is leaf and intermediates, without its root."""
        certificate = x509.load_der_x509_certificate(leaf)
        middle = [each.certificate for each in self.below]
        return ["".join(map(pem, [certificate, *middle, top.certificate])) for top in self.tops]

    def issue(
        self, key: SubjectKey, identifiers: Iterable[Identifier], lifetime: timedelta, now: datetime, serial: int
    ) -> x509.Certificate:
        start = now.replace(microsecond=0) - (BACKDATED if lifetime >= DAY else timedelta(0))
        # Validity is inclusive (RFC 5280 §4.1.2.5), hence the second less.
        end = start + lifetime - timedelta(seconds=1)
        return _leaf(self.issuing, key, identifiers, start, end, serial)


def make_issuer(rng: random.Random, alternate_roots: int, chain_length: int) -> Issuer:
    """New keys, new names: two CAs on one machine are never mistaken for each other."""
    mark = f"{rng.getrandbits(24):06x}"
    roots = tuple(_root(f"devca {mark} root {each} - not trusted") for each in range(1 + alternate_roots))
    names = [f"devca {mark} intermediate {each} - not trusted" for each in range(max(1, chain_length))]
    top_key = ec.generate_private_key(ec.SECP256R1())
    tops = tuple(_intermediate(names[-1], top_key, root, len(names) - 1) for root in roots)
    below: list[Signer] = []
    above = tops[0]
    for depth, name in reversed(list(enumerate(names[:-1]))):
        above = _intermediate(name, ec.generate_private_key(ec.SECP256R1()), above, depth)
        below.insert(0, above)
    return Issuer(roots, tops, tuple(below))


def dump_issuer(issuer: Issuer) -> str:
    """Text for the state directory; it holds the private keys."""
    return json.dumps({name: [_dump(each) for each in getattr(issuer, name)] for name in ("roots", "tops", "below")})


def load_issuer(text: str) -> Issuer:
    return Issuer(**{name: tuple(map(_load, signers)) for name, signers in json.loads(text).items()})


def api_certificate(root: Signer, hosts: Iterable[str]) -> Signer:
    """A server certificate for loopback, of a new key, directly under *root*."""
    key = ec.generate_private_key(ec.SECP256R1())
    addresses = dict.fromkeys([*API_ADDRESSES, *hosts])
    names = [Identifier("dns", each) for each in API_NAMES] + [Identifier("ip", each) for each in addresses]
    return Signer(key, _leaf(root, key.public_key(), names, FROM, UNTIL, x509.random_serial_number()))


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: LoadedKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_serial(rng: random.Random, zero_share: float) -> int:
    """128 bits. With the highest set DER puts a zero octet in front, and certificate ids keep it (RFC 9773 §4.1)."""
    return rng.getrandbits(120) | (rng.randrange(0x80, 0x100) if rng.random() < zero_share else 0x5D) << 120


def certificate_id(certificate: x509.Certificate) -> str:
    """base64url(AKI keyIdentifier) "." base64url(serial, the octets of its DER) (RFC 9773 §4.1)."""
    extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    serial = certificate.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1)
    return f"{base64url.encode(extension.key_identifier or b'')}.{base64url.encode(octets)}"


def _root(name: str) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    dns = [x509.DNSName(each) for each in SUFFIXES]
    addresses = [x509.IPAddress(ip_network(each)) for each in ("127.0.0.0/8", "::1/128")]
    certificate = (
        _builder(subject, subject, key.public_key(), FROM, UNTIL, x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.NameConstraints([*dns, *addresses], None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Signer(key, certificate)


def _intermediate(name: str, key: LoadedKey, above: Signer, path_length: int) -> Signer:
    certificate = (
        _builder(_named(name), above.certificate.subject, key.public_key(), FROM, UNTIL, x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_authority(above), critical=False)
        .sign(above.key, hashes.SHA256())
    )
    return Signer(key, certificate)


def _leaf(
    above: Signer,
    key: SubjectKey,
    identifiers: Iterable[Identifier],
    start: datetime,
    end: datetime,
    serial: int,
) -> x509.Certificate:
    names: list[x509.GeneralName] = [
        x509.DNSName(each.value) if each.type == "dns" else x509.IPAddress(ip_address(each.value))
        for each in identifiers
    ]
    return (
        _builder(x509.Name([]), above.certificate.subject, key, start, end, serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False, encipher=isinstance(key, rsa.RSAPublicKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_authority(above), critical=False)
        # The subject is empty, so this is critical (RFC 5280 §4.2.1.6).
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(above.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificateIssuerPublicKeyTypes,
    start: datetime,
    end: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _authority(above: Signer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key())


def _usage(*, ca: bool, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        key_encipherment=encipher,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _dump(signer: Signer) -> dict[str, str]:
    return {"key": key_pem(signer.key).decode(), "certificate": pem(signer.certificate)}


def _load(given: dict[str, Any]) -> Signer:
    key = serialization.load_pem_private_key(given["key"].encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the stored issuer's key is no EC key")
    return Signer(key, x509.load_pem_x509_certificate(given["certificate"].encode()))
