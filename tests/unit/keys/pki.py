"""A small PKI to make chains of every shape with: good ones, and those that no CA should send."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certd.model.identifiers import Identifier, IdentifierType, parse_identifiers

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = parse_identifiers(["example.org", "*.example.org", "192.0.2.7", "2001:db8::1"])


@dataclass(frozen=True)
class Issuer:
    """A CA: its certificate and the key behind it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def make_issuer(
    name: str,
    *,
    by: Issuer | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    days: tuple[int, int] = (-365, 3650),
    authority: bool = True,
) -> Issuer:
    key = key or ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(common_name(name))
        .issuer_name(by.certificate.subject if by else common_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(by.key if by else key, hashes.SHA256())
    )
    return Issuer(certificate, key)


def general_names(identifiers: tuple[Identifier, ...]) -> list[x509.GeneralName]:
    return [
        x509.DNSName(i.value) if i.type is IdentifierType.DNS else x509.IPAddress(ipaddress.ip_address(i.value))
        for i in identifiers
    ]


def make_leaf(
    by: Issuer,
    key: CertificatePublicKeyTypes,
    *,
    names: tuple[Identifier, ...] = NAMES,
    more: tuple[x509.GeneralName, ...] = (),
    begins: timedelta = -DAY,
    ends: timedelta = 89 * DAY,
    authority: bool = False,
    serial: int | None = None,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(by.certificate.subject)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False)
    )
    if listed := [*general_names(names), *more]:
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=True)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)
